// Reads a Responses stream of any server and keeps what it amounts to, so that one that is cut can be closed as its
// dialect demands: what is open is closed, then `error` and response.failed, with sequence numbers that go on.
import type { ApiError } from '../errors.ts'
import { isObject } from '../protocol/check.ts'
import { terminalEventTypes } from '../protocol/events.ts'
import { type BegunCall, lostEvents } from './begun-call.ts'

interface FoldedPart {
  part: Record<string, unknown>
  /** `text`, `refusal`: the field that deltas add to. */
  field: 'text' | 'refusal'
  open: boolean
  /** Its `….done` with the whole text has come, content_part.done has not. */
  said: boolean
  /** Those of its deltas, in a list of our own that grows: a copy with every delta would cost the square of a long answer. */
  logprobs?: unknown[]
}

interface FoldedItem {
  item: Record<string, unknown>
  content: Map<number, FoldedPart>
  summary: Map<number, FoldedPart>
  open: boolean
  /** function_call_arguments.done has come. */
  argumentsSaid: boolean
  /** Types of its events, and what deltas have made of a call's text. */
  told: { types: Set<string>; written: string }
}

/** An event as it goes out: the fold writes for upstreams whose items it does not know in full. */
export type AnyEvent = { type: string; sequence_number: number; [key: string]: unknown }

type Emit = (type: string, fields: Record<string, unknown>) => void

export class ResponseFold {
  /** The latest full snapshot that the server sent. */
  #snapshot: Record<string, unknown> | undefined
  readonly #items = new Map<number, FoldedItem>()
  #lastSequence = -1
  /** response.in_progress has come. */
  #inProgress = false
  #terminal: string | undefined
  /** An `error` event has come: response.failed must follow, and says the same. */
  #error: { code: string; message: string } | undefined

  /** The terminal event's type, once it has come. */
  get terminal(): string | undefined {
    return this.#terminal
  }

  /** An item has come. */
  get begun(): boolean {
    return this.#items.size > 0
  }

