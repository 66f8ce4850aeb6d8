// The Worker's side of the response store: finds the Durable Object that an id or a chain belongs to, and asks it. The only
// file of the gateway that knows ResponseStore's inner routes. One object holds one shard of one tenant.
import { ApiError, isErrorCode } from '../src/errors.ts'
import { concat } from '../src/faces/event-bytes.ts'
import { encodeRecordFrame, frameTypes } from '../src/store/frames.ts'
import type { IdempotencyKeys, Taken } from '../src/store/idempotency.ts'
import { placed, shardCount, shardOf } from '../src/store/ids.ts'
import type {
  BackgroundWork,
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
} from '../src/store/store.ts'
import type { BegunCall } from '../src/stream/begun-call.ts'
import { type Caller, callerMessage } from './caller.ts'
import { newId } from './ids.ts'

export const truncatedHeader = 'x-switchyard-truncated'

/** The caller's store; undefined where the deployment has none. */
export function remoteState(caller: Caller): RemoteStore | undefined {
  const { RESPONSE_STORE } = caller.env
  return RESPONSE_STORE === undefined ? undefined : new RemoteStore(RESPONSE_STORE, caller)
}

/** The store of one caller's tenant: what is another tenant's lies in other objects. */
export class RemoteStore implements Store {
  #conversations: Conversations | undefined
  readonly #namespace: DurableObjectNamespace
  readonly #caller: Caller

  constructor(namespace: DurableObjectNamespace, caller: Caller) {
    this.#namespace = namespace
    this.#caller = caller
  }

  get conversations(): Conversations {
    this.#conversations ??= this.#conversationsApi()
    return this.#conversations
  }

  /** Keys come as digests: their first digits spread them over the shards, and the same one always asks the same object. */
  get keys(): IdempotencyKeys {
    const ask = async <T>(method: string, key: string, ...args: unknown[]): Promise<T> => {
      const shard = Number.parseInt(key.slice(0, 2), 16) % shardCount
      const value = await this.#ask<T>(shard, `keys.${method}`, [key, ...args])
      if (value === undefined) throw new Error('The response store did not say.')
      return value
    }
    return {
      take: (key, digest, holder) => ask<Taken>('take', key, digest, holder),
      hold: (key, holder, acting) => ask<boolean>('hold', key, holder, acting),
      end: async (key, holder, answer) => {
        const ended = ask<boolean>('end', key, holder, answer)
        // A client that has left must not leave its key held.
        this.#caller.waitUntil(ended.catch(() => {}))
        await ended
      },
      async ended(key) {
        await ask<boolean>('ended', key)
      },
    }
  }

  history(id: string): Promise<History | undefined> {
    return this.#call(id, 'history')
  }

  /** An item's id does not tell its shard: all are asked. */
  async items(ids: readonly string[]): Promise<Map<string, Json>> {
    const shards = Array.from({ length: shardCount }, (_, shard) => shard)
    const found = await Promise.all(
      shards.map((shard) => this.#ask<[string, Json][]>(shard, 'items', [ids])),
    )
    return new Map(found.flatMap((entries) => entries ?? []))
  }

  /** The same key always asks the same object, which answers one at a time. */
  async claim(key: string, ttlMs: number): Promise<boolean> {
    const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(key))
    const shard = (new Uint8Array(digest)[0] ?? 0) % shardCount
    const isFirst = await this.#ask<boolean>(shard, 'claim', [key, ttlMs])
    if (isFirst === undefined) throw new Error('The response store did not say.')
    return isFirst
  }

