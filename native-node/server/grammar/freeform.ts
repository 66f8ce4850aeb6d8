// The text of a freeform tool's call, held to the grammar that the tool was declared with.
// https://platform.openai.com/docs/guides/function-calling#context-free-grammars
import { ApiError } from '../../../src/errors.ts'
import { type FreeformFormat, inputKey } from '../../../src/stream/call-shape.ts'
import { GrammarBuilder } from './builder.ts'
import { objectRule } from './containers.ts'
import { GrammarFault, GrammarTooLarge, NotHeld } from './fault.ts'
import type { Grammar } from './grammar.ts'
import { type LarkGrammar, larkGrammar } from './lark/rules.ts'
import { greedyRule, looseRule } from './lark/texts.ts'
import { sequenceOf } from './pattern.ts'
import { parseRegex } from './regex-parser.ts'
import type { Sequence } from './rule-lists.ts'

/** Characters of a definition; as a rule they have some hundred, a language's syntax has 10,000. */
const maxLength = 20_000
/** What tells terminals apart is worth no more than this; most grammars come to some thousand. */
const maxGreedySymbols = 20_000
/** Characters and symbols of all the grammars of a request. */
const maxOfRequest = 100_000
/** What was made until it was too large. */
const costOfTooLarge = 50_000
/** An agent sends the same tools with each turn. */
const maxKnown = 64

type Verdict =
  | { grammar: Grammar | undefined; cost: number; fault?: never }
  | { fault: GrammarFault; cost: number; grammar?: never }

/** The newest last. */
const known = new Map<string, Verdict>()

/** What the grammars of one request may come to: each is bounded, and there can be many. */
export class FreeformBudget {
  #left = maxOfRequest

  /** False where there is nothing left. */
  spend(cost: number): boolean {
    this.#left -= cost
    return this.#left >= 0
  }
}

/**
 * The grammar of the arguments `{"input":"…"}` that say such a text. Undefined where the model is only told of it: it has what no
 * grammar says, would be too large, alone or with those before it in the request, or no text fits it. Throws ApiError for a
 * definition that is none.
 */
export function freeformGrammar(
  format: FreeformFormat,
  budget: FreeformBudget = new FreeformBudget(),
): Grammar | undefined {
  const { definition, path } = format
  if (definition.length > maxLength || !budget.spend(definition.length)) return undefined
  const { grammar, cost, fault } = verdictOn(format)
  if (fault !== undefined) throw refusal(fault, definition, path)
  // What was made already is no reason to keep it: the same request is to be held to the same, whatever came before it.
  return budget.spend(cost) ? grammar : undefined
}

function verdictOn(format: FreeformFormat): Verdict {
  const key = `${format.syntax} ${format.definition}`
  const verdict = known.get(key) ?? newVerdict(format)
  known.delete(key)
  known.set(key, verdict)
  for (const oldest of known.keys()) {
    if (known.size <= maxKnown) break
    known.delete(oldest)
  }
  return verdict
}

function newVerdict({ syntax, definition }: FreeformFormat): Verdict {
  try {
    const grammar =
      syntax === 'lark' ? larkArguments(larkGrammar(definition)) : regexArguments(definition)
    return { grammar, cost: grammar?.symbols.length ?? 0 }
  } catch (thrown) {
    if (thrown instanceof NotHeld) return { grammar: undefined, cost: 0 }
    if (thrown instanceof GrammarTooLarge) return { grammar: undefined, cost: costOfTooLarge }
    if (thrown instanceof GrammarFault) return { fault: thrown, cost: 0 }
    throw thrown
  }
}

function regexArguments(definition: string): Grammar | undefined {
  const pattern = parseRegex(definition, { isWhole: true })
  return grammarOf((grammar) => sequenceOf(grammar, pattern))
}

/** Terminals as long as can be; where no text is left then, or that takes too much, cut in any way. */
function larkArguments(lark: LarkGrammar): Grammar | undefined {
  try {
    const greedy = grammarOf((grammar) => {
      const rule = greedyRule(grammar, lark)
      return rule === undefined ? undefined : [rule]
    }, maxGreedySymbols)
    if (greedy !== undefined) return greedy
  } catch (thrown) {
    if (!(thrown instanceof GrammarTooLarge)) throw thrown
  }
  return grammarOf((grammar) => [looseRule(grammar, lark)])
}

/** Undefined where there is nothing to be made a grammar of, or no text fits it. */
function grammarOf(
  make: (grammar: GrammarBuilder) => Sequence | undefined,
  maxSymbols?: number,
): Grammar | undefined {
  const grammar = new GrammarBuilder(maxSymbols)
  const text = make(grammar)
  return text && grammar.build(argumentsRule(grammar, text))
}

function argumentsRule(grammar: GrammarBuilder, text: Sequence): number {
  const quote = grammar.text('"')
  const value = grammar.rule([...quote, ...text, ...quote])
  return objectRule(grammar, { members: [{ name: inputKey, value, isRequired: true }], extras: [] })
}

function refusal({ message, at }: GrammarFault, definition: string, param: string): ApiError {
  const before = definition.slice(0, at).split('\n')
  const place = `line ${before.length}, column ${before.at(-1)!.length + 1}`
  return new ApiError('invalid_value', `Invalid value for '${param}': ${place}: ${message}.`, {
    param,
  })
}
