// One turn of the model within the loop. What is the client's passes with new indices. A call of ours becomes an item of its
// kind: the first one is shown as it is written, and what the model says after it waits until the call has run, as items
// never interleave.

import { usageFromResponses } from '../convert/usage.ts'
import { isObject } from '../protocol/check.ts'
import { terminalEventTypes } from '../protocol/events.ts'
import type { ResponseUsage } from '../protocol/responses.ts'
import type { FindSource } from './citations.ts'
import { CitedMessage } from './cited-message.ts'
import type { LoopWriter } from './loop-writer.ts'
import type { Json, ModelCall, ToolRun } from './runner.ts'

/** A call of ours, in the order of the turn. */
export interface TurnCall {
  run: ToolRun
  /** The model's own item, once whole. */
  item: Json
  isWhole: boolean
  /** Something of its text has come in deltas. */
  grown: boolean
  /** Where it is shown already; undefined: it waits for its turn to be shown. */
  index: number | undefined
}

/** What waits behind a call: another call, or an event of an item that passes. */
type Waiting = { call: TurnCall } | { event: Json }

export interface TurnOptions {
  writer: LoopWriter
  /** Named where the turn does not say who answers. */
  model: string
  take(call: ModelCall): ToolRun | undefined
  /** Set where the text may cite pages. */
  find: FindSource | undefined
  /** Annotations that the first message brings. */
  files: readonly Json[]
}

export class LoopTurn {
  readonly #options: TurnOptions
  /** Calls of ours by their index in the turn. */
  readonly #calls = new Map<number, TurnCall>()
  /** Items that pass: index in the turn → index here. */
  readonly #passing = new Map<number, number>()
  readonly #messages = new Map<number, CitedMessage>()
  /** Items that were announced and are not done, as they were announced: by their index in the turn. */
  readonly #open = new Map<number, Json>()
  /** The model's own items, whole, in order: what the next turn must know. */
  readonly #items: Json[] = []
  /** Set from the first shown call on. */
  #waiting: Waiting[] | undefined
  #filesTold = false
  /** Items of the client's own calls have passed. */
  #clientCalls = false
  #terminal: string | undefined
  #response: Json = {}
  #error: Json | undefined

  constructor(options: TurnOptions) {
    this.#options = options
  }

