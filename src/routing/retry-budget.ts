// How often a provider may be asked a second time for one request: a tenth of its calls, and a small floor so that a quiet
// gateway may retry at all. An outage must not become a storm. Moving on to another place is no retry.

const perCall = 0.1
const most = 10
/** The floor: this many at once, and again after this long. */
const floor = 3
const floorMs = 10_000

export class RetryBudget {
  #tokens = floor
  #at = Number.NEGATIVE_INFINITY

  /** A request was sent to the provider. */
  called(): void {
    if (this.#tokens < most) this.#tokens = Math.min(most, this.#tokens + perCall)
  }

  /** How many retries may be taken; one that is not whole has yet to grow. */
  left(now: number): number {
    if (this.#tokens >= floor) return this.#tokens
    // A clock may be set back: that takes nothing away.
    const grown = this.#tokens + (Math.max(0, now - this.#at) / floorMs) * floor
    return Math.min(floor, grown)
  }

  /** Takes one retry, if one is left. */
  take(now: number): boolean {
    this.#tokens = this.left(now)
    this.#at = now
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }
}
