// Candidates in policy order until one answers. The next one gets its turn only while the fault is not the client's and
// nothing has reached the client.
import { ApiError, toApiError } from '../errors.ts'
import type { Candidate, FaceDeps, Outcome } from './deps.ts'

const maxAttempts = 3

/**
 * Runs `tryOne` over the candidates; failures are added to `attempts`. Throws the last one's ApiError, or whatever came
 * when the signal was aborted: a client that left is no failure.
 */
export async function attempt<T>(
  candidates: readonly Candidate[],
  tryOne: (candidate: Candidate, isLast: boolean) => Promise<T>,
  attempts: Outcome['attempts'],
  signal: AbortSignal,
  onError: FaceDeps['onError'],
): Promise<{ candidate: Candidate; value: T }> {
  let last: ApiError | undefined
  const tried = candidates.slice(0, maxAttempts)
  for (const [at, candidate] of tried.entries()) {
    try {
      return { candidate, value: await tryOne(candidate, at === tried.length - 1) }
    } catch (thrown) {
      if (signal.aborted) throw thrown
      last = toApiError(thrown)
      attempts.push({ name: candidate.name, error: last.code })
      if (last.status >= 500) onError?.(thrown, candidate)
      if (!last.retryable) throw last
    }
  }
  throw last ?? new ApiError('server_error', 'There was no candidate for this request.')
}
