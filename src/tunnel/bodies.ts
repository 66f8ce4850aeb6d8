// The two ends of one body inside a stream: flow control by credit, joining of small pieces, cancel.
// A receiver grants credit as its consumer reads, so a slow consumer stalls its own stream and no other.
import { FrameError, maxPieceBytes } from './frames.ts'

/** Bytes that arrived for one stream, as a ReadableStream that holds at most `window` of them. */
export class BodyReceiver {
  readonly stream: ReadableStream<Uint8Array>

  readonly #window: number
  readonly #grant: (bytes: number) => void
  /** What the sender may still send. */
  #allowance: number
  /** Handed to the consumer and not yet granted again: CREDIT goes out a quarter window at a time. */
  #ungranted = 0
  #queue: Uint8Array[] = []
  #ended = false
  /** Set when the body broke off. */
  #failure: { error: unknown } | undefined
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined
  /** Set while the consumer waits for bytes. */
  #wake: (() => void) | undefined

  constructor(window: number, grant: (bytes: number) => void, onCancel: () => void) {
    this.#window = window
    this.#allowance = window
    this.#grant = grant
    this.stream = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller
        },
        pull: () => this.#pull(),
        cancel: () => {
          const open = !this.#ended
          this.#finish()
          if (open) onCancel()
        },
      },
      // Nothing is read ahead: what the queue holds is bounded by credit, not by the stream.
      { highWaterMark: 0 },
    )
  }

  /** True until the body has ended, failed or been cancelled. */
  get open(): boolean {
    return !this.#ended
  }

  push(bytes: Uint8Array): void {
    if (this.#ended || bytes.byteLength === 0) return
    this.#allowance -= bytes.byteLength
    if (this.#allowance < 0) throw new FrameError('More bytes than credit was given for.')
    this.#queue.push(bytes)
    if (this.#wake) this.#deliver()
  }

  end(): void {
    if (this.#ended) return
    this.#ended = true
    if (this.#wake) this.#deliver()
  }

  /** The consumer still gets what has arrived, then the error. */
  fail(error: unknown): void {
    if (this.#ended) return
    this.#ended = true
    this.#failure = { error }
    if (this.#wake) this.#deliver()
  }

  #pull(): Promise<void> | undefined {
    if (this.#queue.length > 0 || this.#ended) {
      this.#deliver()
      return undefined
    }
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  /** Everything that has arrived goes out as one chunk: a chunk's way through workerd costs more than a copy. */
  #deliver(): void {
    const bytes = joined(this.#queue)
    this.#queue = []
    if (bytes.byteLength > 0) {
      this.#controller?.enqueue(bytes)
      this.#consumed(bytes.byteLength)
    } else if (this.#failure) {
      this.#controller?.error(this.#failure.error)
    } else if (this.#ended) {
      this.#controller?.close()
    }
    const wake = this.#wake
    this.#wake = undefined
    wake?.()
  }

  #consumed(bytes: number): void {
    this.#ungranted += bytes
    if (this.#ended || this.#ungranted < this.#window / 4) return
    this.#allowance += this.#ungranted
    this.#grant(this.#ungranted)
    this.#ungranted = 0
  }

  #finish(): void {
    this.#ended = true
    this.#queue = []
    const wake = this.#wake
    this.#wake = undefined
    wake?.()
  }
}

/** Sends one body in pieces as credit allows. `send` makes the frame. */
export class BodySender {
  readonly #send: (parts: readonly Uint8Array[], last: boolean) => void
  /** A port that is behind gives a promise; undefined means go on now. */
  readonly #ready: (() => Promise<void> | undefined) | undefined
  #allowance: number
  #stopped = false
  #wake: (() => void) | undefined
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined

  constructor(
    window: number,
    send: (parts: readonly Uint8Array[], last: boolean) => void,
    ready?: () => Promise<void> | undefined,
  ) {
    this.#allowance = window
    this.#send = send
    this.#ready = ready
  }

  grant(bytes: number): void {
    this.#allowance += bytes
    // A peer that grants without end would make the number inexact long after it makes it meaningless.
    if (this.#allowance > 0xffff_ffff) throw new FrameError('Credit beyond 4 GiB.')
    this.#release()
  }

  /** Sends no more; the source is cancelled. */
  stop(reason: unknown): void {
    if (this.#stopped) return
    this.#stopped = true
    this.#release()
    this.#reader?.cancel(reason).catch(() => {})
  }

  /** A body that lies in memory. Resolves when it is sent or stopped. */
  async sendAll(body: Uint8Array): Promise<void> {
    await this.#pieces([body], body.byteLength, true)
  }

  /** A body that comes as it is made. Resolves true when all of it was sent, false when stopped; throws what the source throws. */
  async sendFrom(source: ReadableStream<Uint8Array>): Promise<boolean> {
    const reader = source.getReader()
    this.#reader = reader
    if (this.#stopped) {
      await reader.cancel()
      return false
    }
    const read = () => {
      const chunk = reader.read()
      // It may fail while an earlier piece waits for credit; whoever awaits it then still gets the error.
      chunk.catch(() => {})
      return chunk
    }
    let next = read()
    for (;;) {
      let result = await next
      const parts: Uint8Array[] = []
      let size = 0
      // What the source wrote in one turn leaves as one frame; `soon` gives up before any timer could fire.
      while (!result.done) {
        parts.push(result.value)
        size += result.value.byteLength
        next = read()
        const more = size < maxPieceBytes ? await soon(next) : undefined
        if (more === undefined) break
        result = more
      }
      if (size > 0) await this.#pieces(parts, size, false)
      if (this.#stopped) return false
      if (result.done) return true
    }
  }

  async #pieces(parts: readonly Uint8Array[], size: number, last: boolean): Promise<void> {
    if (await this.#blocked(size)) return
    if (size <= Math.min(maxPieceBytes, this.#allowance)) {
      this.#allowance -= size
      this.#send(parts, last)
      return
    }
    const bytes = joined(parts)
    for (let at = 0; at < size; ) {
      if (await this.#blocked(size)) return
      const piece = bytes.subarray(at, at + Math.min(maxPieceBytes, this.#allowance))
      at += piece.byteLength
      this.#allowance -= piece.byteLength
      this.#send([piece], last && at === size)
    }
  }

  /** Waits until something may be sent; true when nothing may be any more. */
  async #blocked(size: number): Promise<boolean> {
    while (!this.#stopped && size > 0 && this.#allowance <= 0) await this.#credit()
    const behind = this.#ready?.()
    if (behind) await behind
    return this.#stopped
  }

  #credit(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  #release(): void {
    const wake = this.#wake
    this.#wake = undefined
    wake?.()
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const [first] = parts
  if (parts.length === 1 && first) return first
  let length = 0
  for (const part of parts) length += part.byteLength
  const bytes = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.byteLength
  }
  return bytes
}

/** The promise's value if it is there within this turn, else undefined. A rejection is left to whoever awaits it. */
async function soon<T>(promise: Promise<T>): Promise<T | undefined> {
  let value: T | undefined
  promise.then(
    (settled) => {
      value = settled
    },
    () => {},
  )
  for (let tick = 0; tick < 3 && value === undefined; tick++) await undefined
  return value
}
