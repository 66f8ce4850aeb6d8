// The seam between serving a request and one attempt at one candidate.
import type { Candidate, FaceDeps, Outcome } from './deps.ts'
import type { FaceRequest } from './face-request.ts'

/** How an answer ended, as far as it is known. */
export type Told = Pick<Outcome, 'status' | 'error' | 'firstOutputAt'> &
  Partial<Pick<Outcome, 'candidate' | 'usage'>>

/** What an attempt needs of the call that it belongs to. */
export interface AttemptHost {
  readonly deps: FaceDeps
  readonly face: FaceRequest
  readonly candidates: readonly Candidate[]
  readonly attempts: Outcome['attempts']
  /** Aborted when the client has left. */
  readonly gone: AbortSignal
  /** The client has all of its answer, or has gone. */
  end(told: Told): void
  /** Nobody will be asked again: a stream that is held for minutes does not hold its request, too. */
  forget(): void
  /** The answer goes on unseen. */
  report(told: Told): void
}

/** `groq=rate_limit_exceeded, together=upstream_timeout`: what was tried, and why each lost. */
export function triedText(attempts: Outcome['attempts']): string {
  return headerText(attempts.map(({ name, error }) => `${name}=${error}`).join(', ')).slice(0, 500)
}

/** Names may hold what a header may not. */
export function headerText(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, '?')
}
