// Days of traffic over two upstreams that fail as real ones do, in virtual time: the real faces, plan, send loop, breakers
// and provider call, over a fetch that is made up. Seeded: the same seed gives the same days.
import { callProvider } from '../../gateway/upstream.ts'
import { parseConfig } from '../../src/config/index.ts'
import type { FaceDeps } from '../../src/faces/deps.ts'
import { answerResponses } from '../../src/faces/responses.ts'
import { idSource } from '../../src/ids.ts'
import { Observations } from '../../src/routing/observations.ts'
import { planRequest } from '../../src/routing/plan.ts'
import type { World } from '../../src/routing/world.ts'
import { chunk, completion } from '../gateway/upstream.ts'
import { VirtualTime } from './virtual-time.ts'

export interface Options {
  days: number
  seed: number
  /** Mean time between two requests. */
  everyMs: number
  /** Streams that are cut go on elsewhere. */
  rescue: boolean
  /** Time during which each upstream answers. */
  availability: readonly [number, number]
}

export interface Report {
  requests: number
  served: number
  unserved: Record<string, number>
  /** Answers by the number of attempts that they took. */
  attempts: Record<string, number>
  by: Record<string, number>
  /** Share of requests that waited longer than this for their first output or answer. */
  slow: { over10s: number; over31s: number }
  outages: number
  downMs: readonly [number, number]
  longestMs: number
}

type Kind = 'error' | 'hang' | 'reset' | 'limit' | 'cut' | 'stall'
interface Outage {
  from: number
  to: number
  kind: Kind
  /** Share of requests that it hits. */
  share: number
}

const day = 86_400_000
const hour = 3_600_000

