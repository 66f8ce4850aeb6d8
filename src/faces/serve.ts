// What every face does with a request: read, plan, try candidates, and answer as JSON or as a stream.
import { checkUrls } from '../egress/request-urls.ts'
import { ApiError, toApiError } from '../errors.ts'
import { readJson } from '../json.ts'
import type { ResponsesRequest } from '../protocol/responses.ts'
import { readPreferences, withModel } from '../routing/preferences.ts'
import { declaresTools } from '../routing/wanted.ts'
import { attempt, type Note } from './attempt.ts'
import { type AttemptHost, type Told, triedText } from './attempt-host.ts'
import type { Candidate, FaceDeps, Outcome } from './deps.ts'
import type { FaceRequest } from './face-request.ts'
import { hedge } from './hedge.ts'
import { answerOnce, keyHeader } from './idempotent.ts'
import { Attempt } from './one-attempt.ts'

/** Makes a request of a parsed body, or its answer where no place has to be asked; throws ApiError. */
type Parse = (body: unknown, deps: FaceDeps) => MaybePromise<FaceRequest | Response>
type MaybePromise<T> = T | Promise<T>

/** Answers a request; every fault becomes a response. */
export function serve(http: Request, deps: FaceDeps, parse: Parse): Promise<Response> {
  const key = http.headers.get(keyHeader)
  if (key !== null)
    return answerOnce(http, key, deps, (read, own) => answer(http, read, own, parse))
  return answer(http, () => readJson(http, deps.maxBodyBytes), deps, parse)
}

/** The same for a body that has been read and parsed already: a message of a socket. */
export function serveParsed(
  body: unknown,
  client: Client,
  deps: FaceDeps,
  parse: Parse,
): Promise<Response> {
  return answer(client, async () => body, deps, parse)
}

/** Who waits for the answer. */
export interface Client {
  /** Aborted when it has left. */
  readonly signal: AbortSignal
}

async function answer(
  client: Client,
  read: () => Promise<unknown>,
  deps: FaceDeps,
  parse: Parse,
): Promise<Response> {
  const call = new Call(client, deps)
  try {
    return await call.answer(await parse(withModel(await read()), deps))
  } catch (thrown) {
    return call.refuse(thrown)
  }
}

/** A request within another one's answer: throws ApiError where serve() would tell it. */
export async function ask(client: Client, deps: FaceDeps, face: FaceRequest): Promise<Response> {
  const call = new Call(client, deps)
  try {
    return await call.answer(face)
  } catch (thrown) {
    call.abandon()
    throw thrown
  }
}

/** An error that was found in the canonical request, with the client's own name for the field. */
export function inClientsWords(
  error: ApiError,
  paramFor: (param: string) => string | undefined,
): ApiError {
  const param = error.param === null ? null : paramFor(error.param)
  if (param == null || param === error.param) return error
  // A function: a path may hold what replace() reads as a pattern.
  const message = error.message.replace(`'${error.param}'`, () => `'${param}'`)
  return error.with({ param, message })
}

/** One call of a client, from its request to the end of its answer. */
class Call implements AttemptHost {
  deps: FaceDeps
  readonly attempts: Outcome['attempts'] = []
  candidates: readonly Candidate[] = []
  /** Aborted when the client has left. */
  readonly gone: AbortSignal
  /** The attempt that runs, and beside it at most one more. */
  #running: Attempt | undefined
  #beside: Attempt | undefined
  #ended = false
  readonly #startedAt: number
  /** Set when the request was understood. */
  #model: string | undefined
  /** Set where tools run here. */
  #turns: Outcome['turns']
  /** Set while the request is needed: from when it is parsed until nothing could be asked again. */
  #face: FaceRequest | undefined

