// The response store as the faces see it: already bound to one tenant, whoever keeps it (a Durable Object on Workers, an
// SQLite file for `switchyard serve`, a socket's own memory in front of either). TurnStore is what answering needs, Store
// adds what the management routes need. An id that is not this tenant's is unknown, in every method.
import type { ResponsesRequest } from '../protocol/responses.ts'
import type { BegunCall } from '../stream/begun-call.ts'
import type { IdempotencyKeys } from './idempotency.ts'

/** An item or a response object, as it travels. */
export type Json = Record<string, unknown>

/** What a new turn goes on from. */
export interface History {
  /** Of the whole chain in order: each turn's input, then its output. */
  items: Json[]
  /** The response's status; a conversation is always `completed`. */
  status: string
  /** Ids of the chain's responses, in order; none of a conversation. */
  responses: string[]
}

/** What a turn goes on from, by its ids. */
export interface Chain {
  /** In order; empty where it goes on from a conversation. */
  responses: readonly string[]
  conversation: string | undefined
}

/** One response that is about to be made. */
export interface Turn {
  /** The client's `store` (unset means true). Where it is false nothing may outlive the connection. */
  store: boolean
  /** The answer is a stream of events, which may be asked for again. */
  stream: boolean
  previousResponseId: string | undefined
  conversation: string | undefined
  /** This turn's own input, without the history; each item has an id. Empty where nothing is to be kept. */
  input: Json[]
}

/** Keeps one response. Nothing of it may slow the answer down, but the wait for `finish`. */
export interface Recorder {
  /** The response's id, `resp_…`: the client sees it from the first event on. */
  readonly id: string
  /** True where the response will be there after the connection: what the client is told as `store`. */
  readonly durable: boolean
  /** How long events may be gathered before they are written; unset: a quarter of a second. */
  readonly everyMs?: number
  /** True once something of it is kept: it must then be finished or cancelled. */
  readonly begun: boolean
  /**
   * Calls of tools that are about to be made, kept before they are: a record whose writer is lost tells of them. `response` is
   * the object without its output, for a writer that is lost before its first event was kept. Resolves when they are sure to outlive a
   * crash; rejects where that is not known, and then none may be made.
   */
  journal(calls: readonly BegunCall[], response: Json): Promise<void>
  /** Whole events as the client gets them, in batches; `upTo` is the sequence number of the last one. Never throws. */
  write(events: string, upTo: number): void
  /** The final response, and the events that have not been written yet. Resolves when all is kept; rejects where it is not. */
  finish(response: Json, events: string, upTo: number): Promise<void>
  /** The client has left or the answer was given up: closes the record with what was written. Never throws. */
  cancel(): void
}

export interface TurnStore {
  /** What a response (`resp_…`) or a conversation (`conv_…`) leaves to the next turn; undefined for an unknown id. */
  history(id: string): Promise<History | undefined>
  /** Items of earlier answers by their ids, for `item_reference`; unknown ones are missing. */
  items(ids: readonly string[]): Promise<Map<string, Json>>
  /** True for a store that lives no longer than its connection: it may keep turns whose `store` is false, too. */
  readonly ofConnection?: boolean
  /** Undefined where nothing is to be kept. Asks nobody: a request waits for no store before it goes out. */
  begin(turn: Turn): Recorder | undefined
  /** Starts a response that outlives its client. Absent: not possible here. */
  background?(work: BackgroundWork): Promise<Started>
}

export interface BackgroundWork {
  /** With its whole input. */
  request: ResponsesRequest
  turn: Turn
  /** How many items of it are history. */
  before: number
  /** Undefined where it goes on from nothing. */
  chain: Chain | undefined
  /** The response object before anything was done, but for its id. */
  queued: Json
  /** The family of reasoning events that the client chose; the host's own where it chose none. */
  reasoningEvents?: 'reasoning_text' | 'reasoning' | 'summary'
}

/** A response that runs on its own. */
export interface Started {
  response: Json
  /** Its events from the first on. */
  events(): Promise<EventLog>
}

/** A page of a list. */
export interface PageQuery {
  after: string | undefined
  before: string | undefined
  limit: number
  order: 'asc' | 'desc'
}

export interface Page {
  data: Json[]
  hasMore: boolean
}

/** A response's events from a sequence number on, then live until its end. */
export interface EventLog {
  body: ReadableStream<Uint8Array>
  /** Some events were too many to keep; the last one always is. */
  truncated: boolean
}

export type Cancelled = { response: Json } | 'not_background' | undefined

export interface Store extends TurnStore {
  get(id: string): Promise<Json | undefined>
  /** Undefined for an unknown id, `none` for a response that was not made as a stream. */
  events(id: string, after: number): Promise<EventLog | 'none' | undefined>
  inputItems(id: string, query: PageQuery): Promise<Page | undefined>
  /** Every row of it goes; one that runs is stopped. False for an unknown id. */
  remove(id: string): Promise<boolean>
  cancel(id: string): Promise<Cancelled>
  readonly conversations: Conversations
  readonly keys: IdempotencyKeys
}

/** What answering a request with a key of the client's own needs. */
export type KeyedStore = Pick<Store, 'keys' | 'get' | 'events'>

export interface Conversation {
  id: string
  /** Unix time in seconds. */
  createdAt: number
  metadata: Record<string, string>
}

/** Undefined always means: no such conversation. */
export interface Conversations {
  create(metadata: Record<string, string>, items: Json[]): Promise<Conversation>
  get(id: string): Promise<Conversation | undefined>
  update(id: string, metadata: Record<string, string>): Promise<Conversation | undefined>
  remove(id: string): Promise<boolean>
  append(id: string, items: Json[]): Promise<Json[] | undefined>
  list(id: string, query: PageQuery): Promise<Page | undefined>
  item(id: string, itemId: string): Promise<Json | undefined>
  removeItem(id: string, itemId: string): Promise<boolean>
}