/** mulberry32 */
export function randomSource(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Outages until their time adds up: most repaired within minutes, some only after an hour. */
function outagesOf(
  availability: number,
  days: number,
  bad: readonly Outage[],
  random: () => number,
): Outage[] {
  const outages: Outage[] = [...bad]
  let left = days * day * (1 - availability)
  for (const { from, to, share } of bad) left -= (to - from) * share
  const kinds: Kind[] = [
    'error',
    'error',
    'error',
    'hang',
    'reset',
    'limit',
    'limit',
    'cut',
    'stall',
  ]
  while (left > 0) {
    const mean = random() < 0.15 ? 40 * 60_000 : 3 * 60_000
    const length = Math.min(left, Math.max(10_000, -Math.log(1 - random()) * mean))
    const from = random() * (days * day - length)
    const kind = kinds[Math.floor(random() * kinds.length)] ?? 'error'
    outages.push({ from, to: from + length, kind, share: 1 })
    left -= length
  }
  return outages.sort((one, other) => one.from - other.from)
}

/** Hours in which both upstreams fail a fifth of their requests: the same network, the same release, the same rush. */
function badHours(days: number, random: () => number): Outage[] {
  const count = Math.max(1, Math.round(days / 10))
  const length = hour * Math.min(1, days / 10)
  return Array.from({ length: count }, () => {
    const from = random() * (days * day - length)
    return { from, to: from + length, kind: 'error' as const, share: 0.2 }
  })
}

/** Runs the days; nothing in it takes real time but the work itself. */
export async function simulate(options: Options): Promise<Report> {
  const { days, seed, rescue, availability } = options
  const random = randomSource(seed)
  const start = 1_800_000_000_000
  const time = new VirtualTime(start)
  const shared = badHours(days, random)
  const outages = availability.map((share) => outagesOf(share, days, shared, random))
  const upstreams = outages.map((list) => new Upstream(list, time, start, random))
  const report: Report = {
    requests: 0,
    served: 0,
    unserved: {},
    attempts: {},
    by: {},
    slow: { over10s: 0, over31s: 0 },
    outages: outages.flat().length,
    downMs: [down(outages[0]), down(outages[1])],
    longestMs: 0,
  }
  const deps = depsFor(rescue, time, random)
  const fetched: typeof fetch = (input, init) => {
    const at = new URL(String(input)).hostname === 'one.example' ? 0 : 1
    const upstream = upstreams[at]
    if (upstream === undefined) throw new Error('There are two upstreams.')
    return upstream.fetch(init)
  }
  await time.run(fetched, async () => {
    const running = new Set<Promise<void>>()
    while (time.now - start < days * day) {
      // A day has its busy hours.
      const load = 1 + 0.8 * Math.sin(((time.now - start) / day) * 2 * Math.PI)
      await time.sleep((-Math.log(1 - random()) * options.everyMs) / load)
      const one = request(deps(), report, time, random() < 0.5)
      running.add(one)
      void one.finally(() => running.delete(one))
    }
    await Promise.all(running)
  })
  return report
}

const down = (list: readonly Outage[] = []) =>
  Math.round(list.reduce((sum, { from, to, share }) => sum + (to - from) * share, 0))

/** The deps of a gateway before two providers, `one` and `two`, for each request; what it has seen of them stays. */
export function depsFor(rescue: boolean, time: VirtualTime, random: () => number): () => FaceDeps {
  const provider = (name: string) => ({
    baseUrl: `https://${name}.example/v1`,
    models: { m: 'm' },
    capabilities: { '*': { assistantPrefix: true } },
  })
  const document = { providers: { one: provider('one'), two: provider('two') } }
  const config = parseConfig(JSON.stringify(document), 'simulation')
  const observations = new Observations()
  const newId = idSource((bytes) => Uint8Array.from({ length: bytes }, () => random() * 256))
  const world = (): World => ({
    config,
    obstacle: ({ builtIn }) => (builtIn ? 'is not part of this' : undefined),
    nodes: [],
    observations,
    now: time.now,
  })
  return () => ({
    plan: async (context) => planRequest(context, world()),
    send: (candidate, call) => {
      const found = config.providers.get(candidate.name)
      if (found === undefined) throw new Error(`no ${candidate.name}`)
      const clientHeaders = new Headers()
      return callProvider({
        provider: found,
        call,
        key: undefined,
        clientKey: false,
        clientHeaders,
      })
    },
    now: () => time.now,
    newId,
    maxBodyBytes: 1000,
    reasoningEvents: 'reasoning_text',
    health: observations,
    wishes: { rescue },
  })
}

async function request(
  deps: FaceDeps,
  report: Report,
  time: VirtualTime,
  stream: boolean,
): Promise<void> {
  const began = time.now
  const client = { signal: new AbortController().signal }
  const response = await answerResponses({ model: 'm', input: 'hi', stream }, client, deps)
  const waited = time.now - began
  const text = await response.text()
  report.requests++
  report.longestMs = Math.max(report.longestMs, time.now - began)
  if (waited > 10_000) report.slow.over10s++
  if (waited > 31_000) report.slow.over31s++
  const why = failureOf(response.status, text, stream)
  if (why !== undefined) {
    count(report.unserved, `${stream ? 'stream' : 'whole'}: ${why}`)
    return
  }
  report.served++
  count(report.attempts, response.headers.get('x-switchyard-attempts') ?? '?')
  count(report.by, response.headers.get('x-switchyard-provider') ?? '?')
}

function count(counts: Record<string, number>, key: string): void {
  counts[key] = (counts[key] ?? 0) + 1
}

/** Why an answer is none; undefined for a whole one, down to its last word. */
function failureOf(status: number, text: string, stream: boolean): string | undefined {
  if (status !== 200) return `${status} ${/"code":"(\w+)"/.exec(text)?.[1] ?? ''}`
  if (stream && !text.includes('event: response.completed')) return 'failed in the middle'
  return text.includes('word word word word word.') ? undefined : 'not whole'
}

const words = ['word', ' word', ' word', ' word', ' word.']

/** One made-up provider. */
class Upstream {
  readonly #outages: readonly Outage[]
  readonly #time: VirtualTime
  readonly #start: number
  readonly #random: () => number
  /** Outages before this one are over. */
  #at = 0

  constructor(outages: readonly Outage[], time: VirtualTime, start: number, random: () => number) {
    this.#outages = outages
    this.#time = time
    this.#start = start
    this.#random = random
  }

  async fetch(init: RequestInit | undefined): Promise<Response> {
    const body = JSON.parse(String(init?.body)) as { stream?: boolean; messages?: unknown[] }
    const outage = this.#outage()
    await this.#pass(50, init?.signal)
    if (outage !== undefined && outage.kind !== 'cut' && outage.kind !== 'stall') {
      return this.#fail(outage, init?.signal)
    }
    const left = words.slice(prefixLength(body.messages))
    if (body.stream !== true) {
      await this.#pass(2000 + this.#random() * 4000, init?.signal)
      if (this.#outage()?.kind === 'reset') throw new TypeError('reset')
      return Response.json(completion(left.join('')))
    }
    const headers = { 'content-type': 'text/event-stream' }
    return new Response(this.#stream(left, outage?.kind), { headers })
  }

  /** The outage of this moment, for one request. */
  #outage(): Outage | undefined {
    const now = this.#time.now - this.#start
    while ((this.#outages[this.#at]?.to ?? Number.POSITIVE_INFINITY) < now - hour) this.#at++
    for (let at = this.#at; at < this.#outages.length; at++) {
      const outage = this.#outages[at]
      if (outage === undefined || outage.from > now) return undefined
      if (now < outage.to && this.#random() < outage.share) return outage
    }
    return undefined
  }

  async #fail({ kind, to }: Outage, signal?: AbortSignal | null): Promise<Response> {
    if (kind === 'reset') throw new TypeError('reset')
    if (kind === 'hang') await this.#pass(700_000, signal)
    if (kind !== 'limit') return Response.json({ error: { message: 'down' } }, { status: 503 })
    const seconds = Math.ceil(Math.min(20, (to - (this.#time.now - this.#start)) / 1000))
    const headers = { 'retry-after': String(Math.max(1, seconds)) }
    return Response.json({ error: { message: 'slow down' } }, { status: 429, headers })
  }

  /** Words over a few seconds; an outage that begins meanwhile cuts them. */
  #stream(left: readonly string[], kind: Kind | undefined): ReadableStream<Uint8Array> {
    const encoder = new TextEncoder()
    const usage = {
      prompt_tokens: 3,
      completion_tokens: left.length,
      total_tokens: 3 + left.length,
    }
    const pieces = [
      ...left.map((content) => chunk({ content })),
      chunk({}, 'stop'),
      `data: ${JSON.stringify({ choices: [], usage })}\n\n`,
      'data: [DONE]\n\n',
    ]
    let at = 0
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          const piece = pieces[at++]
          if (piece === undefined) return controller.close()
          await this.#time.sleep(at === 1 ? 300 + this.#random() * 700 : at > 5 ? 1 : 800)
          const begun = kind === undefined && at > 1 ? this.#outage()?.kind : undefined
          if ((kind === 'stall' && at === 3) || begun === 'stall' || begun === 'hang') {
            await this.#time.sleep(700_000)
          }
          if ((kind === 'cut' && at === 3) || begun === 'cut' || begun === 'reset') {
            throw new TypeError('reset')
          }
          controller.enqueue(encoder.encode(piece))
        },
      },
      { highWaterMark: 0 },
    )
  }

  /** So much time, unless whoever asked has gone. */
  #pass(ms: number, signal?: AbortSignal | null): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = () => reject(new DOMException('gone', 'AbortError'))
      signal?.addEventListener('abort', leave)
      void this.#time.sleep(ms).then(() => {
        signal?.removeEventListener('abort', leave)
        resolve()
      })
      if (signal?.aborted) leave()
    })
  }
}

/** How many words an assistant's message at the end says already. */
function prefixLength(messages: unknown[] | undefined): number {
  const last = messages?.at(-1)
  if (typeof last !== 'object' || last === null || Reflect.get(last, 'role') !== 'assistant')
    return 0
  return String(Reflect.get(last, 'content')).split(' ').length
}
