// Between dialects: a source makes Responses events of an upstream's, a sink writes them for the client. One hop, no
// stream chains (a TransformStream costs 8 µs a chunk in workerd).
import { type ResponsesStreamOptions, ResponsesToChatStream } from '../convert/chat-stream.ts'
import { inBandError } from '../convert/stream.ts'
import { callableNames, notAllowed } from '../convert/tools.ts'
import { usageFromResponses } from '../convert/usage.ts'
import type { ApiError } from '../errors.ts'
import { isObject } from '../protocol/check.ts'
import type { ResponsesRequest, ResponseUsage } from '../protocol/responses.ts'
import { doneMarker, encodeChunk, encodeEvent } from '../sse/encode.ts'
import { ResponseFold } from '../stream/fold.ts'
import { normalizeChunk } from '../stream/normalize.ts'
import {
  type AnswerStatus,
  type AnswerStream,
  EventReader,
  type UpstreamEvent,
} from './answer-stream.ts'
import type { Candidate, FaceDeps } from './deps.ts'

/** An upstream's events as Responses events, with an end in any case. */
export interface Source {
  start(): object[]
  push(json: unknown): object[]
  done(): object[]
  end(): object[]
  fail(error: ApiError): object[]
  readonly error: ApiError | undefined
  readonly usage: ResponseUsage | undefined
  readonly begun: boolean
  /** As in AnswerStream. */
  readonly finished?: boolean
  continuation?(): string | undefined
  resume?(): void
  held?(): Promise<object[]> | undefined
}

/** Responses events as text of the client's dialect. */
export interface Sink {
  write(events: object[]): string
  readonly ping?: string
  readonly status: AnswerStatus | undefined
}

/** How a Chat upstream's answer is read for clients whose dialect keeps no responses. */
export function unstoredOptions(
  request: ResponsesRequest,
  candidate: Candidate,
  { newId, now }: Pick<FaceDeps, 'newId' | 'now'>,
) {
  return {
    request,
    id: newId('resp'),
    model: candidate.model,
    createdAt: Math.floor(now() / 1000),
    newId,
    now,
    reasoningEvents: 'reasoning_text' as const,
    inlineReasoning: candidate.inlineReasoning,
    lostCode: candidate.lostCode,
  }
}

export class ConvertedStream implements AnswerStream {
  #reader = new EventReader()
  readonly #source: Source
  readonly #sink: Sink

  constructor(source: Source, sink: Sink) {
    this.#source = source
    this.#sink = sink
  }

  get status(): AnswerStatus | undefined {
    return this.#sink.status
  }

  get ping(): string | undefined {
    return this.#sink.ping
  }

  get error(): ApiError | undefined {
    return this.#source.error
  }

  get usage(): ResponseUsage | undefined {
    return this.#source.usage
  }

  get begun(): boolean {
    return this.#source.begun
  }

  get finished(): boolean {
    return this.#source.finished === true
  }

  continuation(): string | undefined {
    return this.status === undefined ? this.#source.continuation?.() : undefined
  }

  resume(): void {
    this.#reader = new EventReader()
    this.#source.resume?.()
  }

  start(): string {
    return this.#sink.write(this.#source.start())
  }

  push(bytes: Uint8Array): string {
    return this.#take(this.#reader.push(bytes))
  }

  end(): string {
    const last = this.#take(this.#reader.end())
    return last + this.#sink.write(this.#source.end())
  }

  fail(error: ApiError): string {
    return this.#sink.write(this.#source.fail(error))
  }

  held(): Promise<string> | undefined {
    return this.#source.held?.()?.then((events) => this.#sink.write(events))
  }

  #take(messages: UpstreamEvent[]): string {
    let text = ''
    for (const { isDone, json } of messages) {
      if (this.status !== undefined) break
      text += this.#sink.write(isDone ? this.#source.done() : this.#source.push(json))
    }
    return text
  }
}

/** A Responses upstream: its events as they are, and an end where it is cut. */
export class ResponsesSource implements Source {
  readonly #fold = new ResponseFold()
  readonly #lost: () => ApiError
  readonly #fallback: Record<string, unknown>
  readonly #allowed: ReadonlySet<string> | undefined
  #error: ApiError | undefined

