// One shard of a tenant's stored responses and conversations, in the object's own SQLite. Background responses run in here:
// this object outlives the client that asked for them.
//
// What an eviction costs: an object with a response in the making is kept in memory by its alarm. A reset (deploy, runtime
// update, a crash) ends what runs; the next instance closes it as failed before it answers anyone, and the alarm sees to it
// that there is a next instance.
import { ApiError, toApiError } from '../../src/errors.ts'
import { startHere } from '../../src/faces/local-state.ts'
import { takeTurn } from '../../src/faces/request-log.ts'
import { type Frame, frameTypes, RecordFrameReader } from '../../src/store/frames.ts'
import type { Acting, KeptAnswer } from '../../src/store/idempotency.ts'
import { LocalStore } from '../../src/store/local-store.ts'
import type { Row, Sql } from '../../src/store/sql.ts'
import type { BackgroundWork, Json, PageQuery, Recorder, Turn } from '../../src/store/store.ts'
import type { BegunCall } from '../../src/stream/begun-call.ts'
import type { CallerMessage } from '../caller.ts'
import type { Env } from '../env.ts'
import { depsFor } from '../face-deps.ts'
import { newId } from '../ids.ts'
import { logFault } from '../log.ts'
import { requestLogOf } from '../request-log.ts'
import { truncatedHeader } from '../response-store.ts'
import { runtimeOf } from '../runtime.ts'

const place = 'response-store'
/** What has expired is gone for readers at once; its rows may stay so much longer. */
const sweepMs = 3_600_000

export class ResponseStore {
  /** Milliseconds between looks after what runs. */
  protected readonly heartbeat: number = 15_000
  /** A writer says something every 20 s. */
  protected readonly writerSilence: number = 65_000

  readonly #state: DurableObjectState
  readonly #env: Env
  readonly #store: LocalStore
  /** When the alarm is set for; undefined before this instance has set one. */
  #alarmAt: number | undefined

