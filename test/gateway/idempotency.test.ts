// Keys of clients on the gateway as it is deployed: what is answered twice, what is sent upstream once, what is refused.
import { randomUUID } from 'node:crypto'
import { request } from 'node:http'
import { connect, type Socket } from 'node:net'
import OpenAI from 'openai'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { eventsIn } from '../contract/store.ts'
import { checkOrder } from '../oracle/order.ts'
import { type Json, turn, completion as whole } from '../src/tools/script.ts'
import { startMcpServer, type TestMcpServer } from '../tools/mcp-server.ts'
import { startGateway, type TestGateway } from './harness.ts'
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

const tenants = { one: 'sy_key_of_tenant_one', two: 'sy_key_of_tenant_two' }
const replay = 'x-switchyard-idempotent-replay'
let upstream: TestUpstream
let server: TestMcpServer
let gateway: TestGateway

beforeAll(async () => {
  upstream = await startUpstream()
  server = await startMcpServer()
  gateway = await startGateway({
    config: {
      providers: {
        acme: { baseUrl: `${upstream.origin}/v1`, models: { m: 'm' } },
        bytes: { baseUrl: `${upstream.origin}/raw/v1`, models: { raw: 'raw' }, raw: true },
      },
      egress: { mcpHosts: [server.host] },
    },
    bindings: { SWITCHYARD_KEYS: JSON.stringify(tenants) },
  })
})

afterAll(async () => {
  await gateway.stop()
  await server.close()
  await upstream.stop()
})

let count = 0
/** Answers each time with another text. */
const answers: Reply = (response, { body }) => {
  const text = `answer ${++count}`
  if (body.stream === true) sse(response, ...textStream(text))
  else json(response, 200, completion(text))
}
beforeEach(() => {
  upstream.reply(answers)
  server.calls().clear()
})

type Headers = Record<string, string>
const newKey = () => `key-${randomUUID()}`
const bearer = (tenant: keyof typeof tenants = 'one') => ({
  authorization: `Bearer ${tenants[tenant]}`,
})
const send = (path: string, body: Json, key: string, headers: Headers = {}) =>
  gateway.post(path, body, { 'idempotency-key': key, ...bearer(), ...headers })
const paths = ['/v1/responses', '/v1/chat/completions', '/v1/messages'] as const
const messages = [{ role: 'user', content: 'hi' }]
const bodyOf = (path: string, more: Json = {}): Json =>
  path.endsWith('/responses')
    ? { model: 'm', input: 'hi', ...more }
    : { model: 'm', messages, ...(path === '/v1/messages' ? { max_tokens: 99 } : {}), ...more }

/** A client that can be cut off: workerd takes what `fetch` aborts for half-closed until it writes to it. */
function rawClient(path: string, given: Json, key: string): Socket {
  const body = JSON.stringify(given)
  const head = [
    `POST ${path} HTTP/1.1`,
    'Host: localhost',
    'Content-Type: application/json',
    `Authorization: ${bearer().authorization}`,
    `Idempotency-Key: ${key}`,
    `Content-Length: ${body.length}`,
  ]
  const socket = connect(gateway.port, '127.0.0.1', () =>
    socket.write(`${head.join('\r\n')}\r\n\r\n${body}`),
  )
  return socket.on('error', () => {})
}

/** With a header line for each key: `fetch` would make one line of them. */
function sendLines(path: string, given: Json, keys: string[]) {
  const headers = {
    'content-type': 'application/json',
    'idempotency-key': keys,
    ...bearer(),
  }
  return new Promise<{ status: number | undefined; text: string }>((resolve, reject) => {
    const options = { host: '127.0.0.1', port: gateway.port, path, method: 'POST', headers }
    const asked = request(options, (answer) => {
      let text = ''
      answer.setEncoding('utf8')
      answer.on('data', (piece: string) => {
        text += piece
      })
      answer.on('end', () => resolve({ status: answer.statusCode, text }))
    })
    asked.on('error', reject)
    asked.end(JSON.stringify(given))
  })
}

/** All of an answer that a repeat must give again. */
async function told(response: Response) {
  const kept = ['content-type', 'x-switchyard-provider', 'x-switchyard-attempts', 'warning']
  const headers = kept.map((name) => response.headers.get(name))
  return { status: response.status, headers, text: await response.text() }
}

