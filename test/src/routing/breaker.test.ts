import { describe, expect, it } from 'vitest'
import { Breaker } from '../../../src/routing/breaker.ts'
import { Observations } from '../../../src/routing/observations.ts'
import { RetryBudget } from '../../../src/routing/retry-budget.ts'

const hour = 3_600_000
const place = { kind: 'provider', name: 'p', model: 'm' }

/** Five failures at this time, of calls that began then. */
function opened(now: number): Breaker {
  const breaker = new Breaker()
  for (let count = 0; count < 5; count++) breaker.failed(now, now, undefined)
  return breaker
}

/** The same after a trial that has had output since `flowsAt`. */
function flowing(flowsAt: number): Breaker {
  const breaker = opened(flowsAt - 4_500)
  breaker.began(flowsAt - 500)
  breaker.flows(flowsAt, flowsAt - 500)
  return breaker
}

/** The times at which it lets a request in, asked every half second. */
function letIn(breaker: Breaker, from: number, to: number): number[] {
  const times: number[] = []
  for (let now = from; now <= to; now += 500) {
    if (breaker.state(now) === 'open') continue
    times.push(now)
    breaker.began(now)
  }
  return times
}

describe('a breaker', () => {
  it('opens after five failures, takes a trial every four seconds, and closes with an answer', () => {
    const breaker = opened(0)
    expect(letIn(breaker, 0, 12_000)).toEqual([4_000, 8_000, 12_000])
    breaker.succeeded(12_000)
    expect(breaker.state(12_001)).toBe('closed')
  })

  it('stays closed where a busy place mostly answers', () => {
    const breaker = new Breaker()
    for (let count = 0; count < 20; count++) {
      breaker.failed(count, count, undefined)
      breaker.succeeded(count)
      breaker.succeeded(count)
    }
    expect(breaker.state(20)).toBe('closed')
  })

  it('opens where every answer is cut, however many begin', () => {
    const breaker = new Breaker()
    for (let now = 0; now < 5_000; now += 1_000) {
      breaker.began(now)
      breaker.flows(now, now)
      breaker.began(now)
      breaker.flows(now, now)
      breaker.failed(now + 900, now, 900)
    }
    expect(breaker.state(5_000)).toBe('open')
  })
})

describe('a trial whose output flows', () => {
  it('lets in one more each second, and everybody after ten', () => {
    const breaker = flowing(10_000)
    expect(letIn(breaker, 10_500, 21_000)).toEqual([
      ...[11, 12, 13, 14, 15, 16, 17, 18, 19].map((second) => second * 1_000),
      ...[20_000, 20_500, 21_000],
    ])
  })

  it('closes it with its end', () => {
    const breaker = flowing(10_000)
    breaker.succeeded(9_500)
    for (let count = 0; count < 4; count++) breaker.failed(11_000, 11_000, undefined)
    expect(breaker.state(11_000)).toBe('closed')
  })

  it('and is cut puts the next one off, longer each time', () => {
    const breaker = opened(0)
    let now = 4_000
    const pauses: number[] = []
    for (let count = 0; count < 5; count++) {
      breaker.began(now)
      breaker.flows(now + 100, now)
      const cutAt = now + 200
      breaker.failed(cutAt, now, 100)
      now = letIn(breaker, cutAt, cutAt + 60_000)[0] ?? 0
      pauses.push(now - cutAt)
    }
    expect(pauses).toEqual([8_000, 16_000, 30_000, 30_000, 30_000])
  })

  it('is trusted by all only after twice the time that it took to be cut', () => {
    const breaker = flowing(10_000)
    expect(breaker.state(20_000)).toBe('closed')
    breaker.failed(40_000, 9_500, 30_000)
    expect(breaker.state(40_000)).toBe('open')
    breaker.began(48_000)
    breaker.flows(48_500, 48_000)
    expect(letIn(breaker, 106_500, 109_000)).toEqual([106_500, 107_500, 108_500, 109_000])
  })

  it('is no longer trusted with the first failure', () => {
    const breaker = flowing(10_000)
    expect(breaker.state(20_000)).toBe('closed')
    breaker.failed(20_500, 20_400, undefined)
    expect(breaker.state(20_500)).toBe('open')
    expect(breaker.state(24_500)).toBe('trial')
  })
})

describe('an end of a call from before', () => {
  it('closes no breaker: what begins now may still fail', () => {
    const breaker = opened(60_000)
    breaker.succeeded(1_000)
    expect(breaker.state(60_001)).toBe('open')
  })

  it('puts no trial off', () => {
    const breaker = opened(0)
    for (let now = 500; now < 4_000; now += 500) breaker.failed(now, now - 30_000, 20_000)
    expect(breaker.state(4_000)).toBe('trial')
  })

  it('does not doubt a place that answers by now', () => {
    const breaker = opened(0)
    // A trial that hangs, and one that has output; then the first is given up.
    breaker.began(4_000)
    breaker.began(8_000)
    breaker.flows(8_500, 8_000)
    breaker.failed(34_000, 4_000, undefined)
    expect(breaker.state(34_000)).toBe('closed')
  })
})

describe('a clock that is set back by an hour', () => {
  it('does not keep a breaker open', () => {
    const breaker = opened(hour)
    expect(breaker.state(hour + 1)).toBe('open')
    expect(breaker.state(0)).toBe('trial')
    breaker.began(0)
    expect(breaker.state(1)).toBe('open')
    expect(breaker.state(4_000)).toBe('trial')
    breaker.began(4_000)
    breaker.flows(4_500, 4_000)
    expect(breaker.state(14_500)).toBe('closed')
    breaker.succeeded(4_000)
    expect(breaker.state(14_501)).toBe('closed')
  })

  it('does not keep a place limited', () => {
    const observations = new Observations()
    observations.limited(place, 30, hour)
    expect(observations.standing(place, hour + 1)).toBe('limited')
    expect(observations.standing(place, 0)).toBe('well')
  })

  it('takes no retries away', () => {
    const budget = new RetryBudget()
    const taken = [1, 2, 3, 4].map(() => budget.take(hour))
    expect(taken).toEqual([true, true, true, false])
    expect(budget.take(0)).toBe(false)
    expect(budget.take(10_000)).toBe(true)
  })
})

describe('what is remembered of a place', () => {
  const shared = new Observations()
  const [acme, other] = [shared.of('acme'), shared.of('other')]
  const break5 = (kind: string, by: Observations) => {
    for (const _ of [1, 2, 3, 4, 5]) by.failed({ kind, name: 'self', model: 'm' }, 0, undefined, 0)
  }

  it('is the tenant’s own for its nodes, and everybody’s for providers', () => {
    break5('node', acme)
    expect(acme.standing({ kind: 'node', name: 'self', model: 'm' }, 1)).toBe('open')
    expect(other.standing({ kind: 'node', name: 'self', model: 'm' }, 1)).toBe('well')
    break5('provider', acme)
    expect(other.standing({ kind: 'provider', name: 'self', model: 'm' }, 1)).toBe('open')
  })
})
