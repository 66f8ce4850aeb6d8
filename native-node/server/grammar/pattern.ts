// A `pattern` of a schema as a rule for strings in JSON. As a grammar it costs what it says and never more: there is no
// backtracking, and what would need a great many rules is not compiled.
import type { GrammarBuilder } from './builder.ts'
import { type CharacterRange, written } from './characters.ts'
import { type PatternNode, parsePattern } from './pattern-parser.ts'
import type { Sequence } from './rule-lists.ts'
import { anyCharacters } from './tokens.ts'

/** Characters of a pattern with its repetitions written out. */
const maxSize = 1000
/** Ranges of a class that is named by what it is, not by what it has. */
const longClass = 10

/**
 * The strings that fit a pattern, with their quotes and as JSON.stringify writes them; undefined where the pattern is none of
 * those that are compiled.
 */
export function patternString(grammar: GrammarBuilder, pattern: string): number | undefined {
  const options = parsePattern(pattern)
  if (options === undefined) return undefined
  const size = options.reduce((sum, { node }) => sum + sizeOf(node), 0)
  if (size > maxSize || options.some(({ node }) => repeatsNothing(node))) return undefined
  return grammar.named(`pattern ${pattern}`, () =>
    options.map(({ node, fromStart, toEnd }) => [
      ...grammar.text('"'),
      ...(fromStart ? [] : [anyCharacters(grammar)]),
      ...sequenceOf(grammar, node),
      ...(toEnd ? [] : [anyCharacters(grammar)]),
      ...grammar.text('"'),
    ]),
  )
}

/** The texts of a pattern as JSON.stringify writes them in a string. */
export function sequenceOf(grammar: GrammarBuilder, node: PatternNode): Sequence {
  grammar.visit()
  switch (node.kind) {
    case 'character':
      return [classRule(grammar, node.ranges)]
    case 'sequence':
      return node.parts.flatMap((part) => sequenceOf(grammar, part))
    case 'choice': {
      const options = node.options.map((option) => sequenceOf(grammar, option))
      return options.every(({ length }) => length === 0) ? [] : [grammar.rule(...options)]
    }
    case 'repeat': {
      const once = sequenceOf(grammar, node.part)
      // Nothing, as often as it may be: repetitions of repetitions of it could be read in endless ways.
      if (once.length === 0) return []
      return repeated(grammar, grammar.rule(once), node.least, node.most)
    }
  }
}

/** A part of terminals can stand in thousands of places: what its ranges are is asked once. */
function classRule(grammar: GrammarBuilder, ranges: readonly CharacterRange[]): number {
  const make = () => written(grammar, ranges)
  if (ranges.length < longClass) return grammar.named(`class ${ranges.join()}`, make)
  return grammar.named(ranges, () => [[grammar.named(`class ${ranges.join()}`, make)]])
}

function repeated(grammar: GrammarBuilder, one: number, least: number, most: number): Sequence {
  const must = Array<number>(least).fill(one)
  if (most === Number.POSITIVE_INFINITY) {
    const more = grammar.reserve()
    grammar.define(more, [[one, more], []])
    return [...must, more]
  }
  let more: number | undefined
  for (let left = most - least; left > 0; left--) {
    more = grammar.rule(more === undefined ? [one] : [one, more], [])
  }
  return more === undefined ? must : [...must, more]
}

function sizeOf(node: PatternNode): number {
  switch (node.kind) {
    case 'character':
      return 1
    case 'sequence':
      return node.parts.reduce((sum, part) => sum + sizeOf(part), 0)
    case 'choice':
      return node.options.reduce((sum, option) => sum + sizeOf(option), 0)
    case 'repeat':
      // What is repeated is there once; each time takes a place more.
      return sizeOf(node.part) + (node.most === Number.POSITIVE_INFINITY ? node.least : node.most)
  }
}

/** Whether something is repeated that may be empty: as a rule it would begin with itself, or say the same in many ways. */
function repeatsNothing(node: PatternNode): boolean {
  switch (node.kind) {
    case 'character':
      return false
    case 'sequence':
      return node.parts.some(repeatsNothing)
    case 'choice':
      return node.options.some(repeatsNothing)
    case 'repeat':
      return (node.most > 1 && canBeEmpty(node.part)) || repeatsNothing(node.part)
  }
}

/** What is asked again for each pattern that it is a part of. */
const known = new WeakMap<PatternNode, boolean>()

/** Whether the empty text fits. */
export function canBeEmpty(node: PatternNode): boolean {
  const before = known.get(node)
  if (before !== undefined) return before
  const found = isEmptyOne(node)
  known.set(node, found)
  return found
}

function isEmptyOne(node: PatternNode): boolean {
  switch (node.kind) {
    case 'character':
      return false
    case 'sequence':
      return node.parts.every(canBeEmpty)
    case 'choice':
      return node.options.some(canBeEmpty)
    case 'repeat':
      return node.least === 0 || canBeEmpty(node.part)
  }
}
