// The store as one turn on a socket sees it: the connection's own memory before the caller's store. What memory has needs
// no store at all, so that `store: false` can be continued, and what it has not is asked for behind it.
import type { NewId } from '../ids.ts'
import type { History, Json, Recorder, Turn, TurnStore } from '../store/store.ts'
import type { Remembered, SocketMemory } from './socket-memory.ts'

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
  #before: Remembered = { items: [], responses: [], bytes: 0 }

  constructor(options: SocketStoreOptions) {
    this.#options = options
  }

  async history(id: string): Promise<History | undefined> {
    const { memory, behind } = this.#options
    const kept = memory.get(id)
    if (kept !== undefined) {
      this.#before = kept
      const { items, responses } = kept
      return { items: [...items], status: 'completed', responses: [...responses] }
    }
    const found = await behind?.history(id)
    if (found === undefined) return undefined
    const { items, responses } = found
    this.#before = { items, responses, bytes: JSON.stringify(items).length }
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
      get begun() {
        return recorder?.begun === true
      },
      journal: async (calls, response) => recorder?.journal(calls, response),
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
    memory.keep(id, lane, { items, responses: [...this.#before.responses, id], bytes: size })
  }
}
