// Random texts of a Grammar, and short words for tests.
import type { Grammar } from '../../native-node/server/grammar/grammar.ts'
import { Interpreter } from './grammar-interpreter.ts'

const firstRule = -3

/** Whether a text is one of a grammar's. */
export function matches(grammar: Grammar, text: string | Uint8Array): boolean {
  return new Interpreter(grammar).judge(bytesOf(text)) === 'whole'
}

/** Whether a text can become one of a grammar's. */
export function prefixOf(grammar: Grammar, text: string | Uint8Array): boolean {
  return new Interpreter(grammar).judge(bytesOf(text)) !== 'none'
}

/** How many symbols a grammar has. */
export function sizeOf(grammar: Grammar): number {
  return grammar.symbols.length
}

function bytesOf(text: string | Uint8Array): Uint8Array {
  return typeof text === 'string' ? new TextEncoder().encode(text) : text
}

/** Makes random texts; once one is long, it is ended by the shortest way. `random` gives numbers from 0 to below 1. */
export function deriver(grammar: Grammar, random: () => number): () => string {
  const interpreter = new Interpreter(grammar)
  const shortest = shortestLengths(interpreter)
  const pick = <T>(list: readonly T[]) => list[Math.floor(random() * list.length)]!
  return () => {
    const bytes: number[] = []
    const left = [firstRule]
    for (let symbol = left.pop(); symbol !== undefined; symbol = left.pop()) {
      if (symbol >= 0) {
        bytes.push(pick(allBytes.filter((byte) => interpreter.has(symbol, byte))))
        continue
      }
      const starts = interpreter.rules[firstRule - symbol]!
      const lengths = starts.map((start) => lengthFrom(interpreter, start, shortest))
      const isLong = bytes.length > 60 + 200 * random()
      const start = isLong ? starts[lengths.indexOf(Math.min(...lengths))]! : pick(starts)
      left.push(...alternative(interpreter, start).toReversed())
    }
    return new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(bytes))
  }
}

const allBytes = Array.from({ length: 256 }, (_, byte) => byte)

function alternative({ grammar: { symbols } }: Interpreter, start: number): number[] {
  return Array.from(symbols.subarray(start, symbols.indexOf(-1, start)))
}

function lengthFrom(interpreter: Interpreter, start: number, shortest: readonly number[]): number {
  return alternative(interpreter, start).reduce(
    (sum, symbol) => sum + (symbol >= 0 ? 1 : shortest[firstRule - symbol]!),
    0,
  )
}

/** The number of bytes that each rule needs at least. */
function shortestLengths(interpreter: Interpreter): number[] {
  const lengths = interpreter.rules.map(() => Number.POSITIVE_INFINITY)
  for (let changed = true; changed; ) {
    changed = false
    for (const [rule, starts] of [...interpreter.rules.entries()].toReversed()) {
      const least = Math.min(...starts.map((start) => lengthFrom(interpreter, start, lengths)))
      if (least >= lengths[rule]!) continue
      lengths[rule] = least
      changed = true
    }
  }
  return lengths
}
