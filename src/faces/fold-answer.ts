// A stream from an upstream for a client that asked for none: read under the limits of streams, and folded into the JSON
// that the upstream would have sent.
import { ApiError } from '../errors.ts'
import { isObject } from '../protocol/check.ts'
import { collectChat } from '../stream/collect.ts'
import { ResponseFold } from '../stream/fold.ts'
import { normalizeChunk } from '../stream/normalize.ts'
import { EventReader, type UpstreamEvent } from './answer-stream.ts'
import type { Dialect } from './deps.ts'

/** Bytes in, one JSON answer out. */
export class FoldedAnswer {
  readonly #reader = new EventReader()
  readonly #fold: ChatChunks | ResponseEvents

  constructor(dialect: Dialect) {
    this.#fold = dialect === 'chat' ? new ChatChunks() : new ResponseEvents()
  }

  /** Output of the model has come. */
  get begun(): boolean {
    return this.#fold.begun
  }

  /** Nothing more is needed. */
  get complete(): boolean {
    return this.#fold.complete
  }

  /** The model has said that it is done. */
  get finished(): boolean {
    return this.#fold.finished
  }

  /** Takes what one read brought; throws ApiError. */
  push(bytes: Uint8Array): void {
    this.#take(this.#reader.push(bytes))
  }

  /** The upstream has ended: the answer, or undefined where it was cut. Throws ApiError for an error in the stream. */
  end(): unknown {
    this.#take(this.#reader.end())
    return this.#fold.answer()
  }

  #take(events: UpstreamEvent[]): void {
    for (const { isDone, json } of events) {
      if (this.#fold.complete) return
      if (isDone) this.#fold.done()
      else if (isObject(json)) this.#fold.push(json)
    }
  }
}

class ChatChunks {
  readonly #chunks: Record<string, unknown>[] = []
  /** An error in place of a chunk. */
  #error: Record<string, unknown> | undefined
  finished = false
  /** An empty finish_reason (old Ollama) counts with [DONE]. */
  #weakFinish = false
  begun = false
  complete = false

  push(chunk: Record<string, unknown>): void {
    this.#chunks.push(chunk)
    const { content, reasoning, refusal, calls, finishReason, error } = normalizeChunk(chunk)
    this.begun ||= content !== '' || reasoning !== '' || refusal !== '' || calls.length > 0
    if (finishReason === 'error') throw failed('The upstream ended the answer with an error.')
    this.#weakFinish ||= finishReason === ''
    this.finished ||= finishReason !== undefined && finishReason !== ''
    if (error === undefined) return
    this.#error = chunk
    this.complete = true
  }

  done(): void {
    this.complete = true
    if (this.finished || !this.#weakFinish) return
    this.finished = true
    this.#chunks.push({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] })
  }

  answer(): unknown {
    if (this.#error !== undefined) return this.#error
    if (!this.finished) return undefined
    return collectChat(this.#chunks)
  }
}

class ResponseEvents {
  readonly #fold = new ResponseFold()

  get begun(): boolean {
    return this.#fold.begun
  }

  get complete(): boolean {
    return this.#fold.terminal !== undefined
  }

  get finished(): boolean {
    return this.complete
  }

  push(event: Record<string, unknown>): void {
    if (typeof event.type === 'string') this.#fold.push(event)
    else if (isObject(event.error)) throw failed(event.error.message)
  }

  done(): void {}

  answer(): unknown {
    return this.#fold.terminal === undefined ? undefined : this.#fold.response
  }
}

function failed(message: unknown): ApiError {
  const told = typeof message === 'string' ? message : 'The upstream failed.'
  return new ApiError('upstream_error', told, { retryable: true })
}
