// Conversations as rows: metadata, and items that each can be read and removed alone. Synchronous, over any Sql.
import { isObject } from '../protocol/check.ts'
import { type Sql, Texts } from './sql.ts'
import type { Conversation, Json } from './store.ts'

export class Conversations {
  readonly #sql: Sql
  readonly #texts: Texts

  constructor(sql: Sql) {
    this.#sql = sql
    this.#texts = new Texts(sql)
  }

  create(conversation: Conversation, expiresAt: number, items: Json[]): void {
    const { id, createdAt, metadata } = conversation
    this.#sql.transaction(() => {
      this.#sql.exec(
        'INSERT INTO conversations VALUES (?, ?, ?, ?)',
        id,
        createdAt,
        expiresAt,
        JSON.stringify(metadata),
      )
      this.extend(id, items, expiresAt)
    })
  }

  get(id: string): Conversation | undefined {
    const row = this.#sql.exec('SELECT * FROM conversations WHERE id = ?', id)[0]
    if (row === undefined) return undefined
    const metadata: Record<string, string> = JSON.parse(String(row.metadata))
    return { id, createdAt: Number(row.created_at), metadata }
  }

  update(id: string, metadata: Record<string, string>): Conversation | undefined {
    this.#sql.exec(
      'UPDATE conversations SET metadata = ? WHERE id = ?',
      JSON.stringify(metadata),
      id,
    )
    return this.get(id)
  }

  /** Adds items at the end, within the caller's transaction; false where the conversation is gone. */
  extend(id: string, items: Json[], expiresAt: number): boolean {
    if (this.get(id) === undefined) return false
    const top = this.#sql.exec(
      'SELECT MAX(position) AS position FROM conversation_items WHERE conversation = ?',
      id,
    )[0]
    let position = typeof top?.position === 'number' ? top.position : -1
    for (const item of items) {
      const itemId = String(item.id)
      // The same item again (a client that resends) stays where it is, as it now reads.
      if (!this.#has(id, itemId)) {
        this.#sql.exec('INSERT INTO conversation_items VALUES (?, ?, ?)', id, ++position, itemId)
      }
      this.#texts.put(id, itemId, JSON.stringify(item))
    }
    this.#sql.exec(
      'UPDATE conversations SET expires_at = MAX(expires_at, ?) WHERE id = ?',
      expiresAt,
      id,
    )
    return true
  }

  append(id: string, items: Json[], expiresAt: number): boolean {
    return this.#sql.transaction(() => this.extend(id, items, expiresAt))
  }

  items(id: string): Json[] | undefined {
    if (this.get(id) === undefined) return undefined
    return this.#sql
      .exec('SELECT id FROM conversation_items WHERE conversation = ? ORDER BY position', id)
      .map((row) => this.#item(id, String(row.id)))
      .filter(isObject)
  }

  item(id: string, itemId: string): Json | undefined {
    return this.#has(id, itemId) ? this.#item(id, itemId) : undefined
  }

  /** Items of any conversation by their ids. */
  find(ids: readonly string[]): [string, Json][] {
    return ids.flatMap((id) => {
      const row = this.#sql.exec(
        'SELECT conversation FROM conversation_items WHERE id = ? LIMIT 1',
        id,
      )[0]
      const item = row && this.#item(String(row.conversation), id)
      return item === undefined ? [] : [[id, item] as [string, Json]]
    })
  }

  removeItem(id: string, itemId: string): boolean {
    if (!this.#has(id, itemId)) return false
    this.#sql.transaction(() => {
      this.#sql.exec('DELETE FROM conversation_items WHERE conversation = ? AND id = ?', id, itemId)
      this.#texts.remove(id, itemId)
    })
    return true
  }

  remove(id: string): boolean {
    if (this.get(id) === undefined) return false
    this.#sql.transaction(() => this.#remove(id))
    return true
  }

  /** Removes what has expired, at most some; true where there may be more. */
  purge(now: number, max = 50): boolean {
    const rows = this.#sql.exec(
      'SELECT id FROM conversations WHERE expires_at <= ? LIMIT ?',
      now,
      max,
    )
    this.#sql.transaction(() => {
      for (const { id } of rows) this.#remove(String(id))
    })
    return rows.length === max
  }

  /** Seconds since the epoch; undefined where there is none. */
  nextExpiry(): number | undefined {
    const row = this.#sql.exec('SELECT MIN(expires_at) AS at FROM conversations')[0]
    return typeof row?.at === 'number' ? row.at : undefined
  }

  #remove(id: string): void {
    this.#texts.removeAll(id)
    this.#sql.exec('DELETE FROM conversation_items WHERE conversation = ?', id)
    this.#sql.exec('DELETE FROM conversations WHERE id = ?', id)
  }

  #has(id: string, itemId: string): boolean {
    const query = 'SELECT 1 FROM conversation_items WHERE id = ? AND conversation = ?'
    return this.#sql.exec(query, itemId, id).length > 0
  }

  #item(id: string, itemId: string): Json | undefined {
    const text = this.#texts.get(id, itemId)
    const value: unknown = text === undefined ? undefined : JSON.parse(text)
    return isObject(value) ? value : undefined
  }
}
