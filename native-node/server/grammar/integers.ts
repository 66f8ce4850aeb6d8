// Whole numbers between two bounds, digit by digit.
import type { GrammarBuilder } from './builder.ts'
import type { Sequence } from './rule-lists.ts'
import { digits, maxDigits } from './tokens.ts'

const largest = 10n ** BigInt(maxDigits) - 1n

/** A whole number as JSON writes it, without a fraction or exponent; bounds belong to it and may be infinite. */
export function integer(grammar: GrammarBuilder, least: number, most: number): number {
  const low = least < -Number(largest) ? -largest : BigInt(Math.ceil(least))
  const high = most > Number(largest) ? largest : BigInt(Math.floor(most))
  const alternatives: Sequence[] = []
  if (low <= 0n && high >= 0n) alternatives.push(grammar.text('0'))
  if (high > 0n) alternatives.push(...positive(grammar, low > 1n ? low : 1n, high))
  if (low < 0n) {
    const magnitudes = positive(grammar, high < -1n ? -high : 1n, -low)
    alternatives.push([...grammar.text('-'), grammar.rule(...magnitudes)])
  }
  return grammar.rule(...alternatives)
}

/** Bounds of a schema as the least and the greatest whole number. */
export function wholeBounds(schema: { [key: string]: unknown }): { least: number; most: number } {
  const number = (name: string, none: number) => {
    const value = schema[name]
    return typeof value === 'number' ? value : none
  }
  const { POSITIVE_INFINITY: infinity } = Number
  const above = Math.floor(number('exclusiveMinimum', -infinity)) + 1
  const below = Math.ceil(number('exclusiveMaximum', infinity)) - 1
  return {
    least: Math.max(Math.ceil(number('minimum', -infinity)), above),
    most: Math.min(Math.floor(number('maximum', infinity)), below),
  }
}

/** From 1 on: numbers as long as the lower bound, those in between, and those as long as the upper one. */
function positive(grammar: GrammarBuilder, low: bigint, high: bigint): Sequence[] {
  if (low > high || low > largest) return []
  const [from, to] = [String(low), String(high > largest ? largest : high)]
  if (from.length === to.length) return between(grammar, from, to)
  const startsFull = /^10*$/.test(from)
  const endsFull = /^9*$/.test(to)
  const shortest = startsFull ? from.length : from.length + 1
  const longest = endsFull ? to.length : to.length - 1
  return [
    ...(startsFull ? [] : between(grammar, from, '9'.repeat(from.length))),
    ...(shortest > longest
      ? []
      : [[grammar.set([0x31, 0x39]), digits(grammar, shortest - 1, longest - 1)]]),
    ...(endsFull ? [] : between(grammar, `1${'0'.repeat(to.length - 1)}`, to)),
  ]
}

/** The numbers from one to another with as many digits. */
function between(grammar: GrammarBuilder, from: string, to: string): Sequence[] {
  if (from === '') return [[]]
  const [low, high] = [from.charCodeAt(0), to.charCodeAt(0)]
  const [fromRest, toRest] = [from.slice(1), to.slice(1)]
  const rest = (one: string, other: string) =>
    grammar.named(`from ${one} to ${other}`, () => between(grammar, one, other))
  if (low === high) return [[grammar.set([low, low]), rest(fromRest, toRest)]]
  const isWholeLow = /^0*$/.test(fromRest)
  const isWholeHigh = /^9*$/.test(toRest)
  const [first, last] = [isWholeLow ? low : low + 1, isWholeHigh ? high : high - 1]
  const { length } = fromRest
  return [
    ...(isWholeLow ? [] : [[grammar.set([low, low]), rest(fromRest, '9'.repeat(length))]]),
    ...(first > last ? [] : [[grammar.set([first, last]), digits(grammar, length, length)]]),
    ...(isWholeHigh ? [] : [[grammar.set([high, high]), rest('0'.repeat(length), toRest)]]),
  ]
}
