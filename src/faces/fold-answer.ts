// A stream from an upstream for a client that asked for none: read under the limits of streams, and folded into the JSON
// that the upstream would have sent.
import { endedInError } from '../convert/stream.ts'
import { ApiError } from '../errors.ts'
import { isObject } from '../protocol/check.ts'
import { ChatCollector } from '../stream/collect.ts'
import { ResponseFold } from '../stream/fold.ts'
import type { NormalizedChunk } from '../stream/normalize.ts'
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
  readonly #collector = new ChatCollector()
  /** An error in place of a chunk. */
  #error: Record<string, unknown> | undefined
  /** An empty finish_reason (old Ollama) counts with [DONE]. */
  #weakFinish = false
  finished = false
  begun = false
  complete = false

  push(raw: Record<string, unknown>): void {
    const chunk = this.#collector.push(raw)
    const { finishReason } = chunk
    if (chunk.error !== undefined) {
      this.#error = raw
      this.complete = true
    } else if (finishReason === 'error') {
      throw endedInError()
    } else if (finishReason === '') this.#weakFinish = true
    else if (finishReason !== undefined) this.finished = true
    this.begun ||= hasOutput(chunk)
  }

  done(): void {
    this.complete = true
    this.finished ||= this.#weakFinish
  }

  answer(): unknown {
    if (this.#error !== undefined) return this.#error
    if (!this.finished) return undefined
    const completion = this.#collector.completion('stop')
    const { tool_calls: calls = [] } = completion.choices[0]?.message ?? {}
    if (calls?.some((call) => call.type === 'function' && call.function.name === '')) {
      throw failed('The model sent a tool call without a name.')
    }
    return completion
  }
}

function hasOutput({ content, reasoning, refusal, calls }: NormalizedChunk): boolean {
  return content !== '' || reasoning !== '' || refusal !== '' || calls.length > 0
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
