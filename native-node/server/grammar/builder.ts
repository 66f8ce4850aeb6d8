// Collects the rules of a Grammar and writes them out: what can never end is taken out, what only stands for something else
// is put in its place, and what the engine would refuse (left recursion, too many symbols) is found here.
import type { Grammar } from './grammar.ts'

/** Symbols one after another, as in Grammar: a byte set's number or a rule. */
export type Sequence = readonly number[]
/** Both ends belong to it. */
export type ByteRange = readonly [first: number, last: number]

/** A grammar of more symbols than the engine is given. */
export class GrammarTooLarge extends Error {}

/** Typical schemas have some hundred (schema-grammar.ts). */
const maxSymbols = 50_000
const endOfAlternative = -1
const endOfRule = -2
const firstRule = -3
const setBytes = 32

const encoder = new TextEncoder()

export class GrammarBuilder {
  /** Undefined from `reserve` to `define`. */
  readonly #rules: (readonly Sequence[] | undefined)[] = []
  readonly #sets: Uint8Array[] = []
  readonly #setsByContent = new Map<string, number>()
  /** The sets of one byte: most of a grammar. */
  readonly #singles: number[] = []
  readonly #named = new Map<string, number>()
  readonly #maxSize: number
  #size = 0

  constructor(maxSize = maxSymbols) {
    this.#maxSize = maxSize
  }

  /** One byte out of these. */
  set(...ranges: ByteRange[]): number {
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
    return firstRule - (this.#rules.push(undefined) - 1)
  }

  /** Throws GrammarTooLarge. */
  define(rule: number, alternatives: readonly Sequence[]): void {
    this.#rules[firstRule - rule] = alternatives
    this.#size += 1
    for (const { length } of alternatives) this.#size += length + 1
    if (this.#size > this.#maxSize) throw new GrammarTooLarge()
  }

  /** The rule of this name, made when it is first asked for; `make` may ask for it too. */
  named(name: string, make: () => readonly Sequence[]): number {
    const known = this.#named.get(name)
    if (known !== undefined) return known
    const rule = this.reserve()
    this.#named.set(name, rule)
    this.define(rule, make())
    return rule
  }

  /** The grammar whose rule 0 is `start`; undefined where no text fits it, or the engine would refuse it. */
  build(start: number): Grammar | undefined {
    const possible = this.#deriving((set) => this.#sets[set]!.some((bits) => bits !== 0))
    if (!possible[firstRule - start]) return undefined
    const isPossible = (symbol: number) => isSet(symbol) || possible[firstRule - symbol] === true
    const kept = this.#rules.map((alternatives = []) =>
      distinct(alternatives.filter((sequence) => sequence.every(isPossible))),
    )
    const rules = reachable(start, withoutAliases(kept))
    const emptyOnes = derivingIn(rules, () => false)
    return isLeftRecursive(rules, emptyOnes) ? undefined : this.#encode(rules)
  }

  #bytes(bytes: Uint8Array): number[] {
    return Array.from(bytes, (byte) => {
      this.#singles[byte] ??= this.set([byte, byte])
      return this.#singles[byte]
    })
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

  #deriving(allowed: (set: number) => boolean): boolean[] {
    return derivingIn(
      this.#rules.map((alternatives = []) => alternatives),
      allowed,
    )
  }

  #encode(rules: readonly (readonly Sequence[])[]): Grammar {
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

type Rules = readonly (readonly Sequence[])[]

function isSet(symbol: number): boolean {
  return symbol >= 0
}

function distinct(alternatives: readonly Sequence[]): readonly Sequence[] {
  return alternatives.length < 2
    ? alternatives
    : [...new Map(alternatives.map((sequence) => [sequence.join(), sequence])).values()]
}

/** Which rules come to an end, where of the byte sets only some may be used. Linear in the size of the rules. */
function derivingIn(rules: Rules, allowed: (set: number) => boolean): boolean[] {
  const derives = rules.map(() => false)
  /** For each rule, the alternatives that wait for it. */
  const waiting: { rule: number; missing: number }[][] = rules.map(() => [])
  const found: number[] = []
  const add = (rule: number) => {
    if (derives[rule]) return
    derives[rule] = true
    found.push(rule)
  }
  for (const [rule, alternatives] of rules.entries()) {
    for (const sequence of alternatives) {
      if (sequence.some((symbol) => isSet(symbol) && !allowed(symbol))) continue
      const parts = sequence.filter((symbol) => !isSet(symbol))
      const entry = { rule, missing: parts.length }
      if (parts.length === 0) add(rule)
      for (const part of parts) waiting[firstRule - part]?.push(entry)
    }
  }
  for (let rule = found.pop(); rule !== undefined; rule = found.pop()) {
    for (const entry of waiting[rule]!) if (--entry.missing === 0) add(entry.rule)
  }
  return derives
}

/** A rule that is but another symbol is replaced by that one wherever it is used. */
function withoutAliases(rules: Rules): Rules {
  const aliasOf = (rule: number) => {
    const alternatives = rules[firstRule - rule]!
    return alternatives.length === 1 && alternatives[0]!.length === 1
      ? alternatives[0]![0]
      : undefined
  }
  const final = (symbol: number) => {
    let here = symbol
    // Rules that are only each other lead to no end and are gone by now; the bound is for none of them to be missed.
    for (let steps = 0; steps < rules.length && !isSet(here); steps++) {
      const next = aliasOf(here)
      if (next === undefined) break
      here = next
    }
    return here
  }
  return rules.map((alternatives) => alternatives.map((sequence) => sequence.map(final)))
}

/** The rules that `start` leads to, `start` as number 0. */
function reachable(start: number, rules: Rules): Rules {
  const order = [firstRule - start]
  const numbers = new Map([[order[0]!, 0]])
  const renumbered = (symbol: number) => {
    if (isSet(symbol)) return symbol
    const rule = firstRule - symbol
    if (!numbers.has(rule)) numbers.set(rule, order.push(rule) - 1)
    return firstRule - numbers.get(rule)!
  }
  const found: Sequence[][] = []
  for (let next = 0; next < order.length; next++) {
    found.push(rules[order[next]!]!.map((sequence) => sequence.map(renumbered)))
  }
  return found
}

/** Whether some rule can begin with itself, also behind rules that may be empty. */
function isLeftRecursive(rules: Rules, emptyOnes: readonly boolean[]): boolean {
  const beginnings = rules.map((alternatives) => {
    const first = new Set<number>()
    for (const sequence of alternatives) {
      for (const symbol of sequence) {
        if (isSet(symbol)) break
        first.add(firstRule - symbol)
        if (!emptyOnes[firstRule - symbol]) break
      }
    }
    return first
  })
  const incoming = rules.map(() => 0)
  for (const first of beginnings) for (const rule of first) incoming[rule]!++
  const free = [...rules.keys()].filter((rule) => incoming[rule] === 0)
  let left = rules.length
  for (let rule = free.pop(); rule !== undefined; rule = free.pop()) {
    left--
    for (const next of beginnings[rule]!) if (--incoming[next]! === 0) free.push(next)
  }
  return left > 0
}
