// A key of the client's own (`Idempotency-Key`): its request is answered once, and whoever sends it again gets the same answer.
// Stands around the faces, which know nothing of it. https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header
import { ApiError } from '../errors.ts'
import { readJson } from '../json.ts'
import { isObject } from '../protocol/check.ts'
import { orderHeader } from '../routing/preferences.ts'
import type { KeptAnswer, Missing } from '../store/idempotency.ts'
import { isRunning } from '../store/records.ts'
import type { KeyedStore } from '../store/store.ts'
import { within } from '../tools/mcp/within.ts'
import { pause } from './attempt.ts'
import type { FaceDeps } from './deps.ts'
import { Lease } from './lease.ts'
import { familyHeader } from './reasoning-family.ts'

/** The request header that brings a key. */
export const keyHeader = 'idempotency-key'
/** Tells an answer that was given before. */
export const replayHeader = 'x-switchyard-idempotent-replay'

const param = 'Idempotency-Key'
/** How long a repeat waits for the first one's answer. */
const patienceMs = 20_000
/** How long the store may take to say who answers. */
const storeMs = 10_000
/** Between looks at a key that is still held. */
const pauseMs = 250

/** Answers a request: its body, and what the face needs. Never rejects. */
type Run = (read: () => Promise<unknown>, deps: FaceDeps) => Promise<Response>

/** A request that came with a key. */
interface Asked {
  /** Digests: of the key, and of all that makes one request another. */
  key: string
  digest: string
  body: unknown
}

/** Answers a request that came with this key, or gives the answer that it has had. */
export async function answerOnce(
  http: Request,
  key: string,
  deps: FaceDeps,
  run: Run,
): Promise<Response> {
  const holder = deps.newId('req')
  let asked: Asked
  try {
    asked = await readAsked(http, key, deps)
    const store = storeOf(deps)
    const kept = await taken(asked, holder, store, http.signal, deps)
    if (kept !== undefined) {
      return await replayed(kept, asked.body, store, (answer) => told(http.signal, deps, answer))
    }
  } catch (thrown) {
    return await refused(thrown, deps, run)
  }
  const lease = new Lease({ ...asked, holder, deps, keys: storeOf(deps).keys })
  return await lease.answer((own) => run(async () => asked.body, own))
}

function storeOf({ idempotency }: FaceDeps): KeyedStore {
  if (idempotency !== undefined) return idempotency
  const message = 'Nothing is kept here, so that no key can be honoured: send the request without.'
  throw new ApiError('unsupported_parameter', message, { param })
}

async function readAsked(http: Request, key: string, deps: FaceDeps): Promise<Asked> {
  let text = ''
  const body = await readJson(http, deps.maxBodyBytes, (whole) => {
    text = whole
  })
  // Two headers of that name arrive as one with a comma and a space.
  if (!/^[\x21-\x7e]{1,255}$/.test(key)) {
    const message = `Invalid '${param}': expected one key of 1 to 255 visible ASCII characters.`
    throw new ApiError('invalid_value', message, { param })
  }
  const { pathname } = new URL(http.url)
  const choices = [orderHeader, familyHeader].map((name) => http.headers.get(name))
  const digest = await sha256(`${JSON.stringify([pathname, ...choices])}\n${text}`)
  return { key: await sha256(key), digest, body }
}

