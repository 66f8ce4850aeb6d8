// A lazy repetition ends where what follows it first fits: `".*?"` is up to the next quote. As a grammar knows no order of
// trying, what is repeated must not be able to hold its own end.

import type { CharacterRange } from './characters.ts'
import { mergedRanges, otherThan } from './characters.ts'
import { NotHeld } from './fault.ts'
import type { PatternNode } from './pattern-parser.ts'

type Ranges = readonly CharacterRange[]

/** Longer ends are as good as never written. */
const maxEnd = 8

/**
 * The parts of a sequence whose part number `index` is repeated `least` times at least, and then as seldom as can be. Throws
 * NotHeld unless it repeats one character, and characters that tell its end are all that follows up to where the whole ends.
 */
export function untilFirst(
  parts: readonly PatternNode[],
  { index, least }: { index: number; least: number },
  isLast: boolean,
): PatternNode[] {
  const repeated = parts[index]
  const any = repeated?.kind === 'repeat' ? rangesOf(repeated.part) : undefined
  const end = parts.slice(index + 1).map(rangesOf)
  if (!isLast || any === undefined || end.length > maxEnd || !end.every(isKnown)) {
    throw new NotHeld('a lazy repetition')
  }
  return [
    ...parts.slice(0, index),
    ...Array.from({ length: least }, () => one(any)),
    ...upTo(any, end, least),
    ...parts.slice(index + 1),
  ]
}

function upTo(any: Ranges, end: readonly Ranges[], least: number): PatternNode[] {
  const [first, second] = end
  if (first === undefined) throw new NotHeld('a lazy repetition at the end')
  const rest = one(without(any, first))
  if (end.length === 1) return [repeat(rest)]
  const isRun = end.every((ranges) => same(ranges, first))
  // What has begun to be the end and is none then.
  if (least > 0 || !within(first, any))
    throw new NotHeld('a lazy repetition before several characters')
  if (isRun) {
    const begun: PatternNode = { kind: 'repeat', part: one(first), least: 0, most: end.length - 1 }
    return [repeat({ kind: 'sequence', parts: [begun, rest] })]
  }
  if (end.length > 2 || !within(second!, any) || overlaps(first, second!)) {
    throw new NotHeld('a lazy repetition before several characters')
  }
  const begun: PatternNode = { kind: 'repeat', part: one(first), least: 1, most: endless }
  const neither = one(without(any, [...first, ...second!]))
  const other: PatternNode = { kind: 'sequence', parts: [begun, neither] }
  // Another beginning of the end may stand before the one that counts.
  return [repeat({ kind: 'choice', options: [rest, other] }), repeat(one(first))]
}

const endless = Number.POSITIVE_INFINITY

function one(ranges: Ranges): PatternNode {
  return { kind: 'character', ranges }
}

function repeat(part: PatternNode): PatternNode {
  return { kind: 'repeat', part, least: 0, most: endless }
}

/** Of one character, also where it is written as `(.|\n)`. */
function rangesOf(node: PatternNode): Ranges | undefined {
  switch (node.kind) {
    case 'character':
      return mergedRanges(node.ranges)
    case 'sequence':
      return node.parts.length === 1 ? rangesOf(node.parts[0]!) : undefined
    case 'choice': {
      const options = node.options.map(rangesOf)
      return options.every(isKnown) ? mergedRanges(options.flat()) : undefined
    }
    case 'repeat':
      return undefined
  }
}

function isKnown(ranges: Ranges | undefined): ranges is Ranges {
  return ranges !== undefined
}

function without(ranges: Ranges, others: Ranges): Ranges {
  return otherThan([...otherThan(ranges), ...others])
}

function within(ranges: Ranges, others: Ranges): boolean {
  return without(ranges, others).length === 0
}

function overlaps(ranges: Ranges, others: Ranges): boolean {
  return without(ranges, otherThan(others)).length > 0
}

function same(ranges: Ranges, others: Ranges): boolean {
  return within(ranges, others) && within(others, ranges)
}
