// What one connection remembers of its conversations, so that a turn with `store: false` can be continued by its id: the
// latest response of each lane, as the items of a next turn's input. Gone with the connection.
import type { Json } from '../store/store.ts'

/** A response that a next turn may continue. */
export interface Remembered {
  /** Everything that was said: prior items, the turn's own input, its output. */
  items: readonly Json[]
  /** Ids of the responses that it is made of, in order. */
  responses: readonly string[]
  /** What the items take as JSON, roughly. */
  bytes: number
}

export class SocketMemory {
  readonly #maxBytes: number
  /** By response id; the latest used last. */
  readonly #byId = new Map<string, Remembered & { lane: string | undefined }>()
  readonly #idOfLane = new Map<string | undefined, string>()
  #bytes = 0

  /** Keeps at most so much; a conversation that could not be sent in one request is not kept either. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get(id: string): Remembered | undefined {
    return this.#byId.get(id)
  }

  /** The lane's latest response; the one before it is forgotten. */
  keep(id: string, lane: string | undefined, remembered: Remembered): void {
    this.#forgetLane(lane)
    this.forget(id)
    if (remembered.bytes > this.#maxBytes) return
    this.#byId.set(id, { ...remembered, lane })
    this.#idOfLane.set(lane, id)
    this.#bytes += remembered.bytes
    for (const oldest of this.#byId.keys()) {
      if (this.#bytes <= this.#maxBytes) break
      this.forget(oldest)
    }
  }

  /** Those of these items that are remembered. */
  items(ids: readonly string[]): Map<string, Json> {
    const wanted = new Set(ids)
    const found = new Map<string, Json>()
    for (const { items } of this.#byId.values()) {
      for (const item of items) {
        if (typeof item.id === 'string' && wanted.has(item.id)) found.set(item.id, item)
      }
    }
    return found
  }

  /** The lane in which the response is the latest; undefined, too, for the lane without a name. */
  laneOf(id: string): string | undefined {
    return this.#byId.get(id)?.lane
  }

  forget(id: string): void {
    const kept = this.#byId.get(id)
    if (kept === undefined) return
    this.#byId.delete(id)
    this.#bytes -= kept.bytes
    if (this.#idOfLane.get(kept.lane) === id) this.#idOfLane.delete(kept.lane)
  }

  clear(): void {
    this.#byId.clear()
    this.#idOfLane.clear()
    this.#bytes = 0
  }

  #forgetLane(lane: string | undefined): void {
    const id = this.#idOfLane.get(lane)
    if (id !== undefined) this.forget(id)
  }
}
