// A clock that runs as fast as the work allows: timers of this process fire in their order, and no time passes while
// anything else can still run.

interface Timer {
  at: number
  order: number
  run: () => void
}

const real = {
  setTimeout: globalThis.setTimeout,
  clearTimeout: globalThis.clearTimeout,
  fetch: globalThis.fetch,
  now: Date.now,
}

export class VirtualTime {
  now: number
  /** A binary heap by time, then by order of setting. */
  readonly #heap: Timer[] = []
  readonly #cancelled = new Set<number>()
  #order = 0

  constructor(start: number) {
    this.now = start
  }

  /** Takes over the timers, the clock and fetch of this process until `work` is done. */
  async run<T>(fetched: typeof fetch, work: () => Promise<T>): Promise<T> {
    Reflect.set(globalThis, 'setTimeout', (run: () => void, ms = 0) => this.#set(run, ms))
    Reflect.set(globalThis, 'clearTimeout', (order: number) => this.#cancelled.add(order))
    Reflect.set(globalThis, 'fetch', fetched)
    Date.now = () => this.now
    try {
      return await this.#drive(work())
    } finally {
      Object.assign(globalThis, {
        setTimeout: real.setTimeout,
        clearTimeout: real.clearTimeout,
        fetch: real.fetch,
      })
      Date.now = real.now
    }
  }

  /** Resolves when so much time has passed. */
  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.#set(resolve, ms))
  }

  #set(run: () => void, ms: number): number {
    const timer = { at: this.now + Math.max(0, ms), order: ++this.#order, run }
    this.#heap.push(timer)
    for (let at = this.#heap.length - 1; at > 0; ) {
      const parent = (at - 1) >> 1
      if (!this.#isBefore(at, parent)) break
      this.#swap(at, parent)
      at = parent
    }
    return timer.order
  }

  async #drive<T>(work: Promise<T>): Promise<T> {
    let over = false
    const end = () => {
      over = true
    }
    work.then(end, end)
    for (;;) {
      // Everything that needs no timer runs first: promises, streams.
      await new Promise((resolve) => setImmediate(resolve))
      if (over) return work
      const next = this.#pop()
      if (next === undefined)
        throw new Error('Nothing is left to wait for, and the work is not done.')
      if (this.#cancelled.delete(next.order)) continue
      this.now = next.at
      next.run()
    }
  }

  #pop(): Timer | undefined {
    const first = this.#heap[0]
    const last = this.#heap.pop()
    if (first === undefined || last === undefined || first === last) return first
    this.#heap[0] = last
    for (let at = 0; ; ) {
      let least = at
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < this.#heap.length && this.#isBefore(child, least)) least = child
      }
      if (least === at) return first
      this.#swap(at, least)
      at = least
    }
  }

  #isBefore(one: number, other: number): boolean {
    const [a, b] = [this.#heap[one], this.#heap[other]]
    if (a === undefined || b === undefined) return false
    return a.at < b.at || (a.at === b.at && a.order < b.order)
  }

  #swap(one: number, other: number): void {
    const [a, b] = [this.#heap[one], this.#heap[other]]
    if (a === undefined || b === undefined) return
    this.#heap[one] = b
    this.#heap[other] = a
  }
}
