// A circuit breaker for one model at one place. After five failures within 30 s the place is tried last, but for one trial
// every four seconds. A trial's first output is half the proof: from then on one more request goes there each second, and
// after ten seconds of it every one. A failure meanwhile opens the breaker again; an answer that ends well closes it.
// A trial that is cut in the middle has cost its client the answer: the next ones come after 8, 16 and 30 s.

const failuresToOpen = 5
const windowMs = 30_000
const trialEveryMs = 4_000
const longestPauseMs = 30_000
/** Between two trials, once output flows. */
const flowingTrialMs = 1_000
/** So long output must flow before everybody may come; or twice as long as it had flowed when it was last cut. */
const provenMs = 10_000

/** `trial`: open, and one request may find out whether the place has recovered. */
export type BreakerState = 'closed' | 'open' | 'trial'

export class Breaker {
  /** When the first failure of the window happened. */
  #windowStart = Number.NEGATIVE_INFINITY
  #failures = 0
  #successes = 0
  /** Set while the breaker is open. */
  #open: Open | undefined

  state(now: number): BreakerState {
    if (this.#open === undefined || this.#open.isProven(now)) return 'closed'
    return this.#open.takesTrial(now) ? 'trial' : 'open'
  }

  /** A call begins; while the breaker is open, it is the trial, and the next one has to wait. */
  began(now: number): void {
    this.#open?.began(now)
  }

  /** The first output of a call that began then has come. */
  flows(now: number, since: number): void {
    this.#open?.flows(now, since)
  }

  /** The answer to a call that began then has ended well. */
  succeeded(since: number): void {
    if (this.#open === undefined) {
      if (this.#failures > 0) this.#successes++
    } else if (this.#open.concerns(since)) {
      this.#open = undefined
      this.#failures = 0
    }
  }

  /**
   * A call that began then has met a fault of the place's own, after output had come for so long; undefined where none had.
   * A busy place that mostly answers has five of them in 30 s and stays closed.
   */
  failed(now: number, since: number, flowedMs: number | undefined): void {
    if (this.#open !== undefined) {
      this.#open.failed(now, since, flowedMs)
      return
    }
    if (this.#failures === 0 || Math.abs(now - this.#windowStart) > windowMs) {
      this.#windowStart = now
      this.#failures = 0
      this.#successes = 0
    }
    this.#failures++
    if (this.#failures >= failuresToOpen && this.#failures > this.#successes) {
      this.#open = new Open(now)
    }
  }
}

/** What is known of a place since its breaker opened. */
class Open {
  /** Calls that began before this are what opened it: their ends say nothing new. */
  #since: number
  #nextTrialAt: number
  /** From one trial to the next, as long as none has had output. */
  #pauseMs = trialEveryMs
  /** Set while output flows that a trial has brought. */
  #flowsSince: number | undefined
  #provenMs = provenMs

  constructor(now: number) {
    this.#since = now
    this.#nextTrialAt = now + this.#pauseMs
  }

  /** Output has flowed for so long that it may be trusted until the next failure. */
  isProven(now: number): boolean {
    return this.#flowsSince !== undefined && now - this.#flowsSince >= this.#provenMs
  }

  takesTrial(now: number): boolean {
    const left = this.#nextTrialAt - now
    // More than that is left only where the clock was set back.
    return left <= 0 || left > this.#pauseMs
  }

  /** Whether a call began since. */
  concerns(since: number): boolean {
    return since >= this.#since
  }

  began(now: number): void {
    // A clock that was set back makes no call older than the breaker.
    this.#since = Math.min(this.#since, now)
    if (this.#flowsSince !== undefined) this.#flowsSince = Math.min(this.#flowsSince, now)
    this.#nextTrialAt = now + (this.#flowsSince === undefined ? this.#pauseMs : flowingTrialMs)
  }

  flows(now: number, since: number): void {
    if (!this.concerns(since)) return
    this.#flowsSince ??= now
    this.#nextTrialAt = Math.min(this.#nextTrialAt, now + flowingTrialMs)
  }

  failed(now: number, since: number, flowedMs: number | undefined): void {
    if (!this.concerns(since)) return
    if (flowedMs === undefined) {
      // It took as long to fail as the place has taken to recover: another trial has had output meanwhile.
      if (this.#flowsSince === undefined || since < this.#flowsSince) return
    } else {
      this.#pauseMs = Math.min(2 * this.#pauseMs, longestPauseMs)
      this.#provenMs = Math.max(this.#provenMs, 2 * flowedMs)
    }
    this.#since = now
    this.#flowsSince = undefined
    this.#nextTrialAt = now + this.#pauseMs
  }
}
