// Chat chunks → Responses events. Knows when a Chat stream has really ended and what belongs to which item; the order on
// the wire is the writer's business.
import { ApiError, type ErrorCode, isErrorCode, toApiError } from '../errors.ts'
import type { FinishReason } from '../protocol/chat.ts'
import type { ResponsesEvent } from '../protocol/events.ts'
import type { Logprob, ResponseObject, ResponseUsage } from '../protocol/responses.ts'
import { isCompleteObject } from '../stream/json-object.ts'
import { type NormalizedChunk, normalizeChunk } from '../stream/normalize.ts'
import { ThinkSplitter } from '../stream/think.ts'
import { type ToolCall, ToolCallTable } from '../stream/tool-calls.ts'
import { ResponseWriter, type WriterOptions } from '../stream/writer.ts'
import { lowerTools } from './agent-tools.ts'
import { toFinish } from './finish-reason.ts'
import { callableNames, callLimit, cleanToolName, notAllowed } from './tools.ts'
import { sumUsage } from './usage.ts'

export interface ChatStreamOptions extends WriterOptions {
  /** Reasoning arrives inline as <think> or <reasoning> in content. */
  inlineReasoning?: boolean | undefined
  /** Error code for a stream that is cut before its end. */
  lostCode: ErrorCode
}

/** A piece of output that is no call. */
interface Segment {
  kind: 'reasoning' | 'text' | 'refusal'
  text: string
}

/** A call that has been opened at the writer. */
interface OpenedCall {
  callId: string
  closed: boolean
}

export class ChatToResponsesStream {
  readonly #writer: ResponseWriter
  readonly #lostCode: ErrorCode
  readonly #newId: WriterOptions['newId']
  readonly #splitter: ThinkSplitter | undefined
  /** Names that may be called; undefined: every one. */
  readonly #allowed: ReadonlySet<string> | undefined
  readonly #declared: ReadonlySet<string>
  readonly #stops: readonly string[]
  /** How many calls the client takes; more are not handed on. */
  readonly #callLimit: number

  readonly #table = new ToolCallTable()
  readonly #opened = new Map<ToolCall, OpenedCall>()
  readonly #callIds = new Set<string>()
  /** Calls beyond the limit. */
  readonly #ignored = new Set<ToolCall>()
  /** Text and reasoning that came while a call's arguments were still growing. */
  #held: { segment: Segment; logprobs: Logprob[] }[] = []
  /** The first finish_reason that said something. */
  #finish: FinishReason | undefined
  /** An empty finish_reason (old Ollama): an end only if the stream also says [DONE]. */
  #weakFinish = false
  #usage: ResponseUsage | undefined
  /** Of the servers before this one. */
  #usageBefore: ResponseUsage | undefined
  /** Set where another server went on: after some text, or with its own thoughts first. */
  #seam: 'text' | 'thoughts' | undefined
  #error: ApiError | undefined
  /** The stop string that ended the answer, where the server says which. */
  #stopSequence: string | undefined
  /** Events of the method that runs. */
  #events: ResponsesEvent[] = []

  constructor(options: ChatStreamOptions) {
    const { request, calls } = lowerTools(options.request)
    this.#writer = new ResponseWriter({ ...options, calls })
    this.#lostCode = options.lostCode
    this.#newId = options.newId
    this.#splitter = options.inlineReasoning === true ? new ThinkSplitter() : undefined
    this.#allowed = callableNames(request)
    this.#declared = new Set((request.tools ?? []).map((tool) => tool.name))
    this.#callLimit = callLimit(request)
    this.#stops = [request.stop ?? []].flat()
  }

  /** The current snapshot. */
  get response(): ResponseObject {
    return this.#writer.response
  }

  get ended(): boolean {
    return this.#writer.ended
  }

  get usage(): ResponseUsage | undefined {
    return this.#usage
  }

  /** Output has come. */
  get begun(): boolean {
    return this.#writer.begun
  }

  /** Why the response failed, where it did. */
  get error(): ApiError | undefined {
    return this.#error
  }

  /** The model has said that it is done. */
  get finished(): boolean {
    return this.#finish !== undefined
  }

