// One response on its way from where it is answered to where it is kept: frames on the body of one request, `u8 type · u32
// sequence number · u32 length · payload`, big-endian. One request for a whole stream, however long: not one for each batch.

export const frameTypes = {
  /** JSON of what the response goes on from; first, once. */
  begin: 1,
  /** Whole events as text; the number is that of the last one. */
  events: 2,
  /** Nothing to say, but still there. */
  ping: 3,
  /** JSON of the final response; last. */
  finish: 4,
  /** Given up on purpose; last. */
  cancel: 5,
  /** The last events, which are kept with the end or not at all. */
  tail: 6,
} as const

export interface Frame {
  type: number
  sequence: number
  payload: string
}

const headerBytes = 9
/** Longer than any answer that is read. */
const maxPayload = 96 * 1024 * 1024
const encoder = new TextEncoder()
/** For whole texts, which leave nothing in it. */
const decoder = new TextDecoder()

/** A frame as bytes. */
export function encodeRecordFrame(
  type: number,
  sequence: number,
  payload: string,
): Uint8Array<ArrayBuffer> {
  const text = encoder.encode(payload)
  const bytes = new Uint8Array(headerBytes + text.length)
  const view = new DataView(bytes.buffer)
  view.setUint8(0, type)
  // -1 stands for no event at all.
  view.setInt32(1, sequence)
  view.setUint32(5, text.length)
  bytes.set(text, headerBytes)
  return bytes
}

/** Bytes, cut anywhere, → frames. */
export class RecordFrameReader {
  #chunks: Uint8Array[] = []
  #length = 0

  /** Throws where a frame claims more than any frame holds. */
  push(bytes: Uint8Array): Frame[] {
    this.#chunks.push(bytes)
    this.#length += bytes.length
    const frames: Frame[] = []
    for (let frame = this.#next(); frame !== undefined; frame = this.#next()) frames.push(frame)
    return frames
  }

  #next(): Frame | undefined {
    if (this.#length < headerBytes) return undefined
    const header = this.#peek(headerBytes)
    const view = new DataView(header.buffer, header.byteOffset, headerBytes)
    const length = view.getUint32(5)
    if (length > maxPayload) throw new Error('A record frame is too long.')
    if (this.#length < headerBytes + length) return undefined
    const whole = this.#peek(headerBytes + length)
    const payload = decoder.decode(whole.subarray(headerBytes, headerBytes + length))
    const rest = whole.subarray(headerBytes + length)
    this.#chunks = rest.length === 0 ? this.#chunks.slice(1) : [rest, ...this.#chunks.slice(1)]
    this.#length -= headerBytes + length
    return { type: view.getUint8(0), sequence: view.getInt32(1), payload }
  }

  /** The first chunk, made at least so long. */
  #peek(length: number): Uint8Array {
    const first = this.#chunks[0] ?? new Uint8Array()
    if (first.length >= length) return first
    // Joined once a frame is complete, or for a header: joining per chunk would be O(n²).
    const joined = new Uint8Array(this.#length)
    let at = 0
    for (const chunk of this.#chunks) {
      joined.set(chunk, at)
      at += chunk.length
    }
    this.#chunks = [joined]
    return joined
  }
}
