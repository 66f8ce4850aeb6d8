// The fault wall through the real Worker: what each fault of a provider (A1 to A30) becomes for a client, on both APIs,
// streaming and not. Every answer goes through the judge: the dialect's rules, and exactly one terminal event.
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type Api, ask, type Question, type Verdict } from '../wall/ask.ts'
import { goodText, startWall, type Wall, wallConfig, wallText } from '../wall/provider.ts'
import { startGateway, type TestGateway } from './harness.ts'

const key = '0123456789abcdefplain'
let wall: Wall
let gateway: TestGateway
let nonce = 0
/** The retry budget is a provider's: tests that retry have one each, which answers only those who name it. */
let again = 0
const retrying = new Set(['a1', 'a3', 'a4', 'a5', 'a5b', 'a20', 'a29'])
const againNames = Array.from({ length: 48 }, (_, at) => `again${at}`)

beforeAll(async () => {
  wall = await startWall()
  const config = wallConfig(wall)
  const responses = { ...config.providers.wall, dialects: ['responses'] }
  const { models: _, ...named } = config.providers.wall
  const others = Object.fromEntries(againNames.map((name) => [name, named]))
  gateway = await startGateway({
    config: {
      ...config,
      providers: {
        ...config.providers,
        ...others,
        wrong: { ...responses, models: { typeless: 'typeless' } },
      },
      routes: { 'a4.routed': ['wall', 'good'], 'typeless.routed': ['wrong', 'good'] },
    },
    bindings: { WALL_KEY: key },
  })
})

afterAll(async () => {
  await gateway.stop()
  await wall.stop()
})

const both: Api[] = ['responses', 'chat']
const modes = both.flatMap((api) => [
  { api, stream: false },
  { api, stream: true },
])
const streams = modes.filter(({ stream }) => stream)
const wholes = modes.filter(({ stream }) => !stream)
type Mode = Pick<Question, 'api' | 'stream'>

/** Asks for a fault: at the wall alone, or with a good place behind it. Nothing is ever out of order. */
async function face(
  fault: string,
  mode: Mode,
  where: 'alone' | 'routed',
  more: Partial<Question> = {},
): Promise<Verdict & { there: string }> {
  const there = `${fault}.${++nonce}`
  const alone = () => (retrying.has(fault) ? againNames[again++] : 'wall')
  const model = where === 'alone' ? `${there}:${alone()}` : there
  const verdict = await ask(gateway.url, { ...mode, model, ...more })
  expect(verdict.complaints).toEqual([])
  expect(verdict.raw + JSON.stringify([...verdict.headers])).not.toContain(key)
  return { ...verdict, there }
}

const atWall = { status: 200, end: 'completed', text: wallText }
const atGood = { status: 200, end: 'completed', text: goodText }
/** The stream had begun: what came is kept, and the end is told as a failure. */
const cut = (code: string) => ({ status: 200, end: 'failed', text: 'Hello from', code })
const refused = (status: number, code: string) => ({ status, end: 'refused', code })

type Expected = Record<string, unknown>
type Row = [fault: string, what: string, on: Mode[], alone: Expected, routed: Expected]

