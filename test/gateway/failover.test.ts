// Which faults go to the next candidate and which do not, and what a client is told when all fail.
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
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

let first: TestUpstream
let second: TestUpstream
let gateway: TestGateway

/** Failures in a row move a place to the end: each test has a model of its own. */
let test = 0
const modelCount = 100
const modelsAt = (name: string) =>
  Object.fromEntries(Array.from({ length: modelCount }, (_, at) => [`m${at}`, `${name}${at}`]))

beforeAll(async () => {
  first = await startUpstream()
  second = await startUpstream()
  const timeouts = { headersMs: 300, firstTokenMs: 300, idleMs: 300, retryAfterMs: 0 }
  gateway = await startGateway({
    config: {
      providers: {
        first: {
          baseUrl: `${first.origin}/v1`,
          apiKeyEnv: 'FIRST_KEY',
          models: modelsAt('one'),
          timeouts,
        },
        second: {
          baseUrl: `${second.origin}/v1`,
          models: modelsAt('two'),
          timeouts: { retryAfterMs: 0 },
        },
      },
      limits: { upstreamBytes: 200_000 },
    },
    bindings: { FIRST_KEY: '0123456789abcdefplain' },
  })
})

beforeEach(() => {
  test++
  second.reply((response, { body }) => {
    if (body.stream === true) sse(response, ...textStream('from ', 'second'))
    else json(response, 200, completion('from second'))
  })
})

afterAll(async () => {
  await gateway.stop()
  await first.stop()
  await second.stop()
})

const ask = (stream: boolean, suffix = '') =>
  gateway.post('/v1/chat/completions', {
    model: `m${test}${suffix}`,
    stream,
    messages: [{ role: 'user', content: 'hi' }],
  })

const eventStream = { 'content-type': 'text/event-stream' }
const moves: [string, Reply][] = [
  ['500', (response) => json(response, 500, { error: { message: 'boom' } })],
  [
    '429',
    (response) => json(response, 429, { error: { message: 'slow down' } }, { 'retry-after': '9' }),
  ],
  ['a refused key', (response) => json(response, 401, { error: 'no' })],
  ['a reset before the headers', (response) => void response.socket?.destroy()],
  ['no answer at all', () => {}],
  ['a redirect', (response) => json(response, 307, '', { location: second.origin })],
  [
    'an HTML page with status 200',
    (response) =>
      json(response, 200, '<html><title>Login</title>', { 'content-type': 'text/html' }),
  ],
  [
    'an error inside a 200',
    (response, { body }) => {
      const text = JSON.stringify({ error: { message: 'overloaded', code: 503 } })
      if (body.stream === true) sse(response, `data: ${text}\n\n`)
      else json(response, 200, text)
    },
  ],
]

describe('goes to the next candidate', () => {
  it.each(
    moves.flatMap(
      ([name, reply]) =>
        [
          [name, false, reply],
          [name, true, reply],
        ] as const,
    ),
  )('after %s (stream: %s)', async (_, stream, reply) => {
    first.reply(reply)
    const response = await ask(stream)
    expect(response.status).toBe(200)
    expect(await response.text()).toContain(stream ? '"from "' : 'from second')
    expect(first.requests).toHaveLength(1)
    expect(second.requests).toMatchObject([{ body: { model: `two${test}` } }])
  })

  const streams: [string, Reply][] = [
    ['an empty stream', (response) => sse(response)],
    [
      'a stream that never begins',
      (response) => {
        response.writeHead(200, eventStream).flushHeaders()
      },
    ],
    ['JSON where a stream was asked for', (response) => json(response, 200, completion('x'))],
  ]
  it.each(streams)('after %s', async (_, reply) => {
    first.reply(reply)
    expect(await (await ask(true)).text()).toContain('"from "')
  })

  const wholes: [string, Reply][] = [
    ['truncated JSON', (response) => json(response, 200, '{"id":"c1","choices":[{"index":0,')],
    [
      'a body shorter than it declares',
      (response) => {
        response.writeHead(200, { 'content-type': 'application/json', 'content-length': '5000' })
        response.write('{"id":"c1"')
        setTimeout(() => response.destroy(), 20)
      },
    ],
    [
      'a body that falls silent',
      (response) => {
        response.writeHead(200, { 'content-type': 'application/json', 'content-length': '5000' })
        response.write('{"id":"c1"')
      },
    ],
    [
      'a packed body that is larger than allowed',
      (response) => {
        const packed = gzipSync(JSON.stringify(completion('x'.repeat(40_000_000))))
        const type = { 'content-type': 'application/json', 'content-encoding': 'gzip' }
        response.writeHead(200, { ...type, 'content-length': packed.byteLength })
        response.end(packed)
      },
    ],
    ['a body without an answer', (response) => json(response, 200, { ok: true })],
  ]
  it.each(wholes)('after %s', async (_, reply) => {
    first.reply(reply)
    expect(await (await ask(false)).text()).toContain('from second')
  })
})

