// One generation's steps on their way from the engine's callback to whoever iterates.
import type { NativeTokenEvent, NativeTokenLogprob } from './binding.ts'
import { closing, engineError } from './engine-errors.ts'

/** What one engine step brought for one sequence. The last one has `finish`. */
export interface GenerationStep {
  ids: ArrayLike<number>
  logprobs?: readonly NativeTokenLogprob[]
  finish?: 'stop' | 'length'
  promptTokens: number
  /** Prompt tokens whose keys and values were still there. */
  cachedTokens: number
  /** Of what was predicted, so far: tokens that were guessed from it, and those that came true. */
  predictedDrafted?: number
  predictedAccepted?: number
}

/** Filled by take() and fail(), read once by iteration; leaving the iteration cancels. */
export class Sequence implements AsyncIterable<GenerationStep> {
  readonly #cancel: () => void
  readonly #signal: AbortSignal | undefined
  readonly #steps: GenerationStep[] = []
  /** Set when no more steps will come. */
  #ended = false
  /** Set when the end is a failure. */
  #error: unknown
  /** Wakes the reader that waits for a step. */
  #wake: (() => void) | undefined

  constructor(cancel: () => void, signal: AbortSignal | undefined) {
    this.#cancel = cancel
    this.#signal = signal
    signal?.addEventListener('abort', this.#onAbort, { once: true })
  }

  take(event: NativeTokenEvent): void {
    if (this.#ended) return
    const { ids, logprobs, finish, promptTokens, cachedTokens } = event
    const { predictedDrafted, predictedAccepted } = event
    if (finish === 'error' || finish === 'cancelled') {
      this.fail(finish === 'error' ? engineError(event.error) : closing())
      return
    }
    const step: GenerationStep = {
      ids,
      promptTokens,
      cachedTokens,
      predictedDrafted,
      predictedAccepted,
    }
    if (logprobs) step.logprobs = logprobs
    if (finish) step.finish = finish
    this.#steps.push(step)
    if (finish) this.#end()
    this.#wake?.()
  }

  fail(error: unknown): void {
    if (this.#ended) return
    this.#error = error
    this.#end()
    this.#wake?.()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<GenerationStep, void> {
    try {
      for (;;) {
        const step = this.#steps.shift()
        if (step) yield step
        else if (this.#error !== undefined) throw this.#error
        else if (this.#ended) return
        else await new Promise<void>((resolve) => (this.#wake = resolve))
      }
    } finally {
      if (!this.#ended) {
        this.#end()
        this.#cancel()
      }
    }
  }

  readonly #onAbort = () => {
    if (this.#ended) return
    this.#cancel()
    // What is still queued has no reader.
    this.#steps.length = 0
    this.fail(this.#signal?.reason ?? new DOMException('Aborted', 'AbortError'))
  }

  #end(): void {
    this.#ended = true
    this.#signal?.removeEventListener('abort', this.#onAbort)
  }
}