  get calls(): TurnCall[] {
    return [...this.#calls.values()]
  }

  get items(): readonly Json[] {
    return this.#items
  }

  get clientCalls(): boolean {
    return this.#clientCalls
  }

  /** The terminal event's type, once it has come. */
  get terminal(): string | undefined {
    return this.#terminal
  }

  /** The turn's response object as its terminal event told it. */
  get response(): Json {
    return this.#response
  }

  /** The `error` event, where one came. */
  get error(): Json | undefined {
    return this.#error
  }

  get usage(): ResponseUsage | undefined {
    return usageFromResponses(this.#response.usage)
  }

  /** What the client gets of an event now. */
  push(event: unknown): Json[] {
    if (!isObject(event) || typeof event.type !== 'string' || this.#terminal !== undefined)
      return []
    const { type } = event
    if (isObject(event.response)) return this.#snapshot(type, event.response)
    if (type === 'error') {
      this.#error = isObject(event.error) ? event.error : event
      return []
    }
    if (typeof event.output_index !== 'number') return []
    const { writer, model } = this.#options
    return [...writer.start(model), ...this.#within(event.output_index, type, event)]
  }

  /** An event of an item. */
  #within(index: number, type: string, event: Json): Json[] {
    if (type === 'response.output_item.added' && isObject(event.item)) {
      this.#open.set(index, event.item)
      return this.#added(index, event.item, event)
    }
    if (type === 'response.output_item.done' && isObject(event.item)) {
      this.#open.delete(index)
      this.#items.push(event.item)
    }
    const call = this.#calls.get(index)
    return call === undefined ? this.#pass(event) : this.#ofCall(call, type, event)
  }

  /** What waited behind the first call, in order: calls to be shown and run, and events that pass. */
  *waiting(): Generator<TurnCall | Json[]> {
    const waiting = this.#waiting ?? []
    this.#waiting = undefined
    for (const each of waiting) {
      if ('call' in each) yield each.call
      else yield this.#pass(each.event)
    }
  }

  #snapshot(type: string, response: Json): Json[] {
    const { writer } = this.#options
    const out = writer.start(String(response.model ?? ''))
    if (!terminalEventTypes.has(type)) return out
    // Answers in one piece, and servers that send no events for some items.
    const output = Array.isArray(response.output) ? response.output : []
    for (const [index, item] of output.entries()) {
      if (!isObject(item)) continue
      const isKnown = this.#calls.has(index) || this.#passing.has(index)
      if (isKnown && !this.#open.has(index)) continue
      const at = { output_index: index, item }
      if (!isKnown) out.push(...this.push({ type: 'response.output_item.added', ...at }))
      out.push(...this.push({ type: 'response.output_item.done', ...at }))
    }
    for (const [output_index, item] of [...this.#open]) {
      const cut = { ...item, status: 'incomplete' }
      out.push(...this.push({ type: 'response.output_item.done', output_index, item: cut }))
    }
    this.#terminal = type
    this.#response = response
    return out
  }

  #added(index: number, item: Json, event: Json): Json[] {
    const call = callOf(item)
    const run = call && this.#options.take(call)
    if (run === undefined) {
      if (call !== undefined || String(item.type).endsWith('_call')) this.#clientCalls = true
      // Known from here on, so that a terminal snapshot does not bring it again.
      if (!this.#passing.has(index)) this.#passing.set(index, -1)
      return this.#pass(event)
    }
    const taken: TurnCall = { run, item, isWhole: false, grown: false, index: undefined }
    this.#calls.set(index, taken)
    if (this.#waiting !== undefined) {
      this.#waiting.push({ call: taken })
      return []
    }
    this.#waiting = run.live ? [] : [{ call: taken }]
    if (!run.live) return []
    const begun = this.#options.writer.begin(run)
    taken.index = begun.index
    return begun.events
  }

  #ofCall(call: TurnCall, type: string, event: Json): Json[] {
    if (type === 'response.output_item.done' && isObject(event.item)) {
      call.item = event.item
      call.isWhole = event.item.status !== 'incomplete'
      return []
    }
    const isDelta = type.endsWith('.delta') && typeof event.delta === 'string'
    if (!isDelta || call.index === undefined) return []
    call.grown = true
    return this.#options.writer.grow(call.index, call.run, String(event.delta))
  }

  #pass(event: Json): Json[] {
    if (this.#waiting !== undefined) {
      this.#waiting.push({ event })
      return []
    }
    const { writer } = this.#options
    const inner = Number(event.output_index)
    const item = isObject(event.item) ? event.item : undefined
    if (event.type === 'response.output_item.added' && item !== undefined) {
      const added = writer.add(item)
      this.#passing.set(inner, added.index)
      this.#cite(inner, item)
      return added.events
    }
    const index = this.#passing.get(inner)
    if (index === undefined || index < 0) return []
    const message = this.#messages.get(inner)
    if (event.type === 'response.output_item.done' && item !== undefined) {
      return writer.done(index, message?.item(item) ?? item)
    }
    const events = message?.push(event) ?? [event]
    return events.map((each) => writer.within(index, each))
  }

  /** Files that no message of this turn could tell. */
  get untoldFiles(): readonly Json[] {
    return this.#filesTold ? [] : this.#options.files
  }

  #cite(inner: number, item: Json): void {
    const { find, files } = this.#options
    if (item.type !== 'message') return
    const own = this.#filesTold ? [] : files
    if (find === undefined && own.length === 0) return
    this.#filesTold = true
    this.#messages.set(inner, new CitedMessage(find ?? (() => undefined), own))
  }
}

function callOf({ type, name, namespace }: Json): ModelCall | undefined {
  if (type !== 'function_call' && type !== 'custom_tool_call') return undefined
  const within = typeof namespace === 'string' ? namespace : undefined
  return { type, name: String(name), namespace: within }
}
