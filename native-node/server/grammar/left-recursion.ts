// Rules that begin with themselves, as `sum: product | sum "+" product`, written so that none does: the engine follows all
// parses from the left at once, and would never come to an end of beginning such a rule. Only these rules change, in the way of
// left corners: a rule A with an alternative `A rest` becomes what A can begin with otherwise, and a tail of any number of
// rests. https://aclanthology.org/A00-2033/ (Moore: Removing left recursion from context-free grammars, section 4)
import { GrammarTooLarge } from './fault.ts'
import { indexOf, isSet, type Rules, type Sequence, symbolOf } from './rule-lists.ts'

/**
 * The same texts without left recursion; rule 0 stays the first, and rules that it does not lead to have no alternatives.
 * `isEmpty`: which rules may be the empty text. Throws GrammarTooLarge.
 */
export function withoutLeftRecursion(
  rules: Rules,
  isEmpty: readonly boolean[],
  maxSymbols: number,
): Rules {
  return new LeftCorners(rules, isEmpty, maxSymbols).run()
}

type Group = ReadonlySet<number>

/** `rule` has an alternative that is a rule of its own group and then this. */
interface Step {
  rule: number
  rest: Sequence
}

class LeftCorners {
  readonly #maxSymbols: number
  #size = 0
  /** Of each rule that may be empty, the number of the rule for its other texts. */
  readonly #full = new Map<number, number>()
  /** No alternative in here begins with a rule that may be empty. */
  readonly #begun: (readonly Sequence[])[]
  /** For rules that begin with themselves, those that they do so by way of. */
  readonly #groupOf: readonly (Group | undefined)[]
  /** What each rule of a group is the beginning of. */
  readonly #steps = new Map<number, Step[]>()
  /** Tails by what they are of, and what has been read of that. */
  readonly #tails = new Map<string, number>()
  /** By number, behind those in #begun. */
  readonly #tailList: { of: number; from: number }[] = []

