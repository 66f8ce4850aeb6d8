import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Deadline } from '../../src/faces/deadline.ts'

describe('a deadline', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  function deadline() {
    const abort = vi.fn()
    return { abort, bound: new Deadline(() => Date.now(), abort) }
  }

  it.each([5, 200, 29_999, 30_000, 30_001, 600_000])('passes after %i ms, once', (ms) => {
    const { abort, bound } = deadline()
    bound.set(ms)
    vi.advanceTimersByTime(ms - 2)
    expect([bound.late, abort.mock.calls.length]).toEqual([false, 0])
    vi.advanceTimersByTime(1_200_000)
    expect([bound.late, abort.mock.calls.length]).toEqual([true, 1])
    expect(vi.getTimerCount()).toBe(0)
  })

  it('counts from what was set last, sooner or later than before', () => {
    const { abort, bound } = deadline()
    bound.set(600_000)
    vi.advanceTimersByTime(1000)
    bound.set(50)
    vi.advanceTimersByTime(51)
    expect(abort).toHaveBeenCalledOnce()
    const other = deadline()
    other.bound.set(50)
    other.bound.set(100_000)
    vi.advanceTimersByTime(99_990)
    expect(other.abort).not.toHaveBeenCalled()
    vi.advanceTimersByTime(20)
    expect(other.abort).toHaveBeenCalledOnce()
  })

  it('leaves no timer behind when it is cleared, and can be set again', () => {
    const { abort, bound } = deadline()
    bound.clear()
    bound.set(100)
    bound.clear()
    expect(vi.getTimerCount()).toBe(0)
    vi.advanceTimersByTime(1000)
    expect(bound.late).toBe(false)
    bound.set(100)
    vi.advanceTimersByTime(101)
    expect(abort).toHaveBeenCalledOnce()
  })
})
