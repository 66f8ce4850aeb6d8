// The tokens of JSON as rules: white space, strings, numbers. https://www.rfc-editor.org/rfc/rfc8259
import type { GrammarBuilder } from './builder.ts'
import { type CharacterRange, lastCharacter, mergedRanges, utf8 } from './characters.ts'
import type { Sequence } from './rule-lists.ts'

/** Blanks behind a line break: a model that may write any number of them can do so for ever. */
const maxIndent = 20
/**
 * What JSON.stringify writes of a double, and whole numbers of 64 bits: 21 digits before the point, 24 behind it, three of an
 * exponent. A number must come to its end.
 */
export const maxDigits = 21
const maxFraction = 24
const maxExponent = 3

const quote: CharacterRange = [0x22, 0x22]
const backslash: CharacterRange = [0x5c, 0x5c]

/** White space behind an opening bracket, a comma or a colon and before a closing bracket: none, one blank, or a line break with its indent. */
export function space(grammar: GrammarBuilder): number {
  return grammar.named('space', () => {
    const blank = grammar.set([0x20, 0x20], [0x09, 0x09])
    const indent = upTo(grammar, 'indent', blank, maxIndent)
    return [[], grammar.text(' '), [...grammar.text('\n'), indent]]
  })
}

/** Any string, with its quotes. */
export function anyString(grammar: GrammarBuilder): number {
  return grammar.named('string', () => [[...grammar.text('"'), restOfString(grammar)]])
}

/** A string of so many characters; `most` may be infinite. */
export function stringOfLength(grammar: GrammarBuilder, least: number, most: number): number {
  if (most < least) return grammar.rule()
  const one = character(grammar)
  const rest =
    most === Number.POSITIVE_INFINITY
      ? [restOfString(grammar)]
      : [upTo(grammar, 'characters', one, most - least), ...grammar.text('"')]
  return grammar.rule([...grammar.text('"'), ...Array<number>(least).fill(one), ...rest])
}

/** Any number of any characters inside of a string. */
export function anyCharacters(grammar: GrammarBuilder): number {
  return grammar.named('characters', () => [[character(grammar), anyCharacters(grammar)], []])
}

/**
 * A string as JSON.stringify writes it that is none of `names`. A name with other than printable ASCII is let pass: what is
 * written twice is found by the check.
 */
