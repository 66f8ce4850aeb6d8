// How the node interrupts Python, which gives no event a chance while it runs: the node writes a byte into a file that both
// have open, and the interpreter's own check for signals reads it.
import { readSync } from 'node:fs'
import { descriptors } from './pipe.ts'

/** What the node writes, and Python's number of a KeyboardInterrupt. */
export const interruptSignal = 2

const pollMs = 20
/** Code that catches the first interrupt gets another; the notebook needs a moment to show the traceback of the first. */
const repeatMs = 700

export class InterruptSwitch {
  readonly #lastResortMs: number
  readonly #onPoll: () => void
  readonly #exit: (code: number) => never
  readonly #byte = new Uint8Array(1)
  #polled = 0
  #raised = Number.NEGATIVE_INFINITY
  /** When the process ends itself; unset while no code runs. */
  #deadline = Number.POSITIVE_INFINITY

  constructor(lastResortMs: number, onPoll: () => void, exit: (code: number) => never) {
    this.#lastResortMs = lastResortMs
    this.#onPoll = onPoll
    this.#exit = exit
  }

  arm(): void {
    this.#raised = Number.NEGATIVE_INFINITY
    this.#deadline = performance.now() + this.#lastResortMs
  }

  disarm(): void {
    this.#deadline = Number.POSITIVE_INFINITY
  }

  /** The signal to raise, or 0. */
  poll(): number {
    const now = performance.now()
    if (now - this.#polled < pollMs) return 0
    this.#polled = now
    if (now > this.#deadline) this.#exit(3)
    this.#onPoll()
    if (now - this.#raised < repeatMs) return 0
    if (readSync(descriptors.interrupt, this.#byte, 0, 1, 0) !== 1) return 0
    if (this.#byte[0] !== interruptSignal) return 0
    this.#raised = now
    return interruptSignal
  }
}
