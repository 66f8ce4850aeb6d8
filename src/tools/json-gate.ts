// Finds the JSON value in what a model writes, piece by piece: a fence or a sentence in front of it is held back, the value
// passes as it comes, what follows it is left out. Whether it is valid, or fits, is for others to say.

/** What stands in front of the first bracket may be nothing but white space and the opening of a fence. */
const nothingYet = /^\s*(?:`{3,}\w*\s*)?$/
const longestNothing = 100

export class JsonGate {
  /** Brackets that a fitting value may begin with. */
  readonly #openers: string
  #state: 'before' | 'inside' | 'after' | 'other' = 'before'
  #depth = 0
  #inString = false
  #escaped = false
  /** What came in front of the value; everything, as long as there is none. */
  before = ''
  /** The value's text so far. */
  value = ''

  /** `openers`: `{`, `[` or both. */
  constructor(openers: string) {
    this.#openers = openers
  }

  /** Some of a value has passed. */
  get begun(): boolean {
    return this.value !== ''
  }

  /** The value's last bracket has come. */
  get complete(): boolean {
    return this.#state === 'after'
  }

  /** Gives what of the piece belongs to the value. */
  push(piece: string): string {
    let from = 0
    if (this.#state === 'before') {
      from = this.#start(piece)
      this.before += piece.slice(0, from)
    } else if (this.#state === 'other') this.before += piece
    if (this.#state !== 'inside') return ''
    const passed = piece.slice(from, this.#end(piece, from))
    this.value += passed
    return passed
  }

  /** Where the value begins in the piece; its length where it does not. */
  #start(piece: string): number {
    for (let at = 0; at < piece.length; at++) {
      const character = piece[at] ?? ''
      if (character !== '{' && character !== '[') continue
      if (this.#openers.includes(character)) {
        this.#state = 'inside'
        return at
      }
      const front = this.before + piece.slice(0, Math.min(at, longestNothing))
      // A list where an object is asked for: the object in it is not the answer.
      if (front.length <= longestNothing && nothingYet.test(front)) {
        this.#state = 'other'
        return piece.length
      }
    }
    return piece.length
  }

  /** Index behind the value's last bracket, or the end of the piece. */
  #end(piece: string, from: number): number {
    for (let at = from; at < piece.length; at++) {
      const character = piece[at]
      if (this.#escaped) this.#escaped = false
      else if (this.#inString) {
        if (character === '\\') this.#escaped = true
        else if (character === '"') this.#inString = false
      } else if (character === '"') this.#inString = true
      else if (character === '{' || character === '[') this.#depth++
      else if ((character === '}' || character === ']') && --this.#depth === 0) {
        this.#state = 'after'
        return at + 1
      }
    }
    return piece.length
  }
}
