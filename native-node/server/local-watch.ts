// What a node's own API tells whoever runs it: counts for the page of metrics, and a line for each request where it is wanted.
import type { FaceDeps, Outcome } from '../../src/faces/deps.ts'
import { localState } from '../../src/faces/local-state.ts'
import { lineOf, RequestEntry, type RequestLog, takeTurn } from '../../src/faces/request-log.ts'
import { Counter, type MetricFamily } from '../../src/metrics/families.ts'
import { isRead } from '../../src/metrics/request-metrics.ts'
import type { LocalStore } from '../../src/store/local-store.ts'

/** Whom every line names: a node's own API has one place, and one caller. */
const placeOf: RequestLog['placeOf'] = (candidate) => candidate?.name

export class LocalWatch {
  readonly #log: RequestLog | undefined
  readonly #requests = new Counter(
    'switchyard_requests_total',
    'Answers that have ended, by outcome (completed, incomplete, failed, cancelled) and error code.',
  )

  /** `write` takes the lines of the log; without it none is written. */
  constructor(now: () => number, write: ((line: string) => void) | undefined) {
    if (write === undefined) return
    this.#log = { now, take: (record) => write(lineOf(record, now())), placeOf }
  }

  /** For `onEnd` of the deps that all requests share. */
  readonly count = (outcome: Outcome): void => {
    if (isRead(outcome)) return
    const { status, error } = outcome
    this.#requests.add(error === undefined ? { outcome: status } : { outcome: status, error })
  }

  families(): MetricFamily[] {
    return [this.#requests.family()]
  }

  /** A request's line; undefined where none is wanted. */
  begin(requestId: string, { method, url }: Request): RequestEntry | undefined {
    if (this.#log === undefined) return undefined
    const facts = { requestId, method, path: new URL(url).pathname, startedAt: this.#log.now() }
    return new RequestEntry(facts, this.#log)
  }

  /** The shared deps as one request uses them, so that its end and that of its background work are told. */
  depsOf(
    shared: FaceDeps,
    requestId: string,
    entry: RequestEntry | undefined,
    store: LocalStore | undefined,
  ): FaceDeps {
    if (entry === undefined) return shared
    const deps = { ...shared }
    entry.watch(deps)
    if (store) deps.state = localState(store, () => this.#beside(shared, requestId, 'background'))
    return deps
  }

  /** The same for the responses of one socket. */
  depsOfSocket(shared: FaceDeps, requestId: string): FaceDeps {
    return this.#log === undefined ? shared : this.#beside(shared, requestId, 'socket')
  }

  #beside(shared: FaceDeps, requestId: string, over: 'background' | 'socket'): FaceDeps {
    const onEnd = (outcome: Outcome) => {
      shared.onEnd?.(outcome)
      if (this.#log) takeTurn({ requestId, tenant: undefined, over }, outcome, this.#log)
    }
    return { ...shared, onEnd }
  }
}
