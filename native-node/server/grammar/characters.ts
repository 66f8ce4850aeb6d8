// Characters as bytes: UTF-8 without surrogates and overlong forms, and how JSON writes them inside a string.
// https://www.rfc-editor.org/rfc/rfc3629 https://www.rfc-editor.org/rfc/rfc8259#section-7
import type { ByteRange, GrammarBuilder } from './builder.ts'
import type { Sequence } from './rule-lists.ts'

/** Code points; both ends belong to it. */
export type CharacterRange = readonly [first: number, last: number]

export const lastCharacter = 0x10ffff

const maxFolded = 100
/** Where characters have another case; all others are passed over. */
const casedBlocks: readonly CharacterRange[] = [
  [0x41, 0x2dff],
  [0xa640, 0xabbf],
  [0xff21, 0xff5a],
  [0x10400, 0x10dff],
  [0x118a0, 0x118df],
  [0x16e40, 0x16eff],
  [0x1e900, 0x1e943],
]
let casesOf: ReadonlyMap<number, readonly CharacterRange[]> | undefined
const encoder = new TextEncoder()
/** Where the number of bytes changes, and where the surrogates are left out. */
const sameLengths: readonly CharacterRange[] = [
  [0, 0x7f],
  [0x80, 0x7ff],
  [0x800, 0xd7ff],
  [0xe000, 0xffff],
  [0x10000, lastCharacter],
]
const shortEscapes = new Map(
  Array.from('\b\f\n\r\t"\\', (character, index) => [
    character.codePointAt(0)!,
    `\\${'bfnrt"\\'[index]}`,
  ]),
)

/** One character out of these, raw. */
export function utf8(grammar: GrammarBuilder, ranges: readonly CharacterRange[]): Sequence[] {
  const sequences = ranges.flatMap(([first, last]) =>
    sameLengths.flatMap(([low, high]) => {
      const [from, to] = [Math.max(first, low), Math.min(last, high)]
      return from <= to ? between(bytesOf(from), bytesOf(to)) : []
    }),
  )
  const single = sequences.filter(({ length }) => length === 1).map(([range]) => range!)
  const long = sequences.filter(({ length }) => length > 1)
  const alternatives = long.map((sequence) => sequence.map((range) => grammar.set(range)))
  return single.length > 0 ? [[grammar.set(...single)], ...alternatives] : alternatives
}

/** One character out of these as JSON.stringify writes it in a string. */
export function written(grammar: GrammarBuilder, ranges: readonly CharacterRange[]): Sequence[] {
  const merged = mergedRanges(ranges)
  const has = (code: number) => merged.some(([first, last]) => first <= code && code <= last)
  const escaped = [...Array(0x20).keys(), 0x22, 0x5c].filter(has)
  const raw = merged.flatMap((range) => without(range, [0, 0x1f], [0x22, 0x22], [0x5c, 0x5c]))
  const alternatives = utf8(grammar, raw)
  return escaped.length === 0
    ? alternatives
    : [...alternatives, [grammar.oneOf(escaped.map(escapeOf))]]
}

/** The same characters, in order and without overlaps. */
export function mergedRanges(ranges: readonly CharacterRange[]): CharacterRange[] {
  const merged: [number, number][] = []
  for (const [first, last] of ranges.toSorted((one, other) => one[0] - other[0])) {
    const before = merged.at(-1)
    if (before !== undefined && first <= before[1] + 1) before[1] = Math.max(before[1], last)
    else merged.push([first, last])
  }
  return merged
}

/** White space as Python's `str.isspace` has it; Rust's is without the four separators from 0x1c on. */
export const blanks: readonly CharacterRange[] = [
  [0x09, 0x0d],
  [0x1c, 0x20],
  [0x85, 0x85],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
]

/** The characters and those that are the same in the other case; of wide ranges only their ASCII has another. */
export function foldedCase(ranges: readonly CharacterRange[]): CharacterRange[] {
  // First merged: the same range can have been written a thousand times.
  const merged = mergedRanges(ranges)
  return mergedRanges([...merged, ...merged.flatMap(inOtherCase)])
}

function inOtherCase([first, last]: CharacterRange): CharacterRange[] {
  casesOf ??= allCases()
  const others: CharacterRange[] = []
  const end = last - first <= maxFolded ? last : Math.min(last, 0x7f)
  for (let code = first; code <= end; code++) {
    const cases = casesOf.get(code)
    if (cases !== undefined) others.push(...cases)
  }
  return others
}

function allCases(): ReadonlyMap<number, readonly CharacterRange[]> {
  const found = new Map<number, CharacterRange[]>()
  for (const [first, last] of casedBlocks) {
    for (let code = first; code <= last; code++) {
      const character = String.fromCodePoint(code)
      const cases = [character.toLowerCase(), character.toUpperCase()]
        .filter((other) => other !== character)
        .map((other) => [other, other.codePointAt(0)!] as const)
        .filter(([other, otherCode]) => other === String.fromCodePoint(otherCode))
        .map(([, otherCode]): CharacterRange => [otherCode, otherCode])
      if (cases.length > 0) found.set(code, cases)
    }
  }
  return found
}

/** All other characters. */
export function otherThan(ranges: readonly CharacterRange[]): CharacterRange[] {
  return without([0, lastCharacter], ...mergedRanges(ranges))
}

/** A range less others, which are in order. */
function without(range: CharacterRange, ...gaps: readonly CharacterRange[]): CharacterRange[] {
  const left: CharacterRange[] = []
  let [from, last] = range
  for (const [low, high] of gaps) {
    if (low > last || high < from) continue
    if (from < low) left.push([from, low - 1])
    from = high + 1
  }
  if (from <= last) left.push([from, last])
  return left
}

function escapeOf(code: number): string {
  return shortEscapes.get(code) ?? `\\u${code.toString(16).padStart(4, '0')}`
}

function bytesOf(code: number): number[] {
  return Array.from(encoder.encode(String.fromCodePoint(code)))
}

/** The byte sequences from one to another of the same length, as ranges for each place. */
function between(from: readonly number[], to: readonly number[]): ByteRange[][] {
  const [low, ...lowRest] = from as [number, ...number[]]
  const [high, ...highRest] = to as [number, ...number[]]
  if (lowRest.length === 0) return [[[low, high]]]
  const behind = (lead: number, rests: ByteRange[][]) =>
    rests.map((rest): ByteRange[] => [[lead, lead], ...rest])
  if (low === high) return behind(low, between(lowRest, highRest))
  const lowest = lowRest.map(() => 0x80)
  const highest = lowRest.map(() => 0xbf)
  const isWholeLow = lowRest.every((byte) => byte === 0x80)
  const isWholeHigh = highRest.every((byte) => byte === 0xbf)
  const middle: ByteRange = [isWholeLow ? low : low + 1, isWholeHigh ? high : high - 1]
  return [
    ...(isWholeLow ? [] : behind(low, between(lowRest, highest))),
    ...(middle[0] <= middle[1] ? [[middle, ...lowRest.map((): ByteRange => [0x80, 0xbf])]] : []),
    ...(isWholeHigh ? [] : behind(high, between(lowest, highRest))),
  ]
}
