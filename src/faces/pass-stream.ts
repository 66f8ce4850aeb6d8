// Same dialect on both sides: bytes go through as they are, at the ends of events, while a watch looks for the terminal
// event, usage and errors, so that a cut or silent stream is never taken for a success.
import { toFinish } from '../convert/finish-reason.ts'
import { endedInError, inBandError } from '../convert/stream.ts'
import { sumUsage, usageToChat } from '../convert/usage.ts'
import { ApiError } from '../errors.ts'
import { isObject } from '../protocol/check.ts'
import type { ResponseUsage } from '../protocol/responses.ts'
import { doneMarker, encodeChunk, encodeEvent } from '../sse/encode.ts'
import { type NormalizedChunk, normalizeChunk } from '../stream/normalize.ts'
import {
  type AnswerStatus,
  type AnswerStream,
  EventReader,
  type UpstreamEvent,
} from './answer-stream.ts'
import { type ResponsesSource, terminalStatus } from './convert-stream.ts'
import { concat, EventBytes } from './event-bytes.ts'
import { type Rethought, rethought } from './seam-thoughts.ts'

/** What becomes of the events of one read. */
interface Verdict {
  /** The events that the client gets. */
  kept: UpstreamEvent[]
  /** True where some were left out: the bytes cannot go as they are. */
  altered: boolean
  /** What the stream still lacked. */
  added: string
}

interface Watch {
  see(events: UpstreamEvent[]): Verdict
  fail(error: ApiError): string
  end(): string
  readonly status: AnswerStatus | undefined
  readonly error: ApiError | undefined
  readonly usage: ResponseUsage | undefined
  readonly begun: boolean
  /** As in AnswerStream. */
  readonly finished?: boolean
  continuation?(): string | undefined
  resume?(): void
}

export class PassedStream implements AnswerStream {
  #reader = new EventReader()
  #bytes = new EventBytes()
  readonly #watch: Watch

  constructor(watch: ChatWatch | ResponsesWatch) {
    this.#watch = watch
  }

  get status(): AnswerStatus | undefined {
    return this.#watch.status
  }

  get error(): ApiError | undefined {
    return this.#watch.error
  }

  get usage(): ResponseUsage | undefined {
    return this.#watch.usage
  }

  get begun(): boolean {
    return this.#watch.begun
  }

  get finished(): boolean {
    return this.#watch.finished === true
  }

  continuation(): string | undefined {
    return this.status === undefined ? this.#watch.continuation?.() : undefined
  }

  resume(): void {
    this.#reader = new EventReader()
    this.#bytes = new EventBytes()
    this.#watch.resume?.()
  }

  start(): string {
    return ''
  }

  push(bytes: Uint8Array): Uint8Array | string {
    const whole = this.#bytes.push(bytes)
    const { kept, altered, added } = this.#watch.see(this.#reader.push(bytes))
    if (altered) return framed(kept) + added
    if (whole === undefined) return added
    return added === '' ? whole : concat([whole, added])
  }

  end(): string {
    // The last event may lack its blank line; one that was cut in the middle is not passed on.
    const last = this.#reader.end().filter(({ isDone, json }) => isDone || json !== undefined)
    const { kept, added } = this.#watch.see(last)
    return framed(kept) + added + (this.status === undefined ? this.#watch.end() : '')
  }

  fail(error: ApiError): string {
    return this.status === undefined ? this.#watch.fail(error) : ''
  }
}

/** Events as text again, their data untouched. */
function framed(events: UpstreamEvent[]): string {
  let text = ''
  for (const { event, data } of events) {
    if (event !== undefined) text += `event: ${event}\n`
    for (const line of data.split('\n')) text += `data: ${line}\n`
    text += '\n'
  }
  return text
}

export interface ChatWatchOptions {
  /** Makes the error of a cut stream. */
  lost: () => ApiError
  /** False where the usage chunk was asked for by us and not by the client. */
  includeUsage: boolean
  /** Keep what was said, so that another server can go on from it. */
  rescuable?: boolean
}

/** A Chat stream is whole when a finish_reason was followed by [DONE] or by the end of the stream. */
export class ChatWatch implements Watch {
  readonly #options: ChatWatchOptions
  /** A finish_reason has come; an empty one counts only with [DONE]. */
  #finish: AnswerStatus | undefined
  #weakFinish = false
  /** What was said so far; undefined where nobody could go on from it, or nobody shall. */
  #said: string | undefined
  /** `id`, `created` and `model` of the first chunk: what follows a seam carries them, too. */
  #head: Record<string, unknown> | undefined
  /** Another server goes on: its chunks are not passed as they are. */
  #resumed = false
  #hasThought = false
  /** What becomes of that server's thoughts; undefined: they are passed. */
  #rethought: Rethought | undefined
  #usageBefore: ResponseUsage | undefined
  status: AnswerStatus | undefined
  error: ApiError | undefined
  usage: ResponseUsage | undefined
  begun = false

  constructor(options: ChatWatchOptions) {
    this.#options = options
    if (options.rescuable === true) this.#said = ''
  }

  get finished(): boolean {
    return this.#finish !== undefined
  }

  continuation(): string | undefined {
    return this.finished ? undefined : this.#said
  }

  resume(): void {
    this.#resumed = true
    this.#rethought = this.#said !== '' ? 'left out' : this.#hasThought ? 'new line' : undefined
    this.#weakFinish = false
    this.#usageBefore = this.usage
  }

