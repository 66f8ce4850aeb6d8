// Splits reasoning that a server leaves inline in content: <think>…</think> (Qwen, DeepSeek raw) and
// <reasoning>…</reasoning> (Bedrock's gpt-oss). Only a tag at the very start counts, or right after another block: once an
// answer has begun, a tag is text that the user may have asked for.

export interface Segment {
  kind: 'reasoning' | 'text'
  text: string
}

const tags = ['think', 'reasoning']

export class ThinkSplitter {
  /** Held back: could still become a tag, or white space whose fate is not known. */
  #held = ''
  #state: 'start' | 'inside' | 'text' = 'start'
  /** The closing tag that ends the block we are in. */
  #closing = ''
  /** False until the first letter of a block: white space around tags is markup. */
  #begun = false
  /** Set after a closing tag: white space before the answer is dropped. */
  #afterBlock = false

  /** Takes content, split anywhere; gives what is certain. */
  push(text: string): Segment[] {
    if (this.#state === 'text') return text === '' ? [] : [{ kind: 'text', text }]
    this.#held += text
    const segments: Segment[] = []
    while (this.#step(segments));
    return segments
  }

  /** Gives what was held back; a block that never closed stays reasoning. */
  end(): Segment[] {
    const text = this.#held
    this.#held = ''
    if (this.#state === 'inside') {
      const rest = text.trimEnd()
      return rest === '' ? [] : [{ kind: 'reasoning', text: rest }]
    }
    const rest = this.#afterBlock ? text.trimStart() : text
    return rest === '' ? [] : [{ kind: 'text', text: rest }]
  }

  /** Handles one piece of #held; true while there is more to do. */
  #step(segments: Segment[]): boolean {
    if (this.#held === '') return false
    return this.#state === 'start' ? this.#start(segments) : this.#inside(segments)
  }

  #start(segments: Segment[]): boolean {
    const body = this.#held.trimStart()
    if (body === '') return false
    for (const tag of tags) {
      const opening = `<${tag}>`
      if (body.startsWith(opening)) {
        this.#held = body.slice(opening.length)
        this.#state = 'inside'
        this.#closing = `</${tag}>`
        this.#begun = false
        return true
      }
      if (opening.startsWith(body)) return false
    }
    segments.push({ kind: 'text', text: this.#afterBlock ? body : this.#held })
    this.#held = ''
    this.#state = 'text'
    return false
  }

  #inside(segments: Segment[]): boolean {
    if (!this.#begun) {
      this.#held = this.#held.trimStart()
      if (this.#held === '') return false
      this.#begun = true
    }
    const at = this.#held.indexOf(this.#closing)
    if (at !== -1) {
      const text = this.#held.slice(0, at).trimEnd()
      if (text !== '') segments.push({ kind: 'reasoning', text })
      this.#held = this.#held.slice(at + this.#closing.length)
      this.#state = 'start'
      this.#afterBlock = true
      return true
    }
    const certain = this.#held.length - partialSuffix(this.#held, this.#closing)
    // White space before the closing tag is markup, so it waits for what follows.
    const text = this.#held.slice(0, certain).trimEnd()
    if (text !== '') segments.push({ kind: 'reasoning', text })
    this.#held = this.#held.slice(text.length)
    return false
  }
}

/** Length of the longest suffix of text that begins the tag. */
function partialSuffix(text: string, tag: string): number {
  for (let length = Math.min(tag.length - 1, text.length); length > 0; length--) {
    if (tag.startsWith(text.slice(text.length - length))) return length
  }
  return 0
}
