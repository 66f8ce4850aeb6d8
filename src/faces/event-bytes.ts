// Cuts a byte stream at the ends of server-sent events, so that a client never receives half of one.

const lineFeed = 10
const carriageReturn = 13

export class EventBytes {
  /** Bytes after the last end of an event. */
  #pending: Uint8Array[] = []
  /** The last two bytes seen: a blank line may lie across two chunks. */
  #last = 0
  #beforeLast = 0

  /** Gives everything up to the last end of an event; undefined where none has come. */
  push(bytes: Uint8Array): Uint8Array | undefined {
    const end = this.#lastEnd(bytes)
    if (bytes.length > 1) this.#beforeLast = bytes[bytes.length - 2] ?? 0
    else if (bytes.length === 1) this.#beforeLast = this.#last
    this.#last = bytes[bytes.length - 1] ?? this.#last
    if (end === 0) {
      this.#pending.push(bytes)
      return undefined
    }
    const whole = bytes.subarray(0, end)
    const result = this.#pending.length === 0 ? whole : concat([...this.#pending, whole])
    this.#pending = end === bytes.length ? [] : [bytes.subarray(end)]
    return result
  }

  /** Index after the last blank line, whose end and that before it may be any of LF, CR LF and CR; 0 where there is none. */
  #lastEnd(bytes: Uint8Array): number {
    const at = (index: number): number => {
      if (index >= 0) return bytes[index] ?? 0
      return index === -1 ? this.#last : this.#beforeLast
    }
    for (let index = bytes.length - 1; index >= 0; index--) {
      const byte = at(index)
      if (byte !== lineFeed && byte !== carriageReturn) continue
      const before = at(index - 1)
      const isPair = byte === lineFeed && before === carriageReturn
      if (endsLine(isPair ? at(index - 2) : before)) return index + 1
    }
    return 0
  }
}

function endsLine(byte: number): boolean {
  return byte === lineFeed || byte === carriageReturn
}

const encoder = new TextEncoder()

/** Byte pieces and texts as one. */
export function concat(pieces: readonly (Uint8Array | string)[]): Uint8Array {
  if (pieces.length === 1 && typeof pieces[0] === 'string') return encoder.encode(pieces[0])
  const bytes = pieces.map((piece) => (typeof piece === 'string' ? encoder.encode(piece) : piece))
  const total = bytes.reduce((sum, { length }) => sum + length, 0)
  const joined = new Uint8Array(total)
  let at = 0
  for (const piece of bytes) {
    joined.set(piece, at)
    at += piece.length
  }
  return joined
}
