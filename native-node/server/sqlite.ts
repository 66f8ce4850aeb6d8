// Node's own SQLite as the store's Sql: what `switchyard serve` keeps, in one file.
import { closeSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Row, Sql, SqlValue } from '../../src/store/sql.ts'
import { makeFolder } from './make-folder.ts'

export interface SqliteFile {
  sql: Sql
  close(): void
}

/** Opens the file, which is made where it is missing; `:memory:` for none. */
export async function openSqlite(path: string): Promise<SqliteFile> {
  // Only here: Node 20, which the other commands run on as well, has no SQLite.
  const { DatabaseSync } = await import('node:sqlite')
  if (path !== ':memory:') {
    makeFolder(dirname(path), 0o700)
    // Made here and not by SQLite: what people say is for their own eyes.
    closeSync(openSync(path, 'a', 0o600))
  }
  const database = new DatabaseSync(path)
  // A second process that opens the same file would take the first one's responses for abandoned.
  database.exec('PRAGMA locking_mode = EXCLUSIVE')
  database.exec('PRAGMA journal_mode = WAL')
  database.exec('PRAGMA synchronous = NORMAL')
  // What is deleted is overwritten: it may be someone's words.
  database.exec('PRAGMA secure_delete = ON')
  return { sql: sqlOf(database), close: () => database.close() }
}

function sqlOf(database: DatabaseSync): Sql {
  const statements = new Map<string, StatementSync>()
  return {
    exec(query, ...params: SqlValue[]): Row[] {
      let statement = statements.get(query)
      if (statement === undefined) {
        statement = database.prepare(query)
        statements.set(query, statement)
      }
      return statement.all(...params).map(rowOf)
    },
    transaction(run) {
      database.exec('BEGIN IMMEDIATE')
      try {
        const result = run()
        database.exec('COMMIT')
        return result
      } catch (error) {
        database.exec('ROLLBACK')
        throw error
      }
    },
    scrub() {
      // What was written before still stands in the log; emptied, only the overwritten pages are left.
      database.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    },
  }
}

/** The tables hold texts and whole numbers only. */
function rowOf(values: Record<string, unknown>): Row {
  const row: Row = {}
  for (const [name, value] of Object.entries(values)) {
    row[name] = typeof value === 'number' || typeof value === 'string' ? value : null
  }
  return row
}