const lost = cut('upstream_error')
const partly = { status: 200, end: 'failed', text: 'Hello from' }
const upstreamError = refused(502, 'upstream_error')
const rows: Row[] = [
  ['a1', '429 once, with Retry-After', modes, atWall, atGood],
  ['a2', '429 for long', modes, refused(429, 'rate_limit_exceeded'), atGood],
  ['a3', '500, once', modes, atWall, atGood],
  ['a4', '502 with a page of HTML', modes, upstreamError, atGood],
  ['a4b', '503', modes, upstreamError, atGood],
  ['a4c', '504', modes, refused(504, 'upstream_timeout'), atGood],
  ['a4d', '529', modes, upstreamError, atGood],
  ['a5', 'a reset before the headers, once', modes, atWall, atGood],
  ['a5b', 'a reset before the headers, always', modes, upstreamError, atGood],
  ['a6', 'no response', modes, refused(504, 'upstream_timeout'), atGood],
  ['a7', 'comments and no first token', wholes, refused(504, 'upstream_timeout'), atGood],
  // With nobody else to ask, the stream has begun by then.
  ['a7', 'comments and no first token', streams, { end: 'failed', text: '' }, atGood],
  ['a8', 'a stream that breaks', streams, lost, lost],
  ['a8b', 'a stream that just ends', streams, lost, lost],
  ['a8c', 'a stream that breaks inside an event', streams, lost, lost],
  ['a8d', 'a stream that says [DONE] in the middle', streams, lost, lost],
  ['a8', 'a stream that breaks, unseen', wholes, atWall, atGood],
  ['a8b', 'a stream that just ends, unseen', wholes, atWall, atGood],
  ['a8d', 'a [DONE] in the middle, unseen', wholes, atWall, atGood],
  ['a9', 'a stall', streams, cut('upstream_timeout'), cut('upstream_timeout')],
  ['a9', 'a stall, unseen', wholes, atWall, atGood],
  ['a10', 'one malformed event', modes, atWall, atWall],
  ['a10b', 'many malformed events', streams, lost, lost],
  ['a10b', 'many malformed events, unseen', wholes, atWall, atGood],
  ['a10c', 'events that are JSON and no chunks', modes, atWall, atWall],
  ['a11', 'no [DONE]', modes, atWall, atWall],
  ['a11b', 'a break after the finish_reason', modes, atWall, atWall],
  ['a11c', 'silence after the finish_reason', modes, atWall, atWall],
  ['a12', 'a second finish, a second [DONE], and more', modes, atWall, atWall],
  ...both.flatMap((api): Row[] => {
    const tooLong = refused(400, 'context_length_exceeded')
    const on = modes.filter((mode) => mode.api === api)
    return [['a13', 'a prompt that is too long', on, tooLong, tooLong]]
  }),
  [
    'a14',
    'a refused prompt',
    modes,
    refused(400, 'content_filter'),
    refused(400, 'content_filter'),
  ],
  ['a14b', 'a filtered answer', modes, { end: 'incomplete' }, { end: 'incomplete' }],
  ['a18', 'an error in a 200', modes, upstreamError, atGood],
  ['a18b', 'a limit in a 200', modes, refused(429, 'rate_limit_exceeded'), atGood],
  ['a18c', 'a refused key in a 200', modes, refused(502, 'provider_auth'), atGood],
  ['a18d', 'an error after some text', streams, partly, partly],
  ['a18d', 'an error after some text, unseen', wholes, atWall, atGood],
  ['a18e', 'a finish_reason that says error', streams, partly, partly],
  ['a18e', 'a finish_reason that says error, unseen', wholes, upstreamError, atGood],
  ['a19', 'a page of HTML with 200', modes, upstreamError, atGood],
  ['a19b', 'an error body with 200', modes, upstreamError, atGood],
  ['a19c', 'nothing with 200', modes, upstreamError, atGood],
  ['a19d', 'text with 200', modes, upstreamError, atGood],
  ['a20', 'half a JSON text', modes, upstreamError, atGood],
  ['a20b', 'less than it declares', modes, upstreamError, atGood],
  ['a21', 'gzip that nobody asked for', modes, atWall, atWall],
  ['a22', 'single bytes, a BOM, CRLF, comments', wholes, atWall, {}],
  ['a23', 'a line without end', streams, { end: 'failed', text: 'Hello' }, { end: 'failed' }],
  ['a23', 'a line without end, unseen', wholes, atWall, atGood],
  ['a24', 'a byte now and then', streams, cut('upstream_timeout'), cut('upstream_timeout')],
  ['a24', 'a byte now and then, unseen', wholes, atWall, atGood],
  ['a25', 'a redirect', modes, upstreamError, atGood],
  ['a26', 'a refused key', modes, refused(502, 'provider_auth'), atGood],
  ['a26b', 'a forbidden key', modes, refused(502, 'provider_auth'), atGood],
  ['a27', 'no usage', modes, { ...atWall, usage: null }, { ...atWall, usage: null }],
  ['a27b', 'absurd usage', modes, atWall, atWall],
]

describe.concurrent.each(rows)('%s: %s', (fault, _, on, alone, routed) => {
  it.each(on)('$api, stream: $stream', async (mode) => {
    const [one, two] = await Promise.all([face(fault, mode, 'alone'), face(fault, mode, 'routed')])
    expect(one).toMatchObject(alone)
    expect(two).toMatchObject(routed)
    const went = two.text === goodText
    if (went) {
      expect(two.headers.get('x-switchyard-provider')).toBe('good')
      expect(two.headers.get('x-switchyard-attempts')).toBe('2')
      expect(two.headers.get('x-switchyard-tried')).toMatch(/^wall=[a-z_]+$/)
    }
    expect(wall.asked(two.there, true)).toHaveLength(went ? 1 : 0)
  })
})

