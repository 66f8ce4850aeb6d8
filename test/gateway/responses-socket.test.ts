// The Responses socket on the real worker, its clients on real sockets.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { checkOrder } from '../oracle/order.ts'
import { startGateway, type TestGateway } from './harness.ts'
import { type Message, openSocket, type SocketClient } from './socket-client.ts'
import {
  chunk,
  completion,
  json,
  type Reply,
  sse,
  startUpstream,
  type TestUpstream,
  textStream,
} from './upstream.ts'

let upstream: TestUpstream
let gateway: TestGateway
const open: SocketClient[] = []

beforeAll(async () => {
  upstream = await startUpstream()
  gateway = await startGateway({
    config: {
      providers: { acme: { baseUrl: `${upstream.origin}/v1`, models: '*' } },
      limits: { bodyBytes: 200_000 },
    },
  })
})

afterEach(async () => {
  await Promise.all(open.splice(0).map((client) => client.close()))
})

afterAll(async () => {
  await gateway.stop()
  await upstream.stop()
})

async function connect(path = '/v1/responses'): Promise<SocketClient> {
  const client = await openSocket(gateway.url + path)
  open.push(client)
  return client
}

/** The final response of an answer that is in order. */
function finalOf(messages: Message[]): Record<string, unknown> & { id: string } {
  expect(checkOrder(messages)).toEqual([])
  return messages.at(-1)?.response as Record<string, unknown> & { id: string }
}

const errorOf = (messages: Message[]) => ({
  count: messages.length,
  status: messages.at(-1)?.status,
  ...(messages.at(-1)?.error as { code: string; param: string | null }),
})

/** A text stream whose end waits until it is let go. */
function heldStream(): { release(): void; reply: Reply } {
  let release = () => {}
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  const reply: Reply = async (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(chunk({ role: 'assistant', content: 'first' }))
    await released
    for (const piece of textStream(' last').slice(1)) response.write(piece)
    response.end()
  }
  return { release, reply }
}

/** The client reads until it has seen an event of that type. */
async function until(client: SocketClient, type: string): Promise<Message> {
  for (;;) {
    const message = await client.next()
    if (message.type === type) return message
  }
}

/** What the upstream was told in its latest request, as `[role, content]`. */
function lastMessages(): unknown[] {
  const messages = upstream.requests.at(-1)?.body.messages as { role: string; content: unknown }[]
  return messages.map(({ role, content }) => [role, content])
}

describe('a turn', () => {
  it('is answered with the events of a stream, one message each, and no [DONE]', async () => {
    upstream.reply((response) => sse(response, ...textStream('Hello', ' there')))
    const client = await connect()
    client.create({ model: 'm', input: 'hi', store: false })
    const messages = await client.answer()
    expect(messages.map(({ type }) => type)).toEqual([
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
      ...messages.slice(4, -4).map(() => 'response.output_text.delta'),
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.completed',
    ])
    expect(finalOf(messages)).toMatchObject({ status: 'completed', model: 'm' })
    expect(upstream.requests[0]?.body).toMatchObject({ model: 'm', stream: true })
    expect(upstream.requests[0]?.body).not.toHaveProperty('type')
  })

  it('can be told its place in the path', async () => {
    upstream.reply((response) => sse(response, ...textStream('here')))
    const client = await connect('/acme/v1/responses')
    client.create({ model: 'm', input: 'hi', store: false })
    expect(finalOf(await client.answer()).status).toBe('completed')
    client.create({ model: 'm:groq', input: 'hi', store: false })
    expect(errorOf(await client.answer()).status).toBe(400)
  })

  it('may come in a message of many frames and be 100 KiB long', async () => {
    upstream.reply((response) => sse(response, ...textStream('long')))
    const client = await connect()
    const input = 'x'.repeat(100 * 1024)
    const text = JSON.stringify({ type: 'response.create', model: 'm', input, store: false })
    client.socket.send(text.slice(0, 50_000), { fin: false })
    client.socket.send(text.slice(50_000), { fin: true })
    expect(finalOf(await client.answer()).status).toBe('completed')
    expect(lastMessages()).toEqual([['user', input]])
  })

  it('follows the one before it: a thousand of them on one socket', async () => {
    upstream.reply((response) => sse(response, ...textStream('ok')))
    const client = await connect()
    const ids = new Set<string>()
    for (let turn = 0; turn < 1000; turn++) {
      client.create({ model: 'm', input: `turn ${turn}`, store: false })
      const last = (await client.answer()).at(-1)
      expect(last?.type).toBe('response.completed')
      ids.add(String(Reflect.get(Object(last?.response), 'id')))
    }
    expect(ids.size).toBe(1000)
    expect(upstream.requests).toHaveLength(1000)
  })

  it('waits for the one before it', async () => {
    const held = heldStream()
    upstream.reply(held.reply)
    const client = await connect()
    client.create({ model: 'm', input: 'one', store: false })
    client.create({ model: 'm', input: 'two', store: false })
    await until(client, 'response.output_text.delta')
    expect(upstream.requests).toHaveLength(1)
    held.release()
    await client.answer()
    expect(finalOf(await client.answer()).status).toBe('completed')
    expect(lastMessages()).toEqual([['user', 'two']])
  })

  it('is not disturbed by those of another socket', async () => {
    upstream.reply((response, { body }) => {
      const [{ content }] = body.messages as [{ content: string }]
      sse(response, ...textStream(content, ' again'))
    })
    const clients = await Promise.all([connect(), connect()])
    for (let turn = 0; turn < 10; turn++) {
      for (const [at, client] of clients.entries())
        client.create({ model: 'm', input: `${at}/${turn}`, store: false })
    }
    for (let turn = 0; turn < 10; turn++) {
      for (const [at, client] of clients.entries()) {
        const { output } = finalOf(await client.answer())
        expect(output).toMatchObject([{ content: [{ text: `${at}/${turn} again` }] }])
      }
    }
  })
})

