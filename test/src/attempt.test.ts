// The send loop alone, under a fake clock: who is asked, how often, and when.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { ApiError, type ErrorCode } from '../../src/errors.ts'
import { attempt } from '../../src/faces/attempt.ts'
import type { Candidate } from '../../src/faces/deps.ts'
import { hedge } from '../../src/faces/hedge.ts'
import { Observations } from '../../src/routing/observations.ts'
import { candidate } from './upstream.ts'

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 })
})
afterEach(() => {
  vi.useRealTimers()
})

type Turn = ErrorCode | 'ok' | ApiError
const fault = (turn: Turn) =>
  turn instanceof ApiError ? turn : new ApiError(turn as ErrorCode, turn, { retryable: true })

/** Runs the loop over places that answer by script, each its turns in order; gives who was asked, and when. */
async function run(
  scripts: Record<string, { turns: Turn[] } & Partial<Candidate>>,
  { signal = new AbortController().signal, health = new Observations() } = {},
) {
  const asked: string[] = []
  const began = Date.now()
  const candidates = Object.entries(scripts).map(([name, { turns: _, ...more }]) =>
    candidate({ name, publicId: 'm', ...more }),
  )
  const attempts: { name: string; error: string }[] = []
  const loop = attempt({
    candidates,
    tryOne: async ({ name }: Candidate, isLast: boolean) => {
      const turn = scripts[name]?.turns.shift()
      asked.push(`${name}${isLast ? '!' : ''} ${Date.now() - began}`)
      if (turn === undefined || turn !== 'ok') throw fault(turn ?? 'server_error')
      return name
    },
    attempts,
    signal,
    deps: { health, now: () => Date.now() },
  })
  const result = loop.then(
    (by) => by,
    (error: unknown) => (error instanceof ApiError ? error.code : String(error)),
  )
  await vi.runAllTimersAsync()
  return { by: await result, asked, attempts, health }
}

const connection = new ApiError('upstream_error', 'lost', { retryable: true, unreached: true })
const limit = (seconds: number) =>
  new ApiError('rate_limit_exceeded', 'slow', { retryable: true, retryAfter: seconds })

