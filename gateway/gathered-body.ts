// Many small chunks as few reads. In workerd a read from JavaScript brings one chunk of HTTP and costs 9 µs, and there is no
// read of "all that has come": one that asks for more waits for it. So the body is split in two: one half is drawn natively,
// a window ahead, and while it is, what has come waits in the other half, where one read takes all of it.
import type { ByteReader } from '../src/faces/byte-reader.ts'

/** How far the upstream is read ahead of the client. */
const windowBytes = 32 * 1024
/** Largest read. */
const readBytes = 16 * 1024

/** Reads the body's chunks together. A slow client slows the upstream, by the window. */
export function gathered(body: ReadableStream<Uint8Array>): ByteReader {
  const [ahead, kept] = body.tee()
  const { readable, writable } = new IdentityTransformStream()
  const window = readable.getReader({ mode: 'byob' })
  const reader = kept.getReader({ mode: 'byob' })
  // Faults of the upstream show in the other half, after what came before them.
  ahead.pipeTo(writable).catch(() => {})
  let drawn = 0
  let taken = 0
  let drawing = false
  let ended = false
  const draw = async () => {
    if (drawing || ended || taken < drawn) return
    drawing = true
    try {
      const { done, value } = await window.readAtLeast(windowBytes, new Uint8Array(windowBytes))
      drawn += value?.byteLength ?? 0
      ended = done
    } catch {
      ended = true
    }
    drawing = false
    void draw()
  }
  void draw()
  let buffer = new Uint8Array(readBytes)
  return {
    async read() {
      const { done, value } = await reader.read(buffer)
      if (done || value === undefined) return { done: true }
      const bytes = value.slice()
      buffer = new Uint8Array(value.buffer)
      taken += bytes.byteLength
      void draw()
      return { done: false, value: bytes }
    },
    async cancel() {
      ended = true
      await Promise.all([reader.cancel(), window.cancel()])
    },
  }
}
