// Claims as rows: what may happen once is written down before it happens. Synchronous, over any Sql; knows no clock.
import type { Sql } from './sql.ts'

/** Rows that one sweep deletes. */
const sweepRows = 1000

export class ClaimRows {
  readonly #sql: Sql

  constructor(sql: Sql) {
    this.#sql = sql
  }

  /** True for the first one with this key; times in milliseconds since the epoch. */
  claim(key: string, now: number, end: number): boolean {
    const rows = this.#sql.exec(
      `INSERT INTO claims VALUES (?, ?)
       ON CONFLICT (key) DO UPDATE SET ends_at = excluded.ends_at WHERE claims.ends_at <= ?
       RETURNING key`,
      key,
      end,
      now,
    )
    return rows.length > 0
  }

  /** Deletes what has ended; true where there is more of it. */
  purge(now: number): boolean {
    const rows = this.#sql.exec(
      `DELETE FROM claims WHERE key IN (SELECT key FROM claims WHERE ends_at <= ? LIMIT ${sweepRows}) RETURNING key`,
      now,
    )
    return rows.length === sweepRows
  }

  /** When the next one ends. */
  nextEnd(): number | undefined {
    const end = this.#sql.exec('SELECT MIN(ends_at) AS ends_at FROM claims')[0]?.ends_at
    return typeof end === 'number' ? end : undefined
  }
}
