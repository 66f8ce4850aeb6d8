// What every face does with a request: read, plan, try candidates, and answer as JSON or as a stream.
import { ApiError, toApiError } from '../errors.ts'
import { readJson } from '../json.ts'
import type { ResponsesRequest, ResponseUsage } from '../protocol/responses.ts'
import type { AnswerStream } from './answer-stream.ts'
import { attempt } from './attempt.ts'
import type { Candidate, Dialect, FaceDeps, Outcome } from './deps.ts'
import { pump, take } from './pump.ts'
import { TurnReader } from './turn-reader.ts'

/** One request as a face understands it. */
export interface FaceRequest {
  /** The canonical request. */
  request: ResponsesRequest
  stream: boolean
  /** The face's own dialect: taken where a candidate speaks it. Undefined: no upstream does, the candidate's first is taken. */
  dialect: Dialect | undefined
  /** The body for a candidate, its model id in it; `dropped` names what was left out. */
  bodyFor(
    candidate: Candidate,
    dialect: Dialect,
  ): { body: Record<string, unknown>; dropped: string[] }
  /** The way back for a stream. */
  streamFor(candidate: Candidate, dialect: Dialect, lost: () => ApiError): AnswerStream
  /** The way back for JSON; throws ApiError for an error in a 200. */
  jsonFor(candidate: Candidate, dialect: Dialect, json: unknown): JsonAnswer
  /** Waits for what must be done before the client gets the answer: its record is kept. */
  settle?(answer: JsonAnswer): Promise<JsonAnswer>
  /** The path of a canonical field as the client wrote it: faults are found in the canonical request. */
  paramFor(param: string): string
}

export interface JsonAnswer {
  /** What the client gets; undefined: the upstream's own text. */
  body: object | undefined
  status: 'completed' | 'incomplete' | 'failed'
  usage: ResponseUsage | undefined
}

/** How long the first bytes of a stream may hold back the response's headers: an error that comes at once is an HTTP error. */
const peekMs = 5_000
/** Largest JSON answer that is read. */
const maxAnswerBytes = 32 * 1024 * 1024

/** A parsed body as a face's request, or as its answer where no place has to be asked. */
type Parse = (body: unknown) => MaybePromise<FaceRequest | Response>
type MaybePromise<T> = T | Promise<T>

/** Answers a request; every fault becomes a response. */
export function serve(
  http: Request,
  deps: FaceDeps,
  parse: Parse,
): Promise<Response> {
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
    return await call.answer(await parse(await read()))
  } catch (thrown) {
    return call.refuse(thrown)
  }
}

/** One call of a client, from its request to the end of its answer. */
class Call {
  readonly #http: Client
  readonly #deps: FaceDeps
  /** Stops all work of the attempt that runs. Each has its own, so that one that was given up stops alone. */
  #upstream = new AbortController()
  readonly #attempts: Outcome['attempts'] = []
  #ended = false
  /** Set once the request is parsed. */
  #face: FaceRequest | undefined
  /** Set while an answer is read: ends it when only the request's signal tells that the client left. */
  #cancelRead: (() => void) | undefined

