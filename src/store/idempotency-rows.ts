// Keys of clients as rows, and who waits for one. A row has a holder while its request runs, and an answer afterwards.
import {
  type Acting,
  type IdempotencyKeys,
  type KeptAnswer,
  keyTtlMs,
  leaseMs,
  type Taken,
} from './idempotency.ts'
import { type Row, type Sql, Texts } from './sql.ts'

/** Rows that one sweep deletes: each may have an answer of megabytes. */
const sweepRows = 200
/** The longest that someone waits in one call. */
const waitMs = 20_000
/** How many may wait at a time; one more is answered at once. */
const maxWaiting = 1_000

export class KeyRows implements IdempotencyKeys {
  readonly #sql: Sql
  readonly #texts: Texts
  readonly #now: () => number
  /** Who waits for the end of a key's request. */
  readonly #waiting = new Map<string, Set<() => void>>()
  #waiters = 0

  /** `now`: milliseconds since the epoch. */
  constructor(sql: Sql, now: () => number) {
    this.#sql = sql
    this.#texts = new Texts(sql)
    this.#now = now
  }

  async take(key: string, digest: string, holder: string): Promise<Taken> {
    return this.#sql.transaction(() => this.#take(key, digest, holder))
  }

  async hold(key: string, holder: string, acting: Acting | null): Promise<boolean> {
    const rows = this.#sql.exec(
      `UPDATE idempotency_keys SET lease_ends_at = ?, acting = MAX(acting, ?), response = COALESCE(?, response)
       WHERE key = ? AND holder = ? AND answer IS NULL AND ends_at > ? RETURNING key`,
      this.#now() + leaseMs,
      acting === null ? 0 : 1,
      acting?.response ?? null,
      key,
      holder,
      this.#now(),
    )
    return rows.length > 0
  }

  async end(key: string, holder: string, answer: KeptAnswer | null): Promise<void> {
    this.#sql.transaction(() => {
      const row = this.#row(key)
      if (row?.holder !== holder) return
      if (answer === null) this.#remove(key)
      else this.#keep(key, answer)
    })
    for (const wake of this.#waiting.get(key) ?? []) wake()
  }

  ended(key: string): Promise<void> {
    const row = this.#row(key)
    const left = row === undefined ? 0 : this.#leaseLeft(row)
    if (left <= 0 || this.#waiters >= maxWaiting) return Promise.resolve()
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(key) ?? new Set()
      this.#waiting.set(key, waiting)
      this.#waiters++
      const wake = () => {
        clearTimeout(timer)
        waiting.delete(wake)
        this.#waiters--
        if (waiting.size === 0) this.#waiting.delete(key)
        resolve()
      }
      const timer = setTimeout(wake, Math.min(left, waitMs))
      waiting.add(wake)
    })
  }

  /** No holder is left: they were of a process that has ended. */
  abandon(): void {
    this.#sql.exec('UPDATE idempotency_keys SET lease_ends_at = 0 WHERE answer IS NULL')
  }

  /** Deletes what has ended; true where there is more of it. */
  purge(): boolean {
    const rows = this.#sql.exec(
      'SELECT key FROM idempotency_keys WHERE ends_at <= ? LIMIT ?',
      this.#now(),
      sweepRows,
    )
    this.#sql.transaction(() => {
      for (const { key } of rows) this.#remove(String(key))
    })
    return rows.length === sweepRows
  }

  /** When the next one ends. */
  nextEnd(): number | undefined {
    const end = this.#sql.exec('SELECT MIN(ends_at) AS ends_at FROM idempotency_keys')[0]?.ends_at
    return typeof end === 'number' ? end : undefined
  }

  #take(key: string, digest: string, holder: string): Taken {
    const row = this.#row(key)
    if (row !== undefined && !this.#isFree(row)) {
      if (row.digest !== digest) return { is: 'reused' }
      if (typeof row.answer === 'string') return { is: 'kept', answer: this.#answer(key, row) }
      return this.#leaseLeft(row) > 0 ? { is: 'running' } : { is: 'kept', answer: cutShort(row) }
    }
    this.#remove(key)
    const now = this.#now()
    this.#sql.exec(
      'INSERT INTO idempotency_keys VALUES (?, ?, ?, ?, ?, 0, NULL, NULL)',
      key,
      digest,
      holder,
      now + leaseMs,
      now + keyTtlMs,
    )
    return { is: 'yours' }
  }

  /** Its time is over, or its holder was lost before any tool was called. */
  #isFree(row: Row): boolean {
    if (Number(row.ends_at) <= this.#now()) return true
    return row.answer === null && row.acting === 0 && this.#leaseLeft(row) <= 0
  }

  /** Milliseconds; none where nothing runs. */
  #leaseLeft(row: Row): number {
    return row.answer === null ? Number(row.lease_ends_at) - this.#now() : 0
  }

  #row(key: string): Row | undefined {
    return this.#sql.exec('SELECT * FROM idempotency_keys WHERE key = ?', key)[0]
  }

  #keep(key: string, { body, ...rest }: KeptAnswer): void {
    // The text in pieces of its own: a row of a Durable Object holds 2 MB.
    if ('text' in body) this.#texts.put(owner(key), 'answer', body.text)
    const answer = JSON.stringify({ ...rest, body: 'text' in body ? null : body })
    this.#sql.exec('UPDATE idempotency_keys SET answer = ? WHERE key = ?', answer, key)
  }

  #answer(key: string, row: Row): KeptAnswer {
    const kept = JSON.parse(String(row.answer))
    return { ...kept, body: kept.body ?? { text: this.#texts.get(owner(key), 'answer') ?? '' } }
  }

  #remove(key: string): void {
    this.#texts.removeAll(owner(key))
    this.#sql.exec('DELETE FROM idempotency_keys WHERE key = ?', key)
  }
}

/** Texts of keys lie beside those of responses, whose ids begin otherwise. */
function owner(key: string): string {
  return `key ${key}`
}

/** What there is of an answer whose holder was lost after it had called tools: its record, where there is one. */
function cutShort({ response }: Row): KeptAnswer {
  const body = typeof response === 'string' ? { response } : { missing: 'interrupted' as const }
  return { status: 200, headers: [], body }
}
