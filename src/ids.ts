// Ids with OpenAI's prefixes. The core holds no randomness: callers pass a source of random bytes.

export type IdPrefix =
  | 'resp'
  | 'msg'
  | 'rs'
  | 'fc'
  | 'ctc'
  | 'lsh'
  | 'sh'
  | 'apc'
  | 'tsc'
  | 'call'
  | 'chatcmpl'
  | 'req'
  | 'conv'
  | 'cmp'
  | 'item'
  | 'fcr'
  | 'mcp'
  | 'mcpl'
  | 'mcpr'
  | 'ws'
  | 'ci'

/** Makes an id of 128 random bits or more, e.g. `resp_` + 48 hex digits. */
export type NewId = (prefix: IdPrefix) => string

const hexOfByte = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/** `random(n)` gives n random bytes (crypto.getRandomValues on every runtime that we run on). */
export function idSource(random: (bytes: number) => Uint8Array): NewId {
  return (prefix) => {
    const bytes = random(24)
    let hex = ''
    // An index, as an iterator over bytes costs five times as much.
    for (let at = 0; at < bytes.length; at++) hex += hexOfByte[bytes[at] ?? 0]
    return prefix === 'chatcmpl' || prefix === 'req' ? `${prefix}-${hex}` : `${prefix}_${hex}`
  }
}
