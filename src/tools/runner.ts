// What the tool loop knows of the tools that run here: a runner owns some tools of a request, says what the model is told of
// them, takes the model's calls and shows them to the client as items of their kind. mcp-runner.ts, python-runner.ts and
// browser-runner.ts are the runners.
import type { InputItem, Tool } from '../protocol/responses.ts'

/** An item or an event as it travels. */
export type Json = Record<string, unknown>

/** Which function the model called, as its item says when it is announced. */
export interface ModelCall {
  type: 'function_call' | 'custom_tool_call'
  namespace: string | undefined
  name: string
}

export interface Runner {
  /** Finds out what there is to call; yields what the client sees of that, item by item. Throws ApiError. */
  open?(signal: AbortSignal): AsyncIterable<ShownItem>
  /** Calls that the client has allowed since the last response: they run before the first turn. After open(). */
  pending?(): readonly PendingRun[]
  /** What the model is told, once open. */
  readonly tools: readonly Tool[]
  /** The run of a call that is its own, unknown names of its own namespace included; undefined for any other. */
  take(call: ModelCall): ToolRun | undefined
  /** What an entry of tool_choice that speaks of its tools means in the model's words; undefined for any other entry. */
  choice(entry: Json): Json[] | undefined
  /** What an item of the history is to the model; undefined for an item that is not its own. */
  recall?(item: Json): InputItem[] | undefined
  close(): Promise<void>
}

/** An item that takes its time: shown when it begins, and again when it has ended. */
export interface ShownItem {
  item: Json
  /** Events after the item was added, or before it is done; without `response.`. */
  events: readonly string[]
  done: boolean
}

/** A call whose text is known. */
export interface PendingRun {
  run: ToolRun
  text: string
}

/** One call, from its announcement to its end. */
export interface ToolRun {
  /** The item as the client first sees it. */
  readonly announced: Json
  /** It is shown as the model writes it; else only once it has ended, as it may have to become another item. */
  readonly live: boolean
  /** Events between the item's announcement and what the model writes, without `response.`. */
  readonly begun: readonly string[]
  /** The field of the item that the model's text makes up, and the start of its events' names. */
  readonly grows?: { field: string; events: string } | undefined
  /** Events before it runs. */
  readonly running: readonly string[]
  /** Runs it, once; a fault of the tool is an ending. `text` is what the model wrote. Throws only where it was aborted. */
  run(text: string, signal: AbortSignal): Promise<RunEnd>
  /** Ends it without having run: the model is told why. */
  refuse(text: string, reason: string): RunEnd
  /**
   * How it ends where its result is lost: the client, and a model that reads it later, are told that it may have run. Unset
   * for a call that reaches nobody.
   */
  lost?(text: string): LostEnd
}

export type LostEnd = Pick<RunEnd, 'item' | 'events'>

/** What is said of a call whose result is lost. */
export const lostResult =
  'The result of this call was lost: it may have run. It was not made again.'

export interface RunEnd {
  item: Json
  events: readonly string[]
  /** What the model reads; undefined: the client must decide first, and the response ends here. */
  output: string | undefined
  /** Annotations for the message that follows: files that a call has made. */
  annotations?: readonly Json[]
}