  constructor(http: Client, deps: FaceDeps) {
    this.#http = http
    this.#deps = deps
    http.signal.addEventListener('abort', this.#onAbort)
    if (http.signal.aborted) this.#onAbort()
  }

  async answer(face: FaceRequest | Response): Promise<Response> {
    if (face instanceof Response) {
      this.#end('completed')
      return face
    }
    const { request } = face
    this.#face = face
    const candidates = await this.#deps.plan({ model: request.model, request })
    const tryOne = (candidate: Candidate, isLast: boolean) => this.#try(face, candidate, isLast)
    const { signal } = this.#http
    const { onError } = this.#deps
    const { value } = await attempt(candidates, tryOne, this.#attempts, signal, onError)
    return value
  }

  /** The error response of a request that has had no answer. */
  refuse(thrown: unknown): Response {
    const error = this.#forClient(toApiError(thrown))
    if (!(thrown instanceof ApiError) && !this.#http.signal.aborted) this.#deps.onError?.(thrown)
    this.#end(this.#http.signal.aborted ? 'cancelled' : 'failed')
    const response = this.#deps.errorResponse?.(error) ?? error.toResponse()
    if (this.#attempts.length > 0) {
      response.headers.set('x-switchyard-attempts', String(this.#attempts.length))
    }
    return response
  }

  #forClient(error: ApiError): ApiError {
    const param = error.param === null ? null : this.#face?.paramFor(error.param)
    if (param == null || param === error.param) return error
    const { code, message, cause, status, wireCode, retryAfter } = error
    const rest = retryAfter === undefined ? {} : { retryAfter }
    // A function: a path may hold what replace() reads as a pattern.
    const told = message.replace(`'${error.param}'`, () => `'${param}'`)
    return new ApiError(code, told, { param, cause, status, wireCode, ...rest })
  }

  async #try(face: FaceRequest, candidate: Candidate, isLast: boolean): Promise<Response> {
    if (this.#attempts.length > 0) this.#upstream = new AbortController()
    const upstream = this.#upstream
    try {
      return await this.#ask(face, candidate, isLast, upstream.signal)
    } catch (thrown) {
      upstream.abort()
      throw thrown
    }
  }

  async #ask(
    face: FaceRequest,
    candidate: Candidate,
    isLast: boolean,
    signal: AbortSignal,
  ): Promise<Response> {
    const dialect = dialectFor(face, candidate)
    const { body, dropped } = prepare(face, candidate, dialect)
    const { stream } = face
    const answer = await this.#deps.send(candidate, { dialect, body, stream, signal })
    const headers = this.#headers(candidate, dropped)
    if (candidate.raw === true && dialect === face.dialect) {
      // Unread bytes: nothing is known of their end. The abort listener stays, as the client may still leave.
      this.#report('completed', candidate)
      headers['content-type'] = answer.headers.get('content-type') ?? 'application/json'
      return new Response(answer.body, { headers })
    }
    return stream
      ? this.#streamed(face, candidate, dialect, answer, headers, isLast)
      : this.#whole(face, candidate, dialect, answer, headers)
  }

  async #whole(
    face: FaceRequest,
    candidate: Candidate,
    dialect: Dialect,
    upstream: Response,
    headers: Record<string, string>,
  ): Promise<Response> {
    const text = await this.#text(upstream, candidate)
    let json: unknown
    try {
      json = JSON.parse(text)
    } catch (cause) {
      throw new ApiError('upstream_error', 'The upstream sent an answer that is not JSON.', {
        cause,
        retryable: true,
      })
    }
    const whole = face.jsonFor(candidate, dialect, json)
    const { body, status, usage } = (await face.settle?.(whole)) ?? whole
    this.#end(status, candidate, usage)
    headers['content-type'] = 'application/json'
    return new Response(body === undefined ? text : JSON.stringify(body), { headers })
  }

  async #text(upstream: Response, candidate: Candidate): Promise<string> {
    if (upstream.body === null) return ''
    const declared = Number(upstream.headers.get('content-length') ?? Number.NaN)
    const limit = Math.min(maxAnswerBytes, candidate.limits?.maxBytes ?? maxAnswerBytes)
    // A short answer of a known length is on its way as a whole: read natively, a third of the cost, under the host's limit
    // for the call. What is long or of unknown length is watched for silence and size.
    if (declared <= Math.min(limit, wholeBytes)) {
      return await upstream.text().catch((cause: unknown) => {
        throw lostError(candidate, cause, true)
      })
    }
    const reader = new TurnReader(upstream.body, candidate.limits)
    this.#cancelRead = () => reader.cancel()
    const decoder = new TextDecoder()
    let text = ''
    for (let bytes = 0; ; ) {
      const turn = await reader.turn(silenceLimit)
      for (const chunk of turn?.chunks ?? []) {
        bytes += chunk.byteLength
        text += decoder.decode(chunk, { stream: true })
      }
      if (turn?.failure !== undefined) throw lostError(candidate, turn.failure.cause, true)
      if (turn?.done === true) return text + decoder.decode()
      if (bytes > maxAnswerBytes) {
        reader.cancel()
        throw new ApiError('upstream_error', 'The upstream sent an answer that is too large.')
      }
    }
  }

  async #streamed(
    face: FaceRequest,
    candidate: Candidate,
    dialect: Dialect,
    upstream: Response,
    headers: Record<string, string>,
    isLast: boolean,
  ): Promise<Response> {
    const type = upstream.headers.get('content-type') ?? 'text/event-stream'
    if (upstream.body === null || !type.includes('text/event-stream')) {
      await upstream.body?.cancel()
      throw new ApiError('upstream_error', 'The upstream did not answer with a stream.', {
        retryable: true,
      })
    }
    const reader = new TurnReader(upstream.body, candidate.limits)
    const lost = (cause?: unknown) => lostError(candidate, cause, false)
    const answer = face.streamFor(candidate, dialect, lost)
    const initial: (Uint8Array | string)[] = [answer.start()]
    // While another candidate could answer instead, a silent one is waited for to its limit and then left.
    const firstByteMs = isLast ? 0 : (candidate.limits?.firstByteMs ?? 0)
    const first = await reader.turn(Math.max(peekMs, firstByteMs))
    if (first !== undefined) initial.push(...take(answer, first, lost))
    if (answer.status === 'failed' && !answer.begun && answer.error !== undefined) {
      reader.cancel()
      throw beforeTheFirstByte(answer.error)
    }
    answer.chosen?.()
    if (answer.status !== undefined && answer.last !== undefined) initial.push(await answer.last())
    const { body, cancel } = pump({
      reader,
      answer,
      lost,
      initial,
      onEnd: (how) => {
        if (answer.status === 'failed') this.#deps.onError?.(answer.error, candidate)
        const status = how === 'cancelled' ? 'cancelled' : (answer.status ?? 'failed')
        this.#end(status, candidate, answer.usage)
      },
    })
    this.#cancelRead = cancel
    if (this.#http.signal.aborted) cancel()
    headers['content-type'] = 'text/event-stream'
    headers['cache-control'] = 'no-cache'
    return new Response(body, { headers })
  }

  #headers(candidate: Candidate, dropped: string[]): Record<string, string> {
    const headers: Record<string, string> = {
      'x-switchyard-provider': headerText(candidate.name),
      'x-switchyard-attempts': String(this.#attempts.length + 1),
    }
    if (dropped.length > 0) {
      const names = headerText(dropped.join(', ')).replaceAll('"', "'")
      headers.warning = `199 switchyard "not supported there and left out: ${names}"`
    }
    return headers
  }

  readonly #onAbort = () => {
    this.#upstream.abort()
    this.#cancelRead?.()
  }

