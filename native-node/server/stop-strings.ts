// Finds stop strings in text that comes in pieces; nothing of a stop string is ever shown.

/** Push pieces of one message; what comes back may be shown. */
export class StopStrings {
  readonly #stops: readonly string[]
  /** The end of the text so far, which may be the beginning of a stop string. */
  #held = ''

  constructor(stops: readonly string[]) {
    this.#stops = stops.filter((stop) => stop !== '')
  }

  /** `hit`: a stop string was complete; nothing after it counts. */
  push(piece: string): { text: string; hit: boolean } {
    const text = this.#held + piece
    const found = this.#stops.map((stop) => text.indexOf(stop)).filter((index) => index >= 0)
    if (found.length > 0) {
      this.#held = ''
      return { text: text.slice(0, Math.min(...found)), hit: true }
    }
    const held = Math.max(0, ...this.#stops.map((stop) => overlap(text, stop)))
    this.#held = text.slice(text.length - held)
    return { text: text.slice(0, text.length - held), hit: false }
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
