// The id of a file in a container. It belongs to the path: what is written there later is the same file, with other bytes.
import { createHash } from 'node:crypto'

/** The id that a path has, in every container. */
export function fileId(path: string): string {
  return `cfile_${createHash('sha256').update(path).digest('hex').slice(0, 32)}`
}
