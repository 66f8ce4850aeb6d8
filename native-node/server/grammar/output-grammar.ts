// What a request demands of the answer's form, as grammars that the engine keeps to while it writes. They allow all that the
// schema allows, but for the order of properties and idle white space; what a grammar cannot tell, the check of the finished
// answer does (output-contract.ts).
import type { ResponsesRequest } from '../../../src/protocol/responses.ts'
import type { FunctionNames } from '../function-names.ts'
import type { MessageGrammar } from '../generate-params.ts'
import { offeredTools } from '../harmony-request.ts'
import type { Grammar } from './grammar.ts'
import { jsonObjectGrammar, schemaGrammar } from './schema-grammar.ts'

/** The grammars of a request whose schemas have been taken by outputContract(); `names`: functions as the model sees them. */
export function outputGrammars(request: ResponsesRequest, names: FunctionNames): MessageGrammar[] {
  const grammars: MessageGrammar[] = []
  const answer = formatGrammar(request)
  if (answer) grammars.push({ headerWords: ['final'], grammar: answer, end: 'return' })
  for (const { tool } of offeredTools(request)) {
    if (tool.strict !== true || !tool.parameters) continue
    const grammar = schemaGrammar(tool.parameters)
    const headerWords = [`to=functions.${names.show(tool.name)}`]
    if (grammar) grammars.push({ headerWords, grammar, end: 'call' })
  }
  return grammars
}

function formatGrammar({ text }: ResponsesRequest): Grammar | undefined {
  const format = text?.format
  if (format?.type === 'json_object') return jsonObjectGrammar
  return format?.type === 'json_schema' ? schemaGrammar(format.schema) : undefined
}
