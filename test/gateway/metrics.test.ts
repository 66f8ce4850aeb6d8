// `GET /metrics` of the gateway: what it counts, that its text is the format's, and who may read it.
import { connect } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { EngineBackend } from '../../native-node/server/engine-backend.ts'
import { createNodeApi, newId } from '../../native-node/server/local-api.ts'
import { TunnelClient } from '../../native-node/server/tunnel-client.ts'
import { ScriptedEngine } from '../native-node/scripted-engine.ts'
import { type ParsedFamily, parseMetrics, sampleOf } from '../prometheus.ts'
import { turn, completion as whole } from '../src/tools/script.ts'
import { startMcpServer, type TestMcpServer } from '../tools/mcp-server.ts'
import { startGateway, type TestGateway } from './harness.ts'
import { openSocket } from './socket-client.ts'
import { chunk, json, sse, startUpstream, type TestUpstream, textStream } from './upstream.ts'

const key = 'sy_0123456789'
const token = 'a-token-for-metrics'
const nodeToken = 'a-node-token-for-tests'
const weird = 'we"ird\\n\nmodel'
const usage = {
  prompt_tokens: 7,
  completion_tokens: 2,
  total_tokens: 9,
  prompt_tokens_details: { cached_tokens: 4 },
}
const usageChunk = `data: ${JSON.stringify({ choices: [], usage })}\n\n`
const models = [
  'plain',
  'stream',
  'cut',
  'left',
  'gone',
  'socket',
  'tools',
  'later',
  'shared',
  weird,
]
let upstream: TestUpstream
let server: TestMcpServer
let gateway: TestGateway
const stops: (() => unknown)[] = []

beforeAll(async () => {
  upstream = await startUpstream()
  server = await startMcpServer({})
  const baseUrl = `${upstream.origin}/v1`
  const bindings = {
    SWITCHYARD_KEYS: JSON.stringify({ rail: key }),
    SWITCHYARD_METRICS_TOKEN: token,
    SWITCHYARD_NODE_TOKEN: JSON.stringify({ rail: nodeToken }),
  }
  gateway = await startGateway({
    config: {
      providers: {
        down: { baseUrl: 'http://127.0.0.1:9/v1', models: { shared: 'at-down', dead: 'dead' } },
        acme: { baseUrl, models: Object.fromEntries(models.map((id) => [id, `acme/${id}`])) },
        any: { baseUrl },
      },
      metrics: {},
      egress: { mcpHosts: [server.host] },
    },
    bindings,
  })
})

beforeEach(() => {
  upstream.reply((response, { body }) => {
    if (body.stream !== true) return json(response, 200, { ...whole(turn('ok')), usage })
    return sse(response, ...textStream('ok').slice(0, -1), usageChunk, 'data: [DONE]\n\n')
  })
})
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
})

afterAll(async () => {
  await gateway.stop()
  await server.close()
  await upstream.stop()
})

const ask = (body: object, path = '/v1/responses') =>
  gateway.post(path, { input: 'Hi', ...body }, { authorization: `Bearer ${key}` })

async function scrape(): Promise<Map<string, ParsedFamily>> {
  const response = await gateway.ask('/metrics', { headers: { authorization: `Bearer ${token}` } })
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
  return parseMetrics(await response.text())
}

