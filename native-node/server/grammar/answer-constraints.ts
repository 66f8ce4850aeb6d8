// What a request demands of the answer's form, as grammars that the engine keeps to while it writes. They allow all that the
// schema allows, but for the order of properties and idle white space; what a grammar cannot tell, the check of the finished
// answer does (output-contract.ts).
import type { CustomTool } from '../../../src/protocol/call-items.ts'
import type { FunctionTool, ResponsesRequest } from '../../../src/protocol/responses.ts'
import { type CallShape, type CallShapes, inputKey } from '../../../src/stream/call-shape.ts'
import type { FunctionNames } from '../function-names.ts'
import type { AnswerConstraints, MessageGrammar } from '../generate-params.ts'
import { offeredTools } from '../harmony-request.ts'
import { demandsCall } from '../output-contract.ts'
import { anyText, callHeaders } from './call-headers.ts'
import type { Grammar } from './grammar.ts'
import { jsonObjectGrammar, schemaGrammar } from './schema-grammar.ts'

/** A request as the model is told it, and as the client wrote it. */
export interface Told {
  /** Its schemas have been taken by outputContract(). */
  request: ResponsesRequest
  given: ResponsesRequest
  /** Functions as the model sees them. */
  names: FunctionNames
  /** Which of them are agents' tools. */
  calls: CallShapes
  /** Whether the model knows a function by another form of call than that of functions. */
  isBuiltIn: (name: string) => boolean
}

/** Undefined where the answer is free. */
export function answerConstraints(told: Told): AnswerConstraints | undefined {
  const { request, names, given, calls, isBuiltIn } = told
  const functions = offeredTools(request).filter(({ tool }) => !isBuiltIn(tool.name))
  // A tool of its own that a model may call as well has a header of its own form.
  const isCall = demandsCall(request) && functions.length === offeredTools(request).length
  const messages: MessageGrammar[] = []
  const answer = formatGrammar(request)
  if (answer) messages.push({ headerWords: ['final'], grammar: answer, end: 'return' })
  for (const { tool } of functions) {
    const grammar = argumentsGrammar(tool, isCall, calls.get(tool.name), given)
    const headerWords = [`to=functions.${names.show(tool.name)}`]
    if (grammar) messages.push({ headerWords, grammar, end: 'call' })
  }
  // Thinking ends in another message, not the answer.
  if (isCall) messages.push({ headerWords: ['analysis'], grammar: anyText, end: 'end' })
  const headers = isCall ? callHeaders(functions.map(({ tool }) => names.show(tool.name))) : []
  return messages.length + headers.length === 0 ? undefined : { messages, headers }
}

/** Of a strict function, of one that must be called, and of an agent's tool, whose call is read again as what the client has. */
function argumentsGrammar(
  tool: FunctionTool,
  isDemanded: boolean,
  shape: CallShape | undefined,
  given: ResponsesRequest,
): Grammar | undefined {
  const parameters =
    heldParameters(tool, shape, given) ?? (isDemanded ? tool.parameters : undefined)
  const grammar = parameters ? schemaGrammar(parameters) : undefined
  return grammar ?? (isDemanded ? jsonObjectGrammar : undefined)
}

type AnyTool = Record<string, unknown> & { type: string }

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
