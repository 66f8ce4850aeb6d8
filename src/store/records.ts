// Responses as rows: what each was asked, its events, what it became, and the chain that it stands in. Synchronous, over any
// Sql; knows no clock. Everything that is told about one response is one transaction.
import { ApiError } from '../errors.ts'
import { isObject } from '../protocol/check.ts'
import { isInputItem } from '../protocol/responses.ts'
import type { BegunCall } from '../stream/begun-call.ts'
import type { Conversations } from './conversation-rows.ts'
import { EventRows } from './event-rows.ts'
import { fromTerminal, LogFold } from './event-text.ts'
import { maxHistoryLength, maxItemIdLength, noSuchItem, tooLong } from './limits.ts'
import { type Row, type Sql, Texts } from './sql.ts'
import type { History, Json, PageQuery } from './store.ts'

/** Of one response's events, in UTF-16 units: what comes beyond is not kept, but for its end. */
export const maxLogLength = 8 * 1024 * 1024
/** Turns of one chain. */
const maxTurns = 10_000

export interface NewRecord {
  id: string
  previous: string | undefined
  conversation: string | undefined
  background: boolean
  streamed: boolean
  input: Json[]
  /** Seconds since the epoch. */
  createdAt: number
  expiresAt: number
  /** The object until events tell of a newer one. */
  snapshot: Json | undefined
}

export interface RecordState {
  status: string
  background: boolean
  streamed: boolean
  truncated: boolean
  /** Closed without an end of its own: a client may have seen events that were never kept. */
  lost: boolean
  lastSequence: number
  /** Seconds since the epoch. */
  expiresAt: number
  /** Of its events so far. */
  logLength: number
}

/** Texts of a record that say which calls were about to be made: one for each time. */
const journalKind = 'calls '
const runningStatuses = new Set(['queued', 'in_progress'])
const finalStatuses = new Set(['completed', 'failed', 'incomplete', 'cancelled'])

/** True until the response has its final status. */
export function isRunning(status: string): boolean {
  return runningStatuses.has(status)
}

export class Records {
  readonly #sql: Sql
  readonly #texts: Texts
  readonly #events: EventRows
  readonly #conversations: Conversations

  constructor(sql: Sql, conversations: Conversations) {
    this.#sql = sql
    this.#texts = new Texts(sql)
    this.#events = new EventRows(sql)
    this.#conversations = conversations
  }

