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
  /** The bytes of one file, before the answer that they belong to or behind the message. */
  file: 4,
} as const

/** The longest payload of each kind. */
const maxPayload: Readonly<Record<number, number>> = {
  [frameKind.message]: 16 * 1024 * 1024,
  [frameKind.output]: 1024 * 1024,
  [frameKind.snapshot]: 128 * 1024 * 1024,
  [frameKind.file]: 128 * 1024 * 1024,
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
  /** Kinds that may come no more: not even their bytes are waited for. */
  readonly over = new Set<number>()
  #chunks: Buffer[] = []
  #bytes = 0

  #next(): Frame | undefined {
    if (this.#bytes < headerBytes) return undefined
    const first = this.#chunks[0]!
    // Joined only when a frame is whole: joining per chunk would be quadratic.
    const header = first.byteLength >= headerBytes ? first : this.#joined()
    const kind = header.readUInt8(0)
    const length = header.readUInt32BE(1)
    if (this.over.has(kind) || length > (maxPayload[kind] ?? -1)) {
      throw new RangeError('A frame is too long or of no kind that may come.')
    }
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

  /** The frames that are complete now. Throws RangeError at one that is too long or of a kind that may not come. */
  *push(chunk: Buffer): Generator<Frame> {
    this.#chunks.push(chunk)
    this.#bytes += chunk.byteLength
    for (let frame = this.#next(); frame !== undefined; frame = this.#next()) yield frame
  }
}
