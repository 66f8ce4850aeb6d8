// The channel over a pair of ports in memory: the contract, and what only a peer that breaks the rules brings up.
import { describe, expect, it } from 'vitest'
import { ApiError } from '../../src/errors.ts'
import { type Port, Requester, type RequesterOptions } from '../../src/tunnel/channel.ts'
import { decodeFrame, type Frame } from '../../src/tunnel/frames.ts'
import { type Handler, Responder } from '../../src/tunnel/responder.ts'
import { channelContract, deferred, expectNext, handStream } from '../contract/channel.ts'

/** Each message arrives in its own turn, as messages of a socket do. */
function pair(handler: Handler, options: RequesterOptions = {}, ready?: Port['ready']) {
  let cut = false
  const sent: Frame[] = []
  const deliver = (receive: (frame: Frame) => void) => (bytes: Uint8Array) => {
    const frame = decodeFrame(bytes)
    sent.push(frame)
    setImmediate(() => {
      if (!cut) receive(frame)
    })
  }
  const toNode: Port = { send: deliver((frame) => responder.receive(frame)), close: () => {} }
  const toHub: Port = {
    send: deliver((frame) => requester.receive(frame)),
    close: () => {},
    ...(ready && { ready }),
  }
  const requester = new Requester(toNode, options)
  const responder = new Responder(toHub, handler)
  return {
    requester,
    responder,
    sent,
    cut() {
      cut = true
      requester.lost('cut')
      responder.lost('cut')
    },
  }
}

function open(requester: Requester, body: Record<string, unknown>, signal?: AbortSignal) {
  return requester.open({
    method: 'POST',
    path: '/v1/responses',
    headers: [['content-type', 'application/json']],
    body: new TextEncoder().encode(JSON.stringify(body)),
    signal,
  })
}

channelContract('in memory', async (handler) => {
  const { requester, cut } = pair(handler)
  return {
    open: (body, signal) => open(requester, body, signal),
    cut,
    close: async () => cut(),
    // The window, the piece in hand and the one that the source made ahead.
    heldBytes: 262_144 + 3 * 65_536,
  }
})