describe('lanes', () => {
  it('run beside each other, each in order, and every event names its own', async () => {
    const held = heldStream()
    upstream.reply((response, request) => {
      const [{ content }] = request.body.messages as [{ content: string }]
      if (content === 'slow') return held.reply(response, request)
      sse(response, ...textStream(content))
    })
    const client = await connect()
    const send = (stream_id: string, input: string) =>
      client.create({ model: 'm', stream_id, input, store: false })
    send('a', 'slow')
    send('a', 'after slow')
    send('b', 'quick')
    const quick = await client.answer('b')
    expect(finalOf(quick)).toMatchObject({ output: [{ content: [{ text: 'quick' }] }] })
    expect(upstream.requests).toHaveLength(2)
    held.release()
    expect(finalOf(await client.answer('a')).output).toMatchObject([
      { content: [{ text: 'first last' }] },
    ])
    expect(finalOf(await client.answer('a')).output).toMatchObject([
      { content: [{ text: 'after slow' }] },
    ])
  })

  it.each([
    ['is no name', 'a b', 'invalid_stream_id'],
    ['is no text', 7, 'invalid_stream_id'],
  ])('refuses one that %s', async (_, stream_id, code) => {
    const client = await connect()
    client.create({ model: 'm', stream_id, input: 'hi' })
    expect(errorOf(await client.answer())).toMatchObject({ status: 400, code, param: 'stream_id' })
  })
})

describe('continuation', () => {
  it('carries what was said, on the connection that heard it', async () => {
    upstream.reply((response) => sse(response, ...textStream('four')))
    const client = await connect()
    client.create({ model: 'm', input: 'two and two?', store: false })
    const { id } = finalOf(await client.answer())
    const next = { model: 'm', input: 'sure?', store: false, previous_response_id: id }
    client.create(next)
    expect(finalOf(await client.answer()).previous_response_id).toBe(id)
    expect(lastMessages()).toEqual([
      ['user', 'two and two?'],
      ['assistant', 'four'],
      ['user', 'sure?'],
    ])
    const other = await connect()
    other.create(next)
    expect(errorOf(await other.answer())).toMatchObject({
      count: 1,
      status: 404,
      code: 'previous_response_not_found',
      param: 'previous_response_id',
    })
    // Nothing of it is stored.
    expect((await gateway.ask(`/v1/responses/${id}`)).status).toBe(404)
  })

  it('goes on from the store on another connection, and over HTTP', async () => {
    upstream.reply((response) => sse(response, ...textStream('four')))
    const client = await connect()
    client.create({ model: 'm', input: 'two and two?' })
    const { id, store } = finalOf(await client.answer())
    expect(store).toBe(true)
    const next = { model: 'm', input: 'sure?', previous_response_id: id }
    const other = await connect()
    other.create(next)
    finalOf(await other.answer())
    expect(lastMessages()).toHaveLength(3)
    upstream.reply((response) => json(response, 200, completion('yes')))
    expect((await gateway.post('/v1/responses', next)).status).toBe(200)
    expect(lastMessages()).toHaveLength(3)
  })

  it('goes on from a warm-up that asked nobody', async () => {
    upstream.reply((response) => sse(response, ...textStream('ready')))
    const client = await connect()
    client.create({ model: 'm', input: 'prepare', store: false, generate: false })
    const warm = finalOf(await client.answer())
    expect([warm.status, warm.output, upstream.requests.length]).toEqual(['completed', [], 0])
    client.create({ model: 'm', input: [], store: false, previous_response_id: warm.id })
    finalOf(await client.answer())
    expect(lastMessages()).toEqual([['user', 'prepare']])
  })

  it('ends with a failure', async () => {
    upstream.reply((response) => sse(response, ...textStream('yes')))
    const client = await connect()
    client.create({ model: 'm', input: 'a', store: false })
    const { id } = finalOf(await client.answer())
    const next = { model: 'm', input: 'b', store: false, previous_response_id: id }
    upstream.reply((response) => json(response, 500, { error: { message: 'no' } }))
    client.create(next)
    expect(errorOf(await client.answer()).status).toBe(502)
    upstream.reply((response) => sse(response, ...textStream('yes')))
    client.create(next)
    expect(errorOf(await client.answer()).code).toBe('previous_response_not_found')
  })
})