async function refusal(response: Response) {
  const { error } = (await response.json()) as { error: Record<string, unknown> }
  const retry = response.headers.get('x-should-retry')
  return { status: response.status, code: error.code, param: error.param, retry }
}

const reused = {
  status: 409,
  code: 'idempotency_key_reused',
  param: 'Idempotency-Key',
  retry: 'false',
}
const notKept = { ...reused, code: 'idempotency_answer_not_kept' }

describe.each(paths)('B9: %s', (path) => {
  const isMessages = path === '/v1/messages'

  it.each([false, true])('gives the same answer again (stream: %s)', async (stream) => {
    const key = newKey()
    const first = await send(path, bodyOf(path, { stream }), key)
    expect(first.headers.get(replay)).toBeNull()
    const one = await told(first)
    expect(one.status).toBe(200)
    for (let again = 0; again < 2; again++) {
      const second = await send(path, bodyOf(path, { stream }), key)
      expect(second.headers.get(replay)).toBe('true')
      expect(await told(second)).toEqual(one)
    }
    expect(upstream.requests).toHaveLength(1)
    if (stream && path === '/v1/responses') expect(checkOrder(eventsIn(one.text))).toEqual([])
    if (stream && path === '/v1/chat/completions') expect(one.text).toContain('data: [DONE]')
  })

  it.each([false, true])('answers one of 50 at once, for all (stream: %s)', async (stream) => {
    upstream.reply((response, request) =>
      new Promise((resolve) => setTimeout(resolve, 100)).then(() => answers(response, request)),
    )
    const key = newKey()
    const all = await Promise.all(
      Array.from({ length: 50 }, async () => told(await send(path, bodyOf(path, { stream }), key))),
    )
    expect(new Set(all.map((each) => JSON.stringify(each))).size).toBe(1)
    expect(all[0]?.status).toBe(200)
    expect(upstream.requests).toHaveLength(1)
  })

  it('refuses a key that was sent with anything else', async () => {
    const key = newKey()
    const base = bodyOf(path)
    await told(await send(path, base, key))
    const other = paths.find((each) => each !== path) ?? path
    const refused = [
      await send(path, bodyOf(path, { temperature: 0.5 }), key),
      await send(path, bodyOf(path, { stream: true }), key),
      await send(path, base, key, { 'x-switchyard-order': 'acme' }),
      await send(path.replace('/v1', '/acme/v1'), base, key),
      await gateway.ask(path, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'idempotency-key': key, ...bearer() },
        body: JSON.stringify(base, null, 1),
      }),
    ]
    for (const each of refused) {
      if (isMessages) expect(each.status).toBe(409)
      else expect(await refusal(each)).toEqual(reused)
    }
    expect((await send(other, bodyOf(other), key)).status).toBe(409)
    expect(upstream.requests).toHaveLength(1)
    expect((await send(path, base, key)).headers.get(replay)).toBe('true')
  })

  it('knows no key of another tenant', async () => {
    const key = newKey()
    const one = await told(await send(path, bodyOf(path), key))
    const other = await send(path, bodyOf(path, { temperature: 1 }), key, bearer('two'))
    expect(other.status).toBe(200)
    expect(other.headers.get(replay)).toBeNull()
    await other.text()
    expect(await told(await send(path, bodyOf(path), key))).toEqual(one)
    expect(upstream.requests).toHaveLength(2)
  })

  it.each([
    ['empty', ''],
    ['too long', 'k'.repeat(256)],
    ['of two words', 'two words'],
    ['of other characters', 'schl\u00fcssel'],
  ])('refuses a key that is %s', async (_, key) => {
    const refused = await send(path, bodyOf(path), key)
    expect(refused.status).toBe(400)
    if (!isMessages) {
      expect(await refusal(refused)).toMatchObject({ code: 'invalid_value', param: reused.param })
    }
    expect(upstream.requests).toHaveLength(0)
  })

  it.each([
    ['two keys', ['one', 'two']],
    ['the same key twice', ['one', 'one']],
  ])('refuses %s', async (_, lines) => {
    const refused = await sendLines(path, bodyOf(path), lines)
    expect(refused.status).toBe(400)
    expect(refused.text).toContain('expected one key')
    expect(upstream.requests).toHaveLength(0)
  })

  it('takes a key of 255 characters, under any spelling of the header', async () => {
    const key = newKey().padEnd(255, '~')
    const one = await told(await send(path, bodyOf(path), key))
    const again = await gateway.post(path, bodyOf(path), { 'IDEMPOTENCY-key': key, ...bearer() })
    expect(again.headers.get(replay)).toBe('true')
    expect(await told(again)).toEqual(one)
  })

  it('frees a key whose request failed, before its answer and in it', async () => {
    const key = newKey()
    const failures: [number, Reply][] = [
      [400, (response) => json(response, 400, { error: { message: 'no', code: 'bad' } })],
      [502, (response) => json(response, 500, { error: { message: 'down' } })],
    ]
    for (const [status, reply] of failures) {
      upstream.reply(reply)
      expect((await send(path, bodyOf(path), key)).status).toBe(status)
    }
    // A field at fault can be mended under the same key.
    expect((await send(path, bodyOf(path, { temperature: 'hot' }), key)).status).toBe(400)
    upstream.reply((response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(chunk({ content: 'half' }))
      setTimeout(() => response.destroy(), 50)
    })
    const cut = await told(await send(path, bodyOf(path, { stream: true }), key))
    expect(cut.text).toMatch(/error|response\.failed/)
    upstream.reply(answers)
    const good = await send(path, bodyOf(path), key)
    expect(good.status).toBe(200)
    expect(good.headers.get(replay)).toBeNull()
    const text = await good.text()
    expect(await (await send(path, bodyOf(path), key)).text()).toBe(text)
  })

  it('frees a key whose client has left', async () => {
    const key = newKey()
    const body = bodyOf(path, { stream: true })
    upstream.reply((response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      const timer = setInterval(() => response.write(chunk({ content: 'word ' })), 10)
      response.on('close', () => clearInterval(timer))
    })
    const socket = rawClient(path, body, key)
    const { ended } = await upstream.nextRequest()
    await new Promise((resolve) => socket.once('data', resolve))
    socket.resetAndDestroy()
    expect(await ended).toBe(true)
    upstream.reply(answers)
    const again = await told(await send(path, body, key))
    expect(again.text).toContain(`answer ${count}`)
    expect(upstream.requests).toHaveLength(1)
  })

  it('keeps an answer whose client left with its last event', async () => {
    const key = newKey()
    const stream = await send(path, bodyOf(path, { stream: true }), key)
    const reader = stream.body?.getReader()
    let text = ''
    while (!/\[DONE\]|message_stop|response\.completed/.test(text)) {
      text += new TextDecoder().decode((await reader?.read())?.value)
    }
    await reader?.cancel()
    const again = await send(path, bodyOf(path, { stream: true }), key)
    expect(again.headers.get(replay)).toBe('true')
    expect(await again.text()).toContain(text)
    expect(upstream.requests).toHaveLength(1)
  })
})

