// Who may go in, when only so many can: the rest stand in line, each until its own signal calls it off.

export class Gate {
  #free: number
  #line: (() => void)[] = []

  constructor(places: number) {
    this.#free = places
  }

  /** Nobody is in, and nobody waits. */
  idle(places: number): boolean {
    return this.#free === places && this.#line.length === 0
  }

  /** Resolves when there is a place, which leave() gives back; rejects with the signal's reason. */
  enter(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(signal.reason)
    if (this.#free > 0) {
      this.#free--
      return Promise.resolve()
    }
    return new Promise((resolve, reject) => {
      const callOff = () => {
        this.#line = this.#line.filter((waiting) => waiting !== admit)
        reject(signal.reason)
      }
      const admit = () => {
        signal.removeEventListener('abort', callOff)
        resolve()
      }
      signal.addEventListener('abort', callOff, { once: true })
      this.#line.push(admit)
    })
  }

  leave(): void {
    const next = this.#line.shift()
    if (next) next()
    else this.#free++
  }
}
