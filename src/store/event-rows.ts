// The events of responses as rows, some events in each. Synchronous, over any Sql.
import { eventBlocks, fromTerminal, sequenceOf } from './event-text.ts'
import { pieces, type Row, type Sql } from './sql.ts'

/** A row of events grows to this before the next one begins: no row per event. */
const rowLength = 32 * 1024

/** Whole events, from one sequence number to another. */
export interface Batch {
  first: number
  last: number
  text: string
}

export class EventRows {
  readonly #sql: Sql

  constructor(sql: Sql) {
    this.#sql = sql
  }

  /** Behind all that is there. */
  add(id: string, { first, last, text }: Batch): void {
    const [tail, before] = this.#sql.exec(
      'SELECT part, last, LENGTH(text) AS length FROM events WHERE response = ? ORDER BY last DESC, part DESC LIMIT 2',
      id,
    )
    // Rows that end with the same event are read as one: nothing may be added to the last of them alone.
    const room = tail !== undefined && tail.last !== before?.last
    if (room && Number(tail.length) + text.length <= rowLength) {
      this.#sql.exec(
        'UPDATE events SET text = text || ?, last = ? WHERE response = ? AND last = ? AND part = ?',
        text,
        last,
        id,
        Number(tail.last),
        Number(tail.part),
      )
      return
    }
    let part = Number(tail?.part ?? -1)
    for (const piece of pieces(text)) {
      this.#sql.exec('INSERT INTO events VALUES (?, ?, ?, ?, ?)', id, last, ++part, first, piece)
    }
  }

  /** Events after a number, some at a time; an empty text where there are none yet. */
  after(id: string, after: number): { text: string; last: number } {
    const row = this.#sql.exec(
      'SELECT first, last FROM events WHERE response = ? AND last > ? ORDER BY last, part LIMIT 1',
      id,
      after,
    )[0]
    if (row === undefined) return { text: '', last: after }
    const last = Number(row.last)
    const text = this.#ending(id, last)
    return { text: Number(row.first) > after ? text : textAfter(text, after), last }
  }

  /** The event that ended a log, and what came with it. */
  end(id: string): string {
    const last = this.#sql.exec('SELECT MAX(last) AS last FROM events WHERE response = ?', id)[0]
    return typeof last?.last === 'number' ? fromTerminal(this.#ending(id, last.last)) : ''
  }

  /** In one text, as pieces of one event belong together. */
  all(id: string): string {
    const query = 'SELECT text FROM events WHERE response = ? ORDER BY last, part'
    return joined(this.#sql.exec(query, id))
  }

  remove(id: string): void {
    this.#sql.exec('DELETE FROM events WHERE response = ?', id)
  }

  /** All rows that end with the same event: the pieces of a batch that was too long for one row. */
  #ending(id: string, last: number): string {
    const query = 'SELECT text FROM events WHERE response = ? AND last = ? ORDER BY part'
    return joined(this.#sql.exec(query, id, last))
  }
}

function joined(rows: readonly Row[]): string {
  return rows.map(({ text }) => text).join('')
}

function textAfter(text: string, after: number): string {
  let counted = -1
  return eventBlocks(text)
    .filter((block) => {
      counted = sequenceOf(block) ?? counted
      return counted > after
    })
    .map((block) => block.text)
    .join('')
}
