// `include_obfuscation`: random characters beside a delta, so that nobody who sees the lengths of encrypted packets can guess
// at its words.
import type { NewId } from '../ids.ts'

const padTo = 16

/** So many random characters that deltas differ in length by whole steps. */
export function paddingFor(delta: string, newId: NewId): string {
  return newId('fcr').slice(-(padTo - (delta.length % padTo)))
}
