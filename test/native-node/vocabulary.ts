// The o200k vocabulary for tests that need no addon, from gpt-tokenizer's ranks.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { encode } from 'gpt-tokenizer/encoding/o200k_base'
import { o200kHarmonySpecials, type Vocabulary } from '../../native-node/server/vocabulary.ts'

const ranksPath = createRequire(import.meta.url)
  .resolve('gpt-tokenizer/package.json')
  .replace('package.json', 'data/o200k_base.tiktoken')

let shared: Vocabulary | undefined

/** o200k_harmony: ordinary text by gpt-tokenizer, control tokens by name. */
export function o200kVocabulary(): Vocabulary {
  shared ??= load()
  return shared
}

function load(): Vocabulary {
  const bytes: Uint8Array[] = []
  for (const line of readFileSync(ranksPath, 'latin1').split('\n')) {
    const [token, rank] = line.split(' ')
    if (token && rank) bytes[Number(rank)] = Buffer.from(token, 'base64')
  }
  const specials = o200kHarmonySpecials()
  const names = new Map(Object.entries(specials).map(([name, id]) => [id, name]))
  return {
    encode: (text) => encode(text, { disallowedSpecial: new Set() }),
    special: (name) => specials[name] ?? -1,
    tokenBytes: (id) => bytes[id] ?? Buffer.from(names.get(id) ?? ''),
    isSpecial: (id) => names.has(id),
  }
}

const marker = /(<\|[a-z]+\|>)/

/** Ids of a generation written with its control tokens by name; for tests only. */
export function idsOf(text: string, vocabulary = o200kVocabulary()): number[] {
  return text.split(marker).flatMap((part) => {
    if (part === '') return []
    const id = marker.test(part) ? vocabulary.special(part) : -1
    return id >= 0 ? [id] : vocabulary.encode(part)
  })
}
