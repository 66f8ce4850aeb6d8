// A grammar in Lark's syntax → rules over its terminals: Lark cuts a text into terminals, and reads these by the rules.
import { GrammarTooLarge } from '../fault.ts'
import type { PatternNode } from '../pattern-parser.ts'
import { indexOf, type Rules, type Sequence, symbolOf } from '../rule-lists.ts'
import { type Names, namesIn, namesOf } from './names.ts'
import { type Definition, type Expression, parseLark } from './parser.ts'

/** Rule 0 is the whole text; a symbol that is no rule is the number of a terminal. */
export interface LarkGrammar {
  rules: Rules
  terminals: readonly PatternNode[]
}

const maxSymbols = 50_000
/** Characters of all terminals, with their parts. */
const maxCharacters = 50_000
/** How deep terminals are parts of parts: what reads them calls itself. */
const maxDepth = 200
const endless = Number.POSITIVE_INFINITY

/** Throws GrammarFault, NotHeld, GrammarTooLarge. */
export function larkGrammar(text: string): LarkGrammar {
  return new Reader(text).read()
}

class Reader {
  readonly #names: Names
  readonly #ignored: readonly Expression[]
  readonly #rules: (readonly Sequence[])[] = []
  readonly #named = new Map<string, number>()
  /** Whose rules are named and not yet made: no chain of names is too long. */
  readonly #waiting: { rule: number; definition: Definition }[] = []
  readonly #terminals: PatternNode[] = []
  /** What may stand before and behind each terminal. */
  #gap: Sequence = []
  /** Of named terminals, what they are, their numbers, and how many characters they have. */
  readonly #nodes = new Map<string, PatternNode>()
  readonly #numbers = new Map<string, number>()
  readonly #sizes = new Map<string, number>()
  readonly #depths = new Map<string, number>()
  #size = 0

  constructor(text: string) {
    const file = parseLark(text)
    this.#names = namesOf(file)
    this.#ignored = file.ignored.map(({ body }) => body)
  }

  read(): LarkGrammar {
    const start = this.#reserve()
    for (const { name, body } of this.#names.terminals) {
      this.#sizes.set(name, this.#sizeOf(body))
      this.#depths.set(name, this.#depthOf(body))
      this.#nodes.set(name, this.#node(body))
    }
    const ignored = this.#ignored.map((body) => {
      this.#sizeOf(body)
      return [this.#unnamed(this.#node(body))]
    })
    if (ignored.length > 0) this.#gap = [this.#many(this.#rule(ignored))]
    this.#define(start, [[...this.#gap, this.#ruleOf('start')]])
    for (let next = this.#waiting.pop(); next !== undefined; next = this.#waiting.pop()) {
      this.#define(next.rule, this.#alternatives(next.definition.body))
    }
    return { rules: this.#rules, terminals: this.#terminals }
  }

  // ---- terminals

  /** Characters of a terminal with those of its parts; parts of parts can make them multiply. */
  #sizeOf(body: Expression): number {
    const size = sizeOf(body, this.#sizes)
    if (size > maxCharacters) throw new GrammarTooLarge()
    return size
  }

  #depthOf(body: Expression): number {
    const parts = namesIn(body).map(({ name }) => this.#depths.get(name)!)
    const depth = parts.reduce((most, each) => Math.max(most, each), 0) + 1
    if (depth > maxDepth) throw new GrammarTooLarge()
    return depth
  }

  #node(body: Expression): PatternNode {
    switch (body.kind) {
      case 'pattern':
        return body.node
      case 'name':
        return this.#nodes.get(body.name)!
      case 'sequence':
        return { kind: 'sequence', parts: body.parts.map((part) => this.#node(part)) }
      case 'choice':
        return { kind: 'choice', options: body.options.map((option) => this.#node(option)) }
      case 'repeat':
        return { ...body, part: this.#node(body.part) }
    }
  }

  #unnamed(node: PatternNode): number {
    return this.#terminals.push(node) - 1
  }

  #terminalOf(name: string): number {
    const known = this.#numbers.get(name)
    if (known !== undefined) return known
    const number = this.#unnamed(this.#nodes.get(name)!)
    this.#numbers.set(name, number)
    return number
  }

  // ---- rules

  #reserve(): number {
    return symbolOf(this.#rules.push([]) - 1)
  }

  #define(rule: number, alternatives: readonly Sequence[]): void {
    this.#rules[indexOf(rule)] = alternatives
    for (const { length } of alternatives) this.#size += length + 1
    if (this.#size > maxSymbols) throw new GrammarTooLarge()
  }

  #rule(alternatives: readonly Sequence[]): number {
    const rule = this.#reserve()
    this.#define(rule, alternatives)
    return rule
  }

  #ruleOf(name: string): number {
    const known = this.#named.get(name)
    if (known !== undefined) return known
    const rule = this.#reserve()
    this.#named.set(name, rule)
    this.#waiting.push({ rule, definition: this.#names.known.get(name)! })
    return rule
  }

  #alternatives(body: Expression): readonly Sequence[] {
    return body.kind === 'choice'
      ? body.options.map((option) => this.#sequence(option))
      : [this.#sequence(body)]
  }

  #sequence(body: Expression): Sequence {
    switch (body.kind) {
      case 'pattern':
        return [this.#unnamed(body.node), ...this.#gap]
      case 'name':
        return this.#names.known.get(body.name)!.isTerminal
          ? [this.#terminalOf(body.name), ...this.#gap]
          : [this.#ruleOf(body.name)]
      case 'sequence':
        return body.parts.flatMap((part) => this.#sequence(part))
      case 'choice':
        return [this.#rule(this.#alternatives(body))]
      case 'repeat':
        return this.#repeat(body)
    }
  }

  #repeat({ part, least, most }: Expression & { kind: 'repeat' }): Sequence {
    if (least > maxSymbols || (most > maxSymbols && most !== endless)) throw new GrammarTooLarge()
    const one = this.#rule(this.#alternatives(part))
    const must = Array<number>(least).fill(one)
    if (most === endless) return [...must, this.#many(one)]
    let more: number | undefined
    for (let left = most - least; left > 0; left--) {
      more = this.#rule([more === undefined ? [one] : [one, more], []])
    }
    return more === undefined ? must : [...must, more]
  }

  /** Any number of a rule. */
  #many(one: number): number {
    const more = this.#reserve()
    this.#define(more, [[one, more], []])
    return more
  }
}

function sizeOf(body: Expression, named: ReadonlyMap<string, number>): number {
  switch (body.kind) {
    case 'pattern':
      return nodesOf(body.node)
    case 'name':
      return named.get(body.name) ?? 0
    case 'sequence':
      return body.parts.reduce((sum, part) => sum + sizeOf(part, named), 1)
    case 'choice':
      return body.options.reduce((sum, option) => sum + sizeOf(option, named), 1)
    case 'repeat':
      return 1 + sizeOf(body.part, named)
  }
}

function nodesOf(node: PatternNode): number {
  switch (node.kind) {
    case 'character':
      return 1
    case 'sequence':
      return node.parts.reduce((sum, part) => sum + nodesOf(part), 1)
    case 'choice':
      return node.options.reduce((sum, option) => sum + nodesOf(option), 1)
    case 'repeat':
      return 1 + nodesOf(node.part)
  }
}