describe.concurrent('A16: a place that fails five times is left alone', () => {
  const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
  const asking = (fault: string, mode: Mode) => {
    const model = `${fault}.${++nonce}`
    const once = async () => (await ask(gateway.url, { ...mode, model })).text
    return { once, there: () => wall.asked(model).length }
  }

  it('but for a trial every four seconds, and used again after one good answer', async () => {
    const { once, there } = asking('a16', { api: 'chat', stream: false })
    for (let count = 0; count < 8; count++) expect(await once()).toBe(goodText)
    expect(there()).toBe(5)
    await pause(4100)
    expect(await once()).toBe(goodText)
    expect(there()).toBe(6)
    expect(await once()).toBe(goodText)
    await pause(4100)
    expect(await once()).toBe(wallText)
    expect(await once()).toBe(wallText)
  })

  it.each(streams)('more rarely where trials are cut in the middle ($api)', async (mode) => {
    const { once, there } = asking('a16c', mode)
    for (let count = 0; count < 5; count++) expect(await once()).toBe('Hello from')
    expect(await once()).toBe(goodText)
    await pause(4100)
    expect([await once(), await once()]).toEqual(['Hello from', goodText])
    await pause(4100)
    expect(await once()).toBe(goodText)
    expect(there()).toBe(6)
  })

  it.each(streams)('less while a trial’s long answer flows ($api)', async (mode) => {
    const { once, there } = asking('a16b', mode)
    for (let count = 0; count < 5; count++) expect(await once()).toBe('Hello from')
    await pause(4100)
    const long = once()
    await vi.waitUntil(() => there() === 6, { interval: 5 })
    const since = Date.now()
    for (let count = 0; count < 5; count++) await once()
    // One a second: on a busy machine five requests may take longer.
    expect(there() - 6).toBeLessThanOrEqual(Math.ceil((Date.now() - since) / 1000))
    await pause(1500)
    const second = once()
    expect([await long, await second]).toEqual([wallText, wallText])
    expect([...(await Promise.all([once(), once()]))]).toEqual([wallText, wallText])
  })
})

describe('A1, A3, A5, A20: the same place again', () => {
  it('once, where there is no other', async () => {
    for (const fault of ['a1', 'a3', 'a4', 'a5', 'a5b', 'a20']) {
      const { there } = await face(fault, { api: 'chat', stream: false }, 'alone')
      expect(wall.asked(there)).toHaveLength(2)
    }
    for (const fault of ['a2', 'a6', 'a13', 'a14', 'a26']) {
      const { there } = await face(fault, { api: 'chat', stream: false }, 'alone')
      expect(wall.asked(there)).toHaveLength(1)
    }
  })

  it('A2: hands the Retry-After on when nobody can answer', async () => {
    const { headers } = await face('a2', { api: 'chat', stream: false }, 'alone')
    expect(headers.get('retry-after')).toBe('30')
  })
})

it.each(modes)(
  'A13: too long for one model goes to the next one alone ($api, $stream)',
  async (mode) => {
    const [there, next] = [`a13.${++nonce}`, `ok.${++nonce}`]
    const body = { models: [there, next], ...(mode.api === 'chat' ? {} : { store: false }) }
    const verdict = await ask(gateway.url, { ...mode, model: there, body })
    expect(verdict).toMatchObject({ ...atWall, complaints: [] })
    expect(verdict.headers.get('x-switchyard-tried')).toBe('wall=context_length_exceeded')
    expect([wall.asked(there).length, wall.asked(there, true).length]).toEqual([1, 0])
  },
)

describe('A15: a stream that was cut', () => {
  const headers = { 'x-switchyard-rescue': 'continue' }

  it.each(streams)('goes on elsewhere where that is wished ($api)', async (mode) => {
    const body = mode.api === 'chat' ? { stream_options: { include_usage: true } } : {}
    const faults = ['a8', 'a8b', 'a8c', 'a9', 'a24']
    const asked = faults.map((fault) => face(fault, mode, 'routed', { headers, body }))
    for (const verdict of await Promise.all(asked)) {
      expect(verdict).toMatchObject({ ...atWall, usage: { total_tokens: 7 } })
      expect(verdict.raw).toMatch(/^: switchyard: wall was cut \(\w+\), good goes on$/m)
      expect(verdict.raw).toMatch(/^x-switchyard-provider: good$/m)
      expect(wall.asked(verdict.there, true)).toMatchObject([{ prefix: 'Hello from' }])
    }
  })

  it.each(streams)(
    'ends with its own error where the other refuses to go on ($api)',
    async (mode) => {
      const verdict = await face('a15', mode, 'routed', { headers })
      expect(verdict).toMatchObject(lost)
      expect(wall.asked(verdict.there, true)).toHaveLength(1)
    },
  )

  it('is never glued together where a tool was called', async () => {
    const { raw } = await face('a28', { api: 'chat', stream: true }, 'routed', { headers })
    expect(raw).not.toContain('goes on')
  })
})

