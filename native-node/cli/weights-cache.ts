// `--weights-cache`: where the packed weights are kept for the next load.
import { dirname, resolve } from 'node:path'
import type { ModelPlace } from '../server/find-model.ts'
import { type Option, UsageError } from './command.ts'

export const weightsCache = {
  type: 'string',
  value: 'WHERE',
  help: 'off, auto (beside the model) or a folder: keeps the packed weights in a file as large as they are, so that later loads need not pack',
  default: 'off',
} as const satisfies Option

/** The engine's option, for the model in a place; throws UsageError for an empty word, at once. */
export function weightsCacheFolder(word = 'off'): (place: ModelPlace) => { weightsCache?: string } {
  if (word === '') throw new UsageError('--weights-cache must be off, auto or a folder.')
  return ({ kind, path }) => {
    if (word === 'off') return {}
    if (word !== 'auto') return { weightsCache: resolve(word) }
    return { weightsCache: kind === 'gguf' ? dirname(path) : path }
  }
}
