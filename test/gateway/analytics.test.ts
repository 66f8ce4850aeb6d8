// A point of data for each request, where the Worker has a dataset of Analytics Engine. Cloudflare's own was not there to be
// asked: a binding in its place tells what it was given, and miniflare's stand-in proves that the kind of binding fits.
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { analyticsWriter, dataPoint } from '../../gateway/analytics.ts'
import type { RequestRecord } from '../../src/faces/request-log.ts'
import { version } from '../../src/version.ts'
import { startGateway, type TestGateway } from './harness.ts'
import { openSocket } from './socket-client.ts'
import { completion, json, sse, startUpstream, type TestUpstream, textStream } from './upstream.ts'

interface Point {
  indexes: string[]
  blobs: string[]
  doubles: number[]
}

const key = 'sy_0123456789'
const usageChunk = `data: ${JSON.stringify({ choices: [], usage: completion('').usage })}\n\n`
const secret = 'the secret of the prompt'
let upstream: TestUpstream
let gateway: TestGateway

beforeAll(async () => {
  upstream = await startUpstream()
  const down = { baseUrl: 'http://127.0.0.1:9/v1', models: { shared: 'shared' } }
  const acme = { baseUrl: `${upstream.origin}/v1`, models: '*' }
  const bindings = { SWITCHYARD_KEYS: JSON.stringify({ rail: key }) }
  gateway = await startGateway({
    config: { providers: { down, acme } },
    bindings,
    analytics: 'told',
  })
})

beforeEach(() => {
  upstream.reply((response, { body }) => {
    if (body.stream === true) return sse(response, ...textStream('ok').slice(0, -1), usageChunk)
    return json(response, 200, completion('ok'))
  })
})

afterAll(async () => {
  await gateway.stop()
  await upstream.stop()
})

const ask = (body: object) =>
  gateway.post('/v1/responses', { input: secret, ...body }, { authorization: `Bearer ${key}` })

function pointsWith(text: string): Point[] {
  const lines = gateway.log.join('').split('\n')
  const points = lines.filter((line) => line.startsWith('point ') && line.includes(text))
  return points.map((line) => JSON.parse(line.slice(6)) as Point)
}

async function pointOf(response: Response): Promise<Point> {
  await response.text()
  const id = response.headers.get('x-request-id') ?? ''
  await vi.waitUntil(() => pointsWith(id).length > 0, { timeout: 5000, interval: 10 })
  const [point, ...more] = pointsWith(id)
  expect(more).toEqual([])
  return point ?? { indexes: [], blobs: [], doubles: [] }
}

it('says who asked for what, who answered, and how it went', async () => {
  const response = await ask({ model: 'shared' })
  const { indexes, blobs, doubles } = await pointOf(response)
  expect(indexes).toEqual(['rail'])
  const id = response.headers.get('x-request-id')
  expect(blobs).toEqual([
    ...['responses', 'shared', 'shared', 'acme', '', 'completed', '', '200', 'http'],
    ...['down=upstream_error', version, id],
  ])
  // Milliseconds first, then tokens, then calls.
  expect(doubles.slice(3)).toEqual([3, 0, 2, 2, 1, 0])
  expect(doubles[0]).toBeGreaterThanOrEqual(doubles[2] ?? 0)
})

it('tells of streams, of errors and of who was not let in', async () => {
  const streamed = await pointOf(await ask({ model: 'm', stream: true }))
  expect(streamed.blobs.slice(5, 9)).toEqual(['completed', '', '200', 'stream'])
  expect(streamed.doubles[1]).toBeGreaterThan(0)
  const refused = await pointOf(await ask({ model: 'm', temperature: 'hot' }))
  expect(refused.blobs.slice(3, 9)).toEqual(['', '', 'failed', 'invalid_value', '400', 'http'])
  const stranger = await pointOf(await gateway.ask('/v1/models'))
  expect(stranger.indexes).toEqual([''])
  expect(stranger.blobs.slice(0, 9).join()).toBe('models,,,,,,invalid_api_key,401,http')
})

it('tells of each response on a socket and in the background', async () => {
  const headers = { authorization: `Bearer ${key}` }
  const socket = await openSocket(`${gateway.url}/v1/responses`, { headers })
  socket.create({ model: 'on-socket', input: secret })
  await socket.answer()
  await socket.close()
  await (await ask({ model: 'behind', background: true })).text()
  const made = () => [...pointsWith('"on-socket"'), ...pointsWith('"behind"')]
  const isMade = ({ blobs }: Point) => blobs[3] === 'acme'
  await vi.waitUntil(() => made().filter(isMade).length === 2, { timeout: 5000, interval: 10 })
  const told = made().filter(isMade)
  expect(told.map(({ blobs }) => blobs.slice(5, 9))).toEqual([
    ['completed', '', '', 'socket'],
    ['completed', '', '', 'background'],
  ])
})

it('keeps to the limits of the platform, whatever a client sends', async () => {
  const model = `${'é"\u{1f600}'.repeat(2000)}:acme`
  const { blobs, doubles, indexes } = await pointOf(await ask({ model }))
  const bytes = (texts: string[]) => new TextEncoder().encode(texts.join('')).length
  expect(bytes(indexes)).toBeLessThanOrEqual(96)
  expect(blobs.length).toBeLessThanOrEqual(20)
  expect(doubles.length).toBeLessThanOrEqual(20)
  expect(bytes(blobs)).toBeLessThanOrEqual(5120)
  // No half of a pair.
  expect(blobs[1]).not.toMatch(/[\ud800-\udfff]/u)
  expect(model.startsWith(blobs[1] ?? '?')).toBe(true)
})

it('holds no word of a prompt or of an answer', () => {
  expect(gateway.log.join('')).not.toContain('secret')
})

describe('one invocation', () => {
  const record: RequestRecord = {
    requestId: 'req-1',
    tenant: 't'.repeat(200),
    over: 'socket',
    isStream: true,
    outcome: undefined,
    place: undefined,
    ms: 1,
  }

  it('writes as many points as it may', () => {
    let points = 0
    const write = analyticsWriter({ writeDataPoint: () => void points++ })
    for (let at = 0; at < 300; at++) write(record)
    expect(points).toBe(250)
  })

  it('cuts an index that is too long', () => {
    expect(dataPoint(record).indexes).toEqual(['t'.repeat(96)])
  })
})

describe('the Worker', () => {
  const bindings = { SWITCHYARD_KEYS: JSON.stringify({ rail: key }) }
  const send = (to: TestGateway) =>
    to.post('/v1/responses', { model: 'm:acme', input: 'Hi' }, { authorization: `Bearer ${key}` })
  const config = () => ({ providers: { acme: { baseUrl: `${upstream.origin}/v1` } } })

  it('answers with a dataset as miniflare has it, and is silent of it', async () => {
    const other = await startGateway({ config: config(), bindings, analytics: 'simulated' })
    const response = await send(other)
    expect([response.status, other.log.join('')]).toEqual([200, ''])
    await other.stop()
  })

  it('answers where the dataset fails, and says so in its log', async () => {
    // A text where a dataset should be, as a slip in the configuration might have it.
    const other = await startGateway({
      config: config(),
      bindings: { ...bindings, ANALYTICS: 'x' },
    })
    expect((await send(other)).status).toBe(200)
    await vi.waitUntil(() => other.log.join('').includes('writeDataPoint'), { timeout: 5000 })
    await other.stop()
  })
})
