// The responses and conversations of `switchyard serve`: kept in one SQLite file, as long as the gateway's are.
import type { NewId } from '../../src/ids.ts'
import { LocalStore } from '../../src/store/local-store.ts'
import { openSqlite } from './sqlite.ts'

export interface ResponseFileOptions {
  /** Made where it is missing. One process at a time may have it open. */
  path: string
  newId: NewId
  /** Milliseconds since the epoch. */
  now?: () => number
  /** How long responses are kept; 30 unless given. */
  days?: number
  onError?: (error: unknown) => void
}

export interface ResponseFile {
  store: LocalStore
  close(): void
}

const sweepMs = 3_600_000

/** Opens the file; what an earlier process left unfinished is closed as failed. Rejects where another process has it open. */
export async function openResponseFile(options: ResponseFileOptions): Promise<ResponseFile> {
  const { path, newId, now = Date.now, days = 30, onError } = options
  const file = await openSqlite(path)
  try {
    const store = new LocalStore({ sql: file.sql, newId, now, days, onError })
    store.keys.abandon()
    const sweep = () => {
      try {
        for (let next = store.sweep(); next !== undefined && next <= now(); next = store.sweep());
      } catch (error) {
        onError?.(error)
      }
    }
    sweep()
    const timer = setInterval(sweep, sweepMs).unref()
    return {
      store,
      close() {
        clearInterval(timer)
        file.close()
      },
    }
  } catch (error) {
    file.close()
    throw error
  }
}
