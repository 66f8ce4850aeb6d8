// The one send loop: candidates in policy order until one answers. The next one gets its turn only while the fault is not
// the client's and nothing has reached the client.
import { type ApiError, toApiError } from '../errors.ts'
import type { Candidate, FaceDeps, Outcome } from './deps.ts'

const maxAttempts = 3
/** Before the same place is asked again after a lost connection. */
const reconnectMs = 200
/** A Retry-After that is waited for, where there is no other place and the place does not say. */
const usualWaitMs = 10_000

export interface SendLoop<T> {
  candidates: readonly Candidate[]
  /** One attempt; `isLast`: no other candidate could follow. */
  tryOne(candidate: Candidate, isLast: boolean): Promise<T>
  /** The first two at once, the second after a while; throws what the later of their failures was. */
  tryTwo?: ((first: Candidate, second: Candidate, note: Note) => Promise<T>) | undefined
  /** Failures are added. */
  attempts: Outcome['attempts']
  /** Aborted when the client has left. */
  signal: AbortSignal
  deps: Pick<FaceDeps, 'health' | 'onError' | 'now'>
}

/** Keeps a failure: for the client's headers, the log and the place's health. */
export type Note = (candidate: Candidate, thrown: unknown) => ApiError

/** Runs the loop; throws the last failure as an ApiError, or whatever came when the client had left. */
export async function attempt<T>(loop: SendLoop<T>): Promise<T> {
  const { candidates, tryOne, tryTwo, attempts, signal } = loop
  let began = 0
  const note: Note = (candidate, thrown) => noted(loop, candidate, thrown, began)
  /** Public models for which the prompt was too long. */
  let tooLong: (string | undefined)[] = []
  let again = false
  for (let at = 0; ; ) {
    const candidate = candidates[at]
    if (candidate === undefined) throw toApiError(new Error('There was no candidate.'))
    const second = tryTwo !== undefined && attempts.length === 0 ? candidates[1] : undefined
    let error: ApiError
    let failed = candidate
    if (loop.deps.health !== undefined) began = loop.deps.now()
    try {
      if (tryTwo !== undefined && second !== undefined) return await tryTwo(candidate, second, note)
      const next = nextOf(candidates, at, tooLong)
      return await tryOne(candidate, next === undefined || attempts.length + 1 >= maxAttempts)
    } catch (thrown) {
      if (signal.aborted) throw thrown
      // Of two at once, as many as were tried are noted already.
      error = second === undefined ? note(candidate, thrown) : toApiError(thrown)
      failed = second === undefined || attempts.length === 1 ? candidate : second
    }
    if (error.code === 'context_length_exceeded') {
      tooLong = [...tooLong, failed.publicId]
    } else if (!error.retryable) throw error
    const following = nextOf(candidates, candidates.indexOf(failed), tooLong)
    if (attempts.length >= maxAttempts) throw error
    if (following !== undefined) at = following
    else {
      const once = again || !error.retryable ? undefined : await onceMore(loop, failed, error)
      if (once === undefined) throw error
      again = true
      at = candidates.indexOf(once)
    }
  }
}

function nextOf(
  candidates: readonly Candidate[],
  after: number,
  tooLong: readonly (string | undefined)[],
): number | undefined {
  for (let at = after + 1; at < candidates.length; at++) {
    if (!tooLong.includes(candidates[at]?.publicId)) return at
  }
  return undefined
}

function noted<T>(
  loop: SendLoop<T>,
  candidate: Candidate,
  thrown: unknown,
  began: number,
): ApiError {
  const { attempts, deps } = loop
  const error = toApiError(thrown)
  attempts.push({ name: candidate.name, error: error.code, candidate })
  if (error.status >= 500) deps.onError?.(thrown, candidate)
  tellHealth(deps, candidate, error, { began })
  return error
}

/** When a call began, and since when output has come. */
export interface CallTimes {
  began: number
  flowsSince?: number | undefined
}

/** What a failure says about the place. A refused prompt, a full node and a limit say nothing about its health. */
export function tellHealth(
  { health, now }: Pick<FaceDeps, 'health' | 'now'>,
  candidate: Candidate,
  error: ApiError,
  { began, flowsSince }: CallTimes,
): void {
  if (health === undefined) return
  if (candidate.clientKey === true && ofTheKey.has(error.code)) return
  if (error.code === 'rate_limit_exceeded' || error.code === 'no_capacity') {
    if (error.retryAfter !== undefined) health.limited(candidate, error.retryAfter, now())
  } else if (faults.has(error.code)) {
    const failedAt = now()
    const flowedMs = flowsSince === undefined ? undefined : failedAt - flowsSince
    health.failed(candidate, began, flowedMs, failedAt)
  }
}

const faults: ReadonlySet<string> = new Set([
  'upstream_error',
  'upstream_timeout',
  'node_lost',
  'provider_auth',
])

/** What only the account behind a key is told. */
const ofTheKey: ReadonlySet<string> = new Set(['rate_limit_exceeded', 'provider_auth'])

/**
 * With nowhere else to go: who may be asked once more, within its budget, as most faults are short. The first one where all
 * have failed, else the same place, unless it kept us waiting in vain. Sending again is safe, as an upstream runs no tools (one
 * that does is left alone): at worst an answer is made that nobody reads.
 */
async function onceMore<T>(
  { candidates, deps, signal }: SendLoop<T>,
  failed: Candidate,
  error: ApiError,
): Promise<Candidate | undefined> {
  const waitMs = (error.retryAfter ?? 0) * 1000
  const isSoon = waitMs <= (failed.retryAfterMs ?? usualWaitMs)
  const next = whoAgain(candidates[0], failed, error, isSoon)
  if (next === undefined || !deps.health?.takeRetry(next, deps.now())) return undefined
  await pause(next === failed ? Math.max(reconnectMs, waitMs) : reconnectMs, signal)
  return signal.aborted ? undefined : next
}

function whoAgain(
  first: Candidate | undefined,
  failed: Candidate,
  { code, unreached, retryAfter }: ApiError,
  isSoon: boolean,
): Candidate | undefined {
  if (unreached) return failed
  if (code === 'rate_limit_exceeded') return retryAfter !== undefined && isSoon ? failed : undefined
  if (code !== 'upstream_error') return undefined
  if (first !== failed && first?.publicId === failed.publicId) return first
  return isSoon && mayStumble(failed) ? failed : undefined
}

/** A provider's 500 or half an answer. The hub has asked a node's neighbours already, and the engine would say the same again. */
function mayStumble({ kind, runsTools }: Candidate): boolean {
  return kind === 'provider' && runsTools !== true
}

/** Ends early when the signal is aborted. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, ms)
    signal.addEventListener('abort', end)
    if (signal.aborted) end()
  })
}