  constructor(rules: Rules, isEmpty: readonly boolean[], maxSymbols: number) {
    this.#maxSymbols = maxSymbols
    let next = rules.length
    for (const [rule, empty] of isEmpty.entries()) if (empty) this.#full.set(rule, next++)
    this.#begun = rules.map((alternatives, rule) => {
      const full = this.#full.get(rule)
      return full === undefined ? this.#beginnings(alternatives) : [[symbolOf(full)], []]
    })
    for (const rule of this.#full.keys()) this.#begun.push(this.#beginnings(rules[rule]!))
    this.#groupOf = groups(this.#begun)
    for (const [rule, group] of this.#groupOf.entries()) {
      for (const [first = 0, ...rest] of group ? this.#begun[rule]! : []) {
        if (isSet(first) || !group?.has(indexOf(first))) continue
        const steps = this.#steps.get(indexOf(first))
        if (steps) steps.push({ rule, rest })
        else this.#steps.set(indexOf(first), [{ rule, rest }])
      }
    }
  }

  run(): Rules {
    const made: (readonly Sequence[])[] = []
    const seen = new Set([0])
    for (const rule of seen) {
      made[rule] = this.#alternatives(rule)
      for (const symbol of made[rule].flat()) if (!isSet(symbol)) seen.add(indexOf(symbol))
    }
    return Array.from(made, (alternatives = []) => alternatives)
  }

  #alternatives(rule: number): readonly Sequence[] {
    const tail = this.#tailList[rule - this.#begun.length]
    if (tail !== undefined) return this.#tailAlternatives(tail.of, tail.from)
    const group = this.#groupOf[rule]
    return group === undefined ? this.#begun[rule]! : this.#otherBeginnings(rule, group)
  }

  /** Of alternatives, those of their texts that are not empty, each alternative with a first symbol that is never empty. */
  #beginnings(alternatives: readonly Sequence[]): Sequence[] {
    return alternatives.flatMap((sequence) => this.#beginning(sequence))
  }

  #beginning(sequence: Sequence): Sequence[] {
    const found: Sequence[] = []
    for (const [at, symbol] of sequence.entries()) {
      const full = isSet(symbol) ? undefined : this.#full.get(indexOf(symbol))
      this.#spend(sequence.length - at)
      found.push([full === undefined ? symbol : symbolOf(full), ...sequence.slice(at + 1)])
      if (full === undefined) break
    }
    return found
  }

  /** What a rule begins with that is none of its group, and the tail that makes the rule of it. */
  #otherBeginnings(of: number, group: Group): Sequence[] {
    const found: Sequence[] = []
    for (const from of group) {
      for (const sequence of this.#begun[from]!) {
        const first = sequence[0]!
        if (!isSet(first) && group.has(indexOf(first))) continue
        this.#spend(sequence.length + 1)
        found.push([...sequence, this.#tail(of, from)])
      }
    }
    return found
  }

  #tail(of: number, from: number): number {
    const key = `${of} ${from}`
    const known = this.#tails.get(key)
    if (known !== undefined) return known
    const tail = symbolOf(this.#begun.length + this.#tailList.push({ of, from }) - 1)
    this.#tails.set(key, tail)
    return tail
  }

  /** What is missing to a rule where another one of its group, which it begins with, has been read. */
  #tailAlternatives(of: number, from: number): Sequence[] {
    const already = this.#withNothingMore(from)
    const found: Sequence[] = already.has(of) ? [[]] : []
    for (const rule of already) {
      for (const { rule: next, rest } of this.#steps.get(rule) ?? []) {
        const tail = this.#tail(of, next)
        for (const sequence of this.#beginning(rest)) found.push([...sequence, tail])
      }
    }
    return found
  }

  /** The rules that a rule already is, as what would have to follow may be empty. */
  #withNothingMore(rule: number): Group {
    const found = new Set([rule])
    for (const one of found) {
      for (const { rule: next, rest } of this.#steps.get(one) ?? []) {
        this.#spend(0)
        if (rest.every((symbol) => !isSet(symbol) && this.#full.has(indexOf(symbol))))
          found.add(next)
      }
    }
    return found
  }

  #spend(symbols: number): void {
    this.#size += symbols + 1
    if (this.#size > this.#maxSymbols) throw new GrammarTooLarge()
  }
}

/** The rules that can begin with themselves, by way of which others (Tarjan; without recursion, as the rules are a client's). */
function groups(rules: Rules): readonly (ReadonlySet<number> | undefined)[] {
  const nexts = rules.map((alternatives) =>
    alternatives.flatMap(([first]) =>
      first === undefined || isSet(first) ? [] : [indexOf(first)],
    ),
  )
  const found: (ReadonlySet<number> | undefined)[] = rules.map(() => undefined)
  const order: (number | undefined)[] = rules.map(() => undefined)
  const low: number[] = []
  const open: number[] = []
  const isOpen = rules.map(() => false)
  let count = 0
  for (const root of rules.keys()) {
    const path = order[root] === undefined ? [{ rule: root, next: 0 }] : []
    while (path.length > 0) {
      const top = path.at(-1)!
      const { rule } = top
      if (top.next === 0) {
        order[rule] = low[rule] = count++
        open.push(rule)
        isOpen[rule] = true
      }
      const next = nexts[rule]![top.next++]
      if (next !== undefined) {
        if (order[next] === undefined) path.push({ rule: next, next: 0 })
        else if (isOpen[next]) low[rule] = Math.min(low[rule]!, order[next])
        continue
      }
      path.pop()
      const before = path.at(-1)
      if (before) low[before.rule] = Math.min(low[before.rule]!, low[rule]!)
      if (low[rule] !== order[rule]) continue
      const group = new Set(open.splice(open.lastIndexOf(rule)))
      for (const one of group) isOpen[one] = false
      if (group.size === 1 && !nexts[rule]!.includes(rule)) continue
      for (const one of group) found[one] = group
    }
  }
  return found
}