describe('what a message may not be', () => {
  it.each<[string, unknown, number, string, string | null]>([
    ['no JSON', '{"type":', 400, 'invalid_json', null],
    ['no object', '[1]', 400, 'invalid_request', null],
    ['without a type', { model: 'm', input: 'hi' }, 400, 'missing_required_parameter', 'type'],
    ['of another type', { type: 'response.steer' }, 400, 'invalid_value', 'type'],
    ['a prototype key', '{"type":"response.create","__proto__":1}', 400, 'invalid_json', null],
    ['not a stream', { stream: false }, 400, 'unsupported_parameter', 'stream'],
    ['with options', { stream_options: {} }, 400, 'unsupported_parameter', 'stream_options'],
    ['in the background', { background: true }, 400, 'unsupported_parameter', 'background'],
    ['of an unknown kind', { generate: 1 }, 400, 'invalid_value', 'generate'],
    ['of no model', { model: null }, 400, 'invalid_value', 'model'],
    ['of an unknown place', { model: 'm:nowhere' }, 400, 'provider_not_found', 'model'],
    ['with a bad field', { temperature: 3 }, 400, 'invalid_value', 'temperature'],
    ['too large', { input: 'x'.repeat(200_000) }, 413, 'body_too_large', null],
  ])('%s', async (_, message, status, code, param) => {
    upstream.reply((response) => sse(response, ...textStream('ok')))
    const client = await connect()
    if (typeof message === 'string' || code === 'missing_required_parameter' || param === 'type')
      client.send(message)
    else client.create({ model: 'm', input: 'hi', ...(message as object) })
    const [error, ...rest] = await client.answer()
    expect(rest).toEqual([])
    expect(error).toMatchObject({
      type: 'error',
      status,
      error: { type: 'invalid_request_error', code, param, message: expect.any(String) },
    })
    // And the socket is none the worse for it.
    client.create({ model: 'm', input: 'hi', store: false })
    expect(finalOf(await client.answer()).status).toBe('completed')
  })

  it('binary', async () => {
    const client = await connect()
    client.socket.send(Buffer.from('{"type":"response.create"}'))
    expect(errorOf(await client.answer())).toMatchObject({ status: 400, code: 'invalid_request' })
  })

  it('takes `stream: true` and `background: false`, which say what holds anyway', async () => {
    upstream.reply((response) => sse(response, ...textStream('ok')))
    const client = await connect()
    client.create({ model: 'm', input: 'hi', store: false, stream: true, background: false })
    expect(finalOf(await client.answer()).status).toBe('completed')
  })
})