describe('an answer that is not kept', () => {
  it.each(paths.slice(0, 2))('B9: is not made again under store: false (%s)', async (path) => {
    for (const stream of [false, true]) {
      const key = newKey()
      const body = bodyOf(path, { store: false, stream })
      expect((await told(await send(path, body, key))).status).toBe(200)
      expect(await refusal(await send(path, body, key))).toEqual(notKept)
    }
    expect(upstream.requests).toHaveLength(2)
  })

  it.each(paths)('B9: is not made again where it is too long (%s)', async (path) => {
    const word = chunk({ content: 'x'.repeat(100_000) })
    const pieces = [...Array.from({ length: 90 }, () => word), chunk({}, 'stop')]
    upstream.reply((response) => sse(response, ...pieces, 'data: [DONE]\n\n'))
    const key = newKey()
    const body = bodyOf(path, { stream: true })
    const { status, text } = await told(await send(path, body, key))
    expect(status).toBe(200)
    expect(text.length).toBeGreaterThan(9_000_000)
    const repeat = await send(path, body, key)
    expect(repeat.status).toBe(409)
    expect(await repeat.text()).toContain('longer than what is kept')
    expect(upstream.requests).toHaveLength(1)
  })

  it('B9: is not made again once its response was deleted', async () => {
    const key = newKey()
    const body = bodyOf('/v1/responses')
    const { id } = (await (await send('/v1/responses', body, key)).json()) as { id: string }
    await gateway.ask(`/v1/responses/${id}`, { method: 'DELETE', headers: bearer() })
    expect(await refusal(await send('/v1/responses', body, key))).toEqual(notKept)
    expect(upstream.requests).toHaveLength(1)
  })
})

