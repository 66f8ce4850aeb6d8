// Rules as lists, by their numbers: what is asked of them and made of them as a whole.

/** Symbols one after another: >= 0 a byte set, else a rule (symbolOf). */
export type Sequence = readonly number[]
/** Of each rule its alternatives. */
export type Rules = readonly (readonly Sequence[])[]

const firstRule = -3

export function isSet(symbol: number): boolean {
  return symbol >= 0
}

export function indexOf(symbol: number): number {
  return firstRule - symbol
}

export function symbolOf(rule: number): number {
  return firstRule - rule
}

export function distinct(alternatives: readonly Sequence[]): readonly Sequence[] {
  return alternatives.length < 2
    ? alternatives
    : [...new Map(alternatives.map((sequence) => [sequence.join(), sequence])).values()]
}

/** Which rules come to an end, where of the byte sets only some may be used. Linear in the size of the rules. */
export function derivingIn(rules: Rules, allowed: (set: number) => boolean): boolean[] {
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
      for (const part of parts) waiting[indexOf(part)]?.push(entry)
    }
  }
  for (let rule = found.pop(); rule !== undefined; rule = found.pop()) {
    for (const entry of waiting[rule]!) if (--entry.missing === 0) add(entry.rule)
  }
  return derives
}

/** A rule that is but another symbol is replaced by that one wherever it is used. */
export function withoutAliases(rules: Rules): Rules {
  const aliasOf = (rule: number) => {
    const alternatives = rules[indexOf(rule)]!
    return alternatives.length === 1 && alternatives[0]!.length === 1
      ? alternatives[0]![0]
      : undefined
  }
  const finals = new Map<number, number>()
  const final = (symbol: number) => {
    const passed: number[] = []
    let here = symbol
    // Rules that are only each other lead to no end and are gone by now; the bound is for none of them to be missed.
    for (let steps = 0; steps < rules.length && !isSet(here); steps++) {
      const next = finals.get(here) ?? aliasOf(here)
      if (next === undefined) break
      passed.push(here)
      here = next
    }
    for (const one of passed) finals.set(one, here)
    return here
  }
  return rules.map((alternatives) => alternatives.map((sequence) => sequence.map(final)))
}

/** The rules that `start` leads to, `start` as number 0. */
export function reachable(start: number, rules: Rules): Rules {
  const order = [indexOf(start)]
  const numbers = new Map([[order[0]!, 0]])
  const renumbered = (symbol: number) => {
    if (isSet(symbol)) return symbol
    const rule = indexOf(symbol)
    if (!numbers.has(rule)) numbers.set(rule, order.push(rule) - 1)
    return symbolOf(numbers.get(rule)!)
  }
  const found: Sequence[][] = []
  for (let next = 0; next < order.length; next++) {
    found.push(rules[order[next]!]!.map((sequence) => sequence.map(renumbered)))
  }
  return found
}

/** Whether some rule can begin with itself, also behind rules that may be empty. */
export function isLeftRecursive(rules: Rules, emptyOnes: readonly boolean[]): boolean {
  const beginnings = rules.map((alternatives) => {
    const first = new Set<number>()
    for (const sequence of alternatives) {
      for (const symbol of sequence) {
        if (isSet(symbol)) break
        first.add(indexOf(symbol))
        if (!emptyOnes[indexOf(symbol)]) break
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
