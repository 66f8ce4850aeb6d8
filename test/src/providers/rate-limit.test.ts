import { describe, expect, it } from 'vitest'
import { retryAfter } from '../../../src/providers/rate-limit.ts'

const now = Date.UTC(2026, 0, 1)
const read = (headers: Record<string, string>) => retryAfter(new Headers(headers), now)

describe('retryAfter', () => {
  it('reads seconds, milliseconds and dates, and nothing absurd', () => {
    expect(read({ 'retry-after': '2.5' })).toBe(2.5)
    expect(read({ 'retry-after-ms': '1500', 'retry-after': '9' })).toBe(1.5)
    expect(read({ 'retry-after': new Date(now + 30_000).toUTCString() })).toBe(30)
    expect(read({ 'retry-after': 'soon' })).toBeUndefined()
    expect(read({ 'retry-after': '-1' })).toBeUndefined()
    expect(read({ 'retry-after': '' })).toBeUndefined()
    expect(read({})).toBeUndefined()
  })

  it.each([
    ['1.57s', 1.57],
    ['6m0s', 360],
    ['2m59.5s', 179.5],
    ['1h0m1s', 3601],
    ['120ms', 0.12],
    ['1m200ms', 60.2],
    ['11.38', 11.38],
    [String(now + 9000), 9],
    [String(now / 1000 + 9), 9],
    [new Date(now + 9000).toISOString(), 9],
    ['-1', undefined],
    ['9d', undefined],
    ['tomorrow', undefined],
  ])('reads a reset of %s', (reset, seconds) => {
    expect(read({ 'x-ratelimit-reset': reset })).toBe(seconds)
  })

  it('goes by what is used up', () => {
    const groq = {
      'x-ratelimit-remaining-requests': '14370',
      'x-ratelimit-reset-requests': '2m59s',
      'x-ratelimit-remaining-tokens': '0',
      'x-ratelimit-reset-tokens': '7.66s',
    }
    expect(read(groq)).toBe(7.66)
    expect(read({ ...groq, 'x-ratelimit-remaining-requests': '0' })).toBe(179)
    expect(read({ ...groq, 'x-ratelimit-remaining-tokens': '5' })).toBeUndefined()
    expect(read({ ...groq, 'retry-after': '1' })).toBe(1)
  })

  it('takes the first reset where nothing says what is left', () => {
    expect(read({ 'x-ratelimit-reset-requests': '9', 'x-ratelimit-reset-tokens': '4' })).toBe(4)
  })

  it("reads both forms of the draft standard's header", () => {
    expect(read({ ratelimit: '"api";r=0;t=55' })).toBe(55)
    expect(read({ ratelimit: '"minute";r=3;t=5, "day";r=0;t=900' })).toBe(900)
    expect(read({ ratelimit: '"api";r=7;t=55' })).toBeUndefined()
    expect(read({ ratelimit: 'limit=10, remaining=0, reset=12' })).toBe(12)
    expect(read({ 'ratelimit-remaining': '0', 'ratelimit-reset': '17' })).toBe(17)
    expect(read({ ratelimit: 'nonsense' })).toBeUndefined()
  })
})