/** The page, once it has these samples. */
async function scraped(...wanted: [name: string, labels: Record<string, string>, value: number][]) {
  for (const until = Date.now() + 5000; ; ) {
    const page = await scrape()
    const found = wanted.map(([name, labels]) => [name, labels, sampleOf(page, name, labels)])
    if (JSON.stringify(found) === JSON.stringify(wanted)) return page
    if (Date.now() > until) expect(found).toEqual(wanted)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

const requests = (model: string, outcome: string, more: Record<string, string> = {}) => ({
  face: 'responses',
  model,
  provider: 'acme',
  outcome,
  ...more,
})
const calls = (model: string, outcome: string, more: Record<string, string> = {}) => ({
  provider: 'acme',
  model,
  outcome,
  ...more,
})

describe('counts', () => {
  it('answers of each API with their tokens and times', async () => {
    const messages = [{ role: 'user', content: 'Hi' }]
    await (await ask({ model: 'plain' })).text()
    await (await ask({ model: 'plain', messages, input: undefined }, '/v1/chat/completions')).text()
    await (
      await ask({ model: 'plain', messages, max_tokens: 9, input: undefined }, '/v1/messages')
    ).text()
    await (await ask({ model: 'stream', stream: true })).text()
    const labels = (model: string) => ({ model, provider: 'acme' })
    const page = await scraped(
      ['switchyard_requests_total', requests('plain', 'completed'), 1],
      ['switchyard_requests_total', { ...requests('plain', 'completed'), face: 'chat' }, 1],
      ['switchyard_requests_total', { ...requests('plain', 'completed'), face: 'messages' }, 1],
      ['switchyard_requests_total', requests('stream', 'completed'), 1],
      ['switchyard_prompt_tokens_total', labels('plain'), 21],
      ['switchyard_cached_prompt_tokens_total', labels('plain'), 12],
      ['switchyard_generation_tokens_total', labels('plain'), 6],
      ['switchyard_prompt_tokens_total', labels('stream'), 7],
      ['switchyard_upstream_calls_total', calls('plain', 'completed'), 3],
      ['switchyard_request_duration_seconds_count', labels('plain'), 3],
      ['switchyard_time_to_first_token_seconds_count', labels('stream'), 1],
      ['switchyard_requests_running', {}, 0],
    )
    // What comes in one piece has no first token.
    expect(sampleOf(page, 'switchyard_time_to_first_token_seconds_count', labels('plain'))).toBe(
      undefined,
    )
  })

  it('the first token where it comes long after the headers', async () => {
    upstream.reply(async (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(': on its way\n\n')
      await new Promise((resolve) => setTimeout(resolve, 300))
      response.end(textStream('ok').join(''))
    })
    await (await ask({ model: 'later', stream: true })).text()
    const labels = { model: 'later', provider: 'acme' }
    const name = 'switchyard_time_to_first_token_seconds'
    const page = await scraped([`${name}_count`, labels, 1])
    expect(sampleOf(page, `${name}_sum`, labels)).toBeGreaterThanOrEqual(0.25)
  })

  it('errors before an answer, with what was asked for where it is known', async () => {
    expect((await ask({ model: 'plain', temperature: 'hot' })).status).toBe(400)
    expect((await ask({ model: 'plain:nowhere' })).status).toBe(400)
    expect((await gateway.ask('/v1/models')).status).toBe(401)
    const failed = { face: 'responses', outcome: 'failed' }
    await scraped(
      ['switchyard_requests_total', { ...failed, model: 'other', error: 'invalid_value' }, 1],
      ['switchyard_requests_total', { ...failed, model: 'plain', error: 'provider_not_found' }, 1],
      ['switchyard_http_responses_total', { face: 'models', status: '401' }, 1],
      ['switchyard_http_responses_total', { face: 'responses', status: '400' }, 2],
    )
  })

  it('a stream that was cut, and a client that left', async () => {
    upstream.reply((response) => sse(response, chunk({ role: 'assistant', content: 'half' })))
    await (await ask({ model: 'cut', stream: true })).text()
    const error = { error: 'upstream_error' }
    await scraped(
      ['switchyard_requests_total', requests('cut', 'failed', error), 1],
      ['switchyard_upstream_calls_total', calls('cut', 'failed', error), 1],
    )
    upstream.reply((response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      const timer = setInterval(() => response.write(chunk({ content: 'more' })), 10)
      response.on('close', () => clearInterval(timer))
    })
    const client = new AbortController()
    const left = await fetch(`${gateway.url}/v1/responses`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'left', input: 'Hi', stream: true }),
      signal: client.signal,
    })
    await left.body?.getReader().read()
    await scraped(['switchyard_requests_running', {}, 1])
    client.abort()
    await scraped(
      ['switchyard_requests_total', requests('left', 'cancelled'), 1],
      ['switchyard_upstream_calls_total', calls('left', 'cancelled'), 1],
      ['switchyard_requests_running', {}, 0],
    )
  })

  it('a client that left before it had an answer', async () => {
    const came = new Promise<void>((resolve) => upstream.reply(() => resolve()))
    const body = JSON.stringify({ model: 'gone', input: 'Hi' })
    const head = [
      'POST /v1/responses HTTP/1.1',
      'Host: localhost',
      `Authorization: Bearer ${key}`,
      'Content-Type: application/json',
      `Content-Length: ${body.length}`,
    ]
    // A reset: else workerd notices at its next write, of which there is none.
    const socket = connect(gateway.port, '127.0.0.1', () => {
      socket.write(`${head.join('\r\n')}\r\n\r\n${body}`)
    })
    await came
    socket.resetAndDestroy()
    await scraped(
      ['switchyard_requests_total', requests('gone', 'cancelled'), 1],
      ['switchyard_http_responses_total', { face: 'responses', status: '499' }, 1],
      ['switchyard_requests_running', {}, 0],
    )
  })

  it('a client without a key that left while its body was read off', async () => {
    const head = ['POST /v1/chat/completions HTTP/1.1', 'Host: localhost', 'Content-Length: 1000']
    const socket = connect(gateway.port, '127.0.0.1', () => {
      socket.write(`${head.join('\r\n')}\r\n\r\n{`)
    })
    await scraped(['switchyard_requests_running', {}, 1])
    socket.resetAndDestroy()
    await scraped(
      ['switchyard_http_responses_total', { face: 'chat', status: '499' }, 1],
      ['switchyard_requests_running', {}, 0],
    )
  })

  it('a place that failed before another one answered, its breaker and its budget', async () => {
    for (let at = 0; at < 5; at++) await (await ask({ model: 'shared' })).text()
    const down = { provider: 'down', model: 'shared' }
    const page = await scraped(
      ['switchyard_requests_total', requests('shared', 'completed'), 5],
      [
        'switchyard_upstream_calls_total',
        { ...down, outcome: 'failed', error: 'upstream_error' },
        5,
      ],
      ['switchyard_upstream_calls_total', calls('shared', 'completed'), 5],
      ['switchyard_breaker_state', down, 2],
      ['switchyard_breaker_state', { provider: 'acme', model: 'shared' }, 0],
      ['switchyard_rate_limited', down, 0],
    )
    expect(sampleOf(page, 'switchyard_retry_budget', { provider: 'down' })).toBeGreaterThan(3)
    expect((await ask({ model: 'dead' })).status).toBe(502)
    const dead = { provider: 'down', model: 'dead', outcome: 'failed', error: 'upstream_error' }
    const failed = { face: 'responses', model: 'dead', outcome: 'failed', error: 'upstream_error' }
    await scraped(
      ['switchyard_requests_total', failed, 1],
      ['switchyard_upstream_calls_total', dead, 2],
    )
  })

  it.each([false, true])(
    'each turn of a model whose tools run here (stream: %s)',
    async (stream) => {
      const before = await scrape()
      const turns = [turn([{ name: 'docs__echo', args: { text: 'a' } }]), turn('done')]
      upstream.reply((response, { body }) => {
        const chunks = turns.shift() ?? []
        if (body.stream !== true) return json(response, 200, whole(chunks))
        const data = chunks.map((each) => `data: ${JSON.stringify(each)}\n\n`)
        return sse(response, ...data, 'data: [DONE]\n\n')
      })
      const { url } = server
      const tool = { type: 'mcp', server_label: 'docs', server_url: url, require_approval: 'never' }
      await (await ask({ model: 'tools', tools: [tool], stream })).text()
      const was = (name: string, labels: Record<string, string>) =>
        sampleOf(before, name, labels) ?? 0
      const [answers, made] = [requests('tools', 'completed'), calls('tools', 'completed')]
      const tokens = { model: 'tools', provider: 'acme' }
      await scraped(
        ['switchyard_requests_total', answers, was('switchyard_requests_total', answers) + 1],
        ['switchyard_upstream_calls_total', made, was('switchyard_upstream_calls_total', made) + 2],
        [
          'switchyard_prompt_tokens_total',
          tokens,
          was('switchyard_prompt_tokens_total', tokens) + 20,
        ],
      )
    },
  )

  it('each response on a socket, and one in the background', async () => {
    const headers = { authorization: `Bearer ${key}` }
    const socket = await openSocket(`${gateway.url}/v1/responses`, { headers })
    for (let at = 0; at < 2; at++) {
      socket.create({ model: 'socket', input: 'Hi' })
      await socket.answer()
    }
    await socket.close()
    await scraped(['switchyard_requests_total', requests('socket', 'completed'), 2])
    await (await ask({ model: 'socket', background: true })).text()
    await scraped(
      ['switchyard_requests_total', requests('socket', 'completed'), 3],
      ['switchyard_requests_running', {}, 0],
    )
  })

  it('models that nobody has listed as one, wherever clients make them up', async () => {
    for (const model of ['made/up-1:any', 'made/up-2:any', 'made/up-3', 'a"}\nb 1:any']) {
      await (await ask({ model })).text()
    }
    const page = await scrape()
    const labels = [...page.values()].flatMap(({ samples }) => samples.map((each) => each.labels))
    const told = new Set(labels.flatMap(({ model }) => (model === undefined ? [] : [model])))
    const known = [...models, 'dead', 'other']
    expect([...told].filter((model) => !known.includes(model))).toEqual([])
    expect(told).toContain('other')
    const provider = 'any'
    const anys = { model: 'other', provider }
    expect(sampleOf(page, 'switchyard_request_duration_seconds_count', anys)).toBe(3)
    expect(sampleOf(page, 'switchyard_breaker_state', anys)).toBe(0)
  })

  it('a listed model under its own name, whatever that is', async () => {
    await (await ask({ model: weird })).text()
    await scraped(['switchyard_requests_total', requests(weird, 'completed'), 1])
  })

  it('nodes, and what they answer, as one place', async () => {
    const engine = new ScriptedEngine({ text: '<|channel|>final<|message|>Hello<|return|>' })
    const backend = new EngineBackend({ engine, model: 'house/own', now: Date.now, newId })
    const api = createNodeApi({ backend })
    const client = new TunnelClient({
      gateway: gateway.url,
      token: nodeToken,
      hello: () => ({ node: 'one', models: [...api.models], slots: api.slots }),
      status: () => api.status(),
      handle: api.handle,
      log: () => {},
    })
    client.start()
    stops.push(() => client.stop())
    const tenant = { tenant: 'rail' }
    await scraped(['switchyard_nodes', tenant, 1], ['switchyard_node_slots', tenant, api.slots])
    await (await ask({ model: 'house/own', stream: true })).text()
    const own = { model: 'house/own', provider: 'self' }
    await scraped(
      ['switchyard_requests_total', { face: 'responses', ...own, outcome: 'completed' }, 1],
      ['switchyard_upstream_calls_total', { ...own, outcome: 'completed' }, 1],
      ['switchyard_node_requests_running', tenant, 0],
    )
  })
})

