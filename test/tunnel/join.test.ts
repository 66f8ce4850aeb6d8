// Who may join, under which name, and what the hub says to a node that breaks the protocol.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { TunnelClient } from '../../native-node/server/tunnel-client.ts'
import {
  closeCodes,
  decodeJson,
  defaultWindow,
  encodeFrame,
  encodeJson,
  maxFrameBytes,
} from '../../src/tunnel/frames.ts'
import { errorSchema, welcomeSchema } from '../../src/tunnel/messages.ts'
import { deferred } from '../contract/channel.ts'
import { Hub, otherToken, token } from './hub.ts'
import { RawNode } from './raw-node.ts'

let hub: Hub

beforeAll(async () => {
  hub = await Hub.start()
})
afterAll(() => hub.stop())

const hello = async () => new Response('hello')

describe('the node token', () => {
  it.each([
    ['a wrong one', { authorization: 'Bearer wrong' }],
    ['none', {}],
    ['another scheme', { authorization: 'Basic YS1ub2RlLXRva2VuLWZvci10ZXN0cw==' }],
  ])('refuses %s with 401 before anything else', async (_, headers) => {
    const response = await fetch(`${hub.url}/nodes/connect`, { headers })
    expect(response.status).toBe(401)
    expect(await response.json()).toMatchObject({ error: { code: 'invalid_api_key' } })
  })

  it('asks for a WebSocket when the token is right', async () => {
    const headers = { authorization: `Bearer ${otherToken}` }
    expect((await fetch(`${hub.url}/nodes/connect`, { headers })).status).toBe(426)
  })

  it('picks the tenant: nobody else sees the node or sends to it', async () => {
    const client = await hub.join(hello, { name: 'theirs', token: otherToken })
    expect((await hub.nodes('?tenant=other')).map(({ name }) => name)).toEqual(['theirs'])
    expect(await hub.nodes()).toEqual([])
    expect((await hub.call()).status).toBe(503)
    expect(await (await hub.call({ query: { tenant: 'other' } })).text()).toBe('hello')
    client.stop()
  })

  it.each([
    ['plain text: the token of tenant default', token, 426],
    ['not set', '', 503],
    ['broken JSON', '{"default":', 503],
    ['JSON without a tenant', '{}', 503],
    ['a tenant with an empty token', '{"default":""}', 503],
  ])('as the gateway has it: %s', async (_, tokens, status) => {
    const headers = { authorization: `Bearer ${token}` }
    const url = `${hub.url}/nodes/connect?${new URLSearchParams({ tokens })}`
    expect((await fetch(url, { headers })).status).toBe(status)
  })

  it('is named as the trouble by a client that was refused, which goes on trying', async () => {
    const { promise, resolve } = deferred<string | undefined>()
    let client: TunnelClient | undefined
    const state = await new Promise<string>((settle) => {
      client = hub.client(hello, {
        name: 'stranger',
        token: 'wrong',
        onState: (next, reason) => {
          if (next === 'connecting') return
          resolve(reason)
          settle(next)
        },
      })
      client.start()
    })
    expect(state).toBe('waiting')
    expect(await promise).toMatch(/refused the node token \(401/)
    client?.stop()
  })
})

describe('names', () => {
  it.each(['self', 'SELF', 'fastest', 'groq'])(
    'refuses %s and the client gives up',
    async (name) => {
      await expect(hub.join(hello, { name })).rejects.toThrow(`A node cannot be called ${name}`)
    },
  )

  it('gives a name to the newer of two and tells the older', async () => {
    const lost = deferred<string | undefined>()
    await hub.join(async () => new Response('old'), {
      name: 'twin',
      onState: (state, reason) => {
        if (state === 'stopped') lost.resolve(reason)
      },
    })
    const newer = await hub.join(async () => new Response('new'), { name: 'twin' })
    expect(await lost.promise).toBe('Another node called twin has joined.')
    expect((await hub.nodes()).map(({ name }) => name)).toEqual(['twin'])
    expect(await (await hub.call()).text()).toBe('new')
    newer.stop()
    await hub.until((nodes) => nodes.length === 0)
  })
})

describe('what a node tells', () => {
  afterEach(() => hub.until((nodes) => nodes.length === 0))

  it('is listed, unknown keys included', async () => {
    const node = await RawNode.join(hub.url, {
      pid: 4711,
      agent: 'test/1',
      models: [{ id: 'org/m:4b', dialects: ['chat'], context_length: 4096, colour: 'blue' }],
    })
    const [info] = await hub.nodes()
    expect(info).toMatchObject({
      name: 'raw',
      slots: 4,
      pid: 4711,
      agent: 'test/1',
      draining: false,
      models: [{ id: 'org/m:4b', dialects: ['chat'], context_length: 4096, colour: 'blue' }],
    })
    node.close()
  })

  it('replaces what it told before when it says HELLO again', async () => {
    const node = await RawNode.join(hub.url)
    node.hello({ models: [{ id: 'other', dialects: ['chat'] }], slots: 9 })
    await hub.until(([info]) => info?.slots === 9)
    expect((await hub.nodes())[0]?.models).toMatchObject([{ id: 'other' }])
    node.close()
  })

  it('gets the limits in WELCOME', async () => {
    const node = await RawNode.dial(hub.url)
    node.hello({ versions: [7, 1] })
    const welcome = decodeJson(await node.next('WELCOME'), welcomeSchema)
    expect(welcome).toEqual({ version: 1, limits: { frame_bytes: 1_048_576, window: 262_144 } })
    node.close()
  })
})

describe('a node that breaks the protocol', () => {
  const badHello = (change: Record<string, unknown>) => (node: RawNode) => node.hello(change)
  const cases: [string, (node: RawNode) => void, number, string][] = [
    ['speaks no version of ours', badHello({ versions: [2] }), 4002, 'upgrade_required'],
    ['sends frames of another version', (n) => n.send(versioned(2)), 4002, 'upgrade_required'],
    ['has a name with a slash', badHello({ node: 'a/b' }), 4004, 'protocol_error'],
    ['has no slots', badHello({ slots: 0 }), 4004, 'protocol_error'],
    ['lists models as text', badHello({ models: 'm' }), 4004, 'protocol_error'],
    ['says HELLO without JSON', (n) => n.send(encodeFrame('HELLO', 0)), 4004, 'protocol_error'],
    ['says STATUS before HELLO', (n) => n.json('STATUS', 0, {}), 4000, 'protocol_error'],
    ['sends text', (n) => n.send('hello'), 4000, 'protocol_error'],
    ['sends half a header', (n) => n.send(new Uint8Array(3)), 4000, 'protocol_error'],
    ['sends a giant', (n) => n.send(new Uint8Array(maxFrameBytes + 1)), 1009, 'protocol_error'],
  ]

  it.each(cases)('%s', async (_, act, code, reason) => {
    const node = await RawNode.dial(hub.url)
    act(node)
    expect(decodeJson(await node.next('ERROR'), errorSchema).code).toBe(reason)
    expect(await node.closed).toEqual({ code, reason })
    expect(await hub.nodes()).toEqual([])
  })

  it('may send types of a newer minor version, which are passed over', async () => {
    const node = await RawNode.dial(hub.url)
    const unknown = encodeFrame('DRAIN', 0)
    unknown[1] = 200
    node.send(unknown)
    node.hello()
    await node.next('WELCOME')
    node.send(unknown)
    expect(await hub.nodes()).toHaveLength(1)
    node.close()
    await hub.until((nodes) => nodes.length === 0)
  })

  it('is told to stop a stream that nobody opened', async () => {
    const node = await RawNode.join(hub.url)
    node.send(encodeFrame('DATA', 77, new Uint8Array(5)))
    expect((await node.next('CANCEL')).stream).toBe(77)
    node.close()
    await hub.until((nodes) => nodes.length === 0)
  })

  const inStream: [string, (node: RawNode, stream: number) => void][] = [
    ['sends DATA before HEAD', (n, s) => n.send(encodeFrame('DATA', s, new Uint8Array(5)))],
    ['ends before HEAD', (n, s) => n.send(encodeFrame('END', s))],
    ['sends REQUEST to the hub', (n, s) => n.send(encodeFrame('REQUEST', s))],
    ['gives a status that is none', (n, s) => n.json('HEAD', s, { status: 99, headers: [] })],
    ['sends a header with a line break', (n, s) => n.json('HEAD', s, badHeader)],
    ['sends CREDIT of three bytes', (n, s) => n.send(encodeFrame('CREDIT', s, new Uint8Array(3)))],
  ]
  const badHeader = { status: 200, headers: [['x', 'a\r\nb: c']] }

  it.each(inStream)('%s: the caller learns that the node is lost', async (_, act) => {
    const node = await RawNode.join(hub.url)
    const answer = hub.call()
    const { stream } = await node.next('REQUEST')
    act(node, stream)
    expect((await node.closed).code).toBe(closeCodes.protocolError)
    expect(await (await answer).json()).toMatchObject({ error: { code: 'node_lost' } })
  })

  it('sends more than credit allows: the stream breaks off', async () => {
    const node = await RawNode.join(hub.url)
    const answer = hub.call({ query: { pump: '1' } })
    const { stream } = await node.next('REQUEST')
    node.send(encodeJson('HEAD', stream, { status: 200, headers: [] }))
    const response = await answer
    node.send(encodeFrame('DATA', stream, new Uint8Array(defaultWindow + 1)))
    expect((await node.closed).code).toBe(closeCodes.protocolError)
    await expect(response.text()).rejects.toThrow()
  })
})

function versioned(version: number): Uint8Array {
  const bytes = encodeFrame('HELLO', 0)
  bytes[0] = version
  return bytes
}