describe('the end of work', () => {
  it('comes to the upstream when the client leaves in the middle', async () => {
    const held = heldStream()
    upstream.reply(held.reply)
    const client = await connect()
    client.create({ model: 'm', input: 'hi', store: false })
    await until(client, 'response.output_text.delta')
    client.socket.terminate()
    expect(await upstream.requests[0]?.ended).toBe(true)
    held.release()
  })

  it('comes to the upstream before it has said anything', async () => {
    upstream.reply(() => {})
    const client = await connect()
    client.create({ model: 'm', input: 'hi', store: false })
    const request = await upstream.nextRequest()
    await client.close()
    expect(await request.ended).toBe(true)
  })

  it('comes by response.cancel, and the answer is closed in order', async () => {
    const held = heldStream()
    upstream.reply(held.reply)
    const client = await connect()
    client.create({ model: 'm', input: 'hi', store: false })
    const seen = [await client.next()]
    while (seen.at(-1)?.type !== 'response.output_text.delta') seen.push(await client.next())
    client.send({ type: 'response.cancel' })
    expect(await upstream.requests[0]?.ended).toBe(true)
    const { status, error, output } = finalOf([...seen, ...(await client.answer())])
    expect({ status, error, output }).toMatchObject({
      status: 'failed',
      error: { code: 'response_cancelled' },
      output: [{ status: 'incomplete', content: [{ text: 'first' }] }],
    })
    held.release()
    client.send({ type: 'response.cancel' })
    expect(errorOf(await client.answer())).toMatchObject({
      status: 404,
      code: 'response_not_found',
    })
  })

  it('of an upstream in the middle fails the answer, and the socket goes on', async () => {
    upstream.reply((response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(chunk({ role: 'assistant', content: 'half' }))
      setTimeout(() => response.destroy(), 5)
    })
    const client = await connect()
    client.create({ model: 'm', input: 'hi', store: false })
    expect(finalOf(await client.answer())).toMatchObject({
      status: 'failed',
      error: { code: 'upstream_error' },
    })
    upstream.reply((response) => sse(response, ...textStream('fine')))
    client.create({ model: 'm', input: 'hi', store: false })
    expect(finalOf(await client.answer()).status).toBe('completed')
  })

  it('of an upstream before the first event is an error envelope with its status', async () => {
    upstream.reply((response) =>
      json(response, 429, { error: { message: 'slow down' } }, { 'retry-after': '30' }),
    )
    const client = await connect()
    client.create({ model: 'm', input: 'hi', store: false })
    const [error] = await client.answer()
    expect(error).toMatchObject({
      status: 429,
      error: { type: 'rate_limit_error', headers: { 'retry-after': '30' } },
    })
  })
})

describe('the upgrade', () => {
  it('is not needed to learn that it is', async () => {
    const response = await gateway.ask('/v1/responses')
    expect(response.status).toBe(426)
    expect(await response.json()).toMatchObject({ error: { code: 'method_not_allowed' } })
  })

  it('takes what Codex sends with it', async () => {
    const headers = { 'openai-beta': 'responses_websockets=2026-02-06', originator: 'codex_exec' }
    const client = await openSocket(`${gateway.url}/v1/responses`, {
      headers,
      perMessageDeflate: true,
    })
    upstream.reply((response) => sse(response, ...textStream('ok')))
    client.create({ model: 'm', input: 'hi', store: false })
    expect(finalOf(await client.answer()).status).toBe('completed')
    client.send({ type: 'response.processed', response_id: 'resp_x' })
    client.create({ model: 'm', input: 'hi', store: false })
    expect(finalOf(await client.answer()).status).toBe('completed')
    await client.close()
  })

  it('chooses the family of reasoning events for all turns', async () => {
    upstream.reply((response) => sse(response, chunk({ reasoning: 'Hm.' }), ...textStream('ok')))
    const name = 'x-switchyard-reasoning-events'
    const url = `${gateway.url}/v1/responses`
    const client = await openSocket(url, { headers: { [name]: 'summary' } })
    client.create({ model: 'm', input: 'hi', store: false })
    const types = (await client.answer()).map(({ type }) => type)
    expect(types).toContain('response.reasoning_summary_text.delta')
    await client.close()
    await expect(openSocket(url, { headers: { [name]: 'none' } })).rejects.toThrow(/^400 /)
  })

  it('is refused to other web sites while no keys are set', async () => {
    await expect(
      openSocket(`${gateway.url}/v1/responses`, { headers: { origin: 'https://evil.example' } }),
    ).rejects.toThrow(/^403 .*origin_not_allowed/)
  })

  it('needs a key where keys are set', async () => {
    const keyed = await startGateway({
      config: { providers: { acme: { baseUrl: `${upstream.origin}/v1`, models: '*' } } },
      bindings: { SWITCHYARD_KEYS: JSON.stringify({ me: 'sy_secret_of_mine' }) },
    })
    try {
      const url = `${keyed.url}/v1/responses`
      await expect(openSocket(url)).rejects.toThrow(/^401 .*invalid_api_key/)
      const headers = { authorization: 'Bearer sy_secret_of_mine' }
      const client = await openSocket(url, { headers })
      upstream.reply((response) => sse(response, ...textStream('ok')))
      client.create({ model: 'm', input: 'hi', store: false })
      expect(finalOf(await client.answer()).status).toBe('completed')
      await client.close()
    } finally {
      await keyed.stop()
    }
  })

  it('answers pings, and a close with a close', async () => {
    const client = await connect()
    const pong = new Promise((resolve) => client.socket.once('pong', resolve))
    client.socket.ping()
    await pong
    client.socket.close(1000, 'bye')
    expect(await client.closed).toMatchObject({ code: 1000 })
    expect(client.socket.readyState).toBe(WebSocket.CLOSED)
  })
})
