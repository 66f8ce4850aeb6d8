// Chat's `prediction` (https://platform.openai.com/docs/guides/predicted-outputs): what a client expects the answer to say,
// as the ids that the engine looks for guesses in.
import type { ResponsesRequest, ResponseUsage } from '../../src/protocol/responses.ts'
import type { GenerationStep } from './sequence.ts'
import { control, type Vocabulary } from './vocabulary.ts'

/** Of the ids, those before the predicted text. */
const headerIds = 2

/**
 * The ids of the predicted text, none without one. The end of the final channel's header stands before them, so that its
 * first token can be guessed: a guess follows two tokens that agree.
 */
export async function predictedIds(
  { prediction }: ResponsesRequest,
  vocabulary: Vocabulary,
): Promise<number[]> {
  const content = prediction?.content ?? ''
  const text = typeof content === 'string' ? content : content.map((part) => part.text).join('')
  if (text === '') return []
  const ids = (await vocabulary.encodeAsync?.(text)) ?? vocabulary.encode(text)
  return [...vocabulary.encode('final').slice(-1), vocabulary.special(control.message), ...ids]
}

/**
 * What became of a prediction, over the generations that make one answer. As OpenAI counts it: tokens of it that were guessed and
 * came true, and those that were run in vain, which are among the output tokens as well. A token may be guessed many times; the
 * two together are never more than the prediction has.
 */
export class PredictionUse {
  /** Tokens of the prediction; undefined: there is none. */
  readonly #tokens: number | undefined
  /** Of the generations before the running one. */
  #accepted = 0
  #rejected = 0
  #last: Pick<GenerationStep, 'predictedDrafted' | 'predictedAccepted'> = {}

  /** `predicted`: what `predictedIds` gave, where the request has a prediction. */
  constructor(predicted: readonly number[] | undefined) {
    if (predicted !== undefined) this.#tokens = Math.max(0, predicted.length - headerIds)
  }

  push(step: GenerationStep): void {
    this.#last = step
  }

  /** Another generation begins, which counts from zero. */
  resume(): void {
    const { accepted, rejected } = this.#counts
    this.#accepted = accepted
    this.#rejected = rejected
    this.#last = {}
  }

  addTo(usage: ResponseUsage): ResponseUsage {
    if (this.#tokens === undefined) return usage
    const counts = this.#counts
    const accepted = Math.min(counts.accepted, this.#tokens)
    const rejected = Math.min(counts.rejected, this.#tokens - accepted)
    return {
      ...usage,
      output_tokens: usage.output_tokens + rejected,
      output_tokens_details: {
        ...usage.output_tokens_details,
        accepted_prediction_tokens: accepted,
        rejected_prediction_tokens: rejected,
      },
      total_tokens: usage.total_tokens + rejected,
    }
  }

  get #counts(): { accepted: number; rejected: number } {
    const { predictedDrafted = 0, predictedAccepted = 0 } = this.#last
    return {
      accepted: this.#accepted + predictedAccepted,
      rejected: this.#rejected + predictedDrafted - predictedAccepted,
    }
  }
}