describe('the page is', () => {
  const get = (authorization: string | undefined, method = 'GET') =>
    gateway.ask('/metrics', {
      method,
      headers: authorization === undefined ? {} : { authorization },
    })

  it.each([
    ['no token', undefined],
    ['another one', 'Bearer nothing'],
    ["a tenant's key", `Bearer ${key}`],
    ['another scheme', `Basic ${token}`],
    ['a longer one', `Bearer ${token}x`],
  ])('refused to who shows %s', async (_, authorization) => {
    const response = await get(authorization)
    expect(response.status).toBe(401)
    expect(await response.json()).toMatchObject({ error: { code: 'invalid_api_key' } })
    expect((await get(authorization, 'POST')).status).toBe(401)
  })

  it('read with GET and HEAD alone', async () => {
    const head = await get(`Bearer ${token}`, 'HEAD')
    expect(head.status).toBe(200)
    expect(await head.text()).toBe('')
    const post = await get(`Bearer ${token}`, 'POST')
    expect([post.status, post.headers.get('allow')]).toEqual([405, 'GET'])
  })

  it('not there where it is not configured, and closed where it has no token', async () => {
    const bindings = { SWITCHYARD_KEYS: JSON.stringify({ rail: key }) }
    const authorization = { authorization: `Bearer ${key}` }
    const without = await startGateway({ bindings })
    stops.push(() => without.stop())
    expect((await without.ask('/metrics')).status).toBe(401)
    expect((await without.ask('/metrics', { headers: authorization })).status).toBe(404)
    const closed = await startGateway({ bindings, config: { metrics: { tokenEnv: 'SCRAPER' } } })
    stops.push(() => closed.stop())
    const refused = await closed.ask('/metrics', { headers: authorization })
    expect(refused.status).toBe(503)
    expect(await refused.text()).toContain('must set the secret SCRAPER')
  })

  it('open to this machine while the gateway is, and to no other site', async () => {
    const open = await startGateway({ config: { metrics: {} } })
    stops.push(() => open.stop())
    const page = await open.ask('/metrics')
    expect(page.status).toBe(200)
    expect(sampleOf(parseMetrics(await page.text()), 'switchyard_requests_running')).toBe(0)
    const foreign = await open.ask('/metrics', { headers: { origin: 'https://evil.example' } })
    expect(foreign.status).toBe(403)
  })
})
