// What is told of each request that has ended, where whoever runs the host asks for it: one record, of which a line of JSON, a
// point of data and counts are made. Names, numbers and codes: what is asked and answered never passes here.
import type { Candidate, FaceDeps, Outcome } from './deps.ts'

/** One request that has ended. */
export interface RequestRecord {
  requestId: string
  /** Unset where nobody was let in. */
  tenant: string | undefined
  /** `http`: the request itself; else a response that was made beside the request that it belongs to. */
  over: 'http' | 'socket' | 'background'
  /** These four of `http` alone. `path` has no query. */
  method?: string
  path?: string
  status?: number
  /** When the headers of its answer left. */
  firstMs?: number | undefined
  /** The answer was a stream of events. */
  isStream: boolean
  /** With what it was refused before a face had it. */
  refused?: string | undefined
  /** What the face tells; unset where no place was to be asked. */
  outcome: Outcome | undefined
  /** The provider or node that answered. */
  place: string | undefined
  ms: number
}

/** Where the records go, and the host's clock. */
export interface RequestLog {
  /** Milliseconds since the epoch. */
  now(): number
  /** A request has come, whose record will follow. */
  begin?(): void
  /** Never throws. */
  take(record: RequestRecord): void
  placeOf: PlaceOf
}

export interface RequestFacts {
  requestId: string
  method: string
  /** Without its query. */
  path: string
  /** Milliseconds since the epoch. */
  startedAt: number
}

/** Whom a candidate stands for: the node that took the call, where it was any of them. */
export type PlaceOf = (candidate: Candidate | undefined) => string | undefined

const maxPath = 200
/** As web servers write down that the client has left before there was a status to tell. */
const clientLeft = 499

/** A request on its way to its record: made when its answer has ended, which for a stream is long after its headers. */
export class RequestEntry {
  readonly #facts: RequestFacts
  readonly #log: RequestLog
  #tenant: string | undefined
  /** A face has it. */
  #isWatched = false
  /** Some place is asked: an outcome will be told. */
  #asks = false
  #outcome: Outcome | undefined
  #error: string | undefined
  /** Set with the headers of the answer. */
  #head: { status: number; afterMs: number } | undefined
  #isSocket = false
  #isStream = false
  #isTaken = false

  constructor(facts: RequestFacts, log: RequestLog) {
    this.#facts = facts
    this.#log = log
    log.begin?.()
  }

  /** Has the face tell what becomes of the request, which `tenant` has sent. */
  watch(deps: FaceDeps, tenant?: string): void {
    this.#isWatched = true
    this.#tenant = tenant
    const { plan, onEnd } = deps
    deps.plan = (context) => {
      this.#asks = true
      return plan(context)
    }
    deps.onEnd = (outcome) => {
      onEnd?.(outcome)
      if (this.#isSocket) this.#takeTurn(outcome)
      else {
        this.#outcome = outcome
        // A client that has left sees no headers, and in workerd nothing would tell of them.
        if (this.#head !== undefined || outcome.status === 'cancelled') this.#take()
      }
    }
  }

  /** It is refused before a face has it. */
  refused(code: string): void {
    this.#error = code
  }

  /** The client has left before it was answered. Once a face has the request, that tells it. */
  left(tenant: string | undefined): void {
    if (this.#isWatched || this.#head !== undefined) return
    this.#tenant = tenant
    this.#take()
  }

  /** The answer has begun; one that is no stream has ended. */
  answered({ status, headers }: Response, tenant: string | undefined): void {
    this.#tenant = tenant
    this.#head = { status, afterMs: this.#log.now() - this.#facts.startedAt }
    this.#isSocket = status === 101
    this.#isStream = headers.get('content-type')?.startsWith('text/event-stream') === true
    if (!this.#isStream || !this.#asks || this.#outcome !== undefined) this.#take()
  }

  #take(): void {
    if (this.#isTaken) return
    this.#isTaken = true
    const { requestId, method, path, startedAt } = this.#facts
    const { status = clientLeft, afterMs } = this.#head ?? {}
    const outcome = this.#outcome
    const left = outcome?.status === 'cancelled' && status >= 400
    this.#log.take({
      requestId,
      tenant: this.#tenant,
      over: 'http',
      method,
      path,
      status: left ? clientLeft : status,
      firstMs: afterMs,
      isStream: this.#isStream,
      refused: this.#error,
      outcome,
      place: this.#log.placeOf(outcome?.candidate),
      ms: this.#log.now() - startedAt,
    })
  }

  /** A response on a socket: it has an outcome, and no status. */
  #takeTurn(outcome: Outcome): void {
    const { requestId } = this.#facts
    takeTurn({ requestId, tenant: this.#tenant, over: 'socket' }, outcome, this.#log)
  }
}

export interface TurnFacts {
  requestId: string
  tenant: string | undefined
  /** `background`: the request that began it has a record of its own. */
  over: 'socket' | 'background'
}

/** The record of a response that is made beside the request that it belongs to. */
export function takeTurn(facts: TurnFacts, outcome: Outcome, log: RequestLog): void {
  log.take({
    ...facts,
    isStream: facts.over === 'socket',
    outcome,
    place: log.placeOf(outcome.candidate),
    ms: log.now() - outcome.startedAt,
  })
}

/** A record as a line of the log, without its end. */
export function lineOf(record: RequestRecord, now: number): string {
  const { requestId, tenant, over, method, path, status, refused, outcome, firstMs, ms } = record
  const isOwn = over === 'http'
  return JSON.stringify({
    level: 'info',
    event: 'request',
    time: new Date(now).toISOString(),
    request_id: requestId,
    tenant,
    ...(isOwn ? { method, path: path?.slice(0, maxPath), status, error: refused } : { over }),
    ...(outcome && ofOutcome(outcome, record.place)),
    ...(isOwn ? { first_ms: firstMs } : {}),
    ms,
  })
}

function ofOutcome(
  { status, error, model, attempts, usage }: Outcome,
  place: string | undefined,
): Record<string, unknown> {
  const tried = attempts.map(({ name, error }) => ({ name, error }))
  return {
    outcome: status,
    ...(error === undefined ? {} : { error }),
    model,
    place,
    ...(tried.length === 0 ? {} : { tried }),
    input_tokens: usage?.input_tokens,
    output_tokens: usage?.output_tokens,
  }
}