describe('bytes that go through as they came', () => {
  it.each([false, true])('are kept once they have ended (stream: %s)', async (stream) => {
    const body = { model: 'raw', messages, stream }
    const key = newKey()
    const one = await told(await send('/v1/chat/completions', body, key))
    expect(one.text).toContain('answer')
    const again = await send('/v1/chat/completions', body, key)
    expect(again.headers.get(replay)).toBe('true')
    expect(await told(again)).toEqual(one)
    expect(upstream.requests).toHaveLength(1)
  })

  it('are not kept where they were cut', async () => {
    const body = { model: 'raw', messages, stream: true }
    const key = newKey()
    upstream.reply((response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(chunk({ content: 'half' }))
      setTimeout(() => response.destroy(), 50)
    })
    await (await send('/v1/chat/completions', body, key)).text().catch(() => undefined)
    upstream.reply(answers)
    expect(await (await send('/v1/chat/completions', body, key)).text()).toContain('answer')
  })
})

describe('background', () => {
  it.each([false, true])('is started once, and told as it is now (stream: %s)', async (stream) => {
    const key = newKey()
    const body = bodyOf('/v1/responses', { background: true, stream })
    const idsIn = (text: string) => new Set(text.match(/resp_[0-9a-f]{48}/g))
    const all = await Promise.all(
      Array.from({ length: 10 }, async () => told(await send('/v1/responses', body, key))),
    )
    expect(all.map(({ status }) => status)).toEqual(all.map(() => 200))
    expect(idsIn(all.map(({ text }) => text).join()).size).toBe(1)
    const [id] = idsIn(all[0]?.text ?? '')
    const log = await gateway.ask(`/v1/responses/${id}?stream=true`, { headers: bearer() })
    expect(checkOrder(eventsIn(await log.text()))).toEqual([])
    const last = await send('/v1/responses', body, key)
    expect(await last.text()).toContain('"status":"completed"')
    expect(upstream.requests).toHaveLength(1)
  })
})

describe('tools that run here', () => {
  const tool = () => ({
    type: 'mcp',
    server_label: 'docs',
    server_url: server.url,
    require_approval: 'never',
  })
  const call = (name: string, text: string) => turn([{ name: `docs__${name}`, args: { text } }])
  function script(...turns: (readonly object[])[]): void {
    let at = 0
    upstream.reply((response, { body }) => {
      const chunks = turns[at++]
      if (chunks === undefined) return json(response, 500, { error: { message: 'no more turns' } })
      if (body.stream !== true) return json(response, 200, whole(chunks))
      const data = chunks.map((each) => `data: ${JSON.stringify(each)}\n\n`)
      return sse(response, ...data, 'data: [DONE]\n\n')
    })
  }

  it.each(paths.slice(0, 2))('B9: are called once for all repeats (%s)', async (path) => {
    for (const stream of [false, true]) {
      server.calls().clear()
      const key = newKey()
      script(call('echo', 'hi'), turn('It said hi.'))
      const body = bodyOf(path, { tools: [tool()], stream })
      const all = await Promise.all(
        Array.from({ length: 8 }, async () => told(await send(path, body, key))),
      )
      expect(all[0]).toMatchObject({ status: 200, text: expect.stringContaining('It said hi.') })
      expect(new Set(all.map(({ text }) => text)).size).toBe(1)
      expect([...server.calls()]).toEqual([['echo {"text":"hi"}', 1]])
    }
  })

  it.each([
    ['/v1/responses', {}],
    ['/v1/responses', { store: false }],
    ['/v1/chat/completions', {}],
  ])('B9: are not called again where the answer failed after them (%s, %o)', async (path, more) => {
    for (const stream of [false, true]) {
      server.calls().clear()
      const key = newKey()
      const body = bodyOf(path, { tools: [tool()], stream, ...more })
      script(call('echo', 'hi'))
      const first = await told(await send(path, body, key))
      expect(server.count()).toBe(1)
      script(call('echo', 'hi'), turn('again'))
      const second = await send(path, body, key)
      if ('store' in more) expect(await refusal(second)).toEqual(notKept)
      else {
        expect(second.headers.get(replay)).toBe('true')
        expect(await told(second)).toEqual(first)
      }
      expect(server.count()).toBe(1)
      expect(upstream.requests).toHaveLength(0)
    }
  })

  it('B9: frees the key where the answer failed before them', async () => {
    const key = newKey()
    const body = bodyOf('/v1/responses', { tools: [tool()] })
    script()
    expect((await send('/v1/responses', body, key)).status).toBe(502)
    script(call('echo', 'hi'), turn('It said hi.'))
    expect(await (await send('/v1/responses', body, key)).text()).toContain('It said hi.')
    expect(server.count()).toBe(1)
  })

  it.each(paths.slice(0, 2))(
    'B9: are not called again where the client left while they ran (%s)',
    async (path) => {
      const key = newKey()
      const body = bodyOf(path, { tools: [tool()], stream: true })
      script(call('slow', 'now'), turn('never'))
      const socket = rawClient(path, body, key)
      while (server.count() === 0) await new Promise((resolve) => setTimeout(resolve, 5))
      socket.resetAndDestroy()
      script(call('slow', 'now'), turn('again'))
      const repeat = await told(await send(path, body, key))
      if (path === '/v1/responses') {
        const events = eventsIn(repeat.text)
        expect(checkOrder(events)).toEqual([])
        expect(events.at(-1)?.type).toMatch(/incomplete|failed/)
        expect(repeat.text).toContain('mcp_call')
      } else expect(repeat.text).toContain('after tools had been called')
      expect(server.count()).toBe(1)
    },
  )
})

