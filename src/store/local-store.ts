// The store of one process over one database: the rows, and what only lives in memory, which is who writes a response now and
// who reads along. A Durable Object holds one for its shard, `switchyard serve` one for all.
import { ApiError, isErrorCode, toApiError } from '../errors.ts'
import type { NewId } from '../ids.ts'
import { isObject } from '../protocol/check.ts'
import { pingComment } from '../sse/encode.ts'
import type { BegunCall } from '../stream/begun-call.ts'
import { ClaimRows } from './claim-rows.ts'
import { Conversations as ConversationRows } from './conversation-rows.ts'
import { KeyRows } from './idempotency-rows.ts'
import { placed, shardOf } from './ids.ts'
import { isRunning, type NewRecord, pageOf, Records } from './records.ts'
import { migrate, type Sql } from './sql.ts'
import type {
  Cancelled,
  Conversation,
  Conversations,
  EventLog,
  History,
  Json,
  Page,
  PageQuery,
  Recorder,
  Store,
  Turn,
} from './store.ts'

export interface LocalStoreOptions {
  sql: Sql
  newId: NewId
  /** Milliseconds since the epoch. */
  now: () => number
  /** How long a response is kept. */
  days: number
  onError?: ((error: unknown) => void) | undefined
}

/** Answers a background response as a stream of events, told to the recorder as they go. */
export type Run = (recorder: Recorder, signal: AbortSignal) => Promise<Response>

/** A response that someone writes now. */
interface Live {
  /** Stops a background response. */
  stop: AbortController | undefined
  /** When its writer was heard last. */
  heardAt: number
}

const dayMs = 86_400_000
/** Background responses that one store makes at a time. */
const maxBackground = 100
const silenceMs = 15_000
const encoder = new TextEncoder()
const truncatedNote = ': this answer had more events than are kept\n\n'

export class LocalStore implements Store {
  readonly conversations: Conversations
  readonly keys: KeyRows
  readonly #options: LocalStoreOptions
  readonly #records: Records
  readonly #conversationRows: ConversationRows
  readonly #claims: ClaimRows
  readonly #live = new Map<string, Live>()
  /** Readers that wait for a response's next events. */
  readonly #waiting = new Map<string, Set<() => void>>()

