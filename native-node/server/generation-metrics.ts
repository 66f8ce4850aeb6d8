// What the engine's generations took, for the page of metrics: every sequence from its submission to its last token.

import { durationBounds, firstTokenBounds } from '../../src/metrics/bounds.ts'
import { Counter, Histogram, type MetricFamily, single } from '../../src/metrics/families.ts'
import type { NativeTokenEvent } from './binding.ts'

interface Course {
  submittedAt: number
  /** Unset until its first token. */
  firstAt?: number
  tokens: number
}

// Seconds, from a fast machine to a slow.
const perTokenBounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1]

/** Told of every sequence by the one who submits it. Times are milliseconds of one clock. */
export class GenerationMetrics {
  readonly #courses = new Map<number, Course>()
  readonly #ends = new Counter(
    'switchyard_generations_total',
    'Generations that have ended, by how: stop, length, cancelled, error.',
  )
  readonly #firstToken = new Histogram(
    'switchyard_time_to_first_token_seconds',
    'From the submission of a prompt to its first token, waiting included.',
    firstTokenBounds,
  )
  readonly #perToken = new Histogram(
    'switchyard_time_per_output_token_seconds',
    'Mean of a generation: from its first token to its last, by the tokens after the first.',
    perTokenBounds,
  )
  readonly #whole = new Histogram(
    'switchyard_generation_duration_seconds',
    'From the submission of a prompt to the end of its generation.',
    durationBounds,
  )
  #promptTokens = 0
  #cachedTokens = 0
  #tokens = 0

  submitted(sequence: number, now: number): void {
    this.#courses.set(sequence, { submittedAt: now, tokens: 0 })
  }

  took({ sequence, ids, finish, promptTokens, cachedTokens }: NativeTokenEvent, now: number): void {
    const course = this.#courses.get(sequence)
    if (course === undefined) return
    if (ids.length > 0) {
      this.#tokens += ids.length
      course.tokens += ids.length
      if (course.firstAt === undefined) {
        course.firstAt = now
        this.#firstToken.observe(seconds(now - course.submittedAt))
        this.#promptTokens += promptTokens
        this.#cachedTokens += cachedTokens
      }
    }
    if (finish === undefined) return
    this.#courses.delete(sequence)
    this.#ends.add({ finish })
    this.#whole.observe(seconds(now - course.submittedAt))
    if (course.firstAt !== undefined && course.tokens > 1) {
      this.#perToken.observe(seconds(now - course.firstAt) / (course.tokens - 1))
    }
  }

  families(): MetricFamily[] {
    return [
      single(
        'counter',
        'switchyard_prompt_tokens_total',
        'Tokens of the prompts whose generation has begun.',
        this.#promptTokens,
      ),
      single(
        'counter',
        'switchyard_cached_prompt_tokens_total',
        'Those of them whose keys and values were still in the cache.',
        this.#cachedTokens,
      ),
      single('counter', 'switchyard_generation_tokens_total', 'Tokens generated.', this.#tokens),
      this.#ends.family(),
      this.#firstToken.family(),
      this.#perToken.family(),
      this.#whole.family(),
    ]
  }
}

function seconds(milliseconds: number): number {
  return milliseconds / 1000
}
