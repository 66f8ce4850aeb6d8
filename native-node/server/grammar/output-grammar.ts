// What a request demands of the answer's form, as grammars that the engine keeps to while it writes. They allow all that the
// schema allows, but for the order of properties and idle white space; what a grammar cannot tell, the check of the finished
// answer does (output-contract.ts).
import type { CustomTool } from '../../../src/protocol/call-items.ts'
import type { FunctionTool, ResponsesRequest } from '../../../src/protocol/responses.ts'
import { type CallShape, type CallShapes, inputKey } from '../../../src/stream/call-shape.ts'
import type { FunctionNames } from '../function-names.ts'
import type { MessageGrammar } from '../generate-params.ts'
import { offeredTools } from '../harmony-request.ts'
import type { Grammar } from './grammar.ts'
import { jsonObjectGrammar, schemaGrammar } from './schema-grammar.ts'

/**
 * The grammars of a request whose schemas have been taken by outputContract(). `names`: functions as the model sees them;
 * `calls`: which of them are agents' tools, of the request `given`.
 */
export function outputGrammars(
  request: ResponsesRequest,
  names: FunctionNames,
  calls: CallShapes,
  given: ResponsesRequest,
): MessageGrammar[] {
  const grammars: MessageGrammar[] = []
  const answer = formatGrammar(request)
  if (answer) grammars.push({ headerWords: ['final'], grammar: answer, end: 'return' })
  for (const { tool } of offeredTools(request)) {
    const parameters = heldParameters(tool, calls.get(tool.name), given)
    const grammar = parameters ? schemaGrammar(parameters) : undefined
    const headerWords = [`to=functions.${names.show(tool.name)}`]
    if (grammar) grammars.push({ headerWords, grammar, end: 'call' })
  }
  return grammars
}

type AnyTool = Record<string, unknown> & { type: string }

/** Of a strict function, and of an agent's tool, whose call must be read again as what it is to the client. */
function heldParameters(
  { strict, parameters }: FunctionTool,
  shape: CallShape | undefined,
  { tools }: ResponsesRequest,
): Record<string, unknown> | null | undefined {
  if (shape === undefined || shape.kind === 'function') return strict ? parameters : undefined
  if (shape.kind !== 'custom' || shape.namespace !== undefined) return parameters
  const all: readonly AnyTool[] = tools ?? []
  const tool = all.find(
    (one): one is CustomTool => one.type === 'custom' && one.name === shape.name,
  )
  const { format } = tool ?? {}
  if (format?.syntax !== 'regex' || format.definition == null) return parameters
  const pattern = `^(?:${format.definition})$`
  const properties = { [inputKey]: { type: 'string', pattern } }
  return { ...parameters, properties }
}

function formatGrammar({ text }: ResponsesRequest): Grammar | undefined {
  const format = text?.format
  if (format?.type === 'json_object') return jsonObjectGrammar
  return format?.type === 'json_schema' ? schemaGrammar(format.schema) : undefined
}