describe('who is asked', () => {
  it('is each place in turn, at once, three times at most', async () => {
    const { by, asked } = await run({
      a: { turns: ['upstream_error'] },
      b: { turns: [limit(3)] },
      c: { turns: ['upstream_timeout'] },
      d: { turns: ['ok'] },
    })
    expect(by).toBe('upstream_timeout')
    expect(asked).toEqual(['a 0', 'b 0', 'c! 0'])
  })

  it('is the same place once more after a lost connection, when it is the only one', async () => {
    expect(await run({ a: { turns: [connection, 'ok'] } })).toMatchObject({
      by: 'a',
      asked: ['a! 0', 'a! 200'],
    })
    expect((await run({ a: { turns: [connection, connection, 'ok'] } })).asked).toHaveLength(2)
    expect((await run({ a: { turns: ['upstream_timeout', 'ok'] } })).asked).toHaveLength(1)
  })

  it('is the same provider once more after an error, when it is the only one', async () => {
    const twice = await run({ a: { turns: ['upstream_error', 'ok'] } })
    expect(twice).toMatchObject({ by: 'a', asked: ['a! 0', 'a! 200'] })
    const asked = async (turn: Turn, more: Partial<Candidate> = {}) =>
      (await run({ a: { turns: [turn, turn, 'ok'], ...more } })).asked
    expect(await asked('upstream_error')).toHaveLength(2)
    // It runs tools, or is no provider: its hub has asked elsewhere.
    expect(await asked('upstream_error', { runsTools: true })).toHaveLength(1)
    expect(await asked('upstream_error', { kind: 'node' })).toHaveLength(1)
    const busy = (retryAfter: number) =>
      new ApiError('upstream_error', 'busy', { retryable: true, retryAfter })
    expect(await asked(busy(2))).toEqual(['a! 0', 'a! 2000'])
    expect(await asked(busy(11))).toHaveLength(1)
  })

  it('waits for a Retry-After within reason, and only where nobody else is', async () => {
    expect(await run({ a: { turns: [limit(4), 'ok'] } })).toMatchObject({
      asked: ['a! 0', 'a! 4000'],
    })
    expect(await run({ a: { turns: [limit(11), 'ok'] } })).toMatchObject({ asked: ['a! 0'] })
    expect(await run({ a: { turns: [limit(4)] }, b: { turns: ['ok'] } })).toMatchObject({
      by: 'b',
      asked: ['a 0', 'b! 0'],
    })
  })

  it('waits as long as the place’s configuration says', async () => {
    expect(await run({ a: { turns: [limit(4), 'ok'], retryAfterMs: 0 } })).toMatchObject({
      by: 'rate_limit_exceeded',
      asked: ['a! 0'],
    })
    expect(await run({ a: { turns: [limit(25), 'ok'], retryAfterMs: 30_000 } })).toMatchObject({
      by: 'a',
      asked: ['a! 0', 'a! 25000'],
    })
  })

  it('is the first again after all have failed', async () => {
    const both = {
      a: { turns: ['upstream_error', 'ok'] as Turn[] },
      b: { turns: ['upstream_error'] as Turn[] },
    }
    expect(await run(both)).toMatchObject({ by: 'a', asked: ['a 0', 'b! 0', 'a! 200'] })
  })

  it('stops at a fault of the client’s own', async () => {
    const refused = new ApiError('content_filter', 'no')
    const { by, health } = await run({ a: { turns: [refused] }, b: { turns: ['ok'] } })
    expect(by).toBe('content_filter')
    expect(health.standing(candidate({ name: 'a' }), 1_000_000)).toBe('well')
  })

  it('is another model after a prompt that was too long, never the same', async () => {
    const tooLong = new ApiError('context_length_exceeded', 'long')
    const { asked } = await run({
      a: { turns: [tooLong], publicId: 'm' },
      b: { turns: ['ok'], publicId: 'm' },
      c: { turns: ['ok'], publicId: 'n' },
    })
    expect(asked).toEqual(['a 0', 'c! 0'])
    const alone = await run({ a: { turns: [tooLong] }, b: { turns: ['ok'] } })
    expect(alone).toMatchObject({ by: 'context_length_exceeded', asked: ['a 0'] })
  })

  it('is nobody once the client has left', async () => {
    const controller = new AbortController()
    setTimeout(() => controller.abort(), 1000)
    const { asked } = await run({ a: { turns: [limit(4), 'ok'] } }, { signal: controller.signal })
    expect(asked).toHaveLength(1)
  })

  it('is never more than the budget allows in a storm', async () => {
    const health = new Observations()
    let second = 0
    for (let count = 0; count < 50; count++) {
      const { asked } = await run({ a: { turns: [connection, connection] } }, { health })
      second += asked.length - 1
    }
    // Ten seconds pass: the floor of three comes back once, beside the first three.
    expect(second).toBeLessThanOrEqual(8)
    expect(second).toBeGreaterThanOrEqual(3)
  })
})

describe('a hedge', () => {
  const refused = new ApiError('invalid_value', 'No.')
  const [one, two] = [candidate({ name: 'one' }), candidate({ name: 'two' })]
  const answers = (times: Record<string, number | Turn>) => {
    const asked: string[] = []
    const dropped: string[] = []
    const tryOne = ({ name }: Candidate) => {
      asked.push(`${name} ${Date.now() - 1_000_000}`)
      const after = times[name]
      return new Promise<string>((resolve, reject) => {
        if (typeof after === 'number') setTimeout(() => resolve(name), after)
        else setTimeout(() => reject(fault(after ?? 'server_error')), 100)
      })
    }
    const drop = ({ name }: Candidate) => dropped.push(name)
    const note = (_: Candidate, thrown: unknown) => thrown as ApiError
    const { signal } = new AbortController()
    const result = hedge(one, two, note, { afterMs: 200, tryOne, drop, signal }).catch(
      (error: ApiError) => error.code,
    )
    return { result, asked, dropped }
  }

  it.each([
    [{ one: 150, two: 10 }, 'one', ['one 0'], []],
    [{ one: 900, two: 100 }, 'two', ['one 0', 'two 200'], ['one']],
    [{ one: 300, two: 900 }, 'one', ['one 0', 'two 200'], ['two']],
    [{ one: 'upstream_error', two: 10 }, 'upstream_error', ['one 0'], []],
    [{ one: 900, two: 'upstream_error' }, 'one', ['one 0', 'two 200'], []],
    // The client's own fault: the first would say the same.
    [{ one: 900, two: refused }, 'invalid_value', ['one 0', 'two 200'], ['one']],
  ] as const)('of %j is won by %s', async (times, winner, asked, dropped) => {
    const seen = answers(times)
    await vi.runAllTimersAsync()
    expect(await seen.result).toBe(winner)
    expect(seen.asked).toEqual(asked)
    expect(seen.dropped).toEqual(dropped)
  })
})
