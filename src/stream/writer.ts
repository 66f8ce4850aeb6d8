// The one author of sequence_number, output_index, content_index, item lifecycle and snapshots of a Responses stream.
// Whoever produces output (the Chat converter, the node's harmony parser) says what comes; the writer says it in order:
// items open and close one after the other and never interleave. https://www.openresponses.org, "Streaming"
import { ApiError } from '../errors.ts'
import type { NewId } from '../ids.ts'
import type { ResponsesEvent } from '../protocol/events.ts'
import type {
  ItemStatus,
  Logprob,
  OutputCall,
  OutputItem,
  OutputMessage,
  OutputReasoning,
  ResponseObject,
  ResponsesRequest,
  ResponseUsage,
} from '../protocol/responses.ts'
import {
  announcedCall,
  type CallShapes,
  callIdPrefix,
  FreeformInput,
  isRunnable,
} from './call-shape.ts'
import {
  closedItem,
  closedPart,
  type OpenCall,
  type OpenItem,
  type OpenMessage,
  type OpenReasoning,
} from './open-item.ts'
import { initialResponse, type SnapshotOptions } from './snapshot.ts'

export type ReasoningEvents = 'reasoning_text' | 'reasoning' | 'summary'
export type Finish = 'stop' | 'length' | 'content_filter' | 'tool_calls'
export type Phase = 'commentary' | 'final_answer'

export interface WriterOptions {
  /** The canonical request: its parameters are echoed in every snapshot. */
  request: ResponsesRequest
  /** `resp_…` */
  id: string
  /** The model that answers. */
  model: string
  /** Unix time in seconds. */
  createdAt: number
  state?: SnapshotOptions['state']
  newId: NewId
  /** Milliseconds since the epoch. */
  now: () => number
  /** Which family of events carries reasoning. */
  reasoningEvents: ReasoningEvents
  /** Only the response is wanted: no events are made. */
  silent?: boolean
  /** Functions whose calls are something else to the client. */
  calls?: CallShapes | undefined
}

export interface WriterError {
  code: string
  message: string
  param?: string | null
  /** OpenAI's error type; `server_error` unless given. */
  type?: string
}

/** A call that waits until the ones opened before it are closed. */
interface WaitingCall {
  item: OutputCall
  arguments: string
  closed: boolean
}

/** Distributes Omit over the union: an event before it is stamped. */
type Unstamped = ResponsesEvent extends infer E
  ? E extends ResponsesEvent
    ? Omit<E, 'sequence_number'>
    : never
  : never

export class ResponseWriter {
  readonly #newId: NewId
  readonly #now: () => number
  readonly #reasoningEvents: ReasoningEvents
  readonly #silent: boolean
  readonly #calls: CallShapes | undefined

  /** Everything but `output` and what the end decides. */
  #base: ResponseObject
  /** Finished items, in order. */
  #output: OutputItem[] = []
  #open: OpenItem | undefined
  /** Calls opened while another call was open, in order of opening. */
  #waiting: WaitingCall[] = []
  /** Call ids that have been closed: late deltas for them are a fault. */
  #closedCalls = new Set<string>()
  #sequence = 0
  /** Set by complete() and fail(): nothing is written after it. */
  #ended = false
  /** Events of the method that runs. */
  #events: ResponsesEvent[] = []

  constructor(options: WriterOptions) {
    this.#newId = options.newId
    this.#now = options.now
    this.#reasoningEvents = options.reasoningEvents
    this.#silent = options.silent === true
    this.#calls = options.calls
    this.#base = initialResponse(options.request, options)
  }