  see(events: UpstreamEvent[]): Verdict {
    const kept: UpstreamEvent[] = []
    let added = ''
    let mended = this.#resumed
    for (const event of events) {
      if (this.status !== undefined) break
      if (event.isDone) {
        this.#finish ??= this.#weakFinish ? 'completed' : undefined
        if (this.#finish === undefined) added = this.fail(this.#options.lost())
        else {
          this.status = this.#finish
          kept.push(event)
        }
      } else if (this.#keep(event.json)) {
        const passed = this.#resumed ? this.#joined(event) : withChoices(event)
        mended ||= passed !== event
        kept.push(passed)
      } else if (this.error !== undefined) added = this.fail(this.error)
    }
    return { kept, altered: mended || kept.length < events.length, added }
  }

  end(): string {
    if (this.#finish === undefined) return this.fail(this.#options.lost())
    this.status = this.#finish
    return doneMarker
  }

  /** An error chunk; no [DONE] follows, so that no client takes it for a success. */
  fail(error: ApiError): string {
    this.status = 'failed'
    this.error = error
    return encodeChunk(error.toBody())
  }

  #keep(json: unknown): boolean {
    // Clients read fields of whatever they get.
    if (!isObject(json)) return false
    const chunk = normalizeChunk(json)
    if (chunk.error !== undefined) {
      this.status = 'failed'
      this.error = inBandError(chunk.error)
      // Clients look for `error` and nothing else: in another form the end of the stream would pass for a success.
      return isObject(json) && isObject(json.error)
    }
    if (chunk.finishReason === 'error') {
      this.status = 'failed'
      this.error = endedInError()
      return false
    }
    const { reasoning, content, refusal, calls } = chunk
    this.#hasThought ||= reasoning !== ''
    this.begun ||= reasoning !== '' || content !== '' || refusal !== '' || calls.length > 0
    const finish = toFinish(chunk.finishReason)
    this.#weakFinish ||= chunk.finishReason === ''
    if (finish === 'length' || finish === 'content_filter') this.#finish ??= 'incomplete'
    else if (finish !== undefined) this.#finish ??= 'completed'
    if (this.#said !== undefined) this.#keepSaid(chunk, json)
    if (chunk.usage === undefined) return true
    this.usage = sumUsage(this.#usageBefore, chunk.usage)
    const bare = isObject(json) && (!Array.isArray(json.choices) || json.choices.length === 0)
    return this.#options.includeUsage || !bare
  }

  #keepSaid({ content, refusal, calls }: NormalizedChunk, json: unknown): void {
    if (this.#head === undefined && isObject(json)) {
      const { id, created, model } = json
      this.#head = { id, created, model }
    }
    this.#said = refusal === '' && calls.length === 0 ? this.#said + content : undefined
  }

  /** An event after the seam as one of the same stream. */
  #joined(event: UpstreamEvent): UpstreamEvent {
    if (!isObject(event.json)) return event
    const usage = event.json.usage == null || !this.usage ? {} : { usage: usageToChat(this.usage) }
    const choices = this.#rethought && rethought(event.json, this.#rethought)
    if (choices !== undefined && this.#rethought === 'new line') this.#rethought = undefined
    const joined = { ...event.json, ...(choices && { choices }), ...this.#head, ...usage }
    return { ...event, data: JSON.stringify(joined) }
  }
}

/** Objects without a `type` are no events and are left out; more than this many are another dialect. */
const maxTypeless = 3

function notResponses(): ApiError {
  const message = 'The upstream sent events that are none of the Responses API.'
  return new ApiError('upstream_error', message, { retryable: true })
}

/** Some servers end with `choices: null` or none beside the usage, at which OpenAI's clients throw. */
function withChoices(event: UpstreamEvent): UpstreamEvent {
  const { json } = event
  if (!isObject(json) || Array.isArray(json.choices) || !isObject(json.usage)) return event
  return { ...event, data: JSON.stringify({ ...json, choices: [] }) }
}

/** A Responses stream is whole with its terminal event; [DONE] is added where the upstream sends none. */
export class ResponsesWatch implements Watch {
  readonly #source: ResponsesSource
  #typeless = 0
  status: AnswerStatus | undefined

  constructor(source: ResponsesSource) {
    this.#source = source
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

  see(events: UpstreamEvent[]): Verdict {
    const kept: UpstreamEvent[] = []
    let added = ''
    let done = false
    for (const event of events) {
      if (done) break
      if (event.isDone) {
        done = true
        if (this.status === undefined) added = this.end()
        else kept.push(event)
      } else if (this.status === undefined && isObject(event.json)) {
        if (typeof event.json.type !== 'string' && !isObject(event.json.error)) {
          // A Chat stream of a provider that is wrongly said to speak Responses, more often than not.
          if (++this.#typeless > maxTypeless || Array.isArray(event.json.choices))
            throw notResponses()
          continue
        }
        const passed = this.#source.push(event.json)
        if (passed[0] !== undefined && passed[0] !== event.json) added = this.#ending(passed)
        else kept.push(event)
        this.status ??= terminalStatus(event.json.type)
      }
    }
    if (this.status !== undefined && !done && added === '') added = doneMarker
    return { kept, altered: kept.length < events.length, added }
  }

  end(): string {
    return this.#ending(this.#source.end())
  }

  fail(error: ApiError): string {
    return this.#ending(this.#source.fail(error))
  }

  #ending(events: object[]): string {
    this.status ??= 'failed'
    let text = ''
    for (const event of events) text += encodeEvent(String(Reflect.get(event, 'type')), event)
    return text + doneMarker
  }
}