export function stringOtherThan(grammar: GrammarBuilder, names: Iterable<string>): number {
  const plain = [...names].filter((name) => /^[ !#-[\]-~]*$/.test(name))
  if (plain.length === 0) return anyString(grammar)
  return grammar.rule([...grammar.text('"'), restOtherThan(grammar, plain, 0)])
}

function restOtherThan(grammar: GrammarBuilder, names: readonly string[], from: number): number {
  const groups = new Map<string, string[]>()
  for (const name of names.filter(({ length }) => length > from)) {
    const first = name.charAt(from)
    groups.set(first, [...(groups.get(first) ?? []), name])
  }
  const branches = Array.from(groups, ([first, group]) => [
    ...grammar.text(first),
    restOtherThan(grammar, group, from + 1),
  ])
  const taken = [...groups.keys()].map((first) => first.charCodeAt(0))
  const others = plainAscii.filter((code) => !taken.includes(code))
  const rest = restOfString(grammar)
  return grammar.rule(
    ...branches,
    [grammar.set(...others.map((code): CharacterRange => [code, code])), rest],
    [manyBytes(grammar), rest],
    // Only what must be escaped is: a name can be written in one way.
    [grammar.oneOf(canonicalEscapes), rest],
    ...(names.some(({ length }) => length === from) ? [] : [grammar.text('"')]),
  )
}

const plainAscii = Array.from({ length: 0x80 }, (_, code) => code).filter(
  (code) => code >= 0x20 && code !== quote[0] && code !== backslash[0],
)
const canonicalEscapes = [...Array(0x20).keys(), quote[0], backslash[0]].map((code) =>
  JSON.stringify(String.fromCharCode(code)).slice(1, -1),
)

/** The characters up to the end of a string, and its quote. */
function restOfString(grammar: GrammarBuilder): number {
  return grammar.named('rest of string', () => {
    const rest = restOfString(grammar)
    return [...characterForms(grammar).map((form) => [...form, rest]), grammar.text('"')]
  })
}

function character(grammar: GrammarBuilder): number {
  return grammar.named('character', () => characterForms(grammar))
}

function characterForms(grammar: GrammarBuilder): Sequence[] {
  const ascii = mergedRanges(plainAscii.map((code): CharacterRange => [code, code]))
  return [[grammar.set(...ascii)], [manyBytes(grammar)], [...grammar.text('\\'), escaped(grammar)]]
}

function manyBytes(grammar: GrammarBuilder): number {
  return grammar.named('bytes', () => utf8(grammar, [[0x80, lastCharacter]]))
}

/** Behind a backslash; a half of a surrogate pair stands in front of the other one. */
function escaped(grammar: GrammarBuilder): number {
  return grammar.named('escaped', () => {
    const set = (characters: string) =>
      grammar.set(
        ...Array.from(characters, (c): CharacterRange => [c.charCodeAt(0), c.charCodeAt(0)]),
      )
    const hex = set('0123456789abcdefABCDEF')
    const noD = set('0123456789abcefABCEF')
    const high = [set('dD'), set('89abAB'), hex, hex]
    const low = [set('dD'), set('cdefCDEF'), hex, hex]
    const fourDigits = grammar.rule(
      [noD, hex, hex, hex],
      [set('dD'), set('01234567'), hex, hex],
      [...high, ...grammar.text('\\u'), ...low],
    )
    return [[set('"\\/bfnrt')], [...grammar.text('u'), fourDigits]]
  })
}

/** Whether a number has a minus sign. */
export type Sign = 'never' | 'maybe' | 'always'

/** A number of any kind. */
export function anyNumber(grammar: GrammarBuilder, sign: Sign): number {
  const magnitude = grammar.named('magnitude', () => {
    const any = digit(grammar)
    const whole = grammar.rule(grammar.text('0'), [
      grammar.set([0x31, 0x39]),
      digits(grammar, 0, maxDigits - 1),
    ])
    const fraction = grammar.rule(
      [],
      [...grammar.text('.'), any, digits(grammar, 0, maxFraction - 1)],
    )
    const plusMinus = grammar.rule([], [grammar.set([0x2b, 0x2b], [0x2d, 0x2d])])
    const e = grammar.set([0x45, 0x45], [0x65, 0x65])
    const exponent = grammar.rule([], [e, plusMinus, any, digits(grammar, 0, maxExponent - 1)])
    return [[whole, fraction, exponent]]
  })
  const negative = [...grammar.text('-'), magnitude]
  if (sign === 'never') return magnitude
  return grammar.named(`number ${sign}`, () =>
    sign === 'always' ? [negative] : [negative, [magnitude]],
  )
}

/** So many decimal digits. */
export function digits(grammar: GrammarBuilder, least: number, most: number): number {
  const one = digit(grammar)
  return grammar.named(`digits ${least} ${most}`, () => [
    [...Array<number>(least).fill(one), upTo(grammar, 'digits', one, most - least)],
  ])
}

function digit(grammar: GrammarBuilder): number {
  return grammar.set([0x30, 0x39])
}

/** Up to so many of a symbol, one after another; `name` says which. */
export function upTo(grammar: GrammarBuilder, name: string, one: number, most: number): number {
  if (most === 0) return grammar.named('nothing', () => [[]])
  return grammar.named(`up to ${most} ${name}`, () => [
    most === 1 ? [one] : [one, upTo(grammar, name, one, most - 1)],
    [],
  ])
}