  /**
   * `lost` makes the error of a cut stream; `fallback` is the snapshot of a response that never began. A call outside of
   * `allowed` ends the stream.
   */
  constructor(
    lost: () => ApiError,
    fallback: Record<string, unknown>,
    allowed?: ReadonlySet<string>,
  ) {
    this.#lost = lost
    this.#fallback = fallback
    this.#allowed = allowed
  }

  get error(): ApiError | undefined {
    return this.#error
  }

  get usage(): ResponseUsage | undefined {
    return usageFromResponses(this.#fold.response?.usage)
  }

  get begun(): boolean {
    return this.#fold.begun
  }

  start(): object[] {
    return []
  }

  push(json: unknown): object[] {
    if (!isObject(json) || this.#fold.terminal !== undefined) return []
    // Some servers answer 200 and send their HTTP error body as the only event.
    if (typeof json.type !== 'string') return isObject(json.error) ? this.fail(errorOf(json)) : []
    const refused = this.#allowed && disallowedCall(json.item, this.#allowed)
    if (refused !== undefined) return this.fail(notAllowed(refused))
    this.#fold.push(json)
    if (json.type === 'response.failed') this.#error ??= errorOf(this.#fold.response)
    return [json]
  }

  done(): object[] {
    return this.end()
  }

  end(): object[] {
    return this.#fold.terminal === undefined ? this.fail(this.#lost()) : []
  }

  fail(error: ApiError): object[] {
    const events = this.#fold.fail(error, this.#fallback)
    if (events.length > 0) this.#error = error
    return events
  }
}

/** The name of a call that the client's tool_choice rules out. Tools in a namespace are chosen by their namespace. */
function disallowedCall(item: unknown, allowed: ReadonlySet<string>): string | undefined {
  if (!isObject(item) || item.namespace !== undefined) return undefined
  if (item.type !== 'function_call' && item.type !== 'custom_tool_call') return undefined
  const { name } = item
  return typeof name === 'string' && !allowed.has(name) ? name : undefined
}

/** `allowed_tools` holds, whatever the upstream makes of it. */
export function refuseCalls(json: unknown, request: ResponsesRequest): void {
  const allowed = callableNames(request)
  if (allowed === undefined || !isObject(json) || !Array.isArray(json.output)) return
  for (const item of json.output) {
    const name = disallowedCall(item, allowed)
    if (name !== undefined) throw notAllowed(name)
  }
}

function errorOf(source: unknown): ApiError {
  const nested = isObject(source) && isObject(source.error) ? source.error : {}
  const error = normalizeChunk({ error: nested }).error
  return inBandError(
    error ?? { message: 'The upstream failed.', code: undefined, status: undefined },
  )
}

/** The status that an event gives a response; undefined for all but terminal events. */
export function terminalStatus(type: unknown): AnswerStatus | undefined {
  switch (type) {
    case 'response.completed':
      return 'completed'
    case 'response.incomplete':
      return 'incomplete'
    case 'response.failed':
      return 'failed'
    default:
      return undefined
  }
}

/** For clients that speak Responses: every stream ends with [DONE], a failed one too. */
export class ResponsesSink implements Sink {
  #status: AnswerStatus | undefined

  get status(): AnswerStatus | undefined {
    return this.#status
  }

  write(events: object[]): string {
    let text = ''
    for (const event of events) {
      if (this.#status !== undefined) return text
      const type = String(Reflect.get(event, 'type'))
      text += encodeEvent(type, event)
      this.#status = terminalStatus(type)
      if (this.#status !== undefined) text += doneMarker
    }
    return text
  }
}

/** For clients that speak Chat: a failed answer ends with an error chunk and without [DONE]. */
export class ChatSink implements Sink {
  readonly #stream: ResponsesToChatStream

  constructor(options: ResponsesStreamOptions) {
    this.#stream = new ResponsesToChatStream(options)
  }

  get status(): AnswerStatus | undefined {
    return this.#stream.status
  }

  write(events: object[]): string {
    let text = ''
    for (const event of events) {
      if (this.status !== undefined) return text
      for (const chunk of this.#stream.push(event)) text += encodeChunk(chunk)
      const { status } = this
      if (status === 'completed' || status === 'incomplete') text += doneMarker
    }
    return text
  }
}