  constructor(state: DurableObjectState, env: Env) {
    this.#state = state
    this.#env = env
    this.#store = new LocalStore({
      sql: sqlOf(state.storage),
      newId,
      now: () => Date.now(),
      days: runtimeOf(env).config.limits.storeDays,
      onError: (error) => logFault(error, { requestId: '-', place }),
    })
  }

  /** Routes between Worker and store; none is reachable from outside. */
  async fetch(request: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url)
    const id = searchParams.get('id') ?? ''
    try {
      switch (pathname) {
        case '/call':
          return Response.json({ value: await this.#call(await request.json()) })
        case '/record':
          return await this.#record(id, request)
        case '/background':
          return await this.#background(await request.json())
        case '/events':
          return await this.#events(id, Number(searchParams.get('after')))
        default:
          return new Response(null, { status: 404 })
      }
    } catch (thrown) {
      if (!(thrown instanceof ApiError)) logFault(thrown, { requestId: '-', place })
      return toApiError(thrown).toResponse()
    }
  }

  async alarm(): Promise<void> {
    this.#alarmAt = undefined
    this.#store.closeSilent(this.writerSilence)
    const next = this.#store.sweep()
    if (this.#store.busy) await this.#wakeBy(Date.now() + this.heartbeat)
    else if (next !== undefined) await this.#wakeBy(Math.max(next, Date.now() + sweepMs))
  }

  async #call({ method, args }: { method: string; args: unknown[] }): Promise<unknown> {
    const call = Object.hasOwn(methods, method)
      ? methods[method as keyof typeof methods]
      : undefined
    if (call === undefined) throw new Error(`There is no method ${method}.`)
    const value = await call(this.#store, args)
    await this.#wakeBy(Date.now() + sweepMs)
    return value
  }

  /** Takes down a response as it is made elsewhere. */
  async #record(id: string, request: Request): Promise<Response> {
    const frames = new RecordFrameReader()
    const taker = new RecordTaker(id, this.#store)
    try {
      for await (const bytes of chunksOf(request)) {
        for (const frame of frames.push(bytes)) {
          if (frame.type === frameTypes.begin) await this.#wakeBy(Date.now() + this.writerSilence)
          if (await taker.take(frame)) return new Response(null)
        }
      }
    } catch (error) {
      taker.lost()
      throw error
    }
    // The writer's request ended before its answer did: its client has left.
    taker.lost()
    return new Response(null)
  }

  async #background(message: {
    id: string
    work: BackgroundWork
    caller: CallerMessage
  }): Promise<Response> {
    const { id, work, caller } = message
    await this.#wakeBy(Date.now() + this.heartbeat)
    const deps = depsFor({
      ...caller,
      headers: new Headers(caller.headers),
      env: this.#env,
      waitUntil: (promise) => this.#state.waitUntil(promise),
    })
    const log = requestLogOf(this.#env)
    if (log !== undefined) {
      const { requestId, identity } = caller
      const facts = { requestId, tenant: identity.tenant, over: 'background' } as const
      deps.onEnd = (outcome) => takeTurn(facts, outcome, log)
    }
    return Response.json(startHere(this.#store, id, work, deps))
  }

  async #events(id: string, after: number): Promise<Response> {
    const log = await this.#store.events(id, after)
    if (log === undefined) return new Response(null, { status: 404 })
    if (log === 'none') return new Response(null, { status: 409 })
    return new Response(log.body, { headers: log.truncated ? { [truncatedHeader]: '1' } : {} })
  }

  /** Sets the alarm, unless it will ring before. */
  async #wakeBy(at: number): Promise<void> {
    if (this.#alarmAt !== undefined && this.#alarmAt <= at) return
    this.#alarmAt = at
    await this.#state.storage.setAlarm(at)
  }
}

/** A record that was sent whole says how long it is: to read that in one piece is a third of the cost. */
async function* chunksOf(request: Request): AsyncGenerator<Uint8Array> {
  if (request.headers.has('content-length')) {
    yield new Uint8Array(await request.arrayBuffer())
    return
  }
  const reader = request.body?.getReader()
  for (let read = await reader?.read(); read?.done === false; read = await reader?.read()) {
    yield read.value
  }
}

/** One record that comes in frames. */
class RecordTaker {
  readonly #id: string
  readonly #store: LocalStore
  #recorder: Recorder | undefined
  /** The last events, which go in with the end. */
  #tail: { text: string; upTo: number } = { text: '', upTo: -1 }

  constructor(id: string, store: LocalStore) {
    this.#id = id
    this.#store = store
  }

  /** True after the last frame. */
  async take({ type, sequence, payload }: Frame): Promise<boolean> {
    switch (type) {
      case frameTypes.begin:
        this.#recorder = this.#store.recorder(this.#id, JSON.parse(payload) as Turn)
        return false
      case frameTypes.events:
        this.#recorder?.write(payload, sequence)
        return false
      case frameTypes.tail:
        this.#tail = { text: payload, upTo: sequence }
        return false
      case frameTypes.finish:
        await this.#recorder?.finish(JSON.parse(payload) as Json, this.#tail.text, this.#tail.upTo)
        return true
      case frameTypes.cancel:
        this.#recorder?.cancel()
        return true
      default:
        this.#store.touch(this.#id)
        return false
    }
  }

  lost(): void {
    this.#recorder?.cancel()
  }
}

/** What the Worker may call. The arguments come from our own code, on the other side of one wire. */
const methods = {
  history: (store: LocalStore, [id]: unknown[]) => store.history(id as string),
  items: async (store: LocalStore, [ids]: unknown[]) => [...(await store.items(ids as string[]))],
  get: (store: LocalStore, [id]: unknown[]) => store.get(id as string),
  inputItems: (store: LocalStore, [id, query]: unknown[]) =>
    store.inputItems(id as string, query as PageQuery),
  remove: (store: LocalStore, [id]: unknown[]) => store.remove(id as string),
  cancel: (store: LocalStore, [id]: unknown[]) => store.cancel(id as string),
  claim: (store: LocalStore, [key, ttlMs]: unknown[]) =>
    store.claim(key as string, ttlMs as number),
  journal: (store: LocalStore, [id, calls, response]: unknown[]) =>
    store.journal(id as string, calls as BegunCall[], response as Json),
  'keys.take': (store: LocalStore, [key, digest, holder]: unknown[]) =>
    store.keys.take(key as string, digest as string, holder as string),
  'keys.hold': (store: LocalStore, [key, holder, acting]: unknown[]) =>
    store.keys.hold(key as string, holder as string, acting as Acting | null),
  'keys.end': async (store: LocalStore, [key, holder, answer]: unknown[]) => {
    await store.keys.end(key as string, holder as string, answer as KeptAnswer | null)
    return true
  },
  'keys.ended': async (store: LocalStore, [key]: unknown[]) => {
    await store.keys.ended(key as string)
    return true
  },
  'conversations.create': async (store: LocalStore, [id, metadata, items]: unknown[]) =>
    store.createConversation(id as string, metadata as Record<string, string>, items as Json[]),
  'conversations.get': (store: LocalStore, [id]: unknown[]) =>
    store.conversations.get(id as string),
  'conversations.update': (store: LocalStore, [id, metadata]: unknown[]) =>
    store.conversations.update(id as string, metadata as Record<string, string>),
  'conversations.remove': (store: LocalStore, [id]: unknown[]) =>
    store.conversations.remove(id as string),
  'conversations.append': (store: LocalStore, [id, items]: unknown[]) =>
    store.conversations.append(id as string, items as Json[]),
  'conversations.list': (store: LocalStore, [id, query]: unknown[]) =>
    store.conversations.list(id as string, query as PageQuery),
  'conversations.item': (store: LocalStore, [id, itemId]: unknown[]) =>
    store.conversations.item(id as string, itemId as string),
  'conversations.removeItem': (store: LocalStore, [id, itemId]: unknown[]) =>
    store.conversations.removeItem(id as string, itemId as string),
}

function sqlOf(storage: DurableObjectStorage): Sql {
  return {
    exec: (query, ...params) => storage.sql.exec<Row>(query, ...params).toArray(),
    transaction: (run) => storage.transactionSync(run),
  }
}
