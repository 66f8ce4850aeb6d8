// Who was first: what may happen once is claimed before it happens.
import { ApiError } from '../../errors.ts'

export interface Claims {
  /** True for the first caller with this key, false for every other one as long as the time has not passed. */
  claim(key: string, ttlMs: number): Promise<boolean>
}

export interface MemoryClaimsOptions {
  /** Milliseconds since the epoch. */
  now: () => number
  /** More than so many at a time are refused. */
  max?: number
}

/**
 * Claims of one process, which forgets them with its end. On a gateway without a response store each isolate has its own:
 * one key can then be claimed once in each.
 */
export class MemoryClaims implements Claims {
  readonly #now: () => number
  readonly #max: number
  /** When each ends. */
  readonly #ends = new Map<string, number>()

  constructor({ now, max = 100_000 }: MemoryClaimsOptions) {
    this.#now = now
    this.#max = max
  }

  async claim(key: string, ttlMs: number): Promise<boolean> {
    const now = this.#now()
    if ((this.#ends.get(key) ?? 0) > now) return false
    if (this.#ends.size >= this.#max) this.#sweep(now)
    if (this.#ends.size >= this.#max) {
      // Not `false`: nobody has used it. Not `true`: somebody could again.
      throw new ApiError('no_capacity', 'Too many approvals are in use at a time.', {
        retryAfter: 60,
      })
    }
    this.#ends.set(key, now + ttlMs)
    return true
  }

  #sweep(now: number): void {
    for (const [key, end] of this.#ends) if (end <= now) this.#ends.delete(key)
  }
}
