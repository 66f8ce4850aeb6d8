// The text of a freeform tool's call, held to the grammar that the tool was declared with.
// https://platform.openai.com/docs/guides/function-calling#context-free-grammars
import { ApiError } from '../../../src/errors.ts'
import { type FreeformFormat, inputKey } from '../../../src/stream/call-shape.ts'
import { GrammarBuilder } from './builder.ts'
import { objectRule } from './containers.ts'
import { GrammarFault, GrammarTooLarge, NotHeld } from './fault.ts'
import type { Grammar } from './grammar.ts'
import { larkRule } from './lark/rules.ts'
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
  const grammar = new GrammarBuilder()
  try {
    const text =
      syntax === 'lark'
        ? [larkRule(grammar, definition)]
        : sequenceOf(grammar, parseRegex(definition, { isWhole: true }))
    return grammar.build(argumentsRule(grammar, text))
  } catch (thrown) {
    if (thrown instanceof NotHeld || thrown instanceof GrammarTooLarge) return undefined
    if (thrown instanceof GrammarFault) throw refusal(thrown, definition, path)
    throw thrown
  }
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
