// A grammar in Lark's syntax → rules for the text of a JSON string. Lark cuts a text into terminals first, each as long as can
// be; here rules and terminals are all one grammar over characters, which takes every text that Lark can read in some way.
import type { GrammarBuilder } from '../builder.ts'
import { GrammarTooLarge } from '../fault.ts'
import { repeated, sequenceOf } from '../pattern.ts'
import type { Sequence } from '../rule-lists.ts'
import { definitionsOf } from './names.ts'
import { type Definition, type Expression, parseLark } from './parser.ts'

/** More of one thing would pass the bound of any grammar. */
const maxRepeat = 50_000

/** The rule for all texts of a Lark grammar, as JSON.stringify writes them. Throws GrammarFault, NotHeld, GrammarTooLarge. */
export function larkRule(grammar: GrammarBuilder, text: string): number {
  return new LarkRules(grammar, text).start()
}

class LarkRules {
  readonly #grammar: GrammarBuilder
  readonly #definitions: ReadonlyMap<string, Definition>
  readonly #rules = new Map<string, number>()
  /** Whose rules are named and not yet made: no chain of names is too long. */
  readonly #waiting: { rule: number; definition: Definition }[] = []
  /** What may stand before and behind each terminal of a rule; empty where nothing is ignored. */
  readonly #gap: Sequence

  constructor(grammar: GrammarBuilder, text: string) {
    this.#grammar = grammar
    const file = parseLark(text)
    this.#definitions = definitionsOf(file)
    const ignored = file.ignored.map(({ body }) => this.#sequence(body, true))
    this.#gap = ignored.length === 0 ? [] : repeated(grammar, grammar.rule(...ignored), 0, endless)
  }

  start(): number {
    const start = this.#grammar.rule([...this.#gap, this.#ruleOf('start')])
    for (let next = this.#waiting.pop(); next !== undefined; next = this.#waiting.pop()) {
      const { rule, definition } = next
      this.#grammar.define(rule, this.#alternatives(definition.body, definition.isTerminal))
    }
    return start
  }

  #ruleOf(name: string): number {
    const known = this.#rules.get(name)
    if (known !== undefined) return known
    const rule = this.#grammar.reserve()
    this.#rules.set(name, rule)
    this.#waiting.push({ rule, definition: this.#definitions.get(name)! })
    return rule
  }

  #alternatives(body: Expression, inTerminal: boolean): readonly Sequence[] {
    return body.kind === 'choice'
      ? body.options.map((option) => this.#sequence(option, inTerminal))
      : [this.#sequence(body, inTerminal)]
  }

  #sequence(body: Expression, inTerminal: boolean): Sequence {
    switch (body.kind) {
      case 'pattern':
        return this.#token(sequenceOf(this.#grammar, body.node), inTerminal)
      case 'name': {
        const isToken = this.#definitions.get(body.name)!.isTerminal
        return this.#token([this.#ruleOf(body.name)], inTerminal || !isToken)
      }
      case 'sequence':
        return body.parts.flatMap((part) => this.#sequence(part, inTerminal))
      case 'choice':
        return [this.#grammar.rule(...this.#alternatives(body, inTerminal))]
      case 'repeat': {
        const { part, least, most } = body
        if (least > maxRepeat || (most > maxRepeat && most !== endless)) throw new GrammarTooLarge()
        const one = this.#grammar.rule(...this.#alternatives(part, inTerminal))
        return repeated(this.#grammar, one, least, most)
      }
    }
  }

  /** What is ignored may stand behind a terminal, not within it. */
  #token(sequence: Sequence, isPart: boolean): Sequence {
    return isPart ? sequence : [...sequence, ...this.#gap]
  }
}

const endless = Number.POSITIVE_INFINITY