  constructor(client: Client, deps: FaceDeps) {
    // Asked for once: in workerd each look at a request's signal leaves JavaScript.
    this.gone = client.signal
    this.deps = deps
    this.#startedAt = deps.now()
    this.gone.addEventListener('abort', this.#onAbort)
  }

  get face(): FaceRequest {
    if (this.#face === undefined) throw new Error('The request is not there, or no longer.')
    return this.#face
  }

  async answer(face: FaceRequest | Response): Promise<Response> {
    if (face instanceof Response) {
      this.#finish({ status: 'completed' })
      return face
    }
    this.#face = face
    const { request, upstream } = face
    this.#model = request.model
    if (upstream !== undefined) {
      this.deps = { ...this.deps, ...upstream.way }
      this.#turns = upstream.turns
    }
    const { deps, attempts } = this
    checkUrls(request, deps.egress)
    const preferences = readPreferences(request, deps.wishes?.order ?? null)
    const candidates = await deps.plan({ model: request.model, request, preferences })
    this.candidates = candidates
    return await attempt({
      candidates,
      tryOne: (candidate, isLast) => this.#try(candidate, isLast),
      tryTwo: this.#hedging(request),
      attempts,
      signal: this.gone,
      deps,
    })
  }

  /** It has had no answer, and whoever asked is told by other means. */
  abandon(): void {
    this.#finish({ status: 'failed' })
  }

  /** The error response of a request that has had no answer. */
  refuse(thrown: unknown): Response {
    const error = inClientsWords(toApiError(thrown), (param) => this.#face?.paramFor(param))
    const left = this.gone.aborted
    if (!(thrown instanceof ApiError) && !left) this.deps.onError?.(thrown)
    const candidate = left ? this.#running?.candidate : undefined
    this.#finish(
      left ? { status: 'cancelled', candidate } : { status: 'failed', error: error.code },
    )
    const response = this.deps.errorResponse?.(error) ?? error.toResponse()
    if (this.attempts.length > 0) {
      response.headers.set('x-switchyard-attempts', String(this.attempts.length))
      response.headers.set('x-switchyard-tried', triedText(this.attempts))
    }
    return response
  }

  #try(candidate: Candidate, isLast: boolean): Promise<Response> {
    this.#running = new Attempt(this, candidate, isLast)
    if (this.gone.aborted) this.#running.abort()
    return this.#running.run()
  }

  /** Two places at once, where it was asked for; never with tools, which two answers could make run twice. */
  #hedging(request: ResponsesRequest) {
    const afterMs = this.deps.wishes?.hedgeAfterMs
    if (afterMs === undefined || declaresTools(request) || request.previous_response_id != null)
      return
    const tryOne = (candidate: Candidate) => {
      const tried = new Attempt(this, candidate, false)
      if (this.#running === undefined) this.#running = tried
      else this.#beside = tried
      if (this.gone.aborted) tried.abort()
      return tried.run()
    }
    const drop = (loser: Candidate) => {
      const [kept, dropped] =
        this.#running?.candidate === loser
          ? [this.#beside, this.#running]
          : [this.#running, this.#beside]
      dropped?.drop()
      this.#running = kept
      this.#beside = undefined
    }
    return (first: Candidate, second: Candidate, note: Note) =>
      hedge(first, second, note, { afterMs, tryOne, drop, signal: this.gone })
  }

  readonly #onAbort = () => {
    const candidate = this.#running?.candidate
    this.#running?.abort()
    this.#beside?.abort()
    // Told at once, unless a stream has: workerd runs nothing more of a request whose client has left.
    this.report({ status: 'cancelled', candidate })
  }

  end(told: Told): void {
    this.#finish(told)
  }

  forget(): void {
    // The other of two at once may still be on its way.
    if (this.deps.wishes?.hedgeAfterMs !== undefined) return
    this.#face = undefined
    this.candidates = []
  }

  report({ status, candidate, usage, error, firstOutputAt }: Told): void {
    if (this.#ended) return
    this.#ended = true
    this.deps.onEnd?.({
      candidate,
      status,
      usage,
      attempts: this.attempts,
      turns: this.#turns,
      model: this.#model,
      startedAt: this.#startedAt,
      firstOutputAt,
      error,
    })
  }

  #finish(told: Told): void {
    this.gone.removeEventListener('abort', this.#onAbort)
    this.report(told)
  }
}
