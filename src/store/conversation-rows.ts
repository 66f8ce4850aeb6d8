// Conversations as rows: metadata, and items that each can be read and removed alone. Synchronous, over any Sql.
import { isObject } from '../protocol/check.ts'
import { isItemId, maxHistoryLength, noSuchItem, tooLong } from './limits.ts'
import { type Sql, Texts } from './sql.ts'
import type { Conversation, Json, Page, PageQuery } from './store.ts'

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

  /**
   * Adds items at the end, within the caller's transaction; false where the conversation is gone. The same id again is the
   * same item of a client that resends, or a `new` one of an upstream that counts from one in every answer.
   */
  extend(id: string, items: Json[], expiresAt: number, kind: 'new' | 'given' = 'given'): boolean {
    if (this.get(id) === undefined) return false
    const top = this.#sql.exec(
      'SELECT MAX(position) AS position FROM conversation_items WHERE conversation = ?',
      id,
    )[0]
    let position = typeof top?.position === 'number' ? top.position : -1
    for (const item of items) {
      const known = isItemId(item.id) && this.#has(id, String(item.id))
      const usable = isItemId(item.id) && !(known && kind === 'new')
      const itemId = usable ? String(item.id) : `item_${id.slice('conv_'.length)}_${position + 1}`
      // What is known stays where it is, as it now reads.
      if (!this.#has(id, itemId)) {
        this.#sql.exec('INSERT INTO conversation_items VALUES (?, ?, ?)', id, ++position, itemId)
      }
      this.#texts.put(id, itemId, JSON.stringify({ ...item, id: itemId }))
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

  /** All of it, as the next turn goes on from it. Throws where that is too long to be sent again. */
  items(id: string): Json[] | undefined {
    if (this.get(id) === undefined) return undefined
    const query = 'SELECT SUM(LENGTH(text)) AS length FROM texts WHERE owner = ?'
    if (Number(this.#sql.exec(query, id)[0]?.length) > maxHistoryLength) {
      throw tooLong('conversation')
    }
    return this.#sql
      .exec('SELECT id FROM conversation_items WHERE conversation = ? ORDER BY position', id)
      .map((row) => this.#item(id, String(row.id)))
      .filter(isObject)
  }

  /** A page of it; one of very long items is shorter than was asked for. Throws ApiError for a cursor that is no item's id. */
  page(id: string, { after, before, limit, order }: PageQuery): Page | undefined {
    if (this.get(id) === undefined) return undefined
    const ascending = order === 'asc'
    const from = after === undefined ? undefined : this.#position(id, after, 'after')
    const to = before === undefined ? undefined : this.#position(id, before, 'before')
    const [low, high] = ascending ? [from, to] : [to, from]
    const rows = this.#sql.exec(
      `SELECT id FROM conversation_items WHERE conversation = ? AND position > ? AND position < ?
      ORDER BY position ${ascending ? 'ASC' : 'DESC'} LIMIT ?`,
      id,
      low ?? -1,
      high ?? Number.MAX_SAFE_INTEGER,
      limit + 1,
    )
    const data: Json[] = []
    let length = 0
    for (const row of rows.slice(0, limit)) {
      const text = this.#texts.get(id, String(row.id)) ?? 'null'
      length += text.length
      if (data.length > 0 && length > maxHistoryLength) return { data, hasMore: true }
      const item: unknown = JSON.parse(text)
      if (isObject(item)) data.push(item)
    }
    return { data, hasMore: rows.length > limit }
  }

  item(id: string, itemId: string): Json | undefined {
    return this.#has(id, itemId) ? this.#item(id, itemId) : undefined
  }

  /** Items of any conversation by their ids. Throws where they are too long to be sent again. */
  find(ids: readonly string[]): [string, Json][] {
    let length = 0
    return ids.flatMap((id) => {
      const row = this.#sql.exec(
        'SELECT conversation FROM conversation_items WHERE id = ? LIMIT 1',
        id,
      )[0]
      const text = row && this.#texts.get(String(row.conversation), id)
      if (text === undefined) return []
      length += text.length
      if (length > maxHistoryLength) throw tooLong('input')
      return [[id, JSON.parse(text)] as [string, Json]]
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

  #position(id: string, cursor: string, param: string): number {
    const query = 'SELECT position FROM conversation_items WHERE id = ? AND conversation = ?'
    const row = this.#sql.exec(query, cursor, id)[0]
    if (row === undefined) throw noSuchItem(cursor, param)
    return Number(row.position)
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
