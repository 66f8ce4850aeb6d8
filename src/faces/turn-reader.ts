// Reads an upstream's body a turn at a time. A write from JavaScript costs 15 µs in workerd and a read 2, so that what
// arrives within one turn of the event loop is handed on together.

import { ApiError } from '../errors.ts'
import type { AnswerLimits } from './deps.ts'

export interface Turn {
  chunks: Uint8Array[]
  done: boolean
  /** The read failed, after these chunks. */
  failure: { cause: unknown } | undefined
}

type Read = { done: boolean; value?: Uint8Array | undefined; failure?: { cause: unknown } }

/** A turn hands on at least this much without waiting for more: the bound of what a stream buffers. */
const enoughBytes = 64 * 1024

export class TurnReader {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>
  readonly #limits: AnswerLimits | undefined
  /** A read that has not been answered yet; kept over a timeout. */
  #pending: Promise<Read> | undefined

  /** Milliseconds waited since the last byte; a slow client's time does not count. */
  #silentMs = 0
  #bytes = 0

  constructor(body: ReadableStream<Uint8Array>, limits?: AnswerLimits) {
    this.#reader = body.getReader()
    this.#limits = limits
  }

  /** What the next turn brings; undefined where nothing came for so long. Never rejects: a broken limit is a failure, too. */
  async turn(timeoutMs: number): Promise<Turn | undefined> {
    const patience = this.#patience()
    const waitMs = Math.min(timeoutMs, patience)
    let read = await this.#within(waitMs)
    if (read === undefined) {
      this.#silentMs += waitMs
      return waitMs < patience ? undefined : this.#refuse('upstream_timeout', 'fell silent')
    }
    this.#silentMs = 0
    const turn: Turn = { chunks: [], done: false, failure: undefined }
    const end = timer(0)
    for (let bytes = 0; read !== undefined; ) {
      if (read.value !== undefined) turn.chunks.push(read.value)
      bytes += read.value?.byteLength ?? 0
      this.#bytes += read.value?.byteLength ?? 0
      turn.done = read.done
      turn.failure = read.failure
      if (read.done || bytes >= enoughBytes) break
      read = await this.#race(end.promise)
    }
    end.clear()
    return this.#bytes <= (this.#limits?.maxBytes ?? Number.POSITIVE_INFINITY)
      ? turn
      : this.#refuse('upstream_error', 'sent more than is allowed')
  }

  /** How much longer the upstream may be silent. */
  #patience(): number {
    if (this.#limits === undefined) return Number.POSITIVE_INFINITY
    const { firstByteMs, idleMs } = this.#limits
    return Math.max(0, (this.#bytes === 0 ? firstByteMs : idleMs) - this.#silentMs)
  }

  #refuse(code: 'upstream_timeout' | 'upstream_error', what: string): Turn {
    this.cancel()
    const cause = new ApiError(code, `The upstream ${what}.`, { retryable: true })
    return { chunks: [], done: true, failure: { cause } }
  }

  /** Lets go of the upstream. */
  cancel(): void {
    this.#reader.cancel().catch(() => {})
  }

  async #within(timeoutMs: number): Promise<Read | undefined> {
    const timeout = timer(timeoutMs)
    const read = await this.#race(timeout.promise)
    timeout.clear()
    return read
  }

  async #race(timeout: Promise<undefined>): Promise<Read | undefined> {
    this.#pending ??= this.#read()
    const read = await Promise.race([this.#pending, timeout])
    if (read !== undefined) this.#pending = undefined
    return read
  }

  async #read(): Promise<Read> {
    try {
      const { done, value } = await this.#reader.read()
      return { done, value }
    } catch (cause) {
      return { done: true, failure: { cause } }
    }
  }
}

function timer(ms: number): { promise: Promise<undefined>; clear: () => void } {
  let clear = () => {}
  const promise = new Promise<undefined>((resolve) => {
    const id = setTimeout(() => resolve(undefined), ms)
    clear = () => clearTimeout(id)
  })
  return { promise, clear }
}
