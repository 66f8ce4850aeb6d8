// Objects, lists and any value as rules. Every rule here ends with the next one, up to the closing bracket: what the engine
// has open does not grow with the number of members.
import type { GrammarBuilder } from './builder.ts'
import type { Sequence } from './rule-lists.ts'
import { anyNumber, anyString, space } from './tokens.ts'

export interface Member {
  name: string
  value: number
  isRequired: boolean
}

/** Members whose name is not given; the rule for a name has its quotes. */
export interface Extra {
  name: number
  value: number
}

export interface ObjectShape {
  /** In the order that they are written in. */
  members: readonly Member[]
  /** What may stand behind the members, any number of times; more than one are alternatives. */
  extras: readonly Extra[]
  /** Whether `{}` is none, whatever is required. */
  isNeverEmpty?: boolean
}

/**
 * An object. For each place there are two rules: `some`, a member from here on, and `tail`, what may stand behind the one
 * before; an optional member leads from one `some` to the next, so the size is linear.
 */
export function objectRule(grammar: GrammarBuilder, shape: ObjectShape): number {
  const { members, extras, isNeverEmpty = false } = shape
  const gap = space(grammar)
  const pair = (name: Sequence, value: number, tail: number) => [
    ...name,
    ...grammar.text(':'),
    gap,
    value,
    tail,
  ]
  const end = [gap, ...grammar.text('}')]
  const tailOf = (some: number, canEnd: boolean) =>
    grammar.rule([...grammar.text(','), gap, some], ...(canEnd ? [end] : []))
  let canEnd = true
  // From the last place to the first. Behind all members stand the extras.
  let some = grammar.reserve()
  let tail = tailOf(some, canEnd)
  grammar.define(
    some,
    extras.map(({ name, value }) => pair([name], value, tail)),
  )
  for (const { name, value, isRequired } of members.toReversed()) {
    const own = pair(grammar.text(JSON.stringify(name)), value, tail)
    some = isRequired ? grammar.rule(own) : grammar.rule(own, [some])
    canEnd &&= !isRequired
    tail = tailOf(some, canEnd)
  }
  const isEmptyAllowed = canEnd && !isNeverEmpty
  return grammar.rule(
    [...grammar.text('{'), gap, some],
    ...(isEmptyAllowed ? [[...grammar.text('{'), ...end]] : []),
  )
}

export interface ListShape {
  /** Of the items at the beginning, each in its place. */
  first: readonly number[]
  /** Of all others. */
  rest: number
  least: number
  /** May be infinite. */
  most: number
}

/** A list. Each place has a rule up to where all that come are alike. */
export function listRule(grammar: GrammarBuilder, { first, rest, least, most }: ListShape): number {
  const isEndless = most === Number.POSITIVE_INFINITY
  const places = isEndless ? Math.max(first.length, least) : most
  const gap = space(grammar)
  const end = [gap, ...grammar.text(']')]
  const tailOf = (item: number, count: number) =>
    grammar.rule(
      ...(count < most ? [[...grammar.text(','), gap, item]] : []),
      ...(count >= least ? [end] : []),
    )
  // From the last place to the first, each with its item and what may stand behind it.
  let item = grammar.reserve()
  let tail = tailOf(item, places)
  grammar.define(item, isEndless ? [[rest, tail]] : [])
  for (let place = places - 1; place >= 0; place--) {
    // Behind the last place of an endless list come the others.
    item = grammar.rule([first[place] ?? rest, tail])
    tail = tailOf(item, place)
  }
  return grammar.rule(
    ...(most > 0 ? [[...grammar.text('['), gap, item]] : []),
    ...(least === 0 ? [[...grammar.text('['), ...end]] : []),
  )
}

/** Any JSON value. */
export function anyValue(grammar: GrammarBuilder): number {
  return grammar.named('value', () => [
    [anyObject(grammar)],
    [anyList(grammar)],
    [anyString(grammar)],
    [anyNumber(grammar, 'maybe')],
    ...['true', 'false', 'null'].map((word) => grammar.text(word)),
  ])
}

/** Any JSON object. */
export function anyObject(grammar: GrammarBuilder): number {
  return grammar.named('object', () => [
    [
      objectRule(grammar, {
        members: [],
        extras: [{ name: anyString(grammar), value: anyValue(grammar) }],
      }),
    ],
  ])
}

/** Any JSON list. */
export function anyList(grammar: GrammarBuilder): number {
  const most = Number.POSITIVE_INFINITY
  return grammar.named('list', () => [
    [listRule(grammar, { first: [], rest: anyValue(grammar), least: 0, most })],
  ])
}
