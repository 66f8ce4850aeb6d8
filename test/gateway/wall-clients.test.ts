// The client's side of the fault wall, B1 to B12, through the real Worker on both APIs. B1 (clients that leave, at each stage)
// is cancel.test.ts; what single fields may be is property-tested in test/src.
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startGateway, type TestGateway } from './harness.ts'
import {
  chunk,
  completion,
  json,
  sse,
  startUpstream,
  type TestUpstream,
  textStream,
} from './upstream.ts'

const paths = ['/v1/responses', '/v1/chat/completions'] as const
const messages = [{ role: 'user', content: 'hi' }]
const bodyOf = (path: string) =>
  path === '/v1/responses' ? { model: 'm', input: 'hi' } : { model: 'm', messages }

let upstream: TestUpstream
let gateway: TestGateway

beforeAll(async () => {
  upstream = await startUpstream()
  gateway = await startGateway({
    config: {
      providers: { acme: { baseUrl: `${upstream.origin}/v1`, models: '*' } },
      limits: { bodyBytes: 50_000 },
    },
  })
  upstream.reply((response, { body }) => {
    if (body.stream === true) sse(response, ...textStream('ok'))
    else json(response, 200, completion('ok'))
  })
})

afterAll(async () => {
  await gateway.stop()
  await upstream.stop()
})

const send = (path: string, body: BodyInit, headers: Record<string, string> = {}) =>
  gateway.ask(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body,
    ...(body instanceof ReadableStream ? { duplex: 'half' as const } : {}),
  } as RequestInit)

async function refusal(response: Response) {
  const { error } = (await response.json()) as { error: Record<string, unknown> }
  for (const key of ['message', 'type', 'param', 'code']) expect(error).toHaveProperty(key)
  return { status: response.status, code: error.code, param: error.param }
}

describe.each(paths)('%s', (path) => {
  const text = (more: object) => JSON.stringify({ ...bodyOf(path), ...more })
  const answers = async () => expect((await send(path, text({}))).status).toBe(200)

  it('B2: reads no further ahead of a client that reads slowly', async () => {
    let written = 0
    let drained = true
    upstream.reply((response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      const piece = chunk({ content: 'x'.repeat(8000) })
      const write = () => {
        drained = true
        while (drained && !response.destroyed && written < 400_000_000) {
          drained = response.write(piece)
          written += piece.length
        }
      }
      response.on('drain', write)
      write()
    })
    const body = text({ stream: true })
    const socket = connect(gateway.port, '127.0.0.1', () => {
      socket.write(
        `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      )
      socket.pause()
    })
    let before = -1
    // What the sockets between hold fills up, and then nothing moves any more.
    for (let still = 0; still < 5; ) {
      await new Promise((resolve) => setTimeout(resolve, 100))
      still = written > 0 && written === before ? still + 1 : 0
      before = written
    }
    expect(written).toBeLessThan(60_000_000)
    const { ended } = (await upstream.nextRequest()) ?? {}
    socket.resetAndDestroy()
    expect(await ended).toBe(true)
    upstream.reply((response, { body }) => {
      if (body.stream === true) sse(response, ...textStream('ok'))
      else json(response, 200, completion('ok'))
    })
  })

  it('B3: refuses a body over the limit, declared, chunked or lied about', async () => {
    const large = text({ user: 'x'.repeat(60_000) })
    expect(await refusal(await send(path, large))).toMatchObject({
      status: 413,
      code: 'body_too_large',
    })
    const chunked = new Blob([large]).stream()
    expect(await refusal(await send(path, chunked))).toMatchObject({ status: 413 })
    await answers()
  })

  it.each([
    ['depth', `{"model":"m","x":${'['.repeat(70)}${']'.repeat(70)}}`],
    ['a key twice', '{"model":"m","model":"n"}'],
    ['a number out of range', '{"model":"m","temperature":1e400}'],
    ['no number', '{"model":"m","temperature":NaN}'],
    ['half a pair', '{"model":"m","input":"\\ud800"}'],
    ['a prototype', '{"model":"m","__proto__":{"x":1}}'],
    ['a constructor', '{"model":"m","constructor":{"prototype":{}}}'],
    ['half a body', '{"model":'],
    ['nothing', ''],
    ['an array', '[]'],
    ['no object', '"m"'],
  ])('B4, B5: refuses JSON with %s, and lives', async (_, given) => {
    expect((await refusal(await send(path, given))).status).toBe(400)
    await answers()
  })

  it('B6: names the field whose type is wrong', async () => {
    for (const [field, value] of [
      ['temperature', 'hot'],
      ['tools', {}],
      ['stream', 'yes'],
      ['metadata', []],
      ['model', 7],
    ] as const) {
      const told = await refusal(await send(path, text({ [field]: value })))
      expect(told).toMatchObject({ status: 400, param: field })
    }
  })

  it('B7: keeps to the limits of counts', async () => {
    const tools = Array.from({ length: 129 }, (_, at) => ({
      type: 'function',
      name: `f${at}`,
      function: { name: `f${at}` },
    }))
    expect(await refusal(await send(path, text({ tools })))).toMatchObject({
      status: 400,
      param: 'tools',
    })
    expect((await refusal(await send(path, text({ n: 200 })))).status).toBe(400)
    expect((await refusal(await send(path, text({ top_logprobs: 99 })))).status).toBe(400)
  })

  it('B8: hands on none of the client’s own headers', async () => {
    upstream.requests.length = 0
    const response = await send(path, text({}), {
      authorization: 'Bearer sk-of-the-client',
      cookie: 'session=1',
      'x-forwarded-host': 'evil.example',
      'x-api-key': 'mine',
      'idempotency-key': `key-of-${path}`,
      'x-switchyard-rescue': 'continue',
      'x-switchyard-order': 'acme',
    })
    expect(response.status).toBe(200)
    const names = Object.keys(upstream.requests[0]?.headers ?? {})
    const gone = /authorization|cookie|forwarded|x-api-key|idempotency|x-switchyard/
    expect(names.filter((name) => gone.test(name))).toEqual([])
  })

  it('B10: gives other origins nothing', async () => {
    const response = await send(path, text({}), { origin: 'https://evil.example' })
    expect(response.status).toBe(403)
    expect(response.headers.get('access-control-allow-origin')).toBeNull()
    const preflight = await gateway.ask(path, { method: 'OPTIONS' })
    expect(preflight.headers.get('access-control-allow-origin')).toBeNull()
  })
})

describe('keys', () => {
  it('B11, B12: a wrong key is 401; a table of keys that cannot be read is 503 and lets nobody in', async () => {
    const keyed = await startGateway({ bindings: { SWITCHYARD_KEYS: '{"me":"sy_0123456789"}' } })
    const broken = await startGateway({ bindings: { SWITCHYARD_KEYS: '{"me":' } })
    for (const path of paths) {
      const ask = (to: TestGateway, key: string) =>
        to.post(path, bodyOf(path), { authorization: `Bearer ${key}` })
      for (const key of ['sy_012345678', 'sy_01234567890', 'sy_x', '']) {
        expect((await ask(keyed, key)).status).toBe(401)
      }
      expect((await ask(keyed, 'sy_0123456789')).status).toBe(404)
      expect((await ask(broken, 'sy_0123456789')).status).toBe(503)
    }
    await keyed.stop()
    await broken.stop()
  })
})