describe('a store that is away', () => {
  it('B9: answers nothing that came with a key, and everything else', async () => {
    const bare = await startGateway({
      config: { providers: { acme: { baseUrl: `${upstream.origin}/v1`, models: '*' } } },
      store: false,
    })
    for (const path of paths.slice(0, 2)) {
      const refused = await bare.post(path, bodyOf(path), { 'idempotency-key': newKey() })
      expect(await refusal(refused)).toMatchObject({ status: 400, code: 'unsupported_parameter' })
      expect(upstream.requests).toHaveLength(0)
    }
    expect((await bare.post('/v1/responses', bodyOf('/v1/responses'))).status).toBe(200)
    await bare.stop()
  })
})

describe('the official client', () => {
  /** As its users turn the header on: it is named, and each request brings a key or is given one. */
  class Client extends OpenAI {
    protected override idempotencyHeader = 'Idempotency-Key'
  }
  const client = () =>
    new Client({ baseURL: `${gateway.url}/v1`, apiKey: tenants.one, maxRetries: 2 })

  it('B9: has the same response for the same key', async () => {
    const options = { idempotencyKey: newKey() }
    const request = { model: 'm', input: 'hi' }
    const one = await client().responses.create(request, options)
    expect(await client().responses.create(request, options)).toEqual(one)
    const chat = { model: 'm', messages: [{ role: 'user' as const, content: 'hi' }] }
    const other = { idempotencyKey: newKey() }
    const two = await client().chat.completions.create(chat, other)
    expect(await client().chat.completions.create(chat, other)).toEqual(two)
    expect(upstream.requests).toHaveLength(2)
    // A request without a key of its own is a new one.
    const three = await client().chat.completions.create(chat)
    expect(three).not.toEqual(two)
  })

  it('B9: does not ask again what will stay refused', async () => {
    const options = { idempotencyKey: newKey() }
    await client().responses.create({ model: 'm', input: 'hi' }, options)
    const asked: string[] = []
    const counting: typeof fetch = (input, init) => {
      asked.push(String(input))
      return fetch(input, init)
    }
    const watched = new Client({
      baseURL: `${gateway.url}/v1`,
      apiKey: tenants.one,
      fetch: counting,
    })
    await expect(
      watched.responses.create({ model: 'm', input: 'ho' }, options),
    ).rejects.toMatchObject({ status: 409, code: 'idempotency_key_reused' })
    expect(asked).toHaveLength(1)
  })

  it('B9: tries again by itself under the same key, and is answered once', async () => {
    let failures = 0
    upstream.reply((response, request) => {
      if (failures++ === 0) json(response, 500, { error: { message: 'once' } })
      else void answers(response, request)
    })
    const answer = await client().responses.create({ model: 'm', input: 'hi' })
    expect(answer.output_text).toBe(`answer ${count}`)
  })
})