describe('a stream', () => {
  it('that is lost before HEAD may be asked of another node; after HEAD it may not', async () => {
    let answer = false
    const pending = () =>
      answer ? new Response(new ReadableStream()) : new Promise<Response>(() => {})
    const before = pair(async () => pending())
    const lost = open(before.requester, {})
    before.cut()
    await expect(lost).rejects.toMatchObject({ code: 'node_lost', retryable: true })
    answer = true
    const after = pair(async () => pending())
    const response = await open(after.requester, {})
    after.cut()
    await expect(response.text()).rejects.toMatchObject({ code: 'node_lost', retryable: false })
  })

  it('is refused at once on a port that is gone, and by a port that throws', async () => {
    const { requester, cut } = pair(async () => new Response('x'))
    cut()
    await expect(open(requester, {})).rejects.toMatchObject({ code: 'node_lost', retryable: true })
    const broken = new Requester({
      send() {
        throw new Error('closed')
      },
      close() {},
    })
    await expect(open(broken, {})).rejects.toMatchObject({ code: 'node_lost', retryable: true })
  })

  it('counts as in flight until its end, and not after a cancel', async () => {
    const { requester, responder } = pair(async () => new Response('x'))
    const response = await open(requester, {})
    await response.text()
    expect([requester.inFlight, responder.inFlight]).toEqual([0, 0])
    const hanging = pair(async () => new Promise<Response>(() => {}))
    const caller = new AbortController()
    const rejected = expect(open(hanging.requester, {}, caller.signal)).rejects.toThrow()
    expect(hanging.requester.inFlight).toBe(1)
    caller.abort()
    await rejected
    expect(hanging.requester.inFlight).toBe(0)
  })

  it('sends nothing for a caller who had gone before it asked', async () => {
    const { requester, sent } = pair(async () => new Response('x'))
    await expect(open(requester, {}, AbortSignal.abort())).rejects.toThrow()
    expect(sent).toEqual([])
  })

  it('joins what the source wrote in one turn into one frame', async () => {
    const source = handStream()
    const { requester, sent } = pair(async () => new Response(source.stream))
    const response = await open(requester, {})
    for (const letter of 'joined') source.write(letter)
    await expectNext(response.body!.getReader(), 'joined')
    expect(sent.filter(({ type }) => type === 'DATA')).toHaveLength(1)
  })

  it('grants credit in large portions, not for each piece', async () => {
    const piece = new Uint8Array(1000)
    let left = 1000
    const source = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (left-- > 0) controller.enqueue(piece)
        else controller.close()
      },
    })
    const { requester, sent } = pair(async () => new Response(source))
    const bytes = await (await open(requester, {})).arrayBuffer()
    expect(bytes.byteLength).toBe(1_000_000)
    const credits = sent.filter(({ type }) => type === 'CREDIT').length
    expect(credits).toBeGreaterThan(0)
    expect(credits).toBeLessThanOrEqual(16)
  })

  it('waits while its port is behind', async () => {
    const room = deferred()
    let behind = true
    const { requester, sent } = pair(
      async () => new Response('late'),
      {},
      () => (behind ? room.promise : undefined),
    )
    const answer = requester.open({ method: 'GET', path: '/', headers: [], body: undefined })
    const response = await answer
    await new Promise((resolve) => setImmediate(resolve))
    expect(sent.map(({ type }) => type)).toEqual(['REQUEST', 'HEAD'])
    behind = false
    room.resolve()
    expect(await response.text()).toBe('late')
  })

  it('of a peer that says WELCOME anew is dropped by the node', async () => {
    const stopped = deferred()
    const { requester, responder } = pair(async (request) => {
      request.signal.addEventListener('abort', () => stopped.resolve())
      return new Promise<Response>(() => {})
    })
    open(requester, {}).catch(() => {})
    while (responder.inFlight === 0) await new Promise((resolve) => setImmediate(resolve))
    responder.cancelAll('forgotten')
    await stopped.promise
    await responder.settled()
    expect(responder.inFlight).toBe(0)
  })

  it('may have any number up to 2^32 - 1, and 0 is none', async () => {
    const options = { firstStream: 0xffff_ffff }
    const { requester, sent } = pair(async () => new Response('x'), options)
    for (let n = 0; n < 3; n++) await (await open(requester, {})).text()
    const streams = sent.filter(({ type }) => type === 'REQUEST').map(({ stream }) => stream)
    expect(streams).toEqual([0xffff_ffff, 1, 2])
  })
})

describe('an answer', () => {
  const answer = async (handler: Handler) => open(pair(handler).requester, {})

  it('keeps any status and tells of errors that the handler threw', async () => {
    const teapot = await answer(async () => new Response('tea', { status: 418 }))
    expect([teapot.status, await teapot.text()]).toEqual([418, 'tea'])
    const thrown = await answer(async () => {
      throw new ApiError('unsupported_content', 'No images.', { param: 'input[0]' })
    })
    expect(thrown.status).toBe(400)
    expect(await thrown.json()).toMatchObject({
      error: { param: 'input[0]', message: 'No images.' },
    })
  })

  it.each([204, 304])('may have no body (%i)', async (status) => {
    const response = await answer(async () => new Response(null, { status }))
    expect([response.status, response.body]).toEqual([status, null])
  })

  it('that is none becomes an upstream error', async () => {
    expect((await answer(async () => Response.error())).status).toBe(502)
  })

  it('leaves behind what belongs to one hop', async () => {
    const headers = { 'content-encoding': 'gzip', 'transfer-encoding': 'chunked', 'x-kept': '1' }
    const response = await answer(async () => new Response('x', { headers }))
    expect([...response.headers.keys()].sort()).toEqual(['content-type', 'x-kept'])
  })
})
