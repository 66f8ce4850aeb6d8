// How fast one model answers at one place: time to the first output and tokens a second, as exponentially weighted averages.

/** Weight of the newest measurement. */
const weight = 0.3
/** An average that nothing was added to for so long says nothing about now. */
const lifetimeMs = 600_000
/** Fewer tokens, or a shorter time, measure the network and not the model. */
const enoughTokens = 16
const enoughMs = 20

export class Speed {
  #firstTokenMs: number | undefined
  #tokensPerSecond: number | undefined
  #at = Number.NEGATIVE_INFINITY

  /** The first output came after so long. */
  answered(afterMs: number, now: number): void {
    this.#firstTokenMs = mixed(this.firstTokenMs(now), afterMs)
    this.#at = now
  }

  /** So many tokens came in so long, counted from the first. */
  generated(tokens: number, inMs: number, now: number): void {
    if (tokens < enoughTokens || inMs < enoughMs) return
    this.#tokensPerSecond = mixed(this.tokensPerSecond(now), (tokens * 1000) / inMs)
    this.#at = now
  }

  firstTokenMs(now: number): number | undefined {
    return now - this.#at > lifetimeMs ? undefined : this.#firstTokenMs
  }

  tokensPerSecond(now: number): number | undefined {
    return now - this.#at > lifetimeMs ? undefined : this.#tokensPerSecond
  }
}

function mixed(before: number | undefined, value: number): number {
  return before === undefined ? value : before + weight * (value - before)
}
