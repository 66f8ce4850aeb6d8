// One attempt at one candidate: the call, and the way back as JSON or as a stream.
import { ApiError, type ErrorCode, toApiError } from '../errors.ts'
import type { AnswerStream } from './answer-stream.ts'
import { type CallTimes, tellHealth } from './attempt.ts'
import { type AttemptHost, headerText, namesText, triedText } from './attempt-host.ts'
import { Deadline } from './deadline.ts'
import type { Candidate, Dialect, FaceDeps, UpstreamCall } from './deps.ts'
import { concat } from './event-bytes.ts'
import type { FaceRequest } from './face-request.ts'
import { dialectFor, prepare, worthFolding } from './prepare.ts'
import { pump, settle, take } from './pump.ts'
import { type Rescue, Rescuer } from './rescue.ts'
import { type Again, demandsSchema, type Structured, structuredFor } from './structured.ts'
import { TurnReader } from './turn-reader.ts'
import { lostError, readFolded, readText, unseen, type WholeAnswer } from './whole-answer.ts'

/** How long the first bytes of a stream may hold back the response's headers: an error that comes at once is an HTTP error. */
const peekMs = 5_000

/** Names the node that answers, where a candidate stands for any of them. */
const nodeHeader = 'x-switchyard-node'

export class Attempt {
  readonly candidate: Candidate
  readonly #host: AttemptHost
  /** Another candidate may follow: worth waiting for the first output before the client gets anything. */
  readonly #isLast: boolean
  /** Each attempt has its own, so that one that was given up stops alone. */
  readonly #controller = new AbortController()
  readonly #deadline: Deadline
  #startedAt = 0
  /** Set while an answer is read: ends it when only the request's signal tells that the client left. */
  #cancelRead: (() => void) | undefined
  /** Another attempt won: whatever becomes of this one is nobody's business. */
  #dropped = false

  constructor(host: AttemptHost, candidate: Candidate, isLast: boolean) {
    this.#host = host
    this.candidate = candidate
    this.#isLast = isLast
    this.#deadline = new Deadline(host.deps.now, () => this.#controller.abort())
  }

  /** Stops all work upstream. */
  abort(): void {
    this.#controller.abort()
    this.#cancelRead?.()
  }

  /** Stops, and says nothing of it. */
  drop(): void {
    this.#dropped = true
    this.abort()
  }

