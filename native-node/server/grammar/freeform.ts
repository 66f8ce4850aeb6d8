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

/**
 * The grammar of the arguments `{"input":"…"}` that say such a text. Undefined where the model is only told of it: it has what no
 * grammar says, would be too large, or no text fits it. Throws ApiError for a definition that is none.
 */
export function freeformGrammar({ syntax, definition, path }: FreeformFormat): Grammar | undefined {
  if (definition.length > maxLength) return undefined
  try {
    if (syntax === 'lark') return larkArguments(larkGrammar(definition))
    const pattern = parseRegex(definition, { isWhole: true })
    return grammarOf((grammar) => sequenceOf(grammar, pattern))
  } catch (thrown) {
    if (thrown instanceof NotHeld || thrown instanceof GrammarTooLarge) return undefined
    if (thrown instanceof GrammarFault) throw refusal(thrown, definition, path)
    throw thrown
  }
}

/** Terminals as long as can be; where no text is left then, or that takes too much, cut in any way. */
function larkArguments(lark: LarkGrammar): Grammar | undefined {
  try {
    const greedy = grammarOf((grammar) => {
      const rule = greedyRule(grammar, lark)
      return rule === undefined ? undefined : [rule]
    })
    if (greedy !== undefined) return greedy
  } catch (thrown) {
    if (!(thrown instanceof GrammarTooLarge)) throw thrown
  }
  return grammarOf((grammar) => [looseRule(grammar, lark)])
}

/** Undefined where there is nothing to be made a grammar of, or no text fits it. */
function grammarOf(make: (grammar: GrammarBuilder) => Sequence | undefined): Grammar | undefined {
  const grammar = new GrammarBuilder()
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
