// The tokens behind the calls that this node has made. A client sends a call back as text, and text may be cut into
// tokens, or headed, in more than one way: the model's own tokens are what the prefix cache knows.
import { createHash } from 'node:crypto'
import type { HarmonyMessage } from './harmony-message.ts'

const maxTurns = 1024
const maxTokens = 1 << 20

/** Least recently used turns are forgotten. */
export class GeneratedTurns {
  /** By what the messages say: a changed word is another turn. */
  readonly #turns = new Map<string, readonly number[]>()
  #tokens = 0

  /** `ids`: what followed the prompt's open header, up to the call's end. */
  add(messages: readonly HarmonyMessage[], ids: readonly number[]): void {
    if (ids.length > maxTokens / 8) return
    const key = keyOf(messages)
    this.#forget(key)
    this.#turns.set(key, ids)
    this.#tokens += ids.length
    for (const oldest of this.#turns.keys()) {
      if (this.#turns.size <= maxTurns && this.#tokens <= maxTokens) return
      this.#forget(oldest)
    }
  }

  /** The tokens of these messages, the header of the first one left out; undefined where they are not ours. */
  find(messages: readonly HarmonyMessage[]): readonly number[] | undefined {
    const key = keyOf(messages)
    const ids = this.#turns.get(key)
    if (ids !== undefined) {
      this.#turns.delete(key)
      this.#turns.set(key, ids)
    }
    return ids
  }

  #forget(key: string): void {
    this.#tokens -= this.#turns.get(key)?.length ?? 0
    this.#turns.delete(key)
  }
}

function keyOf(messages: readonly HarmonyMessage[]): string {
  const said = messages.map(({ channel, recipient, content }) => [channel, recipient, content])
  return createHash('sha256').update(JSON.stringify(said)).digest('base64')
}
