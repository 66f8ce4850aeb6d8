// The store as one turn on a socket sees it: the connection's own memory before the caller's store. What memory has needs
// no store at all, so that `store: false` can be continued, and what it has not is asked for behind it.
import type { NewId } from '../ids.ts'
import type { History, Json, Recorder, Turn, TurnStore } from '../store/store.ts'
import type { SocketMemory } from './socket-memory.ts'

export interface SocketStoreOptions {
  memory: SocketMemory
  lane: string | undefined
  /** Size of the turn's message: what its input takes. */
  bytes: number
  newId: NewId
  /** The caller's store, if there is one. */
  behind: TurnStore | undefined
}

export class SocketStore implements TurnStore {
  readonly ofConnection = true
  readonly #options: SocketStoreOptions
  /** What this turn goes on from; set by history(). */
  #before: { items: readonly Json[]; bytes: number } = { items: [], bytes: 0 }

  constructor(options: SocketStoreOptions) {
    this.#options = options
  }

  async history(id: string): Promise<History | undefined> {
    const { memory, behind } = this.#options
    const kept = memory.get(id)
    if (kept !== undefined) {
      this.#before = kept
      return { items: [...kept.items], status: 'completed' }
    }
    const found = await behind?.history(id)
    if (found === undefined) return undefined
    this.#before = { items: found.items, bytes: JSON.stringify(found.items).length }
    return found
  }

  async items(ids: readonly string[]): Promise<Map<string, Json>> {
    const found = this.#options.memory.items(ids)
    const missing = ids.filter((id) => !found.has(id))
    if (missing.length === 0) return found
    return new Map([...found, ...((await this.#options.behind?.items(missing)) ?? [])])
  }

  begin(turn: Turn): Recorder {
    const recorder = this.#options.behind?.begin(turn)
    const id = recorder?.id ?? this.#options.newId('resp')
    return {
      id,
      durable: recorder?.durable ?? false,
      write: (events, upTo) => recorder?.write(events, upTo),
      finish: async (response, events, upTo) => {
        await recorder?.finish(response, events, upTo)
        this.#remember(id, turn, response)
      },
      cancel: () => recorder?.cancel(),
    }
  }

  #remember(id: string, { input }: Turn, { status, output }: Json): void {
    if ((status !== 'completed' && status !== 'incomplete') || !Array.isArray(output)) return
    const { memory, lane, bytes } = this.#options
    const items = [...this.#before.items, ...input, ...output]
    // References are short in the message and as long as what they stand for in here.
    const own = Math.max(bytes, JSON.stringify(input).length)
    const size = this.#before.bytes + own + JSON.stringify(output).length
    memory.keep(id, lane, { items, bytes: size })
  }
}
