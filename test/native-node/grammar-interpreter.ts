// What a Grammar means, in the plainest way: all parses are followed at once, each a stack of places in the rules. The engine's
// own interpreter is held to the same texts.
import type { Grammar } from '../../native-node/server/grammar/grammar.ts'

const firstRule = -3
const endOfAlternative = -1
const endOfRule = -2

/** The next symbol to be read, and where to go on behind its alternative. Equal stacks are one object. */
interface Stack {
  at: number
  id: number
  below: Stack | undefined
}

export class Interpreter {
  readonly grammar: Grammar
  /** Of each rule, where its alternatives begin. */
  readonly rules: number[][]
  readonly #stacks = new Map<string, Stack>()

  constructor(grammar: Grammar) {
    this.grammar = grammar
    this.rules = [[]]
    let start = 0
    for (const [index, symbol] of grammar.symbols.entries()) {
      if (symbol === endOfAlternative) this.rules.at(-1)?.push(start)
      if (symbol === endOfRule) this.rules.push([])
      if (symbol === endOfAlternative || symbol === endOfRule) start = index + 1
    }
    this.rules.pop()
  }

  /** 'whole': the bytes are a text of the grammar; 'prefix': they can become one; 'none': they can not. */
  judge(bytes: Uint8Array): 'whole' | 'prefix' | 'none' {
    let open = this.#opened(this.rules[0]!.map((at) => this.#push(at, undefined)))
    for (const byte of bytes) open = this.#opened(this.#read(open, byte))
    return open.has(undefined) ? 'whole' : open.size > 0 ? 'prefix' : 'none'
  }

  has(symbol: number, byte: number): boolean {
    return ((this.grammar.byteSets[symbol * 32 + (byte >> 3)]! >> (byte & 7)) & 1) === 1
  }

  /** All stacks that begin with a byte set; undefined is the end of the text. */
  #opened(stacks: readonly (Stack | undefined)[]): Set<Stack | undefined> {
    const seen = new Set<Stack | undefined>()
    const open = new Set<Stack | undefined>()
    const left = [...stacks]
    while (left.length > 0) {
      const stack = left.pop()
      if (seen.has(stack)) continue
      seen.add(stack)
      const symbol = stack === undefined ? 0 : this.grammar.symbols[stack.at]!
      if (stack === undefined || symbol >= 0) open.add(stack)
      else if (symbol === endOfAlternative) left.push(stack.below)
      else {
        const isLast = this.grammar.symbols[stack.at + 1] === endOfAlternative
        const below = isLast ? stack.below : this.#push(stack.at + 1, stack.below)
        for (const at of this.rules[firstRule - symbol]!) left.push(this.#push(at, below))
      }
    }
    return open
  }

  #read(open: ReadonlySet<Stack | undefined>, byte: number): Stack[] {
    const next: Stack[] = []
    for (const stack of open) {
      if (stack === undefined || !this.has(this.grammar.symbols[stack.at]!, byte)) continue
      next.push(this.#push(stack.at + 1, stack.below))
    }
    return next
  }

  #push(at: number, below: Stack | undefined): Stack {
    const key = `${at} ${below?.id}`
    const known = this.#stacks.get(key)
    if (known !== undefined) return known
    const stack = { at, id: this.#stacks.size, below }
    this.#stacks.set(key, stack)
    return stack
  }
}