  begin(record: NewRecord): void {
    const { id, background, snapshot } = record
    this.#sql.transaction(() => {
      this.#insert(record, background ? 'queued' : 'in_progress')
      if (snapshot) this.#texts.add(id, 'response', JSON.stringify(snapshot))
    })
  }

  /** Begins and finishes one whose answer comes whole, with half of the statements. */
  keep(record: NewRecord, given: Json): void {
    const { id, input } = record
    this.#sql.transaction(() => {
      const response = ended(this.#withOutput(id, given))
      this.#insert(record, response.status)
      this.#texts.add(id, 'response', JSON.stringify(response))
      this.#hand(response, { ...record, input: () => input })
    })
  }

  #insert(record: NewRecord, status: string): void {
    const { id, previous, conversation, background, streamed, createdAt, expiresAt } = record
    this.#sql.exec(
      'INSERT INTO responses VALUES (?, ?, ?, ?, ?, ?, ?, ?, -1, 0, 0, 0)',
      id,
      status,
      createdAt,
      expiresAt,
      previous ?? null,
      conversation ?? null,
      background ? 1 : 0,
      streamed ? 1 : 0,
    )
    this.#texts.add(id, 'input', JSON.stringify(record.input))
    if (previous !== undefined) this.#keepChain(previous, expiresAt)
  }

  state(id: string): RecordState | undefined {
    const row = this.#sql.exec('SELECT * FROM responses WHERE id = ?', id)[0]
    return row && stateOf(row)
  }

  /** Whole events, in order. */
  append(id: string, text: string, upTo: number): void {
    const state = this.state(id)
    if (state === undefined || !isRunning(state.status) || text === '') return
    this.#sql.transaction(() => this.#append(id, state, text, upTo))
  }

  /** Calls that are about to be made. Throws for a record that has ended: nobody could tell of them. */
  journal(id: string, calls: readonly BegunCall[], response: Json): void {
    const state = this.state(id)
    if (state === undefined || !isRunning(state.status)) {
      throw new Error('The record has ended: no call can be written down in it.')
    }
    this.#sql.transaction(() => {
      const round = this.#texts.all(id, journalKind).length
      this.#texts.add(id, journalKind + String(round).padStart(6, '0'), JSON.stringify(calls))
      // Its events come on another way, and may never: one in the background has its object from the start.
      if (state.background || state.lastSequence >= 0) return
      this.#texts.put(id, 'response', JSON.stringify(response))
    })
  }

  #journalled(id: string): BegunCall[] {
    return this.#texts.all(id, journalKind).flatMap((text) => JSON.parse(text) as BegunCall[])
  }

  /** The end: the last events, the object, and what the conversation gains by it. False for a record that had ended. */
  finish(id: string, given: Json, text: string, upTo: number): boolean {
    const row = this.#sql.exec('SELECT * FROM responses WHERE id = ?', id)[0]
    const state = row && stateOf(row)
    if (row === undefined || state === undefined || !isRunning(state.status)) return false
    this.#sql.transaction(() => {
      if (text !== '') this.#append(id, state, text, upTo)
      const response = this.#withLost(id, ended(this.#withOutput(id, given)))
      this.#texts.put(id, 'response', JSON.stringify(response))
      this.#texts.removeEach(id, journalKind)
      this.#sql.exec('UPDATE responses SET status = ? WHERE id = ?', response.status, id)
      const conversation = typeof row.conversation === 'string' ? row.conversation : undefined
      const expiresAt = Number(row.expires_at)
      const input = () => parsedItems(this.#texts.get(id, 'input'))
      this.#hand(response, { id, conversation, expiresAt, input })
    })
    return true
  }

  /** Hands an answer's items to those who look for them: by their ids, and in the conversation. */
  #hand({ output, status }: Ended, { id, conversation, expiresAt, input }: EndedTurn): void {
    const items = itemsIn(output)
    for (const { id: item } of items) {
      if (typeof item !== 'string' || item.length > maxItemIdLength) continue
      this.#sql.exec('INSERT OR IGNORE INTO output_items VALUES (?, ?)', item, id)
    }
    if (conversation === undefined || status === 'failed') return
    this.#conversations.extend(conversation, input(), expiresAt)
    this.#conversations.extend(conversation, usable(items), expiresAt, 'new')
  }

  /** Ends a record that nobody goes on with: `error`, or undefined where it was given up on purpose. */
  close(id: string, error: ApiError | undefined): void {
    const state = this.state(id)
    if (state === undefined || !isRunning(state.status)) return
    const fold = this.#folded(id)
    const fallback = this.#snapshot(id) ?? { id, object: 'response', status: 'in_progress' }
    const closed = fold.close(fallback, state.lastSequence, error, this.#journalled(id))
    const response = error
      ? closed.response
      : { ...closed.response, status: 'cancelled', incomplete_details: null }
    this.finish(id, response, state.streamed ? closed.text : '', closed.last)
    if (error) this.#sql.exec('UPDATE responses SET lost = 1 WHERE id = ?', id)
  }

  /** Closes what a process that is gone had begun. */
  closeAll(error: ApiError): void {
    const running = "SELECT id FROM responses WHERE status IN ('queued', 'in_progress')"
    for (const { id } of this.#sql.exec(running)) this.close(String(id), error)
  }

  /** The object as it stands. */
  get(id: string): Json | undefined {
    const state = this.state(id)
    if (state === undefined) return undefined
    const snapshot = this.#snapshot(id)
    if (!isRunning(state.status)) return snapshot
    return this.#folded(id).response ?? snapshot ?? { id, object: 'response', status: state.status }
  }

  /** Events after a number, some at a time; an empty text where there are none yet. */
  eventsAfter(id: string, after: number): { text: string; last: number } {
    return this.#events.after(id, after)
  }

  /** The event that ended a log, and what came with it. */
  endOf(id: string): string {
    return this.#events.end(id)
  }

  /** What the next turn goes on from. Throws where the chain has lost a turn or is too long to be sent again. */
  history(id: string): History | undefined {
    const turns: Json[][] = []
    const responses: string[] = []
    let length = 0
    let status: string | undefined
    for (let at: string | undefined = id; at !== undefined; ) {
      const row: Row | undefined = this.#sql.exec('SELECT * FROM responses WHERE id = ?', at)[0]
      if (row === undefined) {
        if (status === undefined) return undefined
        throw brokenChain(at)
      }
      status ??= String(row.status)
      const input = this.#texts.get(at, 'input') ?? '[]'
      const response = this.#texts.get(at, 'response') ?? '{}'
      length += input.length + response.length
      if (length > maxHistoryLength || turns.length >= maxTurns)
        throw tooLong('previous_response_id')
      const output: unknown = JSON.parse(response).output
      turns.push([...parsedItems(input), ...usable(itemsIn(output))])
      responses.push(at)
      if (typeof row.conversation === 'string') break
      at = typeof row.previous === 'string' ? row.previous : undefined
    }
    const items = turns.reverse().flat()
    return { items, status: status ?? 'completed', responses: responses.reverse() }
  }

  /** The items that the response was made from, its history's first. */
  input(id: string): Json[] | undefined {
    const row = this.#sql.exec('SELECT previous FROM responses WHERE id = ?', id)[0]
    if (row === undefined) return undefined
    const own = parsedItems(this.#texts.get(id, 'input'))
    if (typeof row.previous !== 'string') return own
    return [...(this.#historyOrNone(row.previous)?.items ?? []), ...own]
  }

  /** Items of answers by their ids. Throws where they are too long to be sent again. */
  items(ids: readonly string[]): [string, Json][] {
    const outputs = new Map<string, Json[]>()
    let length = 0
    const outputOf = (response: string) => {
      const text = this.#texts.get(response, 'response') ?? '{}'
      length += text.length
      if (length > maxHistoryLength) throw tooLong('input')
      return itemsIn(JSON.parse(text).output)
    }
    return ids.flatMap((id) => {
      const row = this.#sql.exec('SELECT response FROM output_items WHERE id = ? LIMIT 1', id)[0]
      if (row === undefined) return []
      const response = String(row.response)
      const output = outputs.get(response) ?? outputOf(response)
      outputs.set(response, output)
      const item = output.find((candidate) => candidate.id === id)
      return item === undefined ? [] : [[id, item] as [string, Json]]
    })
  }

  remove(id: string): boolean {
    if (this.state(id) === undefined) return false
    this.#sql.transaction(() => this.#remove(id))
    return true
  }

  /** Removes what has expired; at most some, so that one call stays short. True where there may be more. */
  purge(now: number, max = 200): boolean {
    const rows = this.#sql.exec('SELECT id FROM responses WHERE expires_at <= ? LIMIT ?', now, max)
    this.#sql.transaction(() => {
      for (const { id } of rows) this.#remove(String(id))
    })
    return rows.length === max
  }

  /** Seconds since the epoch; undefined where nothing is kept. */
  nextExpiry(): number | undefined {
    const row = this.#sql.exec('SELECT MIN(expires_at) AS at FROM responses')[0]
    return typeof row?.at === 'number' ? row.at : undefined
  }

  #remove(id: string): void {
    this.#texts.removeAll(id)
    this.#events.remove(id)
    this.#sql.exec('DELETE FROM output_items WHERE response = ?', id)
    this.#sql.exec('DELETE FROM responses WHERE id = ?', id)
  }

  #append(id: string, state: RecordState, given: string, told: number): void {
    // Rows are read in the order of their numbers: those of a server that counts backwards must not.
    const upTo = Math.max(told, state.lastSequence)
    const size = state.logLength
    const fits = !state.truncated && size + given.length <= maxLogLength
    const text = fits ? given : fromTerminal(given)
    if (text !== '') this.#events.add(id, { first: state.lastSequence + 1, last: upTo, text })
    this.#sql.exec(
      "UPDATE responses SET last_sequence = ?, log_size = ?, truncated = ?, status = 'in_progress' WHERE id = ?",
      upTo,
      size + text.length,
      fits ? 0 : 1,
      id,
    )
  }

  /** A chain lives as long as its youngest turn. */
  #keepChain(from: string, expiresAt: number): void {
    this.#sql.exec(
      `WITH RECURSIVE chain (id, previous) AS (
        SELECT id, previous FROM responses WHERE id = ?
        UNION SELECT responses.id, responses.previous FROM responses JOIN chain ON responses.id = chain.previous
      )
      UPDATE responses SET expires_at = ? WHERE id IN (SELECT id FROM chain) AND expires_at < ?`,
      from,
      expiresAt,
      expiresAt,
    )
  }

  #folded(id: string): LogFold {
    const fold = new LogFold()
    fold.push(this.#events.all(id))
    return fold
  }

  /** Some servers leave `output` out of their last snapshot; what came before is the answer then. */
  #withOutput(id: string, response: Json): Json {
    if (Array.isArray(response.output) && response.output.length > 0) return response
    const folded = this.#folded(id).response
    const output = folded !== undefined && Array.isArray(folded.output) ? folded.output : []
    return { ...response, output }
  }

  /** Whoever ends a response early may not know which calls were on their way. */
  #withLost(id: string, response: Ended): Ended {
    if (response.status !== 'failed' && response.status !== 'cancelled') return response
    const lost = new Map(this.#journalled(id).map(({ end }) => [end.item.id, end.item]))
    const output = itemsIn(response.output).map((item) => {
      const own = item.status === 'incomplete' ? lost.get(item.id) : undefined
      lost.delete(item.id)
      return own ?? item
    })
    return { ...response, output: [...output, ...lost.values()] }
  }

  #snapshot(id: string): Json | undefined {
    const text = this.#texts.get(id, 'response')
    const value: unknown = text === undefined ? undefined : JSON.parse(text)
    return isObject(value) ? value : undefined
  }

  #historyOrNone(id: string): History | undefined {
    try {
      return this.history(id)
    } catch (error) {
      if (error instanceof ApiError) return undefined
      throw error
    }
  }
}

