// One line of JSON for each request that has ended, where whoever runs the host asks for it: names, numbers and codes. What is
// asked and answered never passes here.
import type { Candidate, FaceDeps, Outcome } from './deps.ts'

/** Where the lines go, and the host's clock. */
export interface RequestLog {
  /** Milliseconds since the epoch. */
  now(): number
  /** Takes one line, without its end. */
  write(line: string): void
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

/** A request on its way to its line: written when its answer has ended, which for a stream is long after its headers. */
export class RequestEntry {
  readonly #facts: RequestFacts
  readonly #log: RequestLog
  #tenant: string | undefined
  /** Some place is asked: an outcome will be told. */
  #asks = false
  #outcome: Outcome | undefined
  #error: string | undefined
  /** Set with the headers of the answer. */
  #head: { status: number; afterMs: number } | undefined
  #isSocket = false

  constructor(facts: RequestFacts, log: RequestLog) {
    this.#facts = facts
    this.#log = log
  }

  /** Has the face tell what becomes of the request. */
  watch(deps: FaceDeps): void {
    const { plan, onEnd } = deps
    deps.plan = (context) => {
      this.#asks = true
      return plan(context)
    }
    deps.onEnd = (outcome) => {
      onEnd?.(outcome)
      if (this.#isSocket) this.#writeTurn(outcome)
      else {
        this.#outcome = outcome
        if (this.#head !== undefined) this.#write()
      }
    }
  }

  /** It is refused before a face has it. */
  refused(code: string): void {
    this.#error = code
  }

  /** The answer has begun; one that is no stream has ended. */
  answered({ status, headers }: Response, tenant: string | undefined): void {
    this.#tenant = tenant
    this.#head = { status, afterMs: this.#log.now() - this.#facts.startedAt }
    this.#isSocket = status === 101
    const isStream = headers.get('content-type')?.startsWith('text/event-stream') === true
    if (!isStream || !this.#asks || this.#outcome !== undefined) this.#write()
  }

  #write(): void {
    const { requestId, method, path, startedAt } = this.#facts
    const { status = 0, afterMs } = this.#head ?? {}
    const left = this.#outcome?.status === 'cancelled' && status >= 400
    writeLine(this.#log, {
      request_id: requestId,
      tenant: this.#tenant,
      method,
      path: path.slice(0, maxPath),
      status: left ? clientLeft : status,
      error: this.#error,
      ...(this.#outcome && ofOutcome(this.#outcome, this.#log)),
      first_ms: afterMs,
      ms: this.#log.now() - startedAt,
    })
  }

  /** A response on a socket: it has an outcome, and no status. */
  #writeTurn(outcome: Outcome): void {
    const { requestId } = this.#facts
    logTurn({ requestId, tenant: this.#tenant, over: 'socket' }, outcome, this.#log)
  }
}

export interface TurnFacts {
  requestId: string
  tenant: string | undefined
  /** `background`: the request that began it has a line of its own. */
  over: 'socket' | 'background'
}

/** The line of a response that is made beside the request that it belongs to. */
export function logTurn(
  { requestId, tenant, over }: TurnFacts,
  outcome: Outcome,
  log: RequestLog,
): void {
  const ms = log.now() - outcome.startedAt
  writeLine(log, { request_id: requestId, tenant, over, ...ofOutcome(outcome, log), ms })
}

function ofOutcome(
  { status, error, model, candidate, attempts, usage }: Outcome,
  { placeOf }: RequestLog,
): Record<string, unknown> {
  return {
    outcome: status,
    ...(error === undefined ? {} : { error }),
    model,
    place: placeOf(candidate),
    ...(attempts.length === 0 ? {} : { tried: attempts }),
    input_tokens: usage?.input_tokens,
    output_tokens: usage?.output_tokens,
  }
}

function writeLine(log: RequestLog, line: Record<string, unknown>): void {
  const time = new Date(log.now()).toISOString()
  log.write(JSON.stringify({ level: 'info', event: 'request', time, ...line }))
}
