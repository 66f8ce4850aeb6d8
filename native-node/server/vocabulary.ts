// Token ids by name and text by token id, whatever tokenizer stands behind.
// Nothing here knows a number: ids of control tokens come from the model's files.
import type { NativeTokenizer } from './binding.ts'

/** What rendering and parsing need from a tokenizer. */
export interface Vocabulary {
  /** Ordinary text only: a control token typed as text stays text. */
  encode(text: string): number[]
  /** The same off this thread, where the tokenizer can. */
  encodeAsync?(text: string): Promise<number[]>
  /** The id of a control token by its name (`<|start|>`); -1 when the vocabulary lacks it. */
  special(name: string): number
  /** The bytes behind one id, which may be part of a character. */
  tokenBytes(id: number): Uint8Array
  isSpecial(id: number): boolean
}

/** The control tokens of harmony. */
export const control = {
  start: '<|start|>',
  end: '<|end|>',
  message: '<|message|>',
  channel: '<|channel|>',
  constrain: '<|constrain|>',
  return: '<|return|>',
  call: '<|call|>',
  endOfText: '<|endoftext|>',
} as const

export type ControlName = keyof typeof control

/** Finds every control token; throws with the names of those that the vocabulary lacks. */
export function controlIds(vocabulary: Vocabulary): Record<ControlName, number> {
  const missing: string[] = []
  const find = (name: ControlName) => {
    const id = vocabulary.special(control[name])
    if (id < 0 && name !== 'endOfText') missing.push(control[name])
    return id
  }
  const ids = {
    start: find('start'),
    end: find('end'),
    message: find('message'),
    channel: find('channel'),
    constrain: find('constrain'),
    return: find('return'),
    call: find('call'),
    endOfText: find('endOfText'),
  }
  if (missing.length > 0) {
    throw new Error(`The tokenizer lacks the harmony control tokens ${missing.join(', ')}`)
  }
  return ids
}

/** The addon's tokenizer as a Vocabulary. */
export function nativeVocabulary(tokenizer: NativeTokenizer): Vocabulary {
  const one = new Int32Array(1)
  return {
    encode: (text) => Array.from(tokenizer.encode(text)),
    encodeAsync: async (text) => Array.from(await tokenizer.encodeAsync(text)),
    special: (name) => tokenizer.specialId(name),
    tokenBytes(id) {
      if (id < 0 || id >= tokenizer.vocabSize) return new Uint8Array()
      one[0] = id
      return tokenizer.decode(one)
    },
    isSpecial: (id) => tokenizer.isSpecial(id),
  }
}

/** The special tokens of o200k_harmony, which as a ranks file carries none of its own. */
export function o200kHarmonySpecials(): Record<string, number> {
  const specials: Record<string, number> = {
    '<|startoftext|>': 199998,
    '<|endoftext|>': 199999,
    '<|return|>': 200002,
    '<|constrain|>': 200003,
    '<|channel|>': 200005,
    '<|start|>': 200006,
    '<|end|>': 200007,
    '<|message|>': 200008,
    '<|call|>': 200012,
    '<|endofprompt|>': 200018,
  }
  const named = new Set(Object.values(specials))
  for (let id = 199998; id <= 201087; id++) {
    if (!named.has(id)) specials[`<|reserved_${id}|>`] = id
  }
  return specials
}
