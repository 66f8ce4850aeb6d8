// What survives when the hub's memory goes, and how long it waits for a node that says nothing.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { decodeJson, encodeFrame } from '../../src/tunnel/frames.ts'
import { errorSchema } from '../../src/tunnel/messages.ts'
import { deferred, expectNext, handStream } from '../contract/channel.ts'
import { Hub } from './hub.ts'
import { RawNode } from './raw-node.ts'

describe('a hub that hibernates', () => {
  let hub: Hub

  beforeAll(async () => {
    // Its timers are short, so that it falls asleep sooner.
    hub = await Hub.start('ImpatientHub')
  })
  afterAll(() => hub.stop())
  afterEach(() => hub.until((nodes) => nodes.length === 0))

  it('knows its nodes without a word from them, and they serve', async () => {
    const client = await hub.join(async () => new Response('same'), { name: 'sleeper', slots: 3 })
    await hub.hibernate()
    expect(await hub.nodes()).toMatchObject([{ name: 'sleeper', slots: 3 }])
    expect(await (await hub.call()).text()).toBe('same')
    client.stop()
  })

  it('still knows who drains and who is at work', async () => {
    const node = await RawNode.join(hub.url)
    node.json('STATUS', 0, { running: 2, waiting: 1, colour: 'x'.repeat(20_000) })
    node.json('DRAIN', 0, {})
    await hub.until(([info]) => info?.draining === true)
    await hub.hibernate()
    expect(await hub.nodes()).toMatchObject([{ running: 2, waiting: 1, draining: true }])
    node.close()
  })

  it('says WELCOME anew before its next request, so that the node drops what it still does', async () => {
    const node = await RawNode.join(hub.url)
    await hub.hibernate()
    const answer = hub.call()
    await node.next('WELCOME')
    const { stream } = await node.next('REQUEST')
    node.json('HEAD', stream, { status: 200, headers: [] })
    node.send(encodeFrame('END', stream))
    expect((await answer).status).toBe(200)
    node.close()
  })

  it('numbers its streams from elsewhere: a late frame of before is answered with CANCEL', async () => {
    const node = await RawNode.join(hub.url)
    const answered = hub.call()
    const { stream: before } = await node.next('REQUEST')
    node.json('HEAD', before, { status: 200, headers: [] })
    node.send(encodeFrame('END', before))
    await (await answered).text()
    await hub.hibernate()
    const answer = hub.call()
    const { stream } = await node.next('REQUEST')
    expect([before, before + 1]).not.toContain(stream)
    node.send(encodeFrame('DATA', before, new Uint8Array(3)))
    expect((await node.next('CANCEL')).stream).toBe(before)
    node.json('HEAD', stream, { status: 200, headers: [] })
    node.send(encodeFrame('END', stream))
    expect(await (await answer).text()).toBe('')
    node.close()
  })
})

describe('a hub that is reset, as by a deploy', () => {
  let hub: Hub

  beforeAll(async () => {
    hub = await Hub.start('ResettableHub')
  })
  afterAll(() => hub.stop())

  it('breaks its streams off visibly; nodes stop their work and dial in again', async () => {
    const source = handStream()
    let first = true
    const handle = async () => {
      if (!first) return new Response('again')
      first = false
      return new Response(source.stream)
    }
    const states: string[] = []
    const onState = (state: string) => states.push(state)
    await hub.join(handle, { name: 'n', random: () => 0, onState })
    const response = await hub.call({ query: { pump: '1' } })
    const reader = response.body!.getReader()
    source.write('begun')
    await expectNext(reader, 'begun')
    await hub.reset()
    await expect(reader.read()).rejects.toThrow()
    await source.cancelled
    await hub.until((nodes) => nodes.length === 1)
    expect(await (await hub.call()).text()).toBe('again')
    expect(states).toEqual(['connecting', 'joined', 'waiting', 'connecting', 'joined'])
  })

  it('fails what has no answer yet so that another candidate may be tried', async () => {
    const arrived = deferred()
    const handle = async () => {
      arrived.resolve()
      return new Promise<Response>(() => {})
    }
    await hub.join(handle, { name: 'n', random: () => 0 })
    const answer = hub.call()
    await arrived.promise
    await hub.reset()
    const response = await answer
    expect(response.headers.get('x-retryable')).toBe('true')
    expect(await response.json()).toMatchObject({ error: { code: 'node_lost' } })
  })
})

describe('a hub that is full', () => {
  it('lets nobody in until someone leaves, and the client goes on trying', async () => {
    const hub = await Hub.start('ResettableHub')
    const first = await RawNode.join(hub.url, { node: 'first' })
    const second = await RawNode.join(hub.url, { node: 'second' })
    const reason = deferred<string | undefined>()
    const joined = hub.join(async () => new Response('x'), {
      name: 'third',
      random: () => 0,
      onState: (state, why) => {
        if (state === 'waiting') reason.resolve(why)
      },
    })
    expect(await reason.promise).toBe('This gateway has 2 nodes and takes no more.')
    expect((await hub.nodes()).map(({ name }) => name).sort()).toEqual(['first', 'second'])
    first.close()
    await joined
    expect((await hub.nodes()).map(({ name }) => name).sort()).toEqual(['second', 'third'])
    second.close()
    await hub.stop()
  })
})

describe('deadlines', () => {
  let hub: Hub

  beforeAll(async () => {
    hub = await Hub.start('ImpatientHub')
  })
  afterAll(() => hub.stop())

  it('closes a socket that says no HELLO', async () => {
    const node = await RawNode.dial(hub.url)
    // workerd holds the closing handshake of a socket that has never spoken for 10 s; the reason comes at once.
    expect(decodeJson(await node.next('ERROR'), errorSchema).code).toBe('hello_timeout')
    node.close()
  })

  it('gives up on a node that falls silent with work in hand', async () => {
    const node = await RawNode.join(hub.url)
    const answer = hub.call()
    await node.next('REQUEST')
    expect(await (await answer).json()).toMatchObject({
      error: { code: 'node_lost', message: 'The node fell silent.' },
    })
    expect((await node.closed).code).toBe(4011)
  })

  it('takes pings for life', async () => {
    const node = await RawNode.join(hub.url)
    const answer = hub.call()
    const { stream } = await node.next('REQUEST')
    for (let n = 0; n < 12; n++) {
      node.send('ping')
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    node.json('HEAD', stream, { status: 200, headers: [] })
    node.send(encodeFrame('END', stream))
    expect((await answer).status).toBe(200)
    node.close()
  })
})
