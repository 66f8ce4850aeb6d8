// The texts of a Lark grammar as rules over characters. Lark cuts a text into terminals before it looks at the rules, and takes as
// much as can be for each. So a terminal that could go on with what may stand behind it leaves behind which characters must not
// come next, and each rule is there for every such demand that it can meet at its beginning and leave at its end.
import type { GrammarBuilder } from '../builder.ts'
import { GrammarTooLarge } from '../fault.ts'
import { canBeEmpty, sequenceOf } from '../pattern.ts'
import { indexOf, isSet, type Sequence } from '../rule-lists.ts'
import { followers } from './follow.ts'
import type { LarkGrammar } from './rules.ts'
import { beginningOutside, overlap, type Ranges, type Terminal, terminalOf } from './terminals.ts'

/** Grammars with more are taken as they are: what would have to be told apart multiplies. */
const maxTerminals = 200
const maxSymbols = 2000
const maxDemands = 6
/** Grammars of languages take some thousand. */
const maxSteps = 100_000

/** Of each terminal the number of the demand that it leaves; number 0 demands nothing. */
interface Demands {
  of: readonly number[]
  ranges: readonly Ranges[]
}

/** The rule for all texts that can be read in some way, terminals cut as one likes. */
export function looseRule(grammar: GrammarBuilder, { rules, terminals }: LarkGrammar): number {
  const made = rules.map(() => grammar.reserve())
  const texts = terminals.map((node) => grammar.rule(sequenceOf(grammar, node)))
  const madeOf = (symbol: number) => (isSet(symbol) ? texts[symbol]! : made[indexOf(symbol)]!)
  for (const [rule, alternatives] of rules.entries()) {
    grammar.define(
      made[rule]!,
      alternatives.map((sequence) => sequence.map(madeOf)),
    )
  }
  return made[0]!
}

/**
 * The rule for texts whose terminals are as long as can be; undefined where that makes no difference. Throws GrammarTooLarge
 * where it makes too much of it.
 */
export function greedyRule(grammar: GrammarBuilder, lark: LarkGrammar): number | undefined {
  const steps = new Steps()
  const demands = demandsOf(lark, steps)
  return demands && new Texts(grammar, lark, demands, steps).start()
}

/** What may be spent on telling apart. */
class Steps {
  #left = maxSteps

  spend(count: number): void {
    this.#left -= count
    if (this.#left < 0) throw new GrammarTooLarge()
  }
}

function demandsOf({ rules, terminals }: LarkGrammar, steps: Steps): Demands | undefined {
  const size = rules.flat().reduce((sum, { length }) => sum + length + 1, 0)
  if (terminals.length > maxTerminals || size > maxSymbols) throw new GrammarTooLarge()
  const spend = (count: number) => steps.spend(count)
  const known = terminals.map((node) => terminalOf(node, spend))
  const isEmpty = (one: number) => known[one]?.isEmpty ?? true
  const behind = followers(rules, terminals.length, isEmpty, spend)
  const numbers = new Map<string, number>([['', 0]])
  const ranges: Ranges[] = [[]]
  const of = known.map((terminal, number) => {
    spend(behind[number]!.size)
    const more = terminal ? wrongBehind(terminal, number, behind[number]!, known) : []
    const key = more.join()
    const before = numbers.get(key) ?? ranges.push(more) - 1
    numbers.set(key, before)
    return before
  })
  if (ranges.length > maxDemands) throw new GrammarTooLarge()
  return ranges.length === 1 ? undefined : { of, ranges }
}

/** What a terminal would go on with, if anything that may stand behind it begins so. */
function wrongBehind(
  { more, isRun }: Terminal,
  number: number,
  behind: ReadonlySet<number>,
  known: readonly (Terminal | undefined)[],
): Ranges {
  const isWrong = [...behind].some((other) => {
    const next = known[other]
    return (other !== number || !isRun) && next !== undefined && overlap(more, next.first)
  })
  return isWrong ? more : []
}

function keyOf(rule: number, before: number): string {
  return `${rule} ${before}`
}

class Texts {
  readonly #grammar: GrammarBuilder
  readonly #lark: LarkGrammar
  readonly #demands: Demands
  readonly #isEmpty: readonly boolean[]
  readonly #steps: Steps
  /** For each rule and demand at its beginning, the demands that it can leave, as bits. */
  readonly #left = new Map<string, number>()
  /** Whose bits hang on those of others. */
  readonly #users = new Map<string, Set<string>>()
  /** Of a sequence and a demand that it leaves: for each place those that lead there, as bits. */
  readonly #leading = new Map<Sequence, Map<number, readonly number[]>>()
  readonly #rules = new Map<string, number>()
  readonly #rests = new Map<Sequence, Map<string, number>>()
  readonly #terminals = new Map<string, Sequence | undefined>()
  readonly #waiting: { rule: number; of: number; before: number; after: number }[] = []

  constructor(grammar: GrammarBuilder, lark: LarkGrammar, demands: Demands, steps: Steps) {
    this.#steps = steps
    this.#grammar = grammar
    this.#lark = lark
    this.#demands = demands
    this.#isEmpty = lark.terminals.map((node) => canBeEmpty(node))
  }

