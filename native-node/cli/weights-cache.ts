// `--weights-cache`: where the packed weights are kept for the next load.
import { resolve } from 'node:path'
import { type Option, UsageError } from './command.ts'

export const weightsCache = {
  type: 'string',
  value: 'WHERE',
  help: 'off, auto (beside the model) or a folder: keeps the packed weights in a file as large as they are, so that later loads need not pack',
  default: 'off',
} as const satisfies Option

/** The engine's option; throws UsageError for an empty word. */
export function weightsCacheFolder(modelDir: string, word = 'off'): { weightsCache?: string } {
  if (word === '') throw new UsageError('--weights-cache must be off, auto or a folder.')
  if (word === 'off') return {}
  return { weightsCache: word === 'auto' ? modelDir : resolve(word) }
}
