import type { Candidate } from './deps.ts'

/** True for a node in front of an engine that is not ours: only ours checks its output itself. */
export function isFronted({ kind, structured }: Candidate): boolean {
  const isNode = kind === 'node' || kind === 'engine'
  return isNode && structured !== undefined && structured.checksItself !== true
}
