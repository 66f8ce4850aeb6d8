// Puts the deltas of parallel tool calls together, however a server lays them out: by index, by id alone, with neither,
// a new call on an old index, names late, repeated or empty, a whole call in one chunk.
import { isCompleteObject } from './json-object.ts'

export interface CallDelta {
  index: number | undefined
  id: string | undefined
  name: string | undefined
  arguments: string
}

/** One call as far as it has come. */
export interface ToolCall {
  id: string | undefined
  name: string | undefined
  arguments: string
}

export class ToolCallTable {
  /** In order of appearance. */
  readonly calls: ToolCall[] = []
  /** The latest call on each index. */
  readonly #byIndex = new Map<number, ToolCall>()
  readonly #byId = new Map<string, ToolCall>()

  /** Takes the calls of one chunk; gives each call that changed with the arguments that were added. */
  push(deltas: readonly CallDelta[]): { call: ToolCall; added: string }[] {
    // Several entries with neither index nor id can only be whole calls, side by side.
    const anonymous = deltas.filter((delta) => delta.index === undefined && delta.id === undefined)
    return deltas.map((delta) => {
      const whole = anonymous.length > 1 && anonymous.includes(delta) && delta.name !== undefined
      const call = (whole ? undefined : this.#find(delta)) ?? this.#create()
      this.#remember(call, delta)
      call.arguments += delta.arguments
      return { call, added: delta.arguments }
    })
  }

  #find(delta: CallDelta): ToolCall | undefined {
    if (delta.index !== undefined) {
      const call = this.#byIndex.get(delta.index)
      return call === undefined || startsAnother(call, delta) ? undefined : call
    }
    if (delta.id !== undefined) return this.#byId.get(delta.id)
    const last = this.calls.at(-1)
    return last === undefined || startsAnother(last, delta) ? undefined : last
  }

  #create(): ToolCall {
    const call: ToolCall = { id: undefined, name: undefined, arguments: '' }
    this.calls.push(call)
    return call
  }

  #remember(call: ToolCall, delta: CallDelta): void {
    if (delta.index !== undefined) this.#byIndex.set(delta.index, call)
    if (delta.id !== undefined) {
      call.id ??= delta.id
      // A server that makes up an id per delta: each of them is this call.
      this.#byId.set(delta.id, call)
    }
    call.name ??= delta.name
  }
}

/** Does a delta that points at this call begin another one? */
function startsAnother(call: ToolCall, delta: CallDelta): boolean {
  if (delta.id !== undefined && delta.id === call.id) return false
  if (delta.id !== undefined && call.id !== undefined) {
    // A nameless delta in the middle of arguments goes on with them, whatever its id.
    return delta.name !== undefined || call.arguments === '' || isCompleteObject(call.arguments)
  }
  // Some servers repeat the name in every delta; it is a new call when it differs or the old one is whole.
  if (delta.name === undefined || call.name === undefined) return false
  return call.name !== delta.name || isCompleteObject(call.arguments)
}
