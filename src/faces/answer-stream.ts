// One streamed answer on its way to the client: upstream bytes in, client bytes out. convert-stream.ts changes the dialect,
// pass-stream.ts hands bytes on and only watches; the pump drives either.
import { ApiError } from '../errors.ts'
import type { ResponseUsage } from '../protocol/responses.ts'
import { SseDecoder, type SseMessage } from '../sse/decode.ts'

export type AnswerStatus = 'completed' | 'incomplete' | 'failed'

export interface AnswerStream {
  /** What can be said before the upstream has said anything. */
  start(): string
  /** Takes what one read brought; gives the bytes themselves where nothing had to change. Throws ApiError. */
  push(bytes: Uint8Array): Uint8Array | string
  /** The upstream has ended. Throws ApiError. */
  end(): string
  /** The upstream was lost; says so in the client's dialect. */
  fail(error: ApiError): string
  /** What breaks a long silence, where the dialect has a word for it; else a comment does. */
  readonly ping?: string | undefined
  /** Set once nothing more will be written. */
  readonly status: AnswerStatus | undefined
  readonly error: ApiError | undefined
  readonly usage: ResponseUsage | undefined
  /** Output of the model has come: before that, a failure can still be an HTTP error, or another candidate's turn. */
  readonly begun: boolean
  /** The model has said that it is done: however the connection ends now, the answer is whole. */
  readonly finished?: boolean
  /** The stream was cut: the text that another upstream could go on from; undefined where none can. */
  continuation?(): string | undefined
  /** Another upstream goes on: what the first had begun and not completed is forgotten. */
  resume?(): void
  /** This is the answer that the client gets: no other candidate will be asked. */
  chosen?(): void
  /** What the last turn brought and had to wait (a text that is being sealed), once it is there; undefined: nothing waits. */
  held?(): Promise<Uint8Array | string> | undefined
  /** Once `status` is set: the last bytes, where they had to wait for something, as a record that must be kept first. */
  last?(): Promise<string>
  /** The client has left before the end. */
  cancel?(): void
}

/** One event of an upstream. `json` is undefined for [DONE] and for data that is not JSON. */
export interface UpstreamEvent {
  event: string | undefined
  data: string
  isDone: boolean
  json: unknown
}

/** Malformed events are skipped; more than this many are a broken upstream. */
const maxMalformed = 3
const openingBrace = 123

/** Bytes → parsed events. Throws ApiError for an upstream that sends no events, after the events before the fault. */
export class EventReader {
  readonly #decoder = new SseDecoder()
  #malformed = 0
  /** Set by the event that was one too many; told by the next call. */
  #fault: ApiError | undefined

  push(bytes: Uint8Array): UpstreamEvent[] {
    return this.#parsed(this.#decoder.push(bytes))
  }

  end(): UpstreamEvent[] {
    return this.#parsed(this.#decoder.end())
  }

  #parsed(messages: readonly SseMessage[]): UpstreamEvent[] {
    const events: UpstreamEvent[] = []
    for (const message of messages) {
      if (this.#fault === undefined) this.#parse(message, events)
    }
    if (this.#fault !== undefined && events.length === 0) throw this.#fault
    return events
  }

  #parse({ event, data }: SseMessage, into: UpstreamEvent[]): void {
    // Nearly every event is an object; only what is none may be a marker.
    const isDone = data.charCodeAt(0) !== openingBrace && data.trim() === '[DONE]'
    try {
      into.push({ event, data, isDone, json: isDone ? undefined : JSON.parse(data) })
    } catch (cause) {
      if (++this.#malformed > maxMalformed) {
        const message = 'The upstream sent events that are not JSON.'
        this.#fault = new ApiError('upstream_error', message, { cause })
      } else into.push({ event, data, isDone: false, json: undefined })
    }
  }
}