  /** Opens the tables; what a process before this one had begun is closed as failed. */
  constructor(options: LocalStoreOptions) {
    migrate(options.sql)
    this.#options = options
    this.#conversationRows = new ConversationRows(options.sql)
    this.#records = new Records(options.sql, this.#conversationRows)
    this.#claims = new ClaimRows(options.sql)
    this.keys = new KeyRows(options.sql, options.now)
    this.conversations = this.#conversationsApi()
    this.#records.closeAll(
      new ApiError(
        'server_error',
        'The server was restarted before this response was complete. What it had made until then was kept.',
      ),
    )
  }

  async history(id: string): Promise<History | undefined> {
    if (!id.startsWith('conv_')) return this.#fresh(id) ? this.#records.history(id) : undefined
    const items = this.#conversationRows.items(id)
    return items && { items, status: 'completed', responses: [] }
  }

  async items(ids: readonly string[]): Promise<Map<string, Json>> {
    return new Map([...this.#conversationRows.find(ids), ...this.#records.items(ids)])
  }

  /** True for the first caller with this key, false for the others until the time has passed (tools/mcp/claims.ts). */
  async claim(key: string, ttlMs: number): Promise<boolean> {
    const now = this.#options.now()
    return this.#claims.claim(key, now, now + ttlMs)
  }

  begin(turn: Turn): Recorder | undefined {
    if (!turn.store) return undefined
    return this.recorder(this.newResponseId(turn), turn)
  }

  /** An id in the shard of what the turn goes on from. */
  newResponseId({ previousResponseId, conversation }: Turn): string {
    const origin = previousResponseId ?? conversation
    return placed(this.#options.newId('resp'), origin === undefined ? undefined : shardOf(origin))
  }

  /** Writes one response; its row is there from the first write on. */
  recorder(id: string, turn: Turn): Recorder {
    let open = false
    const begin = () => {
      if (open) return
      open = true
      if (this.#live.has(id)) return
      this.#begin(id, turn, undefined)
      this.#live.set(id, { stop: undefined, heardAt: this.#options.now() })
      this.#wake(id)
    }
    return {
      id,
      durable: true,
      everyMs: 50,
      get begun() {
        return open
      },
      journal: async (calls, response) => {
        begin()
        this.touch(id)
        this.#records.journal(id, calls, response)
      },
      write: (events, upTo) => {
        try {
          begin()
          this.touch(id)
          this.#records.append(id, events, upTo)
          this.#wake(id)
        } catch (error) {
          this.#options.onError?.(error)
        }
      },
      finish: async (response, events, upTo) => {
        if (!open && events === '' && !this.#live.has(id)) {
          open = true
          this.#records.keep(this.#newRecord(id, turn, undefined), response)
          return
        }
        begin()
        const kept = this.#records.finish(id, response, events, upTo)
        this.#end(id)
        if (!kept) throw new Error('The record had ended before its response.')
      },
      cancel: () => {
        if (!open) return
        this.close(id, undefined)
      },
    }
  }

  /** The same for calls that come on another way than their record: it may not have begun yet. */
  async journal(id: string, calls: readonly BegunCall[], response: Json): Promise<void> {
    if (this.#records.state(id) === undefined) await this.#change(id)
    this.touch(id)
    this.#records.journal(id, calls, response)
  }

  /** The writer of a response is there. */
  touch(id: string): void {
    const live = this.#live.get(id)
    if (live) live.heardAt = this.#options.now()
  }

  /** Ends a response whose writer does not: `error`, or undefined where it was given up on purpose. */
  close(id: string, error: ApiError | undefined): void {
    try {
      this.#records.close(id, error)
    } catch (thrown) {
      this.#options.onError?.(thrown)
    }
    this.#end(id)
  }

  /** Begins a response that nobody waits for; `run` does the work. */
  start(id: string, turn: Turn, queued: Json, run: Run): Json {
    const running = [...this.#live.values()].filter(({ stop }) => stop !== undefined).length
    if (running >= maxBackground) {
      throw new ApiError(
        'rate_limit_exceeded',
        `${running} background responses are being made already; wait for some to end.`,
        { retryAfter: 10 },
      )
    }
    const response = { ...queued, id }
    const stop = new AbortController()
    this.#begin(id, turn, response)
    this.#live.set(id, { stop, heardAt: this.#options.now() })
    void this.#drive(id, stop.signal, () => run(this.recorder(id, turn), stop.signal))
    return response
  }

  async get(id: string): Promise<Json | undefined> {
    return this.#fresh(id) ? this.#records.get(id) : undefined
  }

  async events(id: string, after: number): Promise<EventLog | 'none' | undefined> {
    const state = this.#fresh(id) ? this.#records.state(id) : undefined
    if (state === undefined) return undefined
    if (!state.streamed) return 'none'
    return { body: this.#follow(id, after), truncated: state.truncated }
  }

  async inputItems(id: string, query: PageQuery): Promise<Page | undefined> {
    const items = this.#fresh(id) ? this.#records.input(id) : undefined
    return items && pageOf(items, query)
  }

  async remove(id: string): Promise<boolean> {
    const removed = this.#fresh(id) && this.#records.remove(id)
    this.#live.get(id)?.stop?.abort()
    this.#end(id)
    return this.#scrubbed(removed)
  }

  async cancel(id: string): Promise<Cancelled> {
    const state = this.#fresh(id) ? this.#records.state(id) : undefined
    if (state === undefined) return undefined
    if (!state.background) return 'not_background'
    const live = this.#live.get(id)
    if (isRunning(state.status)) this.close(id, undefined)
    live?.stop?.abort()
    return { response: this.#records.get(id) ?? {} }
  }

  /** True while responses are written. */
  get busy(): boolean {
    return this.#live.size > 0
  }

  /** Closes foreground responses whose writer has not been heard for so long. */
  closeSilent(limitMs: number): void {
    const before = this.#options.now() - limitMs
    for (const [id, { stop, heardAt }] of this.#live) {
      if (stop !== undefined || heardAt > before) continue
      this.close(
        id,
        new ApiError('server_error', 'The server that made this response was lost before its end.'),
      )
    }
  }

  /** Removes what has expired; gives the time (ms) of the next that will, or undefined. */
  sweep(): number | undefined {
    const now = this.#seconds()
    const more = [
      this.#records.purge(now),
      this.#conversationRows.purge(now),
      this.#claims.purge(this.#options.now()),
      this.keys.purge(),
    ].includes(true)
    this.#scrubbed(true)
    if (more) return this.#options.now()
    const times = [this.#records.nextExpiry(), this.#conversationRows.nextExpiry()]
    const next = Math.min(
      ...times.map((time) => (time === undefined ? Number.POSITIVE_INFINITY : time * 1000)),
      this.#claims.nextEnd() ?? Number.POSITIVE_INFINITY,
      this.keys.nextEnd() ?? Number.POSITIVE_INFINITY,
    )
    return Number.isFinite(next) ? next : undefined
  }

  #begin(id: string, turn: Turn, queued: Json | undefined): void {
    this.#records.begin(this.#newRecord(id, turn, queued))
  }

  #newRecord(id: string, turn: Turn, queued: Json | undefined): NewRecord {
    return {
      id,
      previous: turn.previousResponseId,
      conversation: turn.conversation,
      background: queued !== undefined,
      // What nobody waits for is always kept as events, so that a client may look in at any time.
      streamed: turn.stream || queued !== undefined,
      input: turn.input,
      createdAt: this.#seconds(),
      expiresAt: this.#expiry(),
      snapshot: queued,
    }
  }

  async #drive(id: string, signal: AbortSignal, run: () => Promise<Response>): Promise<void> {
    let error = new ApiError('server_error', 'The response ended without an end.')
    try {
      const response = await run()
      if (response.ok) await drained(response)
      else error = await refusalOf(response)
    } catch (thrown) {
      if (!signal.aborted) this.#options.onError?.(thrown)
      error = toApiError(thrown)
    }
    // Nothing happens here where the recorder has ended the record, or a cancel.
    this.close(id, error)
  }

  #end(id: string): void {
    this.#live.delete(id)
    this.#wake(id)
  }

  #wake(id: string): void {
    for (const wake of this.#waiting.get(id) ?? []) wake()
  }

  /** Until the response changes; false where it did not for a while. */
  #change(id: string): Promise<boolean> {
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(id) ?? new Set()
      this.#waiting.set(id, waiting)
      const done = (changed: boolean) => {
        clearTimeout(timer)
        waiting.delete(wake)
        if (waiting.size === 0) this.#waiting.delete(id)
        resolve(changed)
      }
      const wake = () => done(true)
      const timer = setTimeout(() => done(false), silenceMs)
      waiting.add(wake)
    })
  }

  /** A reader holds nothing but its place: it reads rows as fast as its client takes them, and delays nobody. */
  #follow(id: string, after: number): ReadableStream<Uint8Array> {
    let at = after
    let told = false
    const next = (): string | undefined => {
      for (;;) {
        const state = this.#records.state(id)
        if (state?.truncated && !told) {
          told = true
          return truncatedNote
        }
        const { text, last } = this.#records.eventsAfter(id, at)
        if (last > at) {
          at = last
          if (text === '') continue
          return text
        }
        if (state !== undefined && isRunning(state.status)) return undefined
        // A client may have seen events that were lost with their writer: it gets the end all the same.
        const unseen = state?.lost === true && after >= state.lastSequence && at === after
        at = Number.POSITIVE_INFINITY
        return unseen ? this.#records.endOf(id) : ''
      }
    }
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          for (;;) {
            const text = next()
            if (text === '') return controller.close()
            if (text !== undefined) return controller.enqueue(encoder.encode(text))
            if (await this.#change(id)) continue
            return controller.enqueue(encoder.encode(pingComment))
          }
        },
      },
      { highWaterMark: 0 },
    )
  }

  #conversationsApi(): Conversations {
    const rows = this.#conversationRows
    return {
      create: async (metadata, items) => this.createConversation(undefined, metadata, items),
      get: async (id) => rows.get(id),
      update: async (id, metadata) => rows.update(id, metadata),
      remove: async (id) => this.#scrubbed(rows.remove(id)),
      append: async (id, items) => (rows.append(id, items, this.#expiry()) ? items : undefined),
      list: async (id, query) => rows.page(id, query),
      item: async (id, itemId) => rows.item(id, itemId),
      removeItem: async (id, itemId) => this.#scrubbed(rows.removeItem(id, itemId)),
    }
  }

  /** With an id that was made elsewhere, or a new one. */
  createConversation(
    id: string | undefined,
    metadata: Record<string, string>,
    items: Json[],
  ): Conversation {
    const conversation = {
      id: id ?? placed(this.#options.newId('conv')),
      createdAt: this.#seconds(),
      metadata,
    }
    this.#conversationRows.create(conversation, this.#expiry(), items)
    return conversation
  }

  /** After a deletion: what is gone from the rows goes from the file. */
  #scrubbed(removed: boolean): boolean {
    if (removed) this.#options.sql.scrub?.()
    return removed
  }

  #seconds(): number {
    return Math.floor(this.#options.now() / 1000)
  }

  #expiry(): number {
    return Math.floor((this.#options.now() + this.#options.days * dayMs) / 1000)
  }

  /** False for what has expired, even before it is swept away. */
  #fresh(id: string): boolean {
    return (this.#records.state(id)?.expiresAt ?? 0) > this.#seconds()
  }
}

async function drained(response: Response): Promise<void> {
  const reader = response.body?.getReader()
  while (reader !== undefined && !(await reader.read()).done);
}

/** Why a response that never began was refused. */
async function refusalOf(response: Response): Promise<ApiError> {
  const body: unknown = await response.json().catch(() => undefined)
  const error = isObject(body) && isObject(body.error) ? body.error : {}
  const message =
    typeof error.message === 'string' ? error.message : 'The response could not be made.'
  const { code } = error
  return new ApiError(isErrorCode(code) ? code : 'server_error', message)
}
