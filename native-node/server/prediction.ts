// Chat's `prediction` (https://platform.openai.com/docs/guides/predicted-outputs): what a client expects the answer to say,
// as the ids that the engine looks for guesses in.
import type { ResponsesRequest, ResponseUsage } from '../../src/protocol/responses.ts'
import type { GenerationStep } from './sequence.ts'
import { control, type Vocabulary } from './vocabulary.ts'

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
 * What became of a prediction, over the generations that make one answer. As OpenAI counts it: tokens that were guessed from it
 * and came true, and those that were run in vain, which are among the output tokens as well.
 */
export class PredictionUse {
  readonly #asked: boolean
  /** Of the generations before the running one. */
  #accepted = 0
  #rejected = 0
  #last: Pick<GenerationStep, 'predictedDrafted' | 'predictedAccepted'> = {}

  constructor({ prediction }: ResponsesRequest) {
    this.#asked = prediction != null
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
    if (!this.#asked) return usage
    const { accepted, rejected } = this.#counts
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
