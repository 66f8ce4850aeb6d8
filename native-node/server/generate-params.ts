// Sampling parameters: what may be asked, checked by the names that a client knows.
import { ApiError } from '../../src/errors.ts'
import type { Grammar } from './grammar/grammar.ts'
import type { SamplingDefaults } from './model-files.ts'
import type { ControlName } from './vocabulary.ts'

/** What a message of the answer must be. */
export interface MessageForm {
  /** A message is meant that has all of these in its header, as words: a channel, a recipient. */
  headerWords: readonly string[]
  /** Of its content; undefined: any text. */
  grammar: Grammar | undefined
  /** What alone may end it. */
  end: ControlName
}

/** What an answer is held to while it is written. */
export interface AnswerConstraints {
  /** The first that fits a message counts. */
  messages: readonly MessageForm[]
  /** Of the headers, from the first message on, the last for all that follow; empty: any. See NativeConstraints. */
  headers: readonly Grammar[]
}

/** What one generation asks for; what is left out comes from the model's generation_config.json. */
export interface GenerateParams extends Partial<SamplingDefaults> {
  /** Absent: up to the context's end. */
  maxTokens?: number
  /** Absent: random. */
  seed?: bigint
  frequencyPenalty?: number
  presencePenalty?: number
  repetitionPenalty?: number
  logitBias?: [id: number, bias: number][]
  /** What the answer will hold, perhaps; it changes how fast tokens come, never which. */
  predicted?: readonly number[]
  /** Absent: the answer is free. */
  constraints?: AnswerConstraints
  /** Absent: no logprobs; 0 to 20 alternatives beside the chosen token. */
  topLogprobs?: number
}

const limits: [keyof GenerateParams, param: string, min: number, max: number, whole?: boolean][] = [
  ['maxTokens', 'max_output_tokens', 1, Number.MAX_SAFE_INTEGER, true],
  ['temperature', 'temperature', 0, 100],
  ['topP', 'top_p', 0, 1],
  ['topK', 'top_k', 0, 1 << 30, true],
  ['minP', 'min_p', 0, 1],
  ['frequencyPenalty', 'frequency_penalty', -2, 2],
  ['presencePenalty', 'presence_penalty', -2, 2],
  ['repetitionPenalty', 'repetition_penalty', 0.01, 100],
  ['topLogprobs', 'top_logprobs', 0, 20, true],
]

/** Throws ApiError naming the first parameter that is out of range. */
export function checkParams(params: GenerateParams, vocabSize: number): void {
  for (const [key, param, min, max, whole] of limits) {
    const value = params[key]
    if (value === undefined) continue
    const fits = typeof value === 'number' && value >= min && value <= max
    if (fits && (!whole || Number.isInteger(value))) continue
    throw new ApiError(
      'invalid_value',
      `'${param}' must be a ${whole ? 'whole ' : ''}number from ${min} to ${max}, not ${value}.`,
      { param },
    )
  }
  for (const [id, bias] of params.logitBias ?? []) {
    if (Number.isInteger(id) && id >= 0 && id < vocabSize && Math.abs(bias) <= 100) continue
    throw new ApiError(
      'invalid_value',
      `'logit_bias' maps token ids from 0 to ${vocabSize - 1} to a bias from -100 to 100, not ${id} to ${bias}.`,
      { param: 'logit_bias' },
    )
  }
}