  begin(turn: Turn): Recorder | undefined {
    if (!turn.store) return undefined
    const id = newResponseId(turn)
    const record = (body: BodyInit) =>
      this.#object(shardOf(id) ?? 0).fetch(`http://store/record?id=${id}`, { method: 'POST', body })
    const journal = async (calls: readonly BegunCall[], response: Json) => {
      await this.#call(id, 'journal', calls, response)
    }
    return new RemoteRecorder({ id, turn, record, journal, caller: this.#caller })
  }

  async background(work: BackgroundWork) {
    const id = newResponseId(work.turn)
    const answer = await this.#object(shardOf(id) ?? 0).fetch('http://store/background', {
      method: 'POST',
      body: JSON.stringify({ id, work, caller: callerMessage(this.#caller) }),
    })
    if (!answer.ok) throw await refusal(answer)
    return {
      response: await answer.json<Json>(),
      events: async () => {
        const log = await this.events(id, -1)
        if (log === undefined || log === 'none') throw new Error(`${id} has no events.`)
        return log
      },
    }
  }

  get(id: string): Promise<Json | undefined> {
    return this.#call(id, 'get')
  }

  async events(id: string, after: number): Promise<EventLog | 'none' | undefined> {
    const shard = shardOf(id)
    if (shard === undefined) return undefined
    const answer = await this.#object(shard).fetch(`http://store/events?id=${id}&after=${after}`)
    if (answer.status === 404) return undefined
    if (answer.status === 409) return 'none'
    if (!answer.ok || answer.body === null) throw await refusal(answer)
    return { body: answer.body, truncated: answer.headers.has(truncatedHeader) }
  }

  inputItems(id: string, query: PageQuery): Promise<Page | undefined> {
    return this.#call(id, 'inputItems', query)
  }

  async remove(id: string): Promise<boolean> {
    return (await this.#call<boolean>(id, 'remove')) ?? false
  }

  cancel(id: string): Promise<Cancelled> {
    return this.#call(id, 'cancel')
  }

  #conversationsApi(): Conversations {
    const call = <T>(id: string, method: string, ...args: unknown[]) =>
      this.#call<T>(id, `conversations.${method}`, ...args)
    return {
      create: async (metadata, items) => {
        const id = placed(newId('conv'))
        const made = await call<Conversation>(id, 'create', metadata, items)
        if (made === undefined) throw new Error('The conversation was not made.')
        return made
      },
      get: (id) => call(id, 'get'),
      update: (id, metadata) => call(id, 'update', metadata),
      remove: async (id) => (await call<boolean>(id, 'remove')) ?? false,
      append: (id, items) => call(id, 'append', items),
      list: (id, query) => call(id, 'list', query),
      item: (id, itemId) => call(id, 'item', itemId),
      removeItem: async (id, itemId) => (await call<boolean>(id, 'removeItem', itemId)) ?? false,
    }
  }

  /** Undefined for an id that was not made here: no object is asked, and none is made. */
  async #call<T>(id: string, method: string, ...args: unknown[]): Promise<T | undefined> {
    const shard = shardOf(id)
    return shard === undefined ? undefined : this.#ask<T>(shard, method, [id, ...args])
  }

  async #ask<T>(shard: number, method: string, args: unknown[]): Promise<T | undefined> {
    const answer = await this.#object(shard).fetch('http://store/call', {
      method: 'POST',
      body: JSON.stringify({ method, args }),
    })
    if (!answer.ok) throw await refusal(answer)
    const { value } = await answer.json<{ value?: T }>()
    return value
  }

  #object(shard: number): DurableObjectStub {
    const name = JSON.stringify([this.#caller.identity.tenant, shard])
    return this.#namespace.get(this.#namespace.idFromName(name))
  }
}

/** In the shard of what the turn goes on from. */
function newResponseId({ previousResponseId, conversation }: Turn): string {
  const origin = previousResponseId ?? conversation
  return placed(newId('resp'), origin === undefined ? undefined : shardOf(origin))
}

async function refusal(answer: Response): Promise<ApiError> {
  const body = await answer
    .json<{ error?: { code?: string; message?: string; param?: string | null } }>()
    .catch(() => undefined)
  const { code, message, param = null } = body?.error ?? {}
  if (isErrorCode(code) && message !== undefined) return new ApiError(code, message, { param })
  return new ApiError('server_error', 'The response store failed.', {
    cause: new Error(`status ${answer.status}`),
  })
}

/** Written and not yet taken by the store: an answer is not held up by a slow store, and memory not filled for it. */
const maxPendingBytes = 8 * 1024 * 1024
/** The store gives up a record that says nothing for a minute. */
const pingMs = 20_000

