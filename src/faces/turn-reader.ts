// Reads an upstream's body a turn at a time. A write from JavaScript costs 15 µs in workerd and a read 2, so that what
// arrives within one turn of the event loop is handed on together.

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
  /** A read that has not been answered yet; kept over a timeout. */
  #pending: Promise<Read> | undefined

  constructor(body: ReadableStream<Uint8Array>) {
    this.#reader = body.getReader()
  }

  /** What the next turn brings; undefined where nothing came for so long. Never rejects. */
  async turn(timeoutMs: number): Promise<Turn | undefined> {
    let read = await this.#within(timeoutMs)
    if (read === undefined) return undefined
    const turn: Turn = { chunks: [], done: false, failure: undefined }
    const end = timer(0)
    for (let bytes = 0; read !== undefined; ) {
      if (read.value !== undefined) turn.chunks.push(read.value)
      bytes += read.value?.byteLength ?? 0
      turn.done = read.done
      turn.failure = read.failure
      if (read.done || bytes >= enoughBytes) break
      read = await this.#race(end.promise)
    }
    end.clear()
    return turn
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
