// Which terminals can stand directly behind each terminal.
import { derivingIn, indexOf, isSet, type Rules, type Sequence } from '../rule-lists.ts'

/** By the number of a terminal. `isEmpty`: whether that one may be the empty text; `spend` throws where it takes too long. */
export function followers(
  rules: Rules,
  terminals: number,
  isEmpty: (terminal: number) => boolean,
  spend: (steps: number) => void,
): readonly ReadonlySet<number>[] {
  const emptyOnes = derivingIn(rules, isEmpty)
  const passes = (symbol: number) => (isSet(symbol) ? isEmpty(symbol) : emptyOnes[indexOf(symbol)]!)
  const edges = (ends: 'first' | 'last') =>
    rules.map((alternatives) => alternatives.flatMap((one) => outermost(one, ends, passes)))
  const [first, last] = [reached(edges('first'), spend), reached(edges('last'), spend)]
  const of = (symbol: number, all: readonly ReadonlySet<number>[]) =>
    isSet(symbol) ? [symbol] : all[indexOf(symbol)]!
  const found = Array.from({ length: terminals }, () => new Set<number>())
  for (const sequence of rules.flat()) {
    for (const [at, symbol] of sequence.entries()) {
      for (const next of outermost(sequence.slice(at + 1), 'first', passes)) {
        for (const one of of(symbol, last)) {
          const others = [...of(next, first)]
          spend(others.length)
          for (const other of others) found[one]!.add(other)
        }
      }
    }
  }
  return found
}

/** The symbols that a sequence can begin or end with. */
function outermost(
  sequence: Sequence,
  ends: 'first' | 'last',
  passes: (symbol: number) => boolean,
): number[] {
  const order = ends === 'first' ? sequence : sequence.toReversed()
  const end = order.findIndex((symbol) => !passes(symbol))
  return order.slice(0, end === -1 ? order.length : end + 1)
}

/** The terminals that each rule comes to, by way of others. */
function reached(
  edges: readonly (readonly number[])[],
  spend: (steps: number) => void,
): readonly ReadonlySet<number>[] {
  const users = edges.map((): number[] => [])
  for (const [rule, symbols] of edges.entries()) {
    for (const symbol of symbols) if (!isSet(symbol)) users[indexOf(symbol)]!.push(rule)
  }
  const found = edges.map((symbols) => new Set(symbols.filter(isSet)))
  const left = [...edges.keys()]
  for (let rule = left.pop(); rule !== undefined; rule = left.pop()) {
    for (const user of users[rule]!) {
      const before = found[user]!.size
      spend(found[rule]!.size)
      for (const terminal of found[rule]!) found[user]!.add(terminal)
      if (found[user]!.size > before) left.push(user)
    }
  }
  return found
}
