// What Python prints, on its way to the node: in order, joined into few writes, and no more than is allowed.

const flushBytes = 8192
const flushMs = 100

export class OutputCollector {
  /** Bytes over the limit, since `begin`. */
  dropped = 0
  readonly #limit: number
  readonly #send: (bytes: Uint8Array) => void
  #room = 0
  #buffer = Buffer.alloc(flushBytes)
  #used = 0
  #flushed = 0

  constructor(limit: number, send: (bytes: Uint8Array) => void) {
    this.#limit = limit
    this.#send = send
  }

  /** A new call. */
  begin(): void {
    this.#room = this.#limit
    this.#used = 0
    this.dropped = 0
  }

  /** Copies: the bytes lie in memory that changes. */
  push(bytes: Uint8Array): void {
    const kept = bytes.subarray(0, this.#room)
    this.#room -= kept.byteLength
    this.dropped += bytes.byteLength - kept.byteLength
    for (let at = 0; at < kept.byteLength; ) {
      const part = kept.subarray(at, at + flushBytes - this.#used)
      this.#buffer.set(part, this.#used)
      this.#used += part.byteLength
      at += part.byteLength
      if (this.#used === flushBytes) this.flush()
    }
    this.flushOld()
  }

  /** Sends what has waited long enough: should the process be killed, the node has nearly all of it. */
  flushOld(): void {
    if (this.#used > 0 && performance.now() - this.#flushed > flushMs) this.flush()
  }

  flush(): void {
    this.#flushed = performance.now()
    if (this.#used === 0) return
    this.#send(this.#buffer.subarray(0, this.#used))
    this.#used = 0
  }
}