  /** The current snapshot: finished items, and the open one as far as it has come. */
  get response(): ResponseObject {
    const output = [...this.#output]
    if (this.#open !== undefined) output.push(closedItem(this.#open, 'in_progress', this.#summary))
    return { ...this.#base, output }
  }

  /** An item has been opened. */
  get begun(): boolean {
    return this.#open !== undefined || this.#output.length > 0
  }

  /** True after complete() or fail(). */
  get ended(): boolean {
    return this.#ended
  }

  /** response.created and response.in_progress. */
  start(): ResponsesEvent[] {
    this.#emit({ type: 'response.created', response: this.response })
    this.#emit({ type: 'response.in_progress', response: this.response })
    return this.#flush()
  }

  /** Opens or continues a reasoning item; whatever else is open is closed first. */
  reasoning(delta: string): ResponsesEvent[] {
    if (this.#ended || delta === '') return []
    const open = this.#open?.kind === 'reasoning' ? this.#open : this.#openReasoning()
    open.text += delta
    const { item_id, output_index } = this.#position(open)
    if (this.#summary) {
      const type = 'response.reasoning_summary_text.delta'
      this.#emit({ type, item_id, output_index, summary_index: 0, delta })
    } else {
      const type =
        this.#reasoningEvents === 'reasoning'
          ? 'response.reasoning.delta'
          : 'response.reasoning_text.delta'
      const sequence_number = this.#sequence++
      this.#push({ type, sequence_number, item_id, output_index, content_index: 0, delta })
    }
    return this.#flush()
  }

  /**
   * Closes an open reasoning item: what follows are the thoughts of another model. Cut as it is, it is `completed`: Open
   * Responses wants an incomplete item to be the last one, and its response to be incomplete, too.
   */
  endReasoning(): ResponsesEvent[] {
    if (this.#open?.kind === 'reasoning') this.#close('completed')
    return this.#flush()
  }

  /** Opens or continues an output_text part. Another `phase` than the open message's opens a new message. */
  text(delta: string, options: { logprobs?: Logprob[]; phase?: Phase } = {}): ResponsesEvent[] {
    const logprobs = options.logprobs ?? []
    if (this.#ended || (delta === '' && logprobs.length === 0)) return []
    const open = this.#message('output_text', options.phase)
    open.part.text += delta
    for (const logprob of logprobs) open.part.logprobs.push(logprob)
    // Nearly every event is this one: a literal costs a fortieth of what stamping a finished event does.
    this.#push({
      type: 'response.output_text.delta',
      sequence_number: this.#sequence++,
      item_id: open.item.id,
      output_index: this.#output.length,
      content_index: open.parts.length,
      delta,
      logprobs,
    })
    return this.#flush()
  }

  /** Opens or continues a refusal part, in the open message if there is one. */
  refusal(delta: string): ResponsesEvent[] {
    if (this.#ended || delta === '') return []
    const open = this.#message('refusal', undefined)
    open.part.text += delta
    this.#emit({ type: 'response.refusal.delta', ...this.#partPosition(open), delta })
    return this.#flush()
  }

  /** Opens the item of a call; while another call is open it waits its turn, off the wire. */
  openCall(call: { call_id: string; name: string; id?: string }): ResponsesEvent[] {
    if (this.#ended) return []
    const shape = this.#calls?.get(call.name) ?? { kind: 'function', name: call.name }
    const id = call.id ?? this.#newId(callIdPrefix(shape))
    const item = announcedCall(shape, id, call.call_id)
    if (this.#open?.kind === 'call') {
      this.#waiting.push({ item, arguments: '', closed: false })
      return []
    }
    this.#close('completed')
    this.#announceCall(item)
    return this.#flush()
  }

  /** Arguments of a call that is open or waiting; throws for any other, as nothing could be said in order. */
  callArguments(call_id: string, delta: string): ResponsesEvent[] {
    if (this.#ended || delta === '') return []
    const open = this.#open
    if (open?.kind === 'call' && open.item.call_id === call_id) {
      this.#argumentsDelta(open, delta)
      return this.#flush()
    }
    const waiting = this.#waiting.find((call) => call.item.call_id === call_id && !call.closed)
    if (waiting === undefined) {
      throw new ApiError('upstream_error', 'The model sent arguments for a call that is not open.')
    }
    waiting.arguments += delta
    return []
  }

  /** Closes a call, and writes out the ones that waited for it. Closing twice does nothing. */
  closeCall(call_id: string): ResponsesEvent[] {
    if (this.#ended || this.#closedCalls.has(call_id)) return []
    if (this.#open?.kind === 'call' && this.#open.item.call_id === call_id) {
      this.#closeOpen('completed')
      this.#releaseWaiting()
      return this.#flush()
    }
    const waiting = this.#waiting.find((call) => call.item.call_id === call_id)
    if (waiting !== undefined) waiting.closed = true
    return []
  }

  /** Closes everything; response.completed, or response.incomplete with its reason. */
  complete(end: {
    usage?: ResponseUsage | undefined
    finish: Finish
    stopSequence?: string | undefined
  }): ResponsesEvent[] {
    if (this.#ended) return []
    const filtered = end.finish === 'content_filter' ? end.finish : undefined
    const reason = end.finish === 'length' ? 'max_output_tokens' : filtered
    if (reason === undefined) this.#close('completed')
    else this.#cut()
    this.#ended = true
    const status = reason === undefined ? 'completed' : 'incomplete'
    // In place, as a snapshot is a copy.
    Object.assign(this.#base, {
      status,
      completed_at: reason === undefined ? Math.floor(this.#now() / 1000) : null,
      incomplete_details: reason === undefined ? null : { reason },
      usage: end.usage ?? null,
      ...(end.stopSequence === undefined ? {} : { stop_sequence: end.stopSequence }),
    })
    if (!this.#silent) this.#emit({ type: `response.${status}`, response: this.response })
    return this.#flush()
  }

  /** Closes what is open as incomplete; the `error` event, then response.failed with all that was received. */
  fail(error: WriterError, usage?: ResponseUsage): ResponsesEvent[] {
    if (this.#ended) return []
    this.#cut()
    this.#ended = true
    const { code, message } = error
    const param = error.param ?? null
    const nested = { type: error.type ?? 'server_error', code, message, param }
    this.#emit({ type: 'error', code, message, param, error: nested })
    this.#base = {
      ...this.#base,
      status: 'failed',
      error: { code, message },
      usage: usage ?? this.#base.usage,
    }
    this.#emit({ type: 'response.failed', response: this.response })
    return this.#flush()
  }

  // ---- items

  get #summary(): boolean {
    return this.#reasoningEvents === 'summary'
  }

  #openReasoning(): OpenReasoning {
    this.#close('completed')
    const item: OutputReasoning = {
      id: this.#newId('rs'),
      type: 'reasoning',
      status: 'in_progress',
      summary: [],
      ...(this.#summary ? {} : { content: [] }),
    }
    const open: OpenReasoning = { kind: 'reasoning', item, text: '' }
    this.#announce(open)
    const at = this.#position(open)
    if (this.#summary) {
      const type = 'response.reasoning_summary_part.added'
      this.#emit({ type, ...at, summary_index: 0, part: { type: 'summary_text', text: '' } })
    } else {
      const part = { type: 'reasoning_text' as const, text: '' }
      this.#emit({ type: 'response.content_part.added', ...at, content_index: 0, part })
    }
    return open
  }

  /** The open message with an open part of this type, opened as far as needed. */
  #message(type: OpenMessage['part']['type'], phase: Phase | undefined): OpenMessage {
    const open = this.#open
    if (open?.kind === 'message' && (phase === undefined || phase === open.item.phase)) {
      if (open.part.type === type) return open
      this.#closePart(open)
      open.part = { type, text: '', logprobs: [] }
      this.#announcePart(open)
      return open
    }
    this.#close('completed')
    const item: OutputMessage = {
      id: this.#newId('msg'),
      type: 'message',
      status: 'in_progress',
      role: 'assistant',
      content: [],
      ...(phase === undefined ? {} : { phase }),
    }
    const opened: OpenMessage = {
      kind: 'message',
      item,
      parts: [],
      part: { type, text: '', logprobs: [] },
    }
    this.#announce(opened)
    this.#announcePart(opened)
    return opened
  }

  #announce(open: OpenItem): void {
    this.#open = open
    const { output_index } = this.#position(open)
    this.#emit({ type: 'response.output_item.added', output_index, item: open.item })
  }

  #announcePart(open: OpenMessage): void {
    const part = closedPart({ ...open.part, text: '', logprobs: [] })
    this.#emit({ type: 'response.content_part.added', ...this.#partPosition(open), part })
  }

  #announceCall(item: OutputCall): OpenCall {
    const input = item.type === 'custom_tool_call' ? new FreeformInput() : undefined
    const open: OpenCall = { kind: 'call', item, arguments: '', input }
    this.#announce(open)
    return open
  }

  #argumentsDelta(open: OpenCall, delta: string): void {
    open.arguments += delta
    if (open.item.type === 'function_call') {
      const type = 'response.function_call_arguments.delta'
      this.#emit({ type, ...this.#position(open), delta })
    } else if (open.input !== undefined) this.#inputDelta(open, open.input.push(delta))
  }

  #inputDelta(open: OpenCall, delta: string): void {
    if (delta === '') return
    const type = 'response.custom_tool_call_input.delta'
    this.#emit({ type, ...this.#position(open), delta })
  }

  /** Puts the next waiting call on the wire. */
  #announceWaiting(): WaitingCall | undefined {
    const next = this.#waiting.shift()
    if (next === undefined) return undefined
    const open = this.#announceCall(next.item)
    if (next.arguments !== '') this.#argumentsDelta(open, next.arguments)
    return next
  }

  /** Writes out waiting calls up to and including the first that is still growing. */
  #releaseWaiting(): void {
    while (this.#announceWaiting()?.closed) this.#closeOpen('completed')
  }

  /** Closes the open item and every waiting call. */
  #close(status: ItemStatus): void {
    do this.#closeOpen(status)
    while (this.#announceWaiting() !== undefined)
  }

  /**
   * Closes for an answer that was cut. An incomplete item must be the last one, so calls that waited behind a call
   * whose arguments are not whole never reach the wire: nothing could be done with them.
   */
  #cut(): void {
    while (this.#open?.kind === 'call' && this.#waiting.length > 0) {
      if (!isRunnable(this.#open.item, this.#open.arguments)) break
      this.#closeOpen('completed')
      this.#announceWaiting()
    }
    this.#waiting = []
    this.#closeOpen('incomplete')
  }

  #closePart(open: OpenMessage): void {
    const at = this.#partPosition(open)
    const part = closedPart(open.part)
    if (part.type === 'output_text') {
      const { text, logprobs } = part
      this.#emit({ type: 'response.output_text.done', ...at, text, logprobs })
    } else {
      this.#emit({ type: 'response.refusal.done', ...at, refusal: part.refusal })
    }
    this.#emit({ type: 'response.content_part.done', ...at, part })
    open.parts.push(part)
  }

  #closeOpen(status: ItemStatus): void {
    const open = this.#open
    if (open === undefined) return
    const at = this.#position(open)
    if (open.kind === 'message') this.#closePart(open)
    else if (open.kind === 'reasoning') this.#closeReasoning(open)
    else this.#closeArguments(open)
    const item = closedItem(open, status, this.#summary)
    this.#emit({
      type: 'response.output_item.done',
      output_index: at.output_index,
      item,
    })
    this.#output.push(item)
    this.#open = undefined
  }

