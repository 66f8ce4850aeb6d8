// Folders that are made where they are missing.
import { existsSync, mkdirSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

/**
 * Makes a folder and those above it, one by one: Node's `recursive` spins for ever below /proc, where nothing can be made and no
 * error says why. Throws the system's error.
 */
export function makeFolder(path: string, mode?: number): void {
  const missing: string[] = []
  for (let at = resolve(path); !existsSync(at) && at !== dirname(at); at = dirname(at))
    missing.push(at)
  for (const folder of missing.reverse()) {
    try {
      mkdirSync(folder, mode)
    } catch (error) {
      // Somebody else was quicker, or a link leads nowhere, which shows below.
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
    }
  }
  if (statSync(path).isDirectory()) return
  throw new Error(`${path} is not a folder`)
}
