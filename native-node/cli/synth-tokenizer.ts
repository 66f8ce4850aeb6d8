// A tokenizer.json for synthetic checkpoints: the first ranks of o200k_base, then the control tokens, in the form of
// gpt-oss's own file (byte-level BPE, the o200k split). The first N ranks are a valid vocabulary: merges only look down.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { o200kHarmonySpecials } from '../server/vocabulary.ts'
import { o200kRanksFile, o200kVocabularySize } from './vocabulary.ts'

const o200kSplit = [
  "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
  "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
  '\\p{N}{1,3}',
  ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*',
  '\\s*[\\r\\n]+',
  '\\s+(?!\\S)',
  '\\s+',
].join('|')

/** GPT-2's bijection of bytes to printable characters. */
function byteAlphabet(): string[] {
  const alphabet: string[] = []
  let next = 256
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174
    alphabet.push(String.fromCodePoint(printable ? byte : next++))
  }
  return alphabet
}

/** Tokens as latin1 strings (one character a byte) in rank order. */
function readRanks(count: number): string[] {
  const tokens: string[] = []
  for (const line of readFileSync(o200kRanksFile(), 'latin1').split('\n')) {
    if (tokens.length === count) break
    const [token] = line.split(' ')
    if (token) tokens.push(Buffer.from(token, 'base64').toString('latin1'))
  }
  return tokens
}

/** The two parts whose merge makes `token`: byte-pair encoding of it with only lower ranks ends there. */
function mergeOf(
  token: string,
  rank: number,
  ranks: Map<string, number>,
): [string, string] | undefined {
  let parts = [...token]
  while (parts.length > 2) {
    let best = rank
    let at = -1
    for (let i = 0; i + 1 < parts.length; i++) {
      const candidate = ranks.get(`${parts[i]}${parts[i + 1]}`)
      if (candidate !== undefined && candidate < best) {
        best = candidate
        at = i
      }
    }
    if (at < 0) return undefined
    parts = [...parts.slice(0, at), `${parts[at]}${parts[at + 1]}`, ...parts.slice(at + 2)]
  }
  const [left, right] = parts
  return left !== undefined && right !== undefined ? [left, right] : undefined
}

/** The control tokens that have a name; reserved ids stay unused. */
const harmonySpecials = Object.fromEntries(
  Object.entries(o200kHarmonySpecials()).filter(([name]) => !name.startsWith('<|reserved')),
)

/** Control tokens with their ids: gpt-oss's own for its own size, else behind the last rank. */
function specialsFor(vocabulary: number): { ranks: number; specials: [string, number][] } {
  if (vocabulary === o200kVocabularySize)
    return { ranks: 199_998, specials: Object.entries(harmonySpecials) }
  const names = Object.keys(harmonySpecials)
  const ranks = Math.min(199_998, vocabulary - names.length)
  return { ranks, specials: names.map((name, place) => [name, ranks + place]) }
}

export function writeTokenizer(out: string, vocabulary: number) {
  const { ranks: count, specials } = specialsFor(vocabulary)
  const tokens = readRanks(count)
  const ranks = new Map(tokens.map((token, rank) => [token, rank]))
  const alphabet = byteAlphabet()
  const printable = (token: string) =>
    Array.from(token, (char) => alphabet[char.charCodeAt(0)]).join('')

  const vocab: Record<string, number> = {}
  const merges: [string, string][] = []
  for (const [rank, token] of tokens.entries()) {
    vocab[printable(token)] = rank
    const parts = token.length > 1 ? mergeOf(token, rank, ranks) : undefined
    if (parts) merges.push([printable(parts[0]), printable(parts[1])])
  }
  const added = specials.map(([content, id]) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  }))
  const byteLevel = {
    type: 'ByteLevel',
    add_prefix_space: false,
    trim_offsets: true,
    use_regex: false,
  }
  const file = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: null,
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: o200kSplit }, behavior: 'Isolated', invert: false },
        byteLevel,
      ],
    },
    post_processor: null,
    decoder: byteLevel,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab,
      merges,
    },
  }
  writeFileSync(join(out, 'tokenizer.json'), `${JSON.stringify(file)}\n`)
  const ids = Object.fromEntries(specials)
  const eos = [ids['<|return|>'], ids['<|endoftext|>'], ids['<|call|>']]
  writeFileSync(
    join(out, 'generation_config.json'),
    `${JSON.stringify({ do_sample: true, eos_token_id: eos, pad_token_id: ids['<|endoftext|>'] }, null, 2)}\n`,
  )
}
