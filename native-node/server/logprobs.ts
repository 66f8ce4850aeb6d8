// The engine's logprobs in the API's form.
import type { Logprob } from '../../src/protocol/responses.ts'
import type { NativeTokenLogprob } from './binding.ts'
import type { Vocabulary } from './vocabulary.ts'

/** OpenAI's word for "never": JSON has no infinity. */
const lowest = -9999

/** One generated token with its alternatives. */
export function tokenLogprob(
  id: number,
  { logprob, top }: NativeTokenLogprob,
  vocabulary: Vocabulary,
): Logprob {
  return {
    ...token(id, logprob, vocabulary),
    top_logprobs: top.map(([other, value]) => token(other, value, vocabulary)),
  }
}

function token(id: number, logprob: number, vocabulary: Vocabulary) {
  const bytes = vocabulary.tokenBytes(id)
  return {
    // Half a character shows as U+FFFD; `bytes` has the truth. A byte order mark is a token like any other.
    token: new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes),
    logprob: Math.max(logprob, lowest),
    bytes: Array.from(bytes),
  }
}
