// What one isolate has seen of each place: time to the first byte, and failures in a row. Best effort by design:
// isolates share nothing, so two of them may order the same candidates differently.

const failuresUntilSick = 3
const sickMs = 30_000
/** Weight of the newest measurement. */
const weight = 0.3

interface Seen {
  /** Moving average; unset until the first answer. */
  firstByteMs?: number
  failures: number
  /** When the last of `failures` happened. */
  failedAt: number
}

/** Orders nothing itself; routing asks it. */
export class Observations {
  readonly #seen = new Map<string, Seen>()

  /** An answer began after `firstByteMs`. */
  answered(place: string, firstByteMs: number): void {
    const before = this.#seen.get(place)?.firstByteMs
    const average = before === undefined ? firstByteMs : before + weight * (firstByteMs - before)
    this.#seen.set(place, { firstByteMs: average, failures: 0, failedAt: 0 })
  }

  /** A fault that is the place's own: no answer, 5xx, timeout. */
  failed(place: string, now: number): void {
    const seen = this.#seen.get(place)
    this.#seen.set(place, { ...seen, failures: (seen?.failures ?? 0) + 1, failedAt: now })
  }

  /** True for 30 s after three failures in a row: such a place is tried last, never left out. */
  isSick(place: string, now: number): boolean {
    const seen = this.#seen.get(place)
    return seen !== undefined && seen.failures >= failuresUntilSick && now - seen.failedAt < sickMs
  }

  /** Average time to the first byte in milliseconds; undefined before the first answer. */
  firstByteMs(place: string): number | undefined {
    return this.#seen.get(place)?.firstByteMs
  }
}