  /** The response; throws ApiError, `retryable` where another candidate may do better. */
  async run(): Promise<Response> {
    try {
      return await this.#ask()
    } catch (thrown) {
      this.#controller.abort()
      throw cleaned(this.#host.deps, this.candidate, thrown)
    } finally {
      this.#deadline.clear()
    }
  }

  async #ask(): Promise<Response> {
    const { deps, face } = this.#host
    const { candidate } = this
    const dialect = dialectFor(face, candidate)
    const raw = candidate.raw === true && dialect === face.dialect
    const folds =
      !face.stream &&
      !raw &&
      worthFolding(candidate, this.#isLast && this.#host.attempts.length === 0)
    const stream = face.stream || folds
    const structured = raw ? undefined : structuredFor(face, candidate, deps)
    const { body, dropped } = prepare(face, candidate, dialect, folds, structured?.edit)
    const { signal } = this.#controller
    const deadline = this.#deadline
    const call: UpstreamCall = { dialect, body, stream, signal, deadline }
    if (folds) call.wholeWillDo = true
    if (deps.health !== undefined) {
      this.#startedAt = deps.now()
      deps.health.began(candidate, this.#startedAt)
    }
    const upstream = await deps.send(candidate, call)
    // Streams are watched by who reads them.
    if (stream || raw) deadline.clear()
    const headers = this.#headers(dropped, upstream)
    if (candidate.kind === 'tools') toldWithin(upstream, headers, this.#host.face)
    structured?.asksAgain(this.#again(call, folds))
    if (raw) {
      // Unread bytes: nothing is known of their end. The abort listener stays, as the client may still leave.
      this.#host.report({ status: 'completed', candidate })
      headers['content-type'] = upstream.headers.get('content-type') ?? 'application/json'
      return new Response(upstream.body, { headers })
    }
    return face.stream
      ? this.#streamed(dialect, upstream, headers, structured)
      : this.#whole(dialect, upstream, headers, structured)
  }

  /** One more turn at the same place, where the first did not give what was demanded. */
  #again(call: UpstreamCall, folds: boolean): Again {
    const { deps, face } = this.#host
    const { candidate } = this
    const stream: Again['stream'] = async (edit) => {
      const { body } = prepare(face, candidate, call.dialect, folds, edit)
      try {
        return await deps.send(candidate, { ...call, body })
      } finally {
        if (call.stream) this.#deadline.clear()
      }
    }
    return {
      stream,
      whole: async (edit) => (await this.#read(call.dialect, await stream(edit))).json,
    }
  }

  /** An answer in one piece, or a stream folded into one. */
  #read(dialect: Dialect, upstream: Response): Promise<WholeAnswer> {
    const { deps } = this.#host
    const { candidate } = this
    const watch = (cancel: () => void) => {
      this.#cancelRead = cancel
    }
    return isStream(upstream)
      ? readFolded(upstream, candidate, dialect, deps, watch)
      : readText(upstream, candidate, deps, watch, this.#deadline)
  }

  async #whole(
    dialect: Dialect,
    upstream: Response,
    headers: Record<string, string>,
    structured: Structured | undefined,
  ): Promise<Response> {
    const { deps, face } = this.#host
    const { candidate } = this
    const read = await this.#read(dialect, upstream)
    const { text, json } = (await structured?.whole(read, dialect)) ?? read
    const whole = face.jsonFor(candidate, structured === undefined ? dialect : 'responses', json)
    if (this.#dropped) throw beaten()
    const settled = face.settle?.(whole) ?? whole
    const { body, status, usage } = settled instanceof Promise ? await settled : settled
    if (deps.health !== undefined) {
      const now = deps.now()
      deps.health.answered(candidate, this.#startedAt, now)
      if (usage) deps.health.generated(candidate, usage.output_tokens, now - this.#startedAt, now)
    }
    this.#host.end({ status, candidate, usage })
    headers['content-type'] = 'application/json'
    structured?.warn(headers)
    return new Response(
      body === undefined ? (text ?? JSON.stringify(json)) : JSON.stringify(body),
      {
        headers,
      },
    )
  }

  async #streamed(
    dialect: Dialect,
    upstream: Response,
    headers: Record<string, string>,
    structured: Structured | undefined,
  ): Promise<Response> {
    const { deps, face } = this.#host
    const { candidate } = this
    if (upstream.body === null || !isStream(upstream)) {
      await upstream.body?.cancel()
      throw new ApiError('upstream_error', 'The upstream did not answer with a stream.', {
        retryable: true,
      })
    }
    // What is checked is read, and its limits kept, where it is checked.
    // A stream that was made here has no bytes underneath that could be gathered.
    const gather = candidate.kind === 'tools' ? undefined : deps.gather
    const reader =
      structured === undefined
        ? new TurnReader(upstream.body, candidate.limits, deps.now, gather)
        : new TurnReader(structured.stream(upstream, dialect), undefined, deps.now)
    const lost = (cause?: unknown) => lostError(candidate, cause, false)
    // What another place goes on with is nobody's to check.
    const rescues = deps.wishes?.rescue === true && structured === undefined && !demandsSchema(face)
    const told = structured === undefined ? dialect : 'responses'
    const answer = face.streamFor(candidate, told, lost, rescues)
    this.#cancelRead = () => reader.cancel()
    const initial = await this.#begin(reader, answer, lost)
    if (this.#dropped) throw beaten()
    answer.chosen?.()
    await settle(answer, initial)
    const firstAt = deps.now()
    if (answer.begun) deps.health?.spoke(candidate, firstAt - this.#startedAt, firstAt)
    const times: CallTimes = { began: this.#startedAt, flowsSince: firstAt }
    const rescuer = rescues
      ? new Rescuer(this.#host, candidate, times, answer, this.#controller.signal)
      : undefined
    if (rescuer === undefined && structured === undefined) this.#host.forget()
    const { body, cancel } = pump({
      reader,
      answer,
      lost,
      initial,
      clean: deps.redact && ((bytes) => cleanBytes(deps, rescuer?.candidate ?? candidate, bytes)),
      rescue: rescuer && ((cause): Promise<Rescue | undefined> => rescuer.goOn(lost(cause), cause)),
      onEnd: (how) => {
        if (this.#dropped) return
        const firstOutputAt = reader.begunAt ?? rescuer?.reader?.begunAt
        this.#streamEnded(how, answer, rescuer ?? { candidate, times }, { firstAt, firstOutputAt })
      },
    })
    this.#cancelRead = cancel
    if (this.#host.gone.aborted) cancel()
    structured?.warn(headers)
    headers['content-type'] = 'text/event-stream'
    headers['cache-control'] = 'no-cache'
    return new Response(body, { headers })
  }

  /**
   * What goes out first. While another candidate could answer instead, the first output is waited for, and not only the first
   * bytes; what failed until then throws, as it is better whole from another than cut from this one.
   */
  async #begin(
    reader: TurnReader,
    answer: AnswerStream,
    lost: (cause: unknown) => ApiError,
  ): Promise<(Uint8Array | string)[]> {
    const { now } = this.#host.deps
    const { limits } = this.candidate
    const initial: (Uint8Array | string)[] = [answer.start()]
    let left = this.#isLast ? peekMs : Math.max(peekMs, limits?.firstByteMs ?? 0)
    while (left > 0) {
      const before = now()
      const turn = await reader.turn(left)
      if (turn === undefined) break
      for (const piece of take(answer, turn, lost, reader)) initial.push(piece)
      if (this.#isLast || answer.begun || answer.status !== undefined) break
      left -= now() - before
    }
    if (answer.status !== 'failed' || answer.error === undefined) return initial
    const error = unseen(answer.error)
    if (answer.begun && (this.#isLast || !error.retryable)) return initial
    reader.cancel()
    throw error
  }

  #streamEnded(
    how: 'ended' | 'cancelled',
    { status: said, error, usage, begun }: AnswerStream,
    { candidate: by, times }: { candidate: Candidate; times: CallTimes },
    { firstAt, firstOutputAt }: { firstAt: number; firstOutputAt: number | undefined },
  ): void {
    const { deps } = this.#host
    const status = how === 'cancelled' ? 'cancelled' : (said ?? 'failed')
    let code: ErrorCode | undefined
    if (status === 'failed') {
      const told = cleaned(deps, by, error)
      deps.onError?.(told, by)
      const fault = toApiError(told)
      code = fault.code
      tellHealth(deps, by, fault, begun ? times : { began: times.began })
    } else if (status !== 'cancelled' && deps.health !== undefined) {
      const now = deps.now()
      deps.health.answered(by, times.began, now)
      if (usage) deps.health.generated(by, usage.output_tokens, now - firstAt, now)
    }
    if (status === 'cancelled' || status === 'failed') this.#controller.abort()
    this.#host.end({ status, candidate: by, usage, error: code, firstOutputAt })
  }

  #headers(dropped: string[], upstream: Response): Record<string, string> {
    const { attempts } = this.#host
    const headers: Record<string, string> = {
      'x-switchyard-provider': headerText(this.candidate.name),
      'x-switchyard-attempts': String(attempts.length + 1),
    }
    // Only of what stands for nodes: a provider may say what it likes.
    const node = this.candidate.kind === 'node' ? upstream.headers.get(nodeHeader) : null
    if (node !== null) headers[nodeHeader] = headerText(node)
    if (attempts.length > 0) headers['x-switchyard-tried'] = triedText(attempts)
    if (dropped.length > 0) {
      const names = namesText(dropped)
      headers.warning = `199 switchyard "not supported there and left out: ${names}"`
    }
    return headers
  }
}

/** Who answered is known to the turns within: to nobody yet, where a list of tools is told before the first of them. */
function toldWithin(
  upstream: Response,
  headers: Record<string, string>,
  face: Pick<FaceRequest, 'paramFor'>,
): void {
  delete headers['x-switchyard-provider']
  delete headers['x-switchyard-attempts']
  for (const [name, value] of upstream.headers) {
    if (name.startsWith('x-switchyard-')) headers[name] = value
    // Beside what was left out of the request itself.
    if (name === 'warning') {
      const told = value.replace(/\btools\[\d+\]/g, (path) => face.paramFor(path))
      headers.warning = headers.warning === undefined ? told : `${headers.warning}, ${told}`
    }
  }
}

function isStream(upstream: Response): boolean {
  const type = upstream.headers.get('content-type')
  return type === null ? false : type.includes('text/event-stream')
}

/** Nobody waits for it any more. */
function beaten(): ApiError {
  return new ApiError('server_error', 'Another candidate has answered.')
}

/** Without the key that the candidate was sent, where it was said back. */
function cleaned({ redact }: FaceDeps, candidate: Candidate, thrown: unknown): unknown {
  if (redact === undefined || !(thrown instanceof ApiError)) return thrown
  const message = redact(thrown.message, candidate)
  // Not the cause, which may quote the key as well.
  return message === thrown.message ? thrown : thrown.with({ message, cause: undefined })
}

function cleanBytes({ redact }: FaceDeps, candidate: Candidate, bytes: Uint8Array): Uint8Array {
  const text = new TextDecoder().decode(bytes)
  const clean = redact?.(text, candidate) ?? text
  return clean === text ? bytes : concat([clean])
}
