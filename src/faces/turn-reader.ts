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

/** A turn hands on at least this much without waiting for more: the bound of what a stream buffers. */
const enoughBytes = 64 * 1024

export class TurnReader {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>
  readonly #limits: AnswerLimits | undefined

  /** What has come and has not been handed on. */
  #turn: Turn = emptyTurn()
  #turnBytes = 0
  /** A read is under way; it is kept over a timeout. */
  #reading = false
  /** A turn is being gathered: each read is followed by the next. */
  #gathering = false
  /** Ends the wait of turn(); what it waits for: anything at all, or a full turn. */
  #wake: (() => void) | undefined
  #wanted: 'any' | 'full' = 'any'

  /** Milliseconds waited since the last byte; a slow client's time does not count. */
  #silentMs = 0
  #bytes = 0

  constructor(body: ReadableStream<Uint8Array>, limits?: AnswerLimits) {
    this.#reader = body.getReader()
    this.#limits = limits
  }

  /** What the next turn brings; undefined where nothing came for so long. Never rejects: a broken limit is a failure, too. */
  async turn(timeoutMs: number): Promise<Turn | undefined> {
    this.#gathering = true
    this.#read()
    if (this.#isEmpty) {
      const patience = this.#patience()
      const waitMs = Math.min(timeoutMs, patience)
      await this.#wait(waitMs, 'any')
      if (this.#isEmpty) {
        this.#gathering = false
        this.#silentMs += waitMs
        return waitMs < patience ? undefined : this.#refuse('upstream_timeout', 'fell silent')
      }
    }
    this.#silentMs = 0
    if (!this.#turn.done && this.#turnBytes < enoughBytes) await this.#wait(0, 'full')
    this.#gathering = false
    const turn = this.#turn
    this.#turn = emptyTurn()
    this.#turnBytes = 0
    return this.#bytes <= (this.#limits?.maxBytes ?? Number.POSITIVE_INFINITY)
      ? turn
      : this.#refuse('upstream_error', 'sent more than is allowed')
  }

  get #isEmpty(): boolean {
    return this.#turn.chunks.length === 0 && !this.#turn.done
  }

  /**
   * Callbacks and not an async loop over Promise.race: that costs three promises and 16 µs for each chunk in workerd,
   * eight times what the read itself does.
   */
  #read(): void {
    if (this.#reading || this.#turn.done) return
    this.#reading = true
    this.#reader.read().then(this.#onRead, this.#onFailure)
  }

  readonly #onRead = ({ done, value }: { done: boolean; value?: Uint8Array | undefined }) => {
    this.#reading = false
    if (value !== undefined) {
      this.#turn.chunks.push(value)
      this.#turnBytes += value.byteLength
      this.#bytes += value.byteLength
    }
    this.#turn.done = done
    const full = done || this.#turnBytes >= enoughBytes
    if (full || this.#wanted === 'any') this.#wake?.()
    if (this.#gathering && !full) this.#read()
  }

  readonly #onFailure = (cause: unknown) => {
    this.#reading = false
    this.#turn.done = true
    this.#turn.failure = { cause }
    this.#wake?.()
  }

  /** Until `ms` have passed, or what is wanted has come. */
  #wait(ms: number, wanted: 'any' | 'full'): Promise<void> {
    this.#wanted = wanted
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
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
}

function emptyTurn(): Turn {
  return { chunks: [], done: false, failure: undefined }
}
