// The secret behind sealed reasoning of a gateway or server on this machine: made once, so that what clients carry can still
// be opened after a restart.
import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeFolder } from '../server/make-folder.ts'
import { note } from './command.ts'

/** SWITCHYARD_SEAL_KEY, or the one kept in `folder`; where the folder cannot be written, one for this run. */
export function sealSecret(folder: string): string {
  const given = process.env.SWITCHYARD_SEAL_KEY
  if (given) return given
  const path = join(folder, 'seal-key')
  const made = randomBytes(32).toString('base64url')
  try {
    makeFolder(folder, 0o700)
    // Two that start at once must end up with one key: who comes second reads what the first has written.
    writeFileSync(path, made, { mode: 0o600, flag: 'wx' })
    return made
  } catch (error) {
    const kept = keptSecret(path)
    if (kept) return kept
    const why = error instanceof Error ? error.message : String(error)
    note(`switchyard: sealed reasoning will not be readable after a restart: ${why}`)
    return made
  }
}

function keptSecret(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim() || undefined
  } catch {
    return undefined
  }
}