  #closeArguments(open: OpenCall): void {
    const at = this.#position(open)
    if (open.item.type === 'function_call') {
      const { name } = open.item
      const type = 'response.function_call_arguments.done'
      this.#emit({ type, ...at, name, arguments: open.arguments })
    } else if (open.input !== undefined) {
      this.#inputDelta(open, open.input.end(open.arguments))
      const type = 'response.custom_tool_call_input.done'
      this.#emit({ type, ...at, input: open.input.text })
    }
    this.#closedCalls.add(open.item.call_id)
  }

  #closeReasoning(open: OpenReasoning): void {
    const at = this.#position(open)
    const { text } = open
    if (this.#summary) {
      const here = { ...at, summary_index: 0 }
      this.#emit({ type: 'response.reasoning_summary_text.done', ...here, text })
      const part = { type: 'summary_text' as const, text }
      this.#emit({ type: 'response.reasoning_summary_part.done', ...here, part })
      return
    }
    const here = { ...at, content_index: 0 }
    const type =
      this.#reasoningEvents === 'reasoning'
        ? 'response.reasoning.done'
        : 'response.reasoning_text.done'
    this.#emit({ type, ...here, text })
    const part = { type: 'reasoning_text' as const, text }
    this.#emit({ type: 'response.content_part.done', ...here, part })
  }

  // ---- stamping

  #position(open: OpenItem): { item_id: string; output_index: number } {
    return { item_id: open.item.id, output_index: this.#output.length }
  }

  #partPosition(open: OpenMessage) {
    return { ...this.#position(open), content_index: open.parts.length }
  }

  #emit(event: Unstamped): void {
    if (this.#silent) return
    // The union is kept by construction: only the stamp is added, after the type as OpenAI has it.
    const head = { type: event.type, sequence_number: this.#sequence++ }
    this.#push(Object.assign(head, event) as ResponsesEvent)
  }

  #push(event: ResponsesEvent): void {
    if (!this.#silent) this.#events.push(event)
  }

  #flush(): ResponsesEvent[] {
    const events = this.#events
    this.#events = []
    return events
  }
}
