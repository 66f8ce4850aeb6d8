// Reads an upstream's body a turn at a time. A write from JavaScript costs 15 µs in workerd, so that what arrives close
// together is handed on together; what arrives alone is handed on at once.

import { ApiError } from '../errors.ts'
import type { ByteReader, Gather } from './byte-reader.ts'
import type { AnswerLimits } from './deps.ts'

export interface Turn {
  chunks: Uint8Array[]
  done: boolean
  /** The read failed, after these chunks. */
  failure: { cause: unknown } | undefined
}

/** A turn hands on at least this much without waiting for more: the bound of what a stream buffers. */
const enoughBytes = 64 * 1024
/** What comes later than this after what was handed on before is handed on alone. */
const togetherMs = 2
/** So many reads in one turn are a burst: by then they have cost as much as the other way of reading is to set up. */
const burstReads = 24

export class TurnReader {
  readonly #body: ReadableStream<Uint8Array>
  readonly #limits: AnswerLimits | undefined
  readonly #gather: Gather | undefined
  #reader: ReadableStreamDefaultReader<Uint8Array> | ByteReader
  /** Set once a burst is read in the other way. */
  #gathered = false

  /** What has come and has not been handed on. */
  #turn: Turn = emptyTurn()
  #turnBytes = 0
  #turnReads = 0
  /** When the last turn was handed on. The first one is always gathered: an error in it is still an HTTP error. */
  #handedOnAt = Number.POSITIVE_INFINITY
  /** A read is under way; it is kept over a timeout. */
  #reading = false
  /** A turn is being gathered: each read is followed by the next. */
  #gathering = false
  /** Ends the wait of turn(); what it waits for: anything at all, or a full turn. */
  #wake: (() => void) | undefined
  #wanted: 'any' | 'full' = 'any'

  /** Set by begins(). */
  #begunAt: number | undefined
  readonly #now: (() => number) | undefined
  #startedAt = 0
  /** Milliseconds waited since the last byte; a slow client's time does not count. */
  #silentMs = 0
  #bytes = 0

  /** Without a clock, a limit is on the time waited between two bytes only, and every turn is gathered. */
  constructor(
    body: ReadableStream<Uint8Array>,
    limits?: AnswerLimits,
    now?: () => number,
    gather?: Gather,
  ) {
    this.#body = body
    this.#reader = body.getReader()
    this.#limits = limits
    this.#gather = gather
    this.#now = now
    if (now !== undefined) this.#startedAt = now()
  }

  /** Told by who reads: output of the model has come, so that the limit for the first is kept. */
  begins(): void {
    this.#begunAt ??= this.#now?.() ?? 0
  }

  /** When output of the model came; undefined while none has. */
  get begunAt(): number | undefined {
    return this.#begunAt
  }

  /** What the next turn brings; undefined where nothing came for so long. Never rejects: a broken limit is a failure, too. */
  async turn(timeoutMs: number): Promise<Turn | undefined> {
    if (this.#gathered && !this.#reading && this.#isSoon) await this.#wait(0, 'full')
    this.#gathering = true
    this.#read()
    if (this.#isEmpty) {
      const patience = this.#patience()
      const waitMs = Math.min(timeoutMs, patience)
      await this.#wait(waitMs, 'any')
      if (this.#isEmpty) {
        this.#gathering = false
        this.#silentMs += waitMs
        return waitMs < patience ? undefined : this.#refuse('upstream_timeout', 'took too long')
      }
    }
    this.#silentMs = 0
    const full = this.#turn.done || this.#turnBytes >= enoughBytes
    if (!full && !this.#gathered && this.#isSoon) await this.#wait(0, 'full')
    this.#gathering = false
    this.#handedOnAt = this.#now?.() ?? this.#handedOnAt
    const turn = this.#turn
    this.#turn = emptyTurn()
    this.#turnBytes = 0
    this.#turnReads = 0
    return this.#bytes <= (this.#limits?.maxBytes ?? Number.POSITIVE_INFINITY)
      ? turn
      : this.#refuse('upstream_error', 'sent more than is allowed')
  }

  /** More may come together with what was handed on before. */
  get #isSoon(): boolean {
    return this.#now === undefined || this.#now() - this.#handedOnAt < togetherMs
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

  readonly #onRead = ({ done, value }: Awaited<ReturnType<ByteReader['read']>>) => {
    this.#reading = false
    if (value !== undefined) {
      this.#turn.chunks.push(value)
      this.#turnBytes += value.byteLength
      this.#bytes += value.byteLength
    }
    this.#turn.done = done
    const full = done || this.#turnBytes >= enoughBytes
    if (full || this.#wanted === 'any') this.#wake?.()
    if (!this.#gathering || full || this.#gathered) return
    if (++this.#turnReads < burstReads || !this.#startGather()) this.#read()
  }

  /** Goes over to the other way of reading, between two reads; false where there is none. */
  #startGather(): boolean {
    if (this.#gather === undefined || !('releaseLock' in this.#reader)) return false
    this.#reader.releaseLock()
    this.#reader = this.#gather(this.#body)
    this.#gathered = true
    return true
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

  /** How much longer the upstream may be silent: comments do not count as output, nor does a byte now and then as life. */
  #patience(): number {
    if (this.#limits === undefined) return Number.POSITIVE_INFINITY
    const { firstByteMs, idleMs, totalMs = Number.POSITIVE_INFINITY } = this.#limits
    const elapsed = this.#now === undefined ? 0 : this.#now() - this.#startedAt
    const silence = (this.#begunAt !== undefined ? idleMs : firstByteMs) - this.#silentMs
    const whole = (this.#begunAt !== undefined ? totalMs : Math.min(firstByteMs, totalMs)) - elapsed
    return Math.max(0, Math.min(silence, whole))
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