  /** The response as it stands; undefined before any snapshot. */
  get response(): Record<string, unknown> | undefined {
    if (this.#snapshot === undefined) return undefined
    const output = this.#snapshot.output
    // Some servers leave `output` out of the last snapshot; what came before is the answer then.
    if (this.#terminal !== undefined && Array.isArray(output) && output.length > 0) {
      return this.#snapshot
    }
    const items = [...this.#items].sort(([a], [b]) => a - b).map(([, folded]) => itemOf(folded))
    return { ...this.#snapshot, output: items }
  }

  /** Takes one parsed event; what is not known passes by. */
  push(event: unknown): void {
    if (!isObject(event) || typeof event.type !== 'string') return
    if (typeof event.sequence_number === 'number') this.#lastSequence = event.sequence_number
    if (isObject(event.response)) this.#snapshot = event.response
    if (terminalEventTypes.has(event.type)) this.#terminal ??= event.type
    this.#inProgress ||= event.type === 'response.in_progress'
    if (event.type === 'error') this.#error = errorOf(event)
    if (typeof event.output_index === 'number') this.#onItem(event.type, event.output_index, event)
  }

  /**
   * The events that end a cut stream; none where it had ended. `fallback` is the snapshot where none has come. `calls`: those
   * that were about to be made; what the stream does not tell the end of may have run, and is said so.
   */
  fail(
    error: ApiError,
    fallback: Record<string, unknown>,
    calls: readonly BegunCall[] = [],
  ): AnyEvent[] {
    const { code, message, param, type } = error
    const shown = this.#error ?? { code, message }
    const outcome = { status: 'failed', error: shown }
    return this.#end(fallback, 'response.failed', outcome, calls, (emit) => {
      if (this.#error !== undefined) return
      emit('error', { code, message, param, error: { type, code, message, param } })
    })
  }

  /** The events that end a stream which its client gave up; none where it had ended. `calls` as for fail(). */
  cancel(fallback: Record<string, unknown>, calls: readonly BegunCall[] = []): AnyEvent[] {
    const incomplete_details = { reason: 'cancelled' }
    const outcome = { status: 'incomplete', incomplete_details }
    return this.#end(fallback, 'response.incomplete', outcome, calls)
  }

  #end(
    fallback: Record<string, unknown>,
    terminal: string,
    outcome: Record<string, unknown>,
    calls: readonly BegunCall[],
    before?: (emit: Emit) => void,
  ): AnyEvent[] {
    if (this.#terminal !== undefined) return []
    const events: AnyEvent[] = []
    const emit: Emit = (type, fields) => {
      events.push({ type, sequence_number: ++this.#lastSequence, ...fields })
    }
    const isNew = this.#snapshot === undefined
    this.#snapshot ??= fallback
    // What has been used is told at the end.
    const response = { ...this.#snapshot, usage: null }
    if (isNew) emit('response.created', { response })
    if (!this.#inProgress) emit('response.in_progress', { response })
    const lost = new Map(calls.map((call) => [call.announced.id, call]))
    for (const [output_index, folded] of [...this.#items].sort(([a], [b]) => a - b)) {
      const call = lost.get(folded.item.id)
      lost.delete(folded.item.id)
      if (!folded.open) continue
      if (call === undefined) closeItem(folded, output_index, emit)
      else this.#lose(call, output_index, emit)
    }
    for (const call of lost.values()) this.#lose(call, this.#nextIndex(), emit)
    before?.(emit)
    const last = { ...this.response, ...outcome }
    emit(terminal, { response: last })
    this.#terminal = terminal
    this.#snapshot = last
    return events
  }

  #nextIndex(): number {
    let last = -1
    for (const index of this.#items.keys()) if (index > last) last = index
    return last + 1
  }

  /** Closes the item of a call that nobody knows the end of. */
  #lose(call: BegunCall, output_index: number, emit: Emit): void {
    const told = this.#items.get(output_index)?.told
    for (const [type, fields] of lostEvents(call, output_index, told)) emit(type, fields)
    this.#items.set(output_index, itemFrom(call.end.item, false))
  }

  #onItem(type: string, index: number, event: Record<string, unknown>): void {
    if (type === 'response.output_item.added' || type === 'response.output_item.done') {
      if (!isObject(event.item)) return
      const folded = itemFrom(event.item, type === 'response.output_item.added')
      folded.told.types.add(type)
      this.#items.set(index, folded)
      return
    }
    const folded = this.#items.get(index)
    if (folded === undefined || !folded.open) return
    folded.told.types.add(type)
    if (typeof event.delta === 'string' && grownTypes.has(type)) folded.told.written += event.delta
    const field = callFields.get(type.slice(0, type.lastIndexOf('.')))
    if (field !== undefined) {
      const said = folded.item[field]
      const before = typeof said === 'string' ? said : ''
      const next = typeof event.delta === 'string' ? before + event.delta : event[field]
      if (typeof next === 'string') folded.item = { ...folded.item, [field]: next }
      folded.argumentsSaid = type.endsWith('.done')
      return
    }
    if (typeof event.content_index === 'number') {
      foldPart(folded.content, event.content_index, type, event)
    } else if (typeof event.summary_index === 'number') {
      foldPart(folded.summary, event.summary_index, type, event)
    }
  }
}

function itemFrom(item: Record<string, unknown>, open: boolean): FoldedItem {
  const told = { types: new Set<string>(), written: '' }
  return { item, content: new Map(), summary: new Map(), open, argumentsSaid: false, told }
}

/** What the text of a call of ours comes in. */
const grownTypes: ReadonlySet<string> = new Set([
  'response.mcp_call_arguments.delta',
  'response.code_interpreter_call_code.delta',
])

/** The field of a call that these events grow. */
const callFields: ReadonlyMap<string, string> = new Map([
  ['response.function_call_arguments', 'arguments'],
  ['response.custom_tool_call_input', 'input'],
])

function errorOf(event: Record<string, unknown>): { code: string; message: string } {
  const error = isObject(event.error) ? event.error : event
  return {
    code: typeof error.code === 'string' ? error.code : 'upstream_error',
    message: typeof error.message === 'string' ? error.message : 'The upstream failed.',
  }
}

function foldPart(
  parts: Map<number, FoldedPart>,
  index: number,
  type: string,
  event: Record<string, unknown>,
): void {
  if (isObject(event.part)) {
    const field = event.part.type === 'refusal' ? 'refusal' : 'text'
    // A copy, as deltas are added to it.
    const part = { ...event.part }
    parts.set(index, { part, field, open: type.endsWith('.added'), said: false })
    return
  }
  const folded = parts.get(index)
  if (folded === undefined) return
  const { part, field } = folded
  if (typeof event.delta === 'string') {
    part[field] = String(part[field] ?? '') + event.delta
    if (Array.isArray(event.logprobs) && event.logprobs.length > 0) {
      folded.logprobs ??= Array.isArray(part.logprobs) ? [...part.logprobs] : []
      for (const each of event.logprobs) folded.logprobs.push(each)
      part.logprobs = folded.logprobs
    }
  } else if (typeof event[field] === 'string') {
    part[field] = event[field]
    folded.said = true
  }
}

function partsOf(parts: Map<number, FoldedPart>): Record<string, unknown>[] {
  return [...parts]
    .sort(([a], [b]) => a - b)
    .map(([, { part, logprobs }]) => ({
      ...part,
      ...(logprobs === undefined ? {} : { logprobs: [...logprobs] }),
    }))
}

function itemOf({ item, content, summary }: FoldedItem): Record<string, unknown> {
  return {
    ...item,
    ...(content.size === 0 ? {} : { content: partsOf(content) }),
    ...(summary.size === 0 ? {} : { summary: partsOf(summary) }),
  }
}

/** The `done` events of an item that was cut. */
function closeItem(folded: FoldedItem, output_index: number, emit: Emit): void {
  const at = { item_id: folded.item.id, output_index }
  for (const [content_index, content] of folded.content) {
    if (!content.open) continue
    content.open = false
    const name = content.field === 'refusal' ? 'refusal' : String(content.part.type)
    const { logprobs = [] } = content.part
    const value = {
      [content.field]: content.part[content.field] ?? '',
      ...(name === 'output_text' ? { logprobs } : {}),
    }
    if (!content.said) emit(`response.${name}.done`, { ...at, content_index, ...value })
    emit('response.content_part.done', { ...at, content_index, part: content.part })
  }
  for (const [summary_index, { open, part, said }] of folded.summary) {
    if (!open) continue
    const text = part.text ?? ''
    if (!said) emit('response.reasoning_summary_text.done', { ...at, summary_index, text })
    emit('response.reasoning_summary_part.done', { ...at, summary_index, part })
  }
  if (folded.item.type === 'function_call' && !folded.argumentsSaid) {
    const { name, arguments: args } = folded.item
    emit('response.function_call_arguments.done', { ...at, name, arguments: args ?? '' })
  }
  if (folded.item.type === 'custom_tool_call' && !folded.argumentsSaid) {
    emit('response.custom_tool_call_input.done', { ...at, input: folded.item.input ?? '' })
  }
  folded.open = false
  folded.item = { ...folded.item, status: 'incomplete' }
  emit('response.output_item.done', { output_index, item: itemOf(folded) })
}
