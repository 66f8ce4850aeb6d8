// What a gateway has answered and what its places made of it, counted from the records of its requests. Labels come from the
// configuration and the nodes; a model that only a client has named is `other`, as made-up names would be series without end.
import type { Candidate, Outcome } from '../faces/deps.ts'
import type { RequestRecord } from '../faces/request-log.ts'
import { durationBounds, firstTokenBounds } from './bounds.ts'
import { Counter, Histogram, type Labels, type MetricFamily, single } from './families.ts'

/** Models of nodes that are told by name, beside those of the configuration. */
const maxNodeModels = 200
const other = 'other'

/** What a request counts in. */
interface Series {
  requests: { value: number }
  /** Unset where nobody answered. */
  place:
    | {
        took(seconds: number): void
        began(seconds: number): void
        prompt: { value: number }
        cached: { value: number }
        answer: { value: number }
      }
    | undefined
}

/** Counts of one isolate. */
export class RequestMetrics {
  readonly #models: ReadonlySet<string>
  readonly #nodeModels = new Set<string>()
  readonly #series = new Map<string, Series>()
  #running = 0
  readonly #responses = new Counter(
    'switchyard_http_responses_total',
    'HTTP requests that have ended, by what was asked for and the status of the answer.',
  )
  readonly #requests = new Counter(
    'switchyard_requests_total',
    'Answers that have ended, by outcome (completed, incomplete, failed, cancelled) and error code; provider: who answered.',
  )
  readonly #calls = new Counter(
    'switchyard_upstream_calls_total',
    'Calls of providers and nodes that have ended: of one request several, where some failed or tools ran.',
  )
  readonly #firstToken = new Histogram(
    'switchyard_time_to_first_token_seconds',
    'From a request to the first output of its stream, failed calls included.',
    firstTokenBounds,
    true,
  )
  readonly #duration = new Histogram(
    'switchyard_request_duration_seconds',
    'From a request to the end of its answer.',
    durationBounds,
    true,
  )
  readonly #promptTokens = new Counter(
    'switchyard_prompt_tokens_total',
    'Tokens of prompts, as the places count them.',
  )
  readonly #cachedTokens = new Counter(
    'switchyard_cached_prompt_tokens_total',
    'Those of them that the place had still in its cache.',
  )
  readonly #tokens = new Counter('switchyard_generation_tokens_total', 'Tokens of answers.')

  /** `models`: public ids that the configuration knows. */
  constructor(models: ReadonlySet<string>) {
    this.#models = models
  }

  begin(): void {
    this.#running++
  }

  take({ over, path, status, outcome, ms }: RequestRecord): void {
    const face = over === 'http' ? faceOf(path ?? '') : 'responses'
    if (over === 'http') {
      this.#running--
      this.#responses.add({ face, status: String(status) })
    }
    if (outcome === undefined || isRead(outcome)) return
    for (const turn of [outcome, ...(outcome.turns ?? [])]) this.#takeCalls(turn)
    const { requests, place } = this.#seriesOf(face, outcome)
    requests.value++
    if (place === undefined) return
    const { usage, startedAt, firstOutputAt } = outcome
    place.took(ms / 1000)
    if (firstOutputAt !== undefined) place.began(Math.max(0, firstOutputAt - startedAt) / 1000)
    if (usage === undefined) return
    place.prompt.value += usage.input_tokens
    place.cached.value += usage.input_tokens_details?.cached_tokens ?? 0
    place.answer.value += usage.output_tokens
  }

  /** Looked up once: a request has seven counts, and a set of labels takes as long as all that is done with it. */
  #seriesOf(face: string, outcome: Outcome): Series {
    const model = this.#modelOf(outcome)
    const provider = answererOf(outcome)
    const { status, error } = outcome
    const key = JSON.stringify([face, model, provider, status, error])
    const known = this.#series.get(key)
    if (known !== undefined) return known
    const who = provider === undefined ? { model } : { model, provider }
    const how = error === undefined ? { outcome: status } : { outcome: status, error }
    const series: Series = {
      requests: this.#requests.at({ face, ...who, ...how }),
      place: provider === undefined ? undefined : this.#placeOf({ model, provider }),
    }
    this.#series.set(key, series)
    return series
  }

  #placeOf(labels: Labels): NonNullable<Series['place']> {
    return {
      took: this.#duration.at(labels),
      began: (seconds) => this.#firstToken.at(labels)(seconds),
      prompt: this.#promptTokens.at(labels),
      cached: this.#cachedTokens.at(labels),
      answer: this.#tokens.at(labels),
    }
  }

  families(): MetricFamily[] {
    return [
      single('gauge', 'switchyard_requests_running', 'Requests that run now.', this.#running),
      this.#responses.family(),
      this.#requests.family(),
      this.#calls.family(),
      this.#firstToken.family(),
      this.#duration.family(),
      this.#promptTokens.family(),
      this.#cachedTokens.family(),
      this.#tokens.family(),
    ]
  }

  /** The label of a public id. */
  labelOf(model: string): string {
    return this.#models.has(model) || this.#nodeModels.has(model) ? model : other
  }

  /** The model that answered, or was asked for; of `model:suffix` the model. */
  #modelOf({ candidate, model = '' }: Outcome): string {
    if (candidate !== undefined) return this.#labelOfCandidate(candidate)
    const label = this.labelOf(model)
    return label === other ? this.labelOf(model.replace(/:[^:]*$/, '')) : label
  }

  #takeCalls({ attempts, candidate, status, error }: Outcome): void {
    for (const call of attempts) {
      if (call.candidate !== undefined) this.#takeCall(call.candidate, 'failed', call.error)
    }
    if (candidate !== undefined) this.#takeCall(candidate, status, error)
  }

  #takeCall(candidate: Candidate, outcome: Outcome['status'], error: string | undefined): void {
    if (candidate.kind === 'tools') return
    const labels: Labels = {
      provider: providerOf(candidate),
      model: this.#labelOfCandidate(candidate),
      outcome,
      ...(error === undefined ? {} : { error }),
    }
    this.#calls.add(labels)
  }

  #labelOfCandidate({ kind, publicId, model }: Candidate): string {
    const id = publicId ?? model
    if (kind === 'node' && this.#nodeModels.size < maxNodeModels) this.#nodeModels.add(id)
    return this.labelOf(id)
  }
}

/** Nodes come and go under names of their own; each has a page where it wants one. */
export function providerOf({ kind, name }: { kind: string; name: string }): string {
  return kind === 'node' ? 'self' : name
}

/** Who answered: where tools ran, whose turn was the last. */
export function answererOf({ candidate, turns }: Outcome): string | undefined {
  const last = candidate?.kind === 'tools' ? (turns?.at(-1)?.candidate ?? candidate) : candidate
  return last && providerOf(last)
}

const faces: Readonly<Record<string, string>> = {
  responses: 'responses',
  chat: 'chat',
  messages: 'messages',
  models: 'models',
  conversations: 'conversations',
  containers: 'containers',
}

/** Which API a path belongs to. */
export function faceOf(path: string): string {
  const at = path.indexOf('/v1/')
  if (at === -1) return other
  const end = path.indexOf('/', at + 4)
  const name = path.slice(at + 4, end === -1 ? undefined : end)
  return Object.hasOwn(faces, name) ? (faces[name] ?? other) : other
}

/** An answer that somebody has read again, or that is made in the background: not made here and now. */
export function isRead({ status, candidate }: Outcome): boolean {
  return status === 'completed' && candidate === undefined
}
