// A circuit breaker for one model at one place: after five failures within 30 s the place is tried last, but for one trial
// every four seconds, so that a place that has recovered is used again within seconds.

const failuresToOpen = 5
const windowMs = 30_000
const trialEveryMs = 4_000

/** `trial`: open, and one request may find out whether the place has recovered. */
export type BreakerState = 'closed' | 'open' | 'trial'

export class Breaker {
  /** When the first failure of the window happened. */
  #windowStart = Number.NEGATIVE_INFINITY
  #failures = 0
  #successes = 0
  /** Set while the breaker is open. */
  #nextTrialAt: number | undefined

  state(now: number): BreakerState {
    if (this.#nextTrialAt === undefined) return 'closed'
    const left = this.#nextTrialAt - now
    // More than that is left only where the clock was set back.
    return left > 0 && left <= trialEveryMs ? 'open' : 'trial'
  }

  /** A call begins; while the breaker is open, it is the trial, and the next one has to wait. */
  began(now: number): void {
    if (this.#nextTrialAt !== undefined) this.#nextTrialAt = now + trialEveryMs
  }

  /** An answer came, whole or as far as its first output. */
  succeeded(): void {
    if (this.#nextTrialAt === undefined) {
      if (this.#failures > 0) this.#successes++
      return
    }
    this.#nextTrialAt = undefined
    this.#failures = 0
  }

  /** A fault of the place's own. A busy place that mostly answers has five of them in 30 s and stays closed. */
  failed(now: number): void {
    if (this.#failures === 0 || Math.abs(now - this.#windowStart) > windowMs) {
      this.#windowStart = now
      this.#failures = 0
      this.#successes = 0
    }
    this.#failures++
    const open = this.#failures >= failuresToOpen && this.#failures > this.#successes
    if (open || this.#nextTrialAt !== undefined) this.#nextTrialAt = now + trialEveryMs
  }
}
