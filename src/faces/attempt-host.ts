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

/** Clients refuse headers beyond some kilobytes, and a long history has a thousand things that a place does not know. */
const maxNames = 1000

/** What was left out, for the text of a `warning`: all of it, or the first and how many more. */
export function namesText(names: readonly string[]): string {
  let text = ''
  for (const [index, name] of names.entries()) {
    const next = index === 0 ? name : `${text}, ${name}`
    if (next.length > maxNames) {
      const more = names.length - index
      text = index === 0 ? `${name.slice(0, maxNames)}...` : `${text} and ${more} more`
      break
    }
    text = next
  }
  return headerText(text).replaceAll(/["\\]/g, "'")
}

/** Names may hold what a header may not. */
export function headerText(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, '?')
}