it.each(modes)(
  'A17: model and usage are those of the one that answered ($api, $stream)',
  async (mode) => {
    const body =
      mode.api === 'chat' && mode.stream ? { stream_options: { include_usage: true } } : {}
    const verdict = await face('a17', mode, 'routed', { body })
    const counts =
      mode.api === 'chat'
        ? { prompt_tokens: 3, completion_tokens: 4 }
        : { input_tokens: 3, output_tokens: 4 }
    expect(verdict.usage).toMatchObject(counts)
    expect(verdict.headers.get('x-switchyard-provider')).toBe('good')
  },
)

it.each(modes)('A21: a bomb of gzip is cut off at the limit ($api, $stream)', async (mode) => {
  const verdict = await face('a21b', mode, 'alone')
  expect(['failed', 'refused']).toContain(verdict.end)
  expect(verdict.raw.length).toBeLessThan(12_000_000)
})

it.each(streams)('A22: text that arrives byte by byte is whole ($api)', async (mode) => {
  const verdict = await face('a22', mode, 'alone')
  expect(verdict).toMatchObject({ end: 'completed', text: 'Héllo 😀 from the wall.' })
})

it.each(modes)('A28: tool calls are put together ($api, $stream)', async (mode) => {
  const functions = ['f', 'g'].map((name) => ({ name, parameters: { type: 'object' } }))
  const tools =
    mode.api === 'chat'
      ? functions.map((each) => ({ type: 'function', function: each }))
      : functions.map((each) => ({ type: 'function', ...each }))
  const { end, calls } = await face('a28', mode, 'alone', { body: { tools } })
  expect(end).toBe('completed')
  expect(calls).toEqual([
    { name: 'f', arguments: '{"city":"Paris"}' },
    { name: 'g', arguments: '{"city":"Rome"}' },
  ])
})

it('A30: a second place is asked beside a slow one, and never with tools', async () => {
  const headers = { 'x-switchyard-hedge': '60' }
  for (const mode of modes) {
    const verdict = await face('a30', mode, 'routed', { headers })
    expect(verdict).toMatchObject(atGood)
    expect(verdict.headers.get('x-switchyard-provider')).toBe('good')
    const [slow] = wall.asked(verdict.there)
    expect((await slow?.ended)?.cut).toBe(true)
  }
  const tools = [{ type: 'function', function: { name: 'f', parameters: { type: 'object' } } }]
  const mode = { api: 'chat', stream: true } as const
  expect(await face('a30', mode, 'routed', { headers, body: { tools } })).toMatchObject(atWall)
  const functions = [{ name: 'f', parameters: { type: 'object' } }]
  expect(await face('a30', mode, 'routed', { headers, body: { functions } })).toMatchObject(atWall)
  const wrong = await face('ok', mode, 'routed', { headers: { 'x-switchyard-hedge': 'soon' } })
  expect(wrong).toMatchObject({ status: 400, code: 'invalid_value' })
})

describe('faults found before', () => {
  it.each(modes)('a key that is said back reaches nobody ($api, $stream)', async (mode) => {
    const verdict = await face('echo', mode, 'alone')
    expect(verdict.end).toBe(mode.stream ? 'failed' : 'refused')
    if (mode.stream) expect(verdict.raw).toContain('[redacted]')
    expect(gateway.log.join('')).not.toContain(key)
  })

  it.each(modes)(
    'Chat from one that is said to speak Responses moves on ($api, $stream)',
    async (mode) => {
      const verdict = await ask(gateway.url, { ...mode, model: 'typeless.routed' })
      expect(verdict).toMatchObject({ ...atGood, complaints: [] })
    },
  )

  it.each(modes)(
    'two routes for one public id are enough to meet the wall ($api, $stream)',
    async (mode) => {
      expect(await ask(gateway.url, { ...mode, model: 'a4.routed' })).toMatchObject(atGood)
    },
  )
})

it('A29: resets of a whole storm are retried within the budget', async () => {
  const model = `a29.${++nonce}`
  const asks = Array.from({ length: 20 }, () =>
    ask(gateway.url, { api: 'chat', stream: false, model: `${model}:${againNames.at(-1)}` }),
  )
  for (const verdict of await Promise.all(asks)) expect(verdict).toMatchObject(upstreamError)
  // The floor, and a tenth of the calls.
  const { length } = wall.asked(model)
  expect(length).toBeGreaterThan(20)
  expect(length).toBeLessThanOrEqual(20 + 6)
})
