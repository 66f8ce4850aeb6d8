// Collects the rules of a Grammar and writes them out: what can never end is taken out, what only stands for something else
// is put in its place, and what the engine would refuse (left recursion, too many symbols) is found here.
import { GrammarTooLarge } from './fault.ts'
import type { Grammar } from './grammar.ts'
import { withoutLeftRecursion } from './left-recursion.ts'
import {
  derivingIn,
  distinct,
  indexOf,
  isLeftRecursive,
  isSet,
  type Rules,
  reachable,
  type Sequence,
  symbolOf,
  withoutAliases,
} from './rule-lists.ts'

/** Both ends belong to it. */
export type ByteRange = readonly [first: number, last: number]

/** Typical schemas have some hundred (schema-grammar.ts). */
const maxSymbols = 50_000
/** Parts of patterns that are looked at for each symbol that there may be. */
const visitsPerSymbol = 4
const endOfAlternative = -1
const endOfRule = -2
const setBytes = 32

const encoder = new TextEncoder()

export class GrammarBuilder {
  /** Undefined from `reserve` to `define`. */
  readonly #rules: (readonly Sequence[] | undefined)[] = []
  readonly #sets: Uint8Array[] = []
  readonly #setsByContent = new Map<string, number>()
  /** The sets of one range, by its ends: most of a grammar. */
  readonly #setsByRange: number[] = []
  readonly #named = new Map<unknown, number>()
  readonly #maxSize: number
  #size = 0
  #visits = 0

  constructor(maxSize = maxSymbols) {
    this.#maxSize = maxSize
  }

  /** One byte out of these. */
  set(...ranges: ByteRange[]): number {
    const [range] = ranges
    if (ranges.length !== 1) return this.#setOf(ranges)
    const ends = (range![0] << 8) | range![1]
    this.#setsByRange[ends] ??= this.#setOf(ranges)
    return this.#setsByRange[ends]
  }

  #setOf(ranges: readonly ByteRange[]): number {
    const bits = new Uint8Array(setBytes)
    for (const [first, last] of ranges) {
      for (let byte = first; byte <= last; byte++) bits[byte >> 3]! |= 1 << (byte & 7)
    }
    const content = bits.join()
    const known = this.#setsByContent.get(content)
    if (known !== undefined) return known
    this.#setsByContent.set(content, this.#sets.length)
    return this.#sets.push(bits) - 1
  }

  /** Exactly this text. */
  text(text: string): number[] {
    return this.#bytes(encoder.encode(text))
  }

  /** One of these texts; what they begin with alike is read once. */
  oneOf(texts: Iterable<string>): number {
    return this.#trie(
      [...new Set(texts)].map((text) => encoder.encode(text)),
      0,
    )
  }

  /** A rule with these alternatives; without any, nothing at all fits it. */
  rule(...alternatives: Sequence[]): number {
    const rule = this.reserve()
    this.define(rule, alternatives)
    return rule
  }

  /** A rule whose alternatives come later, so that they can lead back to it. */
  reserve(): number {
    return symbolOf(this.#rules.push(undefined) - 1)
  }

  /** Throws GrammarTooLarge. */
  define(rule: number, alternatives: readonly Sequence[]): void {
    this.#rules[indexOf(rule)] = alternatives
    this.#size += 1
    for (const { length } of alternatives) this.#size += length + 1
    if (this.#size > this.#maxSize) throw new GrammarTooLarge()
  }

  /** Something is made into symbols. Throws GrammarTooLarge where the same is made so often that no size would bound it. */
  visit(): void {
    if (++this.#visits > this.#maxSize * visitsPerSymbol) throw new GrammarTooLarge()
  }

  /** The rule of this name, or for this object, made when it is first asked for; `make` may ask for it too. */
  named(name: string | object, make: () => readonly Sequence[]): number {
    const known = this.#named.get(name)
    if (known !== undefined) return known
    const rule = this.reserve()
    this.#named.set(name, rule)
    this.define(rule, make())
    return rule
  }

  /**
   * The grammar whose rule 0 is `start`; undefined where no text fits it. Throws GrammarTooLarge where rules begin with themselves
   * in so many ways that they cannot be written otherwise.
   */
  build(start: number): Grammar | undefined {
    const given = this.#rules.map((alternatives = []) => alternatives)
    const rules = this.#cleaned(given, start)
    if (rules === undefined) return undefined
    const emptyOnes = derivingIn(rules, () => false)
    if (!isLeftRecursive(rules, emptyOnes)) return this.#encode(rules)
    const turned = withoutLeftRecursion(rules, emptyOnes, this.#maxSize)
    const cleaned = this.#cleaned(turned, symbolOf(0))
    return cleaned && this.#encode(cleaned)
  }

  /** What `start` leads to and can end, `start` as number 0. */
  #cleaned(rules: Rules, start: number): Rules | undefined {
    const possible = derivingIn(rules, (set) => this.#sets[set]!.some((bits) => bits !== 0))
    if (!possible[indexOf(start)]) return undefined
    const isPossible = (symbol: number) => isSet(symbol) || possible[indexOf(symbol)] === true
    const kept = rules.map((alternatives) =>
      distinct(alternatives.filter((sequence) => sequence.every(isPossible))),
    )
    return reachable(start, withoutAliases(kept))
  }

  #bytes(bytes: Uint8Array): number[] {
    return Array.from(bytes, (byte) => this.set([byte, byte]))
  }

  #trie(words: readonly Uint8Array[], from: number): number {
    const groups = new Map<number | undefined, Uint8Array[]>()
    for (const word of words) {
      const group = groups.get(word[from])
      if (group === undefined) groups.set(word[from], [word])
      else group.push(word)
    }
    return this.rule(
      ...Array.from(groups, ([first, group]) => {
        if (first === undefined) return []
        const [word] = group as [Uint8Array]
        if (group.length === 1) return this.#bytes(word.subarray(from))
        let end = from + 1
        while (end < word.length && group.every((other) => other[end] === word[end])) end++
        return [...this.#bytes(word.subarray(from, end)), this.#trie(group, end)]
      }),
    )
  }

  #encode(rules: Rules): Grammar {
    const used: number[] = []
    const numbers = new Map<number, number>()
    const encoded = (symbol: number) => {
      if (!isSet(symbol)) return symbol
      const known = numbers.get(symbol)
      if (known !== undefined) return known
      numbers.set(symbol, used.length)
      return used.push(symbol) - 1
    }
    const symbols = rules.flatMap((alternatives) => [
      ...alternatives.flatMap((sequence) => [...sequence.map(encoded), endOfAlternative]),
      endOfRule,
    ])
    const byteSets = new Uint8Array(used.length * setBytes)
    for (const [index, set] of used.entries()) byteSets.set(this.#sets[set]!, index * setBytes)
    return { symbols: Int32Array.from(symbols), byteSets }
  }
}
