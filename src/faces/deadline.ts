// How long a call may wait, for one thing after the other: its headers, then its answer. One timer serves all of it, as
// arming and clearing one costs 40 µs in workerd: it ticks, and looks whether the time that was set last is up.

const tickMs = 30_000

export class Deadline {
  readonly #now: () => number
  readonly #abort: () => void
  #timer: ReturnType<typeof setTimeout> | undefined
  /** When the timer fires, and when it is too late. */
  #firesAt = 0
  #at = 0
  #late = false

  /** `abort` ends all that the call waits for. */
  constructor(now: () => number, abort: () => void) {
    this.#now = now
    this.#abort = abort
  }

  /** True once a wait was too long: what was aborted then was not the client's doing. */
  get late(): boolean {
    return this.#late
  }

  /** From now on at most so long; what was set before no longer counts. */
  set(ms: number): void {
    const now = this.#now()
    this.#at = now + ms
    if (this.#timer === undefined || this.#at < this.#firesAt) this.#arm(ms, now)
  }

  clear(): void {
    if (this.#timer !== undefined) clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #arm(ms: number, now: number): void {
    this.clear()
    const wait = Math.min(ms, tickMs)
    this.#firesAt = now + wait
    this.#timer = setTimeout(this.#onTick, wait)
  }

  readonly #onTick = () => {
    const now = this.#now()
    const left = this.#at - now
    // A timer may be early by the clock's grain.
    if (left > 1) return this.#arm(left, now)
    this.#timer = undefined
    this.#late = true
    this.#abort()
  }
}
