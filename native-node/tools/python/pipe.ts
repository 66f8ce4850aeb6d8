// The child's end of the pipe. It reads and writes synchronously: while Python runs, no event loop turns, and what runs
// outside of Python's own calls would only be one more way in.
import { readSync, writeSync } from 'node:fs'
import { encodeFrame, type Frame, FrameReader, frameKind } from './frames.ts'
import type { Answer, ChildMessage } from './messages.ts'

/** File descriptors of the child. */
export const descriptors = { requests: 0, interrupt: 3, answers: 4, snapshot: 5 } as const

export class ChildPipe {
  readonly #reader = new FrameReader()
  readonly #waiting: Frame[] = []

  /** Waits for the next message; undefined when the node is gone. */
  next(): ChildMessage | undefined {
    const frame = this.#frame()
    return frame && (JSON.parse(frame.payload.toString()) as ChildMessage)
  }

  /** The bytes behind a message that has some. */
  file(): Uint8Array {
    return this.#frame()?.payload ?? new Uint8Array()
  }

  #frame(): Frame | undefined {
    const chunk = Buffer.alloc(64 * 1024)
    while (this.#waiting.length === 0) {
      const length = patiently(() => readSync(descriptors.requests, chunk))
      if (length === 0) return undefined
      const bytes = Buffer.from(chunk.subarray(0, length))
      for (const frame of this.#reader.push(bytes)) this.#waiting.push(frame)
    }
    return this.#waiting.shift()
  }

  say(answer: Answer): void {
    this.write(frameKind.message, Buffer.from(JSON.stringify(answer)))
  }

  write(kind: number, payload: Uint8Array): void {
    for (const part of encodeFrame(kind, payload)) {
      let rest = part
      while (rest.byteLength > 0) {
        const written = patiently(() => writeSync(descriptors.answers, rest))
        rest = rest.subarray(written)
      }
    }
  }
}

/** Some systems hand pipes over that do not block. */
function patiently(attempt: () => number): number {
  const clock = new Int32Array(new SharedArrayBuffer(4))
  for (;;) {
    try {
      return attempt()
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EOF') return 0
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
      Atomics.wait(clock, 0, 0, 5)
    }
  }
}