async function sha256(text: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** The answer that the key has had; undefined once it is the holder's to make. Throws ApiError where it is neither. */
async function taken(
  { key, digest }: Asked,
  holder: string,
  { keys }: KeyedStore,
  signal: AbortSignal,
  deps: FaceDeps,
): Promise<KeptAnswer | undefined> {
  const until = deps.now() + patienceMs
  for (let again = false; ; again = true) {
    const taking = keys.take(key, digest, holder)
    const found = await told(signal, deps, taking).catch((thrown: unknown) => {
      // Nobody is left to answer a request that was taken too late.
      taking.then(() => keys.end(key, holder, null)).catch(() => undefined)
      throw thrown
    })
    if (found.is === 'yours') return undefined
    if (found.is === 'kept') return found.answer
    if (found.is === 'reused') throw reused()
    if (deps.now() >= until) throw inUse()
    // Of many who wait one is the next to answer, and a store may let only so many wait.
    if (again) await pause(pauseMs, signal)
    await told(signal, deps, keys.ended(key), patienceMs + storeMs)
  }
}

/** What the store says. Where it does not, nothing is done: the client has asked for a guarantee. */
async function told<T>(
  signal: AbortSignal,
  { onError }: FaceDeps,
  answer: Promise<T>,
  ms = storeMs,
): Promise<T> {
  const late = new Error('The response store did not answer in time.')
  // Nobody listens to it any more once the client has left.
  answer.catch(() => undefined)
  try {
    return await within(ms, signal, late, () => answer)
  } catch (cause) {
    if (signal.aborted) throw cause
    onError?.(cause)
    const message = `The response store cannot say what became of this ${param}, so that nothing was done.`
    throw new ApiError('server_error', message, { status: 503, cause, retryAfter: 2 })
  }
}

/** The same answer again: its own bytes, or the stored response that it is. */
async function replayed(
  { status, headers, body: kept }: KeptAnswer,
  request: unknown,
  store: KeyedStore,
  inTime: <T>(answer: Promise<T>) => Promise<T>,
): Promise<Response> {
  const again = new Headers(headers)
  again.set(replayHeader, 'true')
  if ('missing' in kept) throw notKept(kept.missing)
  if ('text' in kept) return new Response(kept.text, { status, headers: again })
  const { stream, background } = isObject(request) ? request : {}
  const id = kept.response
  if (stream === true) {
    const log = await inTime(store.events(id, -1))
    if (log === undefined || log === 'none') throw notKept('gone', id)
    if (log.truncated) {
      await log.body.cancel()
      throw notKept('too_large', id)
    }
    again.set('content-type', 'text/event-stream')
    again.set('cache-control', 'no-cache')
    return new Response(log.body, { headers: again })
  }
  const response = await inTime(store.get(id))
  if (response === undefined) throw notKept('gone', id)
  // Its writer was lost, and the store has not noticed yet.
  if (background !== true && isRunning(String(response.status))) throw inUse()
  again.set('content-type', 'application/json')
  return new Response(JSON.stringify(response), { headers: again })
}

/** An error in the shape of the API that was asked. */
async function refused(thrown: unknown, deps: FaceDeps, run: Run): Promise<Response> {
  const response = await run(() => Promise.reject(thrown), deps)
  // OpenAI's and Anthropic's clients send again what was answered with 409, unless they are told not to.
  if (thrown instanceof ApiError && finalCodes.has(thrown.code)) {
    response.headers.set('x-should-retry', 'false')
  }
  return response
}

const finalCodes: ReadonlySet<string> = new Set([
  'idempotency_key_reused',
  'idempotency_answer_not_kept',
])

function reused(): ApiError {
  const message = `This ${param} was sent with another request before: a new request needs a key of its own.`
  return new ApiError('idempotency_key_reused', message, { param })
}

function inUse(): ApiError {
  const message = `The first request with this ${param} is still being answered; send it again later.`
  return new ApiError('idempotency_key_in_use', message, { param, retryAfter: 2 })
}

const reasons: Record<Missing | 'gone', string> = {
  unstored: "nothing of it was kept, as it said 'store': false",
  too_large: 'its answer was longer than what is kept',
  interrupted: 'its answer was cut after tools had been called',
  gone: 'its stored response was deleted, or could not be kept',
}

function notKept(why: Missing | 'gone', id?: string): ApiError {
  const where = why === 'too_large' && id !== undefined ? ` What is kept of it: '${id}'.` : ''
  const message = `The first request with this ${param} was answered, and is not made a second time: ${reasons[why]}.${where}`
  return new ApiError('idempotency_answer_not_kept', message, { param })
}
