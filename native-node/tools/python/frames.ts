// The pipe between the node and a Python process: `u8 kind · u32 length · payload`, big-endian, each frame bounded. Both ends
// use this file; neither trusts the other's lengths.

/** Kinds of frames. */
export const frameKind = {
  /** A JSON message. */
  message: 1,
  /** A piece of what the code prints: UTF-8, as it came. */
  output: 2,
  /** The memory of a started interpreter; sent once, before any code of a user ran. */
  snapshot: 3,
} as const

/** The longest payload of each kind. */
const maxPayload: Readonly<Record<number, number>> = {
  [frameKind.message]: 48 * 1024 * 1024,
  [frameKind.output]: 1024 * 1024,
  [frameKind.snapshot]: 128 * 1024 * 1024,
}

const headerBytes = 5

export interface Frame {
  kind: number
  payload: Buffer
}

/** Header and payload, to be written one after the other. Throws RangeError for a payload over the limit of its kind. */
export function encodeFrame(kind: number, payload: Uint8Array): Uint8Array[] {
  if (payload.byteLength > (maxPayload[kind] ?? 0)) throw new RangeError('The frame is too long.')
  const header = Buffer.alloc(headerBytes)
  header.writeUInt8(kind, 0)
  header.writeUInt32BE(payload.byteLength, 1)
  return [header, payload]
}

/** Cuts a byte stream into frames. */
export class FrameReader {
  #chunks: Buffer[] = []
  #bytes = 0

  /** The frames that are complete now. Throws RangeError for one that is too long or of no known kind. */
  push(chunk: Buffer): Frame[] {
    this.#chunks.push(chunk)
    this.#bytes += chunk.byteLength
    const frames: Frame[] = []
    for (let frame = this.#next(); frame !== undefined; frame = this.#next()) frames.push(frame)
    return frames
  }

  #next(): Frame | undefined {
    if (this.#bytes < headerBytes) return undefined
    const first = this.#chunks[0]!
    // Joined only when a frame is whole: joining per chunk would be quadratic.
    const header = first.byteLength >= headerBytes ? first : this.#joined()
    const kind = header.readUInt8(0)
    const length = header.readUInt32BE(1)
    if (length > (maxPayload[kind] ?? -1)) throw new RangeError('A frame is too long or unknown.')
    const end = headerBytes + length
    if (this.#bytes < end) return undefined
    const all = this.#joined()
    this.#chunks = all.byteLength > end ? [all.subarray(end)] : []
    this.#bytes -= end
    return { kind, payload: all.subarray(headerBytes, end) }
  }

  #joined(): Buffer {
    if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks)]
    return this.#chunks[0]!
  }
}