describe('stays', () => {
  it("with a fault of the client's own", async () => {
    first.reply((response) =>
      json(response, 400, { error: { message: 'bad top_p', param: 'top_p' } }),
    )
    const response = await ask(false)
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject({ error: { message: 'bad top_p', param: 'top_p' } })
    expect(second.requests).toEqual([])
  })

  it('with a pinned provider, whatever it does', async () => {
    first.reply((response) => json(response, 503, { error: 'down' }))
    const response = await ask(false, ':first')
    expect(response.status).toBe(502)
    expect(await response.json()).toMatchObject({
      error: { code: 'upstream_error', type: 'server_error' },
    })
    expect(second.requests).toEqual([])
  })

  it('with a stream once anything has reached the client', async () => {
    first.reply((response) => {
      response.writeHead(200, eventStream)
      response.write(chunk({ role: 'assistant', content: 'half' }))
      setTimeout(() => response.destroy(), 100)
    })
    const body = await (await ask(true)).text()
    expect(body).toContain('half')
    expect(body).toContain('"error"')
    expect(second.requests).toEqual([])
  })
})

describe('a single provider', () => {
  it.each([
    ['answers no request', () => {}, false],
    [
      'sends no first token',
      (response) => {
        response.writeHead(200, eventStream).flushHeaders()
      },
      true,
    ],
  ] satisfies [string, Reply, boolean][])('that %s is a timeout', async (_, reply, stream) => {
    first.reply(reply)
    const response = await ask(stream, ':first')
    expect(response.status).toBe(504)
    expect(await response.json()).toMatchObject({ error: { code: 'upstream_timeout' } })
    expect(await first.requests[0]?.ended).toBe(true)
  })

  it('that falls silent in the middle is cut off and failed', async () => {
    first.reply((response) => {
      response.writeHead(200, eventStream)
      response.write(chunk({ role: 'assistant', content: 'half' }))
    })
    const response = await gateway.post('/v1/responses', {
      model: `m${test}:first`,
      input: 'hi',
      stream: true,
    })
    const types = [...(await response.text()).matchAll(/^event: (.*)$/gm)].map((match) => match[1])
    expect(types.slice(-2)).toEqual(['error', 'response.failed'])
    expect(await first.requests[0]?.ended).toBe(true)
  })

  it('that never stops is cut off at the limit', async () => {
    const piece = 'x'.repeat(1000)
    first.reply((response) => {
      response.writeHead(200, eventStream)
      const write = () => {
        while (!response.destroyed && response.write(chunk({ content: piece })));
      }
      response.on('drain', write)
      write()
    })
    const body = await (await ask(true, ':first')).text()
    expect(body.slice(-2000)).toContain('"error"')
    expect(body.length).toBeLessThan(600_000)
    expect(await first.requests[0]?.ended).toBe(true)
  })

  it('whose key is refused is told to the owner and not to the client as a 401', async () => {
    first.reply((response) =>
      json(response, 401, { error: { message: 'Incorrect API key sk-abcdefghijklmnop' } }),
    )
    const response = await ask(false, ':first')
    expect(response.status).toBe(502)
    const text = await response.text()
    expect(text).toContain('provider_auth')
    expect(text + gateway.log.join('')).not.toContain('abcdefghijklmnop')
  })

  it.each([400, 429, 500, 503])('that repeats its key with %i has it hidden', async (status) => {
    first.reply((response, { headers }) =>
      json(response, status, {
        error: { message: `not with ${headers.authorization?.slice(7)}!` },
      }),
    )
    const text = await (await ask(false, ':first')).text()
    expect(text).toContain('not with')
    expect(first.requests[0]?.headers.authorization).toBe('Bearer 0123456789abcdefplain')
    expect(text + gateway.log.join('')).not.toContain('0123456789abcdefplain')
  })
})

it('tells the last fault, with its Retry-After, when every candidate fails', async () => {
  first.reply((response) => json(response, 500, { error: 'down' }))
  second.reply((response) =>
    json(response, 429, { error: { message: 'slow down' } }, { 'retry-after': '7' }),
  )
  const response = await ask(false)
  expect([response.status, response.headers.get('retry-after')]).toEqual([429, '7'])
})

it('tries a place that failed five times last', async () => {
  first.reply((response) => json(response, 500, { error: 'down' }))
  for (let count = 0; count < 5; count++) expect((await ask(false)).status).toBe(200)
  expect(first.requests).toHaveLength(5)
  await ask(false)
  expect(first.requests).toHaveLength(5)
  expect(second.requests).toHaveLength(6)
})
