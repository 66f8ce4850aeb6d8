// Reads an answer for a client that asked for no stream: JSON in one piece, or a stream folded into it.
import { ApiError } from '../errors.ts'
import type { Deadline } from './deadline.ts'
import type { Candidate, Dialect, FaceDeps } from './deps.ts'
import { concat } from './event-bytes.ts'
import { FoldedAnswer } from './fold-answer.ts'
import { TurnReader } from './turn-reader.ts'

/** `text` is the upstream's own, where it sent one. */
export interface WholeAnswer {
  text: string | undefined
  json: unknown
}

/** What reading needs of the host. */
type ReadingHost = Pick<FaceDeps, 'now' | 'gather'>

/** Largest JSON answer that is read. */
const maxAnswerBytes = 32 * 1024 * 1024
/** An answer of up to this many bytes is read in one piece. */
const wholeBytes = 1024 * 1024
/** Between the reads of a JSON answer nothing is written, so that there is no silence to break: a long wait, looped. */
const silenceLimit = 60_000

/** An answer in one piece; throws ApiError. `watch` is told how to stop reading. */
export async function readText(
  upstream: Response,
  candidate: Candidate,
  host: ReadingHost,
  watch: (cancel: () => void) => void,
  deadline: Deadline,
): Promise<WholeAnswer> {
  const limit = Math.min(maxAnswerBytes, candidate.limits?.maxBytes ?? maxAnswerBytes)
  const text = await (isShort(upstream.headers, limit)
    ? shortText(upstream, candidate, deadline)
    : longText(upstream, candidate, host, watch, deadline))
  try {
    return { text, json: JSON.parse(text) }
  } catch (cause) {
    throw new ApiError('upstream_error', 'The upstream sent an answer that is not JSON.', {
      cause,
      retryable: true,
    })
  }
}

/**
 * A short answer of a known length is on its way as a whole: read natively, a third of the cost. What is long, packed or of
 * unknown length is watched for silence and size.
 */
function isShort(headers: Headers, limit: number): boolean {
  const declared = Number(headers.get('content-length') ?? Number.NaN)
  return declared <= Math.min(limit, wholeBytes) && !headers.has('content-encoding')
}

async function longText(
  upstream: Response,
  candidate: Candidate,
  host: ReadingHost,
  watch: (cancel: () => void) => void,
  deadline: Deadline,
): Promise<string> {
  if (upstream.body === null) return ''
  deadline.clear()
  const decoder = new TextDecoder()
  let text = ''
  let bytes = 0
  const reader = new TurnReader(upstream.body, candidate.limits, host.now, host.gather)
  watch(() => reader.cancel())
  for await (const chunk of chunksOf(reader, candidate)) {
    reader.begins()
    bytes += chunk.byteLength
    if (bytes > maxAnswerBytes) {
      reader.cancel()
      throw new ApiError('upstream_error', 'The upstream sent an answer that is too large.')
    }
    text += decoder.decode(chunk, { stream: true })
  }
  return text + decoder.decode()
}

/** Silence cannot be told from slowness here: what is on its way as a whole has the time of one silence. */
async function shortText(
  upstream: Response,
  candidate: Candidate,
  deadline: Deadline,
): Promise<string> {
  if (candidate.limits === undefined) deadline.clear()
  else deadline.set(candidate.limits.idleMs)
  try {
    return await upstream.text()
  } catch (cause) {
    if (!deadline.late) throw lostError(candidate, cause, true)
    const message = 'The upstream took too long.'
    throw new ApiError('upstream_timeout', message, { cause, retryable: true })
  }
}

/** A stream, read to its end and folded. */
export async function readFolded(
  upstream: Response,
  candidate: Candidate,
  dialect: Dialect,
  host: ReadingHost,
  watch: (cancel: () => void) => void,
): Promise<WholeAnswer> {
  try {
    const json = await folded(upstream, candidate, dialect, host, watch)
    if (json === undefined) throw lostError(candidate, undefined, true)
    return { text: undefined, json }
  } catch (thrown) {
    throw thrown instanceof ApiError ? unseen(thrown) : thrown
  }
}

async function folded(
  upstream: Response,
  candidate: Candidate,
  dialect: Dialect,
  host: ReadingHost,
  watch: (cancel: () => void) => void,
): Promise<unknown> {
  const fold = new FoldedAnswer(dialect)
  if (upstream.body === null) return undefined
  const reader = new TurnReader(upstream.body, candidate.limits, host.now, host.gather)
  watch(() => reader.cancel())
  for await (const chunk of chunksOf(reader, candidate, fold)) {
    fold.push(chunk)
    if (fold.begun) reader.begins()
    if (!fold.complete) continue
    reader.cancel()
    break
  }
  return fold.end()
}

/** The client has seen nothing of it: what went wrong here may be had elsewhere. */
export function unseen(error: ApiError): ApiError {
  return error.with({ retryable: error.retryable || error.status >= 500 })
}

async function* chunksOf(
  reader: TurnReader,
  candidate: Candidate,
  fold?: FoldedAnswer,
): AsyncGenerator<Uint8Array> {
  for (;;) {
    const turn = await reader.turn(silenceLimit)
    if (turn === undefined) continue
    if (turn.chunks.length > 0) yield concat(turn.chunks)
    if (turn.failure !== undefined) {
      // What is whole stays whole, however the connection ends.
      if (fold?.finished === true) return
      throw lostError(candidate, turn.failure.cause, true)
    }
    if (turn.done) return
  }
}

/** A lost upstream; send() may already have said why (a timeout, a node that died). */
export function lostError(candidate: Candidate, cause: unknown, retryable: boolean): ApiError {
  if (cause instanceof ApiError) return cause
  const message = 'The connection to the upstream was lost before the answer was complete.'
  return new ApiError(candidate.lostCode, message, { cause, retryable })
}