  #end(status: Outcome['status'], candidate?: Candidate, usage?: ResponseUsage): void {
    this.#http.signal.removeEventListener('abort', this.#onAbort)
    if (status === 'cancelled' || status === 'failed') this.#upstream.abort()
    this.#report(status, candidate, usage)
  }

  #report(status: Outcome['status'], candidate?: Candidate, usage?: ResponseUsage): void {
    if (this.#ended) return
    this.#ended = true
    this.#deps.onEnd?.({ candidate, status, usage, attempts: this.#attempts })
  }
}

/** An answer of up to this many bytes is read in one piece. */
const wholeBytes = 1024 * 1024
/** Between the reads of a JSON answer nothing is written, so that there is no silence to break: a long wait, looped. */
const silenceLimit = 60_000

function dialectFor({ dialect }: FaceRequest, { dialects }: Candidate): Dialect {
  if (dialect === undefined) return dialects[0] ?? 'chat'
  if (dialects.includes(dialect)) return dialect
  return dialect === 'chat' ? 'responses' : 'chat'
}

function prepare(face: FaceRequest, candidate: Candidate, dialect: Dialect) {
  try {
    const { body, dropped } = face.bodyFor(candidate, dialect)
    if (candidate.adapt === undefined || (candidate.raw === true && dialect === face.dialect)) {
      return { body, dropped }
    }
    const adapted = candidate.adapt(body, dialect)
    return { body: adapted.body, dropped: [...dropped, ...adapted.dropped] }
  } catch (thrown) {
    const error = toApiError(thrown)
    if (error.code !== 'unsupported_content') throw thrown
    // This one cannot be told; one that speaks the client's dialect can.
    throw new ApiError(error.code, error.message, { param: error.param, retryable: true })
  }
}

/** A lost upstream; send() may already have said why (a timeout, a node that died). */
function lostError(candidate: Candidate, cause: unknown, retryable: boolean): ApiError {
  if (cause instanceof ApiError) return cause
  const message = 'The connection to the upstream was lost before the answer was complete.'
  return new ApiError(candidate.lostCode, message, { cause, retryable })
}

/** Nothing has reached the client: what was lost may be had elsewhere. */
function beforeTheFirstByte(error: ApiError): ApiError {
  const retryable = error.retryable || error.status >= 500
  const { message, code, param, cause, status, wireCode } = error
  return new ApiError(code, message, { param, cause, status, wireCode, retryable })
}

/** Names may hold what a header may not. */
function headerText(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, '?')
}
