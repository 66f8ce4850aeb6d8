// Finds stop strings in text that comes in pieces; nothing of a stop string is ever shown.

/** Push pieces of one message; what comes back may be shown. */
export class StopStrings {
  readonly #stops: readonly string[]
  /** The end of the text so far, which may be the beginning of a stop string. */
  #held = ''

  constructor(stops: readonly string[]) {
    this.#stops = stops.filter((stop) => stop !== '')
  }

  /** `hit`: the stop string that was complete; nothing after it counts. */
  push(piece: string): { text: string; hit: string | undefined } {
    const text = this.#held + piece
    let first = text.length
    let hit: string | undefined
    for (const stop of this.#stops) {
      const at = text.indexOf(stop)
      if (at < 0 || at >= first) continue
      first = at
      hit = stop
    }
    if (hit !== undefined) {
      this.#held = ''
      return { text: text.slice(0, first), hit }
    }
    const held = Math.max(0, ...this.#stops.map((stop) => overlap(text, stop)))
    this.#held = text.slice(text.length - held)
    return { text: text.slice(0, text.length - held), hit: undefined }
  }

  /** The message is over: what was held is ordinary text. */
  end(): string {
    const text = this.#held
    this.#held = ''
    return text
  }
}

/** Length of the longest end of `text` that begins `stop`. */
function overlap(text: string, stop: string): number {
  for (let length = Math.min(text.length, stop.length - 1); length > 0; length--) {
    if (text.endsWith(stop.slice(0, length))) return length
  }
  return 0
}
