// What a place that fails costs, and how soon one that has recovered is used again: the real send loop under a fake clock.
import { describe, expect, it } from 'vitest'
import { answerResponses } from '../../../src/faces/responses.ts'
import { chunk, completion } from '../../gateway/upstream.ts'
import { depsFor, randomSource } from '../../wall/simulation.ts'
import { VirtualTime } from '../../wall/virtual-time.ts'

interface Served {
  /** When it was asked, in ms since the beginning. */
  at: number
  by: string | null
  completed: boolean
}

/** What the first place does with a call at this time. */
type Behaviour = (at: number, time: VirtualTime, signal: AbortSignal) => Promise<Response>

const start = 1_800_000_000_000
const second = 1_000

/** Requests one after the other, at a steady rate; all are streamed. The second place always answers at once. */
async function traffic(
  behaviour: Behaviour,
  { everyMs, forMs }: { everyMs: number; forMs: number },
): Promise<Served[]> {
  const time = new VirtualTime(start)
  const deps = depsFor(false, time, randomSource(1))
  const fetched: typeof fetch = async (input, init) => {
    const isFirst = new URL(String(input)).hostname === 'one.example'
    const signal = init?.signal ?? new AbortController().signal
    return isFirst ? behaviour(time.now - start, time, signal) : stream(time, { words: 1 })
  }
  const served: Served[] = []
  const one = async (at: number) => {
    const client = { signal: new AbortController().signal }
    const body = { model: 'm', input: 'hi', stream: true, store: false }
    const response = await answerResponses(body, client, deps())
    const by = response.headers.get('x-switchyard-provider')
    const seen = { at, by, completed: false }
    served.push(seen)
    seen.completed = (await response.text()).includes('event: response.completed')
  }
  await time.run(fetched, async () => {
    const running: Promise<void>[] = []
    while (time.now - start < forMs) {
      running.push(one(time.now - start))
      await time.sleep(everyMs)
    }
    await Promise.all(running)
  })
  return served
}

/** A word a second, the first after half of one, and then an end or a cut. */
function stream(time: VirtualTime, { words, cut = false }: { words: number; cut?: boolean }) {
  const encoder = new TextEncoder()
  let said = 0
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        await time.sleep(said === 0 ? 500 : second)
        if (said++ < words) controller.enqueue(encoder.encode(chunk({ content: 'word ' })))
        else if (cut) controller.error(new TypeError('reset'))
        else {
          controller.enqueue(encoder.encode(`${chunk({}, 'stop')}data: [DONE]\n\n`))
          controller.close()
        }
      },
    },
    { highWaterMark: 0 },
  )
  return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
}

const down = async () => Response.json({ error: { message: 'down' } }, { status: 503 })
const atOne = (served: readonly Served[], from: number, to: number) => {
  const asked = served.filter(({ at }) => at >= from && at < to)
  return { asked: asked.length, there: asked.filter(({ by }) => by === 'one').length }
}

describe('a place that cuts every stream', () => {
  it('is asked ever more rarely, and costs a few answers and not every other one', async () => {
    const cuts: Behaviour = async (_, time) => stream(time, { words: 2, cut: true })
    const served = await traffic(cuts, { everyMs: 500, forMs: 300 * second })
    const lost = served.filter(({ completed }) => !completed)
    // Those until it was known, and trials.
    expect(atOne(served, 0, 10 * second).there).toBeLessThan(20)
    expect(atOne(served, 60 * second, 300 * second).there).toBeLessThan(30)
    expect(lost.length).toBeLessThan(45)
    expect(served).toHaveLength(600)
  })
})

describe('a place that has recovered', () => {
  const recoversAt = 60 * second
  const seconds = (count: number) => recoversAt + count * second

  it('is used again within seconds, by everybody before its first long answer has ended', async () => {
    const recovers: Behaviour = async (at, time) =>
      at < recoversAt ? down() : stream(time, { words: 60 })
    const served = await traffic(recovers, { everyMs: 500, forMs: seconds(50) })
    expect(atOne(served, 5 * second, recoversAt).there).toBe(0)
    expect(atOne(served, recoversAt, seconds(5)).there).toBeGreaterThan(0)
    const soon = atOne(served, seconds(5), seconds(15))
    expect(soon.there).toBeGreaterThan(8)
    const all = atOne(served, seconds(16), seconds(50))
    expect(all).toEqual({ asked: 68, there: 68 })
    expect(served.every(({ completed }) => completed)).toBe(true)
  })

  it('is used again at once after a short answer', async () => {
    const recovers: Behaviour = async (at, time) =>
      at < recoversAt ? down() : stream(time, { words: 1 })
    const served = await traffic(recovers, { everyMs: 250, forMs: seconds(20) })
    const all = atOne(served, seconds(7), seconds(20))
    expect(all.there).toBe(all.asked)
  })

  it('is not kept out by the calls that hung while it was away', async () => {
    const recovers: Behaviour = async (at, time, signal) => {
      if (at >= recoversAt) return stream(time, { words: 60 })
      return new Promise((_, reject) => {
        signal.addEventListener('abort', () => reject(new DOMException('gone', 'AbortError')))
      })
    }
    const served = await traffic(recovers, { everyMs: 500, forMs: seconds(40) })
    expect(atOne(served, recoversAt, seconds(5)).there).toBeGreaterThan(0)
    const all = atOne(served, seconds(16), seconds(40))
    expect(all.there).toBe(all.asked)
  })

  it('is not believed because an answer from before has ended well', async () => {
    // The first is long, all others are refused from the second second on.
    const refuses: Behaviour = async (at, time) =>
      at < second ? stream(time, { words: 10 + at / 250 }) : down()
    const seen: number[] = []
    const watched: Behaviour = (at, time, signal) => {
      seen.push(at)
      return refuses(at, time, signal)
    }
    await traffic(watched, { everyMs: 250, forMs: 30 * second })
    // Four answers, five failures, a trial every four seconds.
    expect(seen.length).toBeLessThanOrEqual(4 + 5 + 7)
  })
})

it('answers in one piece count, too', async () => {
  const time = new VirtualTime(start)
  const deps = depsFor(false, time, randomSource(1))
  let up = false
  const fetched: typeof fetch = async (input) =>
    new URL(String(input)).hostname === 'two.example' || up
      ? Response.json(completion(up ? 'from one' : 'from two'))
      : down()
  await time.run(fetched, async () => {
    const ask = async () => {
      const client = { signal: new AbortController().signal }
      const response = await answerResponses({ model: 'm', input: 'hi' }, client, deps())
      return response.headers.get('x-switchyard-provider')
    }
    for (let count = 0; count < 6; count++) expect(await ask()).toBe('two')
    up = true
    expect(await ask()).toBe('two')
    await time.sleep(4 * second)
    expect([await ask(), await ask(), await ask()]).toEqual(['one', 'one', 'one'])
  })
})