type Ended = Json & { status: string }

interface EndedTurn extends Pick<NewRecord, 'id' | 'conversation' | 'expiresAt'> {
  input(): Json[]
}

/** Some servers end an answer whose object still says in_progress: nobody would ever end it here. */
function ended(response: Json): Ended {
  const status = String(response.status)
  return { ...response, status: finalStatuses.has(status) ? status : 'completed' }
}

function stateOf(row: Row): RecordState {
  return {
    status: String(row.status),
    background: row.background === 1,
    streamed: row.streamed === 1,
    truncated: row.truncated === 1,
    lost: row.lost === 1,
    lastSequence: Number(row.last_sequence),
    expiresAt: Number(row.expires_at),
    logLength: Number(row.log_size),
  }
}

function itemsIn(value: unknown): Json[] {
  return Array.isArray(value) ? value.filter(isObject) : []
}

function parsedItems(text: string | undefined): Json[] {
  return text === undefined ? [] : itemsIn(JSON.parse(text))
}

/**
 * A call whose arguments were cut is nothing that a model or a tool could go on from; nor is what an upstream of our own
 * dialect called an item and no client could have sent.
 */
function usable(output: Json[]): Json[] {
  return output.filter(
    (item) =>
      typeof item.type === 'string' &&
      (item.type === 'message' || item.status !== 'incomplete') &&
      isInputItem(item),
  )
}

function brokenChain(id: string): ApiError {
  return new ApiError(
    'previous_response_not_found',
    `The chain of responses cannot be continued: '${id}', an earlier turn of it, was deleted.`,
    { param: 'previous_response_id' },
  )
}

/** The items of a list that a query asks for. Throws ApiError for a cursor that is no item's id. */
export function pageOf(items: Json[], query: PageQuery): { data: Json[]; hasMore: boolean } {
  const ordered = query.order === 'asc' ? items : [...items].reverse()
  const at = (cursor: string, param: string) => {
    const index = ordered.findIndex(({ id }) => id === cursor)
    if (index !== -1) return index
    throw noSuchItem(cursor, param)
  }
  const start = query.after === undefined ? 0 : at(query.after, 'after') + 1
  const end = query.before === undefined ? ordered.length : at(query.before, 'before')
  const range = ordered.slice(start, end)
  return { data: range.slice(0, query.limit), hasMore: range.length > query.limit }
}
