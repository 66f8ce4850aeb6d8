// A stream that was cut goes on at another candidate, which is given what was said so far as the beginning of its own
// answer: one stream for the client, and a seam that says so.
import { ApiError, toApiError } from '../errors.ts'
import type { AnswerStream } from './answer-stream.ts'
import { type CallTimes, tellHealth } from './attempt.ts'
import { type AttemptHost, triedText } from './attempt-host.ts'
import { Deadline } from './deadline.ts'
import type { Candidate } from './deps.ts'
import { prepare } from './prepare.ts'
import { TurnReader } from './turn-reader.ts'

const maxAttempts = 3

/** Where a stream goes on. */
export interface Rescue {
  reader: TurnReader
  /** Told to the client: a comment, and a block of fields without data, which no parser takes for an event. */
  seam: string
}

export class Rescuer {
  /** Who answers now. */
  candidate: Candidate
  times: CallTimes
  /** Set once it has gone on. */
  reader: TurnReader | undefined
  readonly #host: AttemptHost
  readonly #answer: AnswerStream
  readonly #signal: AbortSignal

  constructor(
    host: AttemptHost,
    candidate: Candidate,
    times: CallTimes,
    answer: AnswerStream,
    signal: AbortSignal,
  ) {
    this.#host = host
    this.candidate = candidate
    this.times = times
    this.#answer = answer
    this.#signal = signal
  }

  /** Undefined where nobody can go on: the stream then ends with its own error. */
  async goOn(error: ApiError, cause: unknown): Promise<Rescue | undefined> {
    const { candidates, attempts, deps } = this.#host
    // An answer that broke a limit of ours was not cut: nobody shall add to it.
    if (cause instanceof ApiError && cause.code === 'upstream_error') return undefined
    const said = this.#answer.continuation?.()
    if (said === undefined) return undefined
    const failed = this.candidate
    attempts.push({ name: failed.name, error: error.code, candidate: failed })
    tellHealth(deps, failed, error, this.times)
    for (let at = candidates.indexOf(failed) + 1; at < candidates.length; at++) {
      const next = candidates[at]
      if (attempts.length >= maxAttempts || this.#signal.aborted || next === undefined)
        return undefined
      if (!canGoOn(next, said)) continue
      const began = deps.now()
      const reader = await this.#ask(next, said, began)
      if (reader === undefined) continue
      this.candidate = next
      this.reader = reader
      this.times = { began, flowsSince: deps.now() }
      this.#answer.resume?.()
      return { reader, seam: seamOf(failed, next, error, triedText(attempts)) }
    }
    return undefined
  }

  async #ask(candidate: Candidate, said: string, began: number): Promise<TurnReader | undefined> {
    const { deps, face, attempts } = this.#host
    // Its own, so that one that was given up stops alone.
    const controller = new AbortController()
    const abort = () => controller.abort()
    const deadline = new Deadline(deps.now, abort)
    this.#signal.addEventListener('abort', abort)
    if (this.#signal.aborted) abort()
    try {
      const { body } = prepare(face, candidate, 'chat', true)
      const messages = Array.isArray(body.messages) ? body.messages : []
      if (said !== '') body.messages = [...messages, { role: 'assistant', content: said }]
      deps.health?.began(candidate, began)
      const { signal } = controller
      const upstream = await deps.send(candidate, {
        dialect: 'chat',
        body,
        stream: true,
        signal,
        deadline,
      })
      if (upstream.body === null) throw new Error('The upstream sent no body.')
      return new TurnReader(upstream.body, candidate.limits, deps.now, deps.gather)
    } catch (thrown) {
      this.#signal.removeEventListener('abort', abort)
      if (this.#signal.aborted) return undefined
      abort()
      deps.onError?.(thrown, candidate)
      const error = toApiError(thrown)
      attempts.push({ name: candidate.name, error: error.code, candidate })
      tellHealth(deps, candidate, error, { began })
      return undefined
    } finally {
      deadline.clear()
    }
  }
}

/** Nothing said yet: a new answer is as good. One that thinks aloud in its text is read in another way than the first was. */
function canGoOn({ dialects, assistantPrefix, inlineReasoning }: Candidate, said: string): boolean {
  if (inlineReasoning === true || !dialects.includes('chat')) return false
  return said === '' || assistantPrefix === true
}

function seamOf(from: Candidate, to: Candidate, error: ApiError, tried: string): string {
  const one = nameOf(from)
  const other = nameOf(to)
  return `: switchyard: ${one} was cut (${error.code}), ${other} goes on\nx-switchyard-provider: ${other}\nx-switchyard-tried: ${tried}\n\n`
}

function nameOf({ name }: Candidate): string {
  return name.replaceAll(/[^\x20-\x7e]/g, '?')
}
