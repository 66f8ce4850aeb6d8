// `requestLog`: a line for each request that has ended, which says who asked for what and how it went, and nothing of what was said.
import { connect } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { startGateway, type TestGateway } from './harness.ts'
import { openSocket } from './socket-client.ts'
import {
  chunk,
  completion,
  json,
  sse,
  startUpstream,
  type TestUpstream,
  textStream,
} from './upstream.ts'

const key = 'sy_0123456789'
const secret = 'the secret of the prompt'
const usage =
  'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}\n\n'
let upstream: TestUpstream
let gateway: TestGateway
let quiet: TestGateway

beforeAll(async () => {
  upstream = await startUpstream()
  const acme = { baseUrl: `${upstream.origin}/v1`, models: '*' }
  const down = { baseUrl: 'http://127.0.0.1:9/v1', models: { shared: 'shared' } }
  const bindings = { SWITCHYARD_KEYS: JSON.stringify({ rail: key }) }
  const providers = { down, acme }
  gateway = await startGateway({ config: { providers, requestLog: true }, bindings })
  quiet = await startGateway({ config: { providers }, bindings })
})

beforeEach(() => {
  upstream.reply((response, { body }) => {
    const [first = '', ...rest] = textStream('ok')
    if (body.stream === true) sse(response, first, ...rest.slice(0, -1), usage, 'data: [DONE]\n\n')
    else json(response, 200, completion('ok'))
  })
})

afterAll(async () => {
  await Promise.all([gateway.stop(), quiet.stop()])
  await upstream.stop()
})

const ask = (path: string, body: object, to = gateway) =>
  to.post(path, { model: 'm', ...body }, { authorization: `Bearer ${key}` })
const messages = [{ role: 'user', content: secret }]

type Line = Record<string, unknown>

function linesWith(text: string): Line[] {
  const lines = gateway.log.join('').split('\n')
  const requests = lines.filter((line) => line.includes('"event":"request"'))
  return requests.filter((line) => line.includes(text)).map((line) => JSON.parse(line) as Line)
}

/** The one line of this request, which comes when its answer has ended. */
async function lineOf({ headers }: Response): Promise<Line> {
  const id = headers.get('x-request-id') ?? ''
  await vi.waitUntil(() => linesWith(id).length > 0, { timeout: 5000, interval: 10 })
  const lines = linesWith(id)
  expect(lines).toHaveLength(1)
  return lines[0] ?? {}
}

const told = { level: 'info', tenant: 'rail', method: 'POST', status: 200, outcome: 'completed' }
const tokens = { input_tokens: 3, output_tokens: 2 }

describe.each([
  ['/v1/responses', { input: secret }],
  ['/v1/chat/completions', { messages }],
  ['/v1/messages', { messages, max_tokens: 9 }],
])('%s', (path, body) => {
  it.each([false, true])('is told with its tokens and times (stream: %s)', async (stream) => {
    const response = await ask(path, { ...body, stream })
    await response.text()
    const line = await lineOf(response)
    expect(line).toMatchObject({ ...told, ...tokens, path, model: 'm', place: 'acme' })
    for (const name of ['ms', 'first_ms']) expect(line[name]).toBeTypeOf('number')
    expect(new Date(String(line.time)).toISOString()).toBe(line.time)
    expect(JSON.stringify(line)).not.toContain('secret')
  })

  it('is told with the error that its client got', async () => {
    const line = await lineOf(await ask(path, { ...body, temperature: 'hot' }))
    expect(line).toMatchObject({ status: 400, outcome: 'failed', error: 'invalid_value' })
    const unknown = await lineOf(await ask(path, { ...body, model: 'm:nowhere' }))
    expect(unknown).toMatchObject({ error: 'provider_not_found', model: 'm:nowhere' })
  })
})

it('tells what was tried before', async () => {
  const response = await ask('/v1/chat/completions', { model: 'shared', messages })
  expect(await lineOf(response)).toMatchObject({
    ...told,
    place: 'acme',
    tried: [{ name: 'down', error: 'upstream_error' }],
  })
})

it('tells of a stream that was cut, and of a client that left', async () => {
  upstream.reply((response) => sse(response, chunk({ role: 'assistant', content: 'half' })))
  const cut = await ask('/v1/responses', { input: secret, stream: true })
  await cut.text()
  expect(await lineOf(cut)).toMatchObject({
    status: 200,
    outcome: 'failed',
    error: 'upstream_error',
  })

  upstream.reply((response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const write = () => response.write(chunk({ content: 'more' }))
    const timer = setInterval(write, 10)
    response.on('close', () => clearInterval(timer))
  })
  const body = JSON.stringify({ model: 'left', input: secret, stream: true })
  const head = [
    'POST /v1/responses HTTP/1.1',
    'Host: localhost',
    `Authorization: Bearer ${key}`,
    'Content-Type: application/json',
    `Content-Length: ${body.length}`,
  ]
  const socket = connect(gateway.port, '127.0.0.1', () => {
    socket.write(`${head.join('\r\n')}\r\n\r\n${body}`)
  })
  socket.on('data', (text) => {
    if (text.includes('more')) socket.resetAndDestroy()
  })
  await vi.waitUntil(() => linesWith('"left"').length > 0, { timeout: 5000, interval: 10 })
  expect(linesWith('"left"')).toMatchObject([{ status: 200, outcome: 'cancelled', model: 'left' }])
})

it('tells of what is no answer of a model, and of who is not let in', async () => {
  const authorization = `Bearer ${key}`
  const models = await gateway.ask('/v1/models?x=1', { headers: { authorization } })
  expect(await lineOf(models)).toMatchObject({ tenant: 'rail', path: '/v1/models', status: 200 })
  const stranger = await lineOf(await gateway.ask('/v1/models'))
  expect(stranger).toMatchObject({ status: 401, error: 'invalid_api_key' })
  expect(stranger).not.toHaveProperty('tenant')
  expect(linesWith('/health')).toEqual([])
})

it('tells of a background response when it has ended, beside the request that began it', async () => {
  const response = await ask('/v1/responses', { input: secret, background: true })
  const id = response.headers.get('x-request-id') ?? ''
  await vi.waitUntil(() => linesWith(id).length === 2, { timeout: 5000, interval: 10 })
  const [begun, ended] = linesWith(id).sort((one) => ('over' in one ? 1 : -1))
  expect(begun).toMatchObject({ status: 200, path: '/v1/responses' })
  expect(ended).toMatchObject({
    over: 'background',
    outcome: 'completed',
    place: 'acme',
    ...tokens,
  })
})

it('tells of each response on a socket', async () => {
  const headers = { authorization: `Bearer ${key}` }
  const socket = await openSocket(`${gateway.url}/v1/responses`, { headers })
  for (const model of ['one', 'two']) {
    socket.create({ model, input: secret })
    await socket.answer()
  }
  await socket.close()
  await vi.waitUntil(() => linesWith('"two"').length > 0, { timeout: 5000, interval: 10 })
  for (const model of ['one', 'two']) {
    expect(linesWith(`"${model}"`)).toMatchObject([
      { over: 'socket', tenant: 'rail', outcome: 'completed', ...tokens },
    ])
  }
})

it('is silent where it is not asked for', async () => {
  expect((await ask('/v1/responses', { input: secret }, quiet)).status).toBe(200)
  expect(quiet.log.join('')).not.toContain('"event":"request"')
})

it('holds no word of a prompt or of an answer', () => {
  expect(gateway.log.join('')).not.toContain('secret')
})