  /** What another server could go on from; undefined where calls or a refusal have begun, or nothing is left to say. */
  continuation(): string | undefined {
    if (this.#writer.ended || this.finished || this.#splitter !== undefined) return undefined
    if (this.#table.calls.length > 0) return undefined
    let text = ''
    for (const item of this.#writer.response.output) {
      for (const part of item.type === 'message' ? item.content : []) {
        if (part.type === 'refusal') return undefined
        text += part.text
      }
    }
    return text
  }

  /** Another server goes on: its usage comes on top. */
  resume(): void {
    this.#seam = this.continuation() === '' ? 'thoughts' : 'text'
    this.#usageBefore = this.#usage
    this.#weakFinish = false
  }

  /** response.created and response.in_progress. */
  start(): ResponsesEvent[] {
    return this.#writer.start()
  }

  /** Takes one parsed chunk. The terminal event is held until usage, [DONE] or the end of the stream. */
  push(chunk: unknown): ResponsesEvent[] {
    return this.#writer.ended ? [] : this.take(normalizeChunk(chunk))
  }

  /** The same for a chunk that has been read already. */
  take(chunk: NormalizedChunk): ResponsesEvent[] {
    if (this.#writer.ended) return []
    if (chunk.error !== undefined) return this.fail(inBandError(chunk.error))
    return this.#guarded(() => this.#read(chunk))
  }

  /** The stream said [DONE]. */
  done(): ResponsesEvent[] {
    if (this.#finish === undefined && this.#weakFinish) this.#finish = 'stop'
    return this.end()
  }

  /** The stream has ended; without a finish_reason it was cut, and that is never a success. */
  end(): ResponsesEvent[] {
    if (this.#writer.ended) return []
    const finish = this.#finish
    if (finish !== undefined) return this.#guarded(() => this.#complete(finish))
    const message = 'The upstream closed the stream before the answer was complete.'
    return this.fail(new ApiError(this.#lostCode, message))
  }

  /** Ends with the `error` event and response.failed; what was received is kept. */
  fail(error: ApiError): ResponsesEvent[] {
    if (this.#writer.ended) return []
    this.#error = error
    const { code, message, param, type } = error
    for (const segment of this.#splitter?.end() ?? []) this.#output(segment, [])
    this.#emit(this.#writer.fail({ code, message, param, type }, this.#usage))
    return this.#flush()
  }

  /** Runs a step; what it wrote before a fault stays written, and the fault ends the response. */
  #guarded(step: () => void): ResponsesEvent[] {
    try {
      step()
    } catch (thrown) {
      return this.fail(toApiError(thrown))
    }
    return this.#flush()
  }

  #emit(events: ResponsesEvent[]): void {
    for (const event of events) this.#events.push(event)
  }

  #flush(): ResponsesEvent[] {
    const events = this.#events
    this.#events = []
    return events
  }

  #read(chunk: NormalizedChunk): void {
    if (chunk.reasoning !== '') this.#output({ kind: 'reasoning', text: chunk.reasoning }, [])
    if (chunk.content !== '') this.#content(chunk)
    if (chunk.refusal !== '') this.#output({ kind: 'refusal', text: chunk.refusal }, [])
    if (chunk.calls.length > 0) this.#calls(chunk)
    if (chunk.finishReason !== undefined) {
      if (chunk.finishReason === 'error') {
        throw endedInError()
      }
      this.#finish ??= toFinish(chunk.finishReason)
      this.#weakFinish ||= chunk.finishReason === ''
      // Some servers say `end_turn` here: only what was asked for can have been hit.
      const { stopReason } = chunk
      if (stopReason && this.#stops.includes(stopReason)) this.#stopSequence ??= stopReason
    }
    if (chunk.usage === undefined) return
    this.#usage = sumUsage(this.#usageBefore, chunk.usage)
    // The usage chunk has no choices and is the last one: no need to wait for [DONE].
    const bare = chunk.finishReason === undefined && chunk.content === '' && !chunk.calls.length
    if (this.#finish !== undefined && bare) this.#complete(this.#finish)
  }

  #content({ content, logprobs }: NormalizedChunk): void {
    if (this.#splitter === undefined) {
      this.#output({ kind: 'text', text: content }, logprobs)
      return
    }
    let left = logprobs
    for (const segment of this.#splitter.push(content)) {
      this.#output(segment, segment.kind === 'text' ? left : [])
      if (segment.kind === 'text') left = []
    }
  }

  /** Text or reasoning, now or, where a call is still growing, when it is whole: items never interleave. */
  #output(segment: Segment, logprobs: Logprob[]): void {
    if (!this.#callsAreWhole()) {
      this.#held.push({ segment, logprobs })
      return
    }
    this.#closeCalls()
    this.#release()
    this.#write(segment, logprobs)
  }

  #write({ kind, text }: Segment, logprobs: Logprob[]): void {
    // Thoughts about how to go on would break the answer's text in two.
    if (kind === 'reasoning' && this.#seam === 'text') return
    if (this.#seam === 'thoughts') {
      this.#seam = undefined
      this.#emit(this.#writer.endReasoning())
    }
    if (kind === 'reasoning') this.#emit(this.#writer.reasoning(text))
    else if (kind === 'refusal') this.#emit(this.#writer.refusal(text))
    else this.#emit(this.#writer.text(text, { logprobs }))
  }

  #calls(chunk: NormalizedChunk): void {
    // What is held back as a possible tag comes before the call.
    if (this.#opened.size === 0) this.#endSplitter()
    for (const { call, added } of this.#table.push(chunk.calls)) {
      if (this.#ignored.has(call)) continue
      const opened = this.#opened.get(call)
      if (opened === undefined) {
        if (call.name !== undefined) this.#open(call, call.name)
      } else if (!opened.closed) {
        this.#emit(this.#writer.callArguments(opened.callId, added))
      } else if (added.trim() !== '') {
        throw new ApiError(
          'upstream_error',
          'The model went on with a tool call that was complete.',
        )
      }
    }
  }

  #open(call: ToolCall, written: string): void {
    const name = cleanToolName(written, this.#declared)
    if (this.#allowed !== undefined && !this.#allowed.has(name)) {
      throw notAllowed(name)
    }
    if (this.#opened.size >= this.#callLimit) {
      this.#ignored.add(call)
      return
    }
    if (this.#callsAreWhole()) {
      this.#closeCalls()
      this.#release()
    }
    // Some servers give every call the same id; the client needs one for each.
    const given = call.id
    const callId = given === undefined || this.#callIds.has(given) ? this.#newId('call') : given
    this.#callIds.add(callId)
    this.#opened.set(call, { callId, closed: false })
    this.#emit(this.#writer.openCall({ call_id: callId, name }))
    this.#emit(this.#writer.callArguments(callId, call.arguments))
  }

  /** No open call can grow any more. */
  #callsAreWhole(): boolean {
    for (const [call, opened] of this.#opened) {
      if (!opened.closed && !isCompleteObject(call.arguments)) return false
    }
    return true
  }

  #closeCalls(): void {
    for (const opened of this.#opened.values()) {
      if (opened.closed) continue
      opened.closed = true
      this.#emit(this.#writer.closeCall(opened.callId))
    }
  }

  /** Writes what was held while calls were growing. White space alone is layout around calls, no message. */
  #release(): void {
    const held = this.#held
    this.#held = []
    if (held.every(({ segment }) => segment.text.trim() === '')) return
    for (const { segment, logprobs } of held) this.#write(segment, logprobs)
  }

  #endSplitter(): void {
    for (const segment of this.#splitter?.end() ?? []) this.#output(segment, [])
  }

  #complete(finish: FinishReason): void {
    this.#endSplitter()
    if (this.#table.calls.some((call) => !this.#opened.has(call) && !this.#ignored.has(call))) {
      throw new ApiError('upstream_error', 'The model sent a tool call without a name.')
    }
    const cut = finish === 'length' || finish === 'content_filter'
    if (!cut || this.#callsAreWhole()) {
      this.#closeCalls()
      this.#release()
    }
    const stopSequence = finish === 'stop' ? this.#stopSequence : undefined
    this.#emit(this.#writer.complete({ usage: this.#usage, finish, stopSequence }))
  }
}

/** Faults that another place may not have. */
const elsewhere: ReadonlySet<ErrorCode> = new Set([
  'upstream_error',
  'upstream_timeout',
  'rate_limit_exceeded',
  'no_capacity',
  'node_lost',
  'provider_auth',
])

/** The model's server gave up in the middle, and says so as `finish_reason: "error"` (OpenRouter). */
export function endedInError(): ApiError {
  const message = 'The upstream ended the answer with an error.'
  return new ApiError('upstream_error', message, { retryable: true })
}

/** An error that came inside a 200 answer, treated as its status would have been. */
export function inBandError(error: NonNullable<NormalizedChunk['error']>): ApiError {
  const code = codeOf(error)
  const retryable = elsewhere.has(code)
  return new ApiError(code, error.message, { retryable })
}

function codeOf({ code, status }: NonNullable<NormalizedChunk['error']>): ErrorCode {
  // Our key was refused, not the client's.
  if (code === 'invalid_api_key' || status === 401 || status === 403) return 'provider_auth'
  // A node speaks in our codes, and context_length_exceeded is everyone's.
  if (isErrorCode(code) && code !== 'server_error') return code
  return status === 429 ? 'rate_limit_exceeded' : 'upstream_error'
}
