// One streamed answer on its way to the client: upstream bytes in, client bytes out. convert-stream.ts changes the dialect,
// pass-stream.ts hands bytes on and only watches; the pump drives either.
import { ApiError } from '../errors.ts'
import type { ResponseUsage } from '../protocol/responses.ts'
import { SseDecoder } from '../sse/decode.ts'

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
  /** This is the answer that the client gets: no other candidate will be asked. */
  chosen?(): void
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

/** Bytes → parsed events. */
export class EventReader {
  readonly #decoder = new SseDecoder()
  #malformed = 0

  push(bytes: Uint8Array): UpstreamEvent[] {
    return this.#decoder.push(bytes).map((message) => this.#parse(message))
  }

  end(): UpstreamEvent[] {
    return this.#decoder.end().map((message) => this.#parse(message))
  }

  #parse({ event, data }: { event: string | undefined; data: string }): UpstreamEvent {
    if (data.trim() === '[DONE]') return { event, data, isDone: true, json: undefined }
    try {
      return { event, data, isDone: false, json: JSON.parse(data) }
    } catch (cause) {
      if (++this.#malformed > maxMalformed) {
        throw new ApiError('upstream_error', 'The upstream sent events that are not JSON.', {
          cause,
        })
      }
      return { event, data, isDone: false, json: undefined }
    }
  }
}
