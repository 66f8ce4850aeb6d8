// Two places asked for one answer, the second only when the first has said nothing for a while; the first to answer wins.
import type { ApiError } from '../errors.ts'
import { type Note, pause } from './attempt.ts'
import type { Candidate } from './deps.ts'

export interface Hedge<T> {
  afterMs: number
  tryOne(candidate: Candidate): Promise<T>
  /** Stops all work at the place that lost. */
  drop(loser: Candidate): void
  /** Aborted when the client has left. */
  signal: AbortSignal
}

type Settled<T> = { candidate: Candidate } & ({ value: T } | { thrown: unknown })

/** The first answer; throws what was noted of the last failure. A fault of the client's own ends both. */
export async function hedge<T>(
  first: Candidate,
  second: Candidate,
  note: Note,
  { afterMs, tryOne, drop, signal }: Hedge<T>,
): Promise<T> {
  const one = settled(first, tryOne(first))
  const early = await Promise.race([one, pause(afterMs, signal)])
  if (early !== undefined || signal.aborted) return taken(early ?? (await one), note)
  const two = settled(second, tryOne(second))
  const winner = await Promise.race([one, two])
  const other = winner.candidate === first ? second : first
  if ('value' in winner) {
    drop(other)
    return winner.value
  }
  if (signal.aborted) throw winner.thrown
  const error: ApiError = note(winner.candidate, winner.thrown)
  if (!error.retryable) {
    drop(other)
    throw error
  }
  return taken(await (other === first ? one : two), note)
}

function taken<T>(result: Settled<T>, note: Note): T {
  if ('value' in result) return result.value
  throw note(result.candidate, result.thrown)
}

function settled<T>(candidate: Candidate, attempt: Promise<T>): Promise<Settled<T>> {
  return attempt.then(
    (value) => ({ candidate, value }),
    (thrown: unknown) => ({ candidate, thrown }),
  )
}