interface RemoteRecord {
  id: string
  turn: Turn
  /** Sends the record's frames; answered when all is kept. */
  record(body: BodyInit): Promise<Response>
  /** Resolves when the object has written the calls down: what it answers waits for its disk. */
  journal(calls: readonly BegunCall[], response: Json): Promise<void>
  caller: Caller
}

/** One record on its way: a single request, whose body grows with the answer and whose response says that all is kept. */
class RemoteRecorder implements Recorder {
  readonly id: string
  readonly durable = true
  readonly #options: RemoteRecord
  /** Set with the first write. */
  #writer: WritableStreamDefaultWriter<Uint8Array> | undefined
  #kept: Promise<Response> | undefined
  #pings: ReturnType<typeof setInterval> | undefined
  #pendingBytes = 0
  #isClosed = false
  /** Set once something has gone wrong: the record will not be whole. */
  #fault: unknown

  constructor(options: RemoteRecord) {
    this.id = options.id
    this.#options = options
  }

  get begun(): boolean {
    return this.#writer !== undefined
  }

  async journal(calls: readonly BegunCall[], response: Json): Promise<void> {
    // Also where nothing is to be written yet: it is to be the writer's own record that has the calls.
    this.write('', -1)
    if (this.#fault !== undefined) throw this.#fault
    await this.#options.journal(calls, response)
  }

  write(events: string, upTo: number): void {
    this.#open()
    this.#send(encodeRecordFrame(frameTypes.events, upTo, events))
  }

  async finish(response: Json, events: string, upTo: number): Promise<void> {
    if (this.#pings !== undefined) clearInterval(this.#pings)
    const last = [
      ...(events === '' ? [] : [encodeRecordFrame(frameTypes.tail, upTo, events)]),
      encodeRecordFrame(frameTypes.finish, -1, JSON.stringify(response)),
    ]
    if (this.#writer === undefined) {
      this.#kept = this.#options.record(concat([this.#head(), ...last]))
    } else {
      for (const frame of last) this.#send(frame, true)
      this.#close()
    }
    // A client that leaves now has had its whole answer: the record must not end with it.
    this.#options.caller.waitUntil(this.#kept?.catch(() => {}) ?? Promise.resolve())
    const answer = await this.#kept
    if (this.#fault !== undefined) throw this.#fault
    if (answer?.ok !== true) throw new Error(`The response store answered ${answer?.status}.`)
  }

  cancel(): void {
    if (this.#pings !== undefined) clearInterval(this.#pings)
    if (this.#writer === undefined || this.#isClosed) return
    this.#send(encodeRecordFrame(frameTypes.cancel, -1, ''))
    this.#close()
    this.#options.caller.waitUntil(this.#kept?.catch(() => {}) ?? Promise.resolve())
  }

  #open(): void {
    if (this.#writer !== undefined) return
    const { readable, writable } = new IdentityTransformStream()
    this.#writer = writable.getWriter()
    this.#kept = this.#options.record(readable)
    this.#kept.catch(this.#onFault)
    this.#pings = setInterval(() => this.#send(encodeRecordFrame(frameTypes.ping, -1, '')), pingMs)
    // However long: it is no sign of a slow store, and its input is held anyway.
    this.#writer.write(this.#head()).catch(this.#onFault)
  }

  #head(): Uint8Array<ArrayBuffer> {
    return encodeRecordFrame(frameTypes.begin, -1, JSON.stringify(this.#options.turn))
  }

  /** `last`: nothing comes behind it, so that its length is no sign of a slow store. */
  #send(frame: Uint8Array, last = false): void {
    if (this.#fault !== undefined) return
    this.#pendingBytes += frame.length
    if (!last && this.#pendingBytes > maxPendingBytes) {
      this.#onFault(new Error('The response store is too slow.'))
      return
    }
    this.#writer?.write(frame).then(() => {
      this.#pendingBytes -= frame.length
    }, this.#onFault)
  }

  #close(): void {
    this.#isClosed = true
    this.#writer?.close().catch(this.#onFault)
  }

  readonly #onFault = (error: unknown) => {
    this.#fault ??= error
    if (this.#pings !== undefined) clearInterval(this.#pings)
  }
}
