// What the store needs of an SQLite database, and its tables. Two hosts give it: a Durable Object's own storage, and
// node:sqlite for `switchyard serve`.

export type SqlValue = string | number | null
export type Row = Record<string, SqlValue>

/** Synchronous, as both hosts are. */
export interface Sql {
  /** Runs one statement; its rows, none for a change. */
  exec(query: string, ...params: SqlValue[]): Row[]
  /** Runs all of it or, where it throws, none. Never nested. */
  transaction<T>(run: () => T): T
  /** Leaves no copy of what was deleted in the file's journal. Absent: the host gives no say in that. */
  scrub?(): void
}

/** Step n brings version n to n + 1. Steps are never changed once released, only added. */
const migrations: readonly (readonly string[])[] = [
  [
    `CREATE TABLE responses (
      id TEXT PRIMARY KEY, status TEXT NOT NULL, created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL,
      previous TEXT, conversation TEXT, background INTEGER NOT NULL, streamed INTEGER NOT NULL,
      last_sequence INTEGER NOT NULL, log_size INTEGER NOT NULL, truncated INTEGER NOT NULL, lost INTEGER NOT NULL
    ) WITHOUT ROWID`,
    'CREATE INDEX responses_by_expiry ON responses (expires_at)',
    // Long values in pieces: a row of a Durable Object holds 2 MB.
    `CREATE TABLE texts (
      owner TEXT NOT NULL, kind TEXT NOT NULL, part INTEGER NOT NULL, text TEXT NOT NULL, PRIMARY KEY (owner, kind, part)
    ) WITHOUT ROWID`,
    `CREATE TABLE events (
      response TEXT NOT NULL, last INTEGER NOT NULL, part INTEGER NOT NULL, first INTEGER NOT NULL, text TEXT NOT NULL,
      PRIMARY KEY (response, last, part)
    ) WITHOUT ROWID`,
    `CREATE TABLE output_items (
      id TEXT NOT NULL, response TEXT NOT NULL, PRIMARY KEY (id, response)
    ) WITHOUT ROWID`,
    'CREATE INDEX output_items_by_response ON output_items (response)',
    `CREATE TABLE conversations (
      id TEXT PRIMARY KEY, created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, metadata TEXT NOT NULL
    ) WITHOUT ROWID`,
    'CREATE INDEX conversations_by_expiry ON conversations (expires_at)',
    `CREATE TABLE conversation_items (
      conversation TEXT NOT NULL, position INTEGER NOT NULL, id TEXT NOT NULL, PRIMARY KEY (conversation, position)
    ) WITHOUT ROWID`,
    'CREATE UNIQUE INDEX conversation_items_by_id ON conversation_items (id, conversation)',
  ],
  [
    'CREATE TABLE claims (key TEXT PRIMARY KEY, ends_at INTEGER NOT NULL) WITHOUT ROWID',
    'CREATE INDEX claims_by_end ON claims (ends_at)',
  ],
  [
    // `response`: the record of an answer that calls tools. `answer`: JSON, once there is one.
    `CREATE TABLE idempotency_keys (
      key TEXT PRIMARY KEY, digest TEXT NOT NULL, holder TEXT NOT NULL, lease_ends_at INTEGER NOT NULL,
      ends_at INTEGER NOT NULL, acting INTEGER NOT NULL, response TEXT, answer TEXT
    ) WITHOUT ROWID`,
    'CREATE INDEX idempotency_keys_by_end ON idempotency_keys (ends_at)',
  ],
]

/** Brings the tables to the newest version. Throws where a newer program wrote them. */
export function migrate(sql: Sql): void {
  sql.exec('CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL)')
  const version = Number(sql.exec("SELECT value FROM meta WHERE key = 'version'")[0]?.value ?? 0)
  if (version > migrations.length) {
    throw new Error(
      `The response store has version ${version}; this program knows ${migrations.length}.`,
    )
  }
  if (version === migrations.length) return
  sql.transaction(() => {
    for (const statement of migrations.slice(version).flat()) sql.exec(statement)
    sql.exec("INSERT OR REPLACE INTO meta VALUES ('version', ?)", migrations.length)
  })
}

/** UTF-16 units of a piece: at most 1.5 MB in UTF-8. */
const pieceLength = 500_000

/** Cuts a text into pieces of a row's size, never within a character. */
export function pieces(text: string): string[] {
  const parts: string[] = []
  for (let at = 0; at < text.length || parts.length === 0; ) {
    let end = Math.min(text.length, at + pieceLength)
    const last = text.charCodeAt(end - 1)
    if (end < text.length && last >= 0xd800 && last <= 0xdbff) end--
    parts.push(text.slice(at, end))
    at = end
  }
  return parts
}

/** A range of the primary key, so that no other row is looked at. */
const ofPrefix = "owner = ? AND kind >= ? AND kind < ? || '~'"

/** Long texts of any owner, by kind. */
export class Texts {
  readonly #sql: Sql

  constructor(sql: Sql) {
    this.#sql = sql
  }

  get(owner: string, kind: string): string | undefined {
    const rows = this.#sql.exec(
      'SELECT text FROM texts WHERE owner = ? AND kind = ? ORDER BY part',
      owner,
      kind,
    )
    return rows.length === 0 ? undefined : rows.map(({ text }) => text).join('')
  }

  /** Of every kind that begins so, in the order of the kinds. */
  all(owner: string, prefix: string): string[] {
    const found = new Map<unknown, string>()
    const rows = this.#sql.exec(
      `SELECT kind, text FROM texts WHERE ${ofPrefix} ORDER BY kind, part`,
      owner,
      prefix,
      prefix,
    )
    for (const { kind, text } of rows) found.set(kind, (found.get(kind) ?? '') + text)
    return [...found.values()]
  }

  put(owner: string, kind: string, text: string): void {
    this.remove(owner, kind)
    this.add(owner, kind, text)
  }

  /** The same where there is none yet. */
  add(owner: string, kind: string, text: string): void {
    for (const [part, piece] of pieces(text).entries()) {
      this.#sql.exec('INSERT INTO texts VALUES (?, ?, ?, ?)', owner, kind, part, piece)
    }
  }

  remove(owner: string, kind: string): void {
    this.#sql.exec('DELETE FROM texts WHERE owner = ? AND kind = ?', owner, kind)
  }

  /** Every kind that begins so. */
  removeEach(owner: string, prefix: string): void {
    this.#sql.exec(`DELETE FROM texts WHERE ${ofPrefix}`, owner, prefix, prefix)
  }

  removeAll(owner: string): void {
    this.#sql.exec('DELETE FROM texts WHERE owner = ?', owner)
  }
}
