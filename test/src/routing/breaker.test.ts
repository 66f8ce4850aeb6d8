import { describe, expect, it } from 'vitest'
import { Breaker } from '../../../src/routing/breaker.ts'
import { Observations } from '../../../src/routing/observations.ts'
import { RetryBudget } from '../../../src/routing/retry-budget.ts'

const hour = 3_600_000
const place = { kind: 'provider', name: 'p', model: 'm' }

/** Five failures at this time. */
function opened(now: number): Breaker {
  const breaker = new Breaker()
  for (let count = 0; count < 5; count++) breaker.failed(now)
  return breaker
}

describe('a breaker', () => {
  it('opens after five failures, takes a trial after four seconds, and closes with an answer', () => {
    const breaker = opened(0)
    expect(breaker.state(3_999)).toBe('open')
    expect(breaker.state(4_000)).toBe('trial')
    breaker.began(4_000)
    expect(breaker.state(4_001)).toBe('open')
    breaker.succeeded()
    expect(breaker.state(4_002)).toBe('closed')
  })

  it('stays closed where a busy place mostly answers', () => {
    const breaker = new Breaker()
    for (let count = 0; count < 20; count++) {
      breaker.failed(count)
      breaker.succeeded()
      breaker.succeeded()
    }
    expect(breaker.state(20)).toBe('closed')
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
    for (const _ of [1, 2, 3, 4, 5]) by.failed({ kind, name: 'self', model: 'm' }, 0)
  }

  it('is the tenant’s own for its nodes, and everybody’s for providers', () => {
    break5('node', acme)
    expect(acme.standing({ kind: 'node', name: 'self', model: 'm' }, 1)).toBe('open')
    expect(other.standing({ kind: 'node', name: 'self', model: 'm' }, 1)).toBe('well')
    break5('provider', acme)
    expect(other.standing({ kind: 'provider', name: 'self', model: 'm' }, 1)).toBe('open')
  })
})
