// `--speculate`: how many guessed tokens a step of the engine may verify.
import { type Option, parseInteger, UsageError } from './command.ts'

/** What the engine allows: include/engine.h. */
const most = 15
/** Where nothing is said; what pays on two cores, see docs/native-node.md. */
const usual = 7

export const speculate = {
  type: 'string',
  value: 'HOW',
  help: `off, or ngram[:N]: up to N tokens (1 to ${most}, ${usual} if unsaid) are guessed from what the text repeats and verified together; the tokens are the same`,
  default: 'off',
} as const satisfies Option

/** Throws UsageError for anything but off, ngram and ngram:N. */
export function draftedTokens(word = 'off'): number {
  if (word === 'off') return 0
  const [name, count, ...more] = word.split(':')
  if (name !== 'ngram' || more.length > 0)
    throw new UsageError(`--speculate must be off, ngram or ngram:N, not '${word}'.`)
  return count === undefined ? usual : parseInteger(count, '--speculate ngram:N', 1, most)
}