  start(): number {
    this.#findLeft()
    const grammar = this.#grammar
    const start = grammar.reserve()
    const ends = this.#each(this.#left.get(keyOf(0, 0)) ?? 0)
    grammar.define(
      start,
      ends.map((after) => [this.#ruleOf(0, 0, after)]),
    )
    for (let next = this.#waiting.pop(); next !== undefined; next = this.#waiting.pop()) {
      const { rule, of, before, after } = next
      const alternatives = this.#lark.rules[of]!
      grammar.define(
        rule,
        alternatives.flatMap((sequence) => this.#ways(sequence, 0, before, after)),
      )
    }
    return start
  }

  /** Rules lead to each other: what hangs on others is looked at again when these are found to leave more. */
  #findLeft(): void {
    const open = new Set([keyOf(0, 0)])
    for (const key of open) {
      open.delete(key)
      const known = this.#left.get(key)
      const [of, before] = key.split(' ').map(Number) as [number, number]
      let left = 0
      for (const sequence of this.#lark.rules[of]!) {
        left |= this.#leftBy(sequence, before, (part) => {
          const users = this.#users.get(part) ?? new Set()
          this.#users.set(part, users.add(key))
          if (!this.#left.has(part)) open.add(part)
        })
      }
      this.#left.set(key, left)
      if (left !== known) for (const user of this.#users.get(key) ?? []) open.add(user)
    }
  }

  /** The demands that a sequence can leave; `ask` hears of the rules that this hangs on. */
  #leftBy(sequence: Sequence, before: number, ask: (key: string) => void): number {
    let now = 1 << before
    for (const symbol of sequence) {
      let next = 0
      for (const demand of this.#each(now)) {
        if (!isSet(symbol)) ask(keyOf(indexOf(symbol), demand))
        next |= this.#leftBySymbol(symbol, demand)
      }
      now = next
      if (now === 0) break
    }
    return now
  }

  #leftBySymbol(symbol: number, before: number): number {
    this.#steps.spend(1)
    if (!isSet(symbol)) return this.#left.get(keyOf(indexOf(symbol), before)) ?? 0
    const own = this.#terminal(symbol, before) === undefined ? 0 : 1 << this.#demands.of[symbol]!
    return own | (this.#isEmpty[symbol] ? 1 << before : 0)
  }

  /** For each place of a sequence, from which demands it comes to this one at its end. */
  #leadingTo(sequence: Sequence, after: number): readonly number[] {
    const all = this.#leading.get(sequence) ?? new Map<number, readonly number[]>()
    this.#leading.set(sequence, all)
    const known = all.get(after)
    if (known !== undefined) return known
    const leading = [1 << after]
    for (const symbol of sequence.toReversed()) {
      const next = leading.at(-1)!
      const fits = [...this.#demands.ranges.keys()].filter(
        (before) => (this.#leftBySymbol(symbol, before) & next) !== 0,
      )
      leading.push(fits.reduce((bits, before) => bits | (1 << before), 0))
    }
    leading.reverse()
    all.set(after, leading)
    return leading
  }

  #each(bits: number): number[] {
    return [...this.#demands.ranges.keys()].filter((demand) => (bits & (1 << demand)) !== 0)
  }

  #ruleOf(of: number, before: number, after: number): number {
    const key = `${of} ${before} ${after}`
    const known = this.#rules.get(key)
    if (known !== undefined) return known
    const rule = this.#grammar.reserve()
    this.#rules.set(key, rule)
    this.#waiting.push({ rule, of, before, after })
    return rule
  }

  /** How a sequence from some place on can be written between two demands. */
  #ways(sequence: Sequence, from: number, before: number, after: number): Sequence[] {
    const leading = this.#leadingTo(sequence, after)
    const done: number[] = []
    let now = before
    for (let at = from; at < sequence.length; at++) {
      const symbol = sequence[at]!
      const nexts = this.#each(this.#leftBySymbol(symbol, now) & leading[at + 1]!)
      const [only] = nexts
      if (only === undefined) return []
      if (nexts.length > 1) {
        return nexts.flatMap((next) => {
          const rest = this.#restOf(sequence, at + 1, next, after)
          return this.#between(symbol, now, next).map((one) => [...done, ...one, ...rest])
        })
      }
      const ways = this.#between(symbol, now, only)
      done.push(...(ways.length === 1 ? ways[0]! : [this.#grammar.rule(...ways)]))
      now = only
    }
    return now === after ? [done] : []
  }

  /** The rest of a sequence, as a rule of its own: there may be several ways to it. */
  #restOf(sequence: Sequence, from: number, before: number, after: number): Sequence {
    if (from === sequence.length) return []
    const rests = this.#rests.get(sequence) ?? new Map<string, number>()
    this.#rests.set(sequence, rests)
    const key = `${from} ${before} ${after}`
    const known = rests.get(key)
    if (known !== undefined) return [known]
    const rule = this.#grammar.reserve()
    rests.set(key, rule)
    this.#grammar.define(rule, this.#ways(sequence, from, before, after))
    return [rule]
  }

  #between(symbol: number, before: number, after: number): Sequence[] {
    if (!isSet(symbol)) return [[this.#ruleOf(indexOf(symbol), before, after)]]
    const own = this.#demands.of[symbol] === after ? this.#terminal(symbol, before) : undefined
    const empty = this.#isEmpty[symbol] && before === after ? [[]] : []
    return own === undefined ? empty : [own, ...empty]
  }

  /** The texts of a terminal that are not empty and meet a demand. */
  #terminal(number: number, before: number): Sequence | undefined {
    const key = `${number} ${before}`
    if (this.#terminals.has(key)) return this.#terminals.get(key)
    const node = this.#lark.terminals[number]!
    const isWhole = before === 0 && !this.#isEmpty[number]
    const left = isWhole
      ? node
      : beginningOutside(node, this.#demands.ranges[before]!, (count) => this.#steps.spend(count))
    const made = left && [this.#grammar.rule(sequenceOf(this.#grammar, left))]
    this.#terminals.set(key, made)
    return made
  }
}
