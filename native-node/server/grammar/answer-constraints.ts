// What a request demands of the answer's form, as grammars that the engine keeps to while it writes. They allow all that the
// schema allows, but for the order of properties and idle white space; what a grammar cannot tell, the check of the finished
// answer does (output-contract.ts).
import type { FunctionTool, ResponsesRequest } from '../../../src/protocol/responses.ts'
import type { CallShape, CallShapes } from '../../../src/stream/call-shape.ts'
import type { BuiltInTools } from '../built-in-tools.ts'
import type { FunctionNames } from '../function-names.ts'
import type { AnswerConstraints, MessageForm } from '../generate-params.ts'
import { offeredTools } from '../harmony-request.ts'
import { demandsCall } from '../output-contract.ts'
import { runnableParameters } from './agent-arguments.ts'
import { answerHeaders } from './answer-headers.ts'
import { FreeformBudget, freeformGrammar } from './freeform.ts'
import type { Grammar } from './grammar.ts'
import { jsonObjectGrammar, schemaGrammar } from './schema-grammar.ts'

/** A request as the model is told it. */
export interface Told {
  /** Its schemas have been taken by outputContract(). */
  request: ResponsesRequest
  /** Functions as the model sees them. */
  names: FunctionNames
  /** Which of them are agents' tools. */
  calls: CallShapes
  builtIns: BuiltInTools
}

/** Undefined where the answer is free. Else all of its messages have a form, so that none can end as if it were another. */
export function answerConstraints(told: Told): AnswerConstraints | undefined {
  const { request, names } = told
  const isCall = demandsCall(request)
  const calls = callForms(told, isCall)
  const format = request.text?.format?.type ?? 'text'
  if (!isCall && format === 'text' && calls.every(({ grammar }) => !grammar)) return undefined
  const messages: MessageForm[] = [
    ...calls,
    { headerWords: ['final'], grammar: formatGrammar(request), end: 'return' },
    { headerWords: ['analysis'], grammar: undefined, end: 'end' },
    { headerWords: ['commentary'], grammar: undefined, end: 'end' },
  ]
  const offered = offeredTools(request).map(({ tool }) => tool.name)
  const builtIns = offered.flatMap((name) => told.builtIns.recipient(name) ?? [])
  const functions = offered.filter((name) => told.builtIns.recipient(name) === undefined)
  const recipients = { functions: functions.map((name) => names.show(name)), builtIns }
  return { messages, headers: answerHeaders(recipients, { demandsCall: isCall }) }
}

/** Of every function that may be called. */
function callForms({ request, names, calls, builtIns }: Told, isDemanded: boolean) {
  const budget = new FreeformBudget()
  return offeredTools(request).map(({ tool }): MessageForm => {
    const recipient = builtIns.recipient(tool.name) ?? `functions.${names.show(tool.name)}`
    const grammar = builtIns.takesCode(tool.name)
      ? undefined
      : argumentsGrammar(tool, isDemanded, budget, calls.get(tool.name))
    return { headerWords: [`to=${recipient}`], grammar, end: 'call' }
  })
}

/** Of a strict function, of one that must be called, and of an agent's tool, whose call is read again as what the client has. */
function argumentsGrammar(
  tool: FunctionTool,
  isDemanded: boolean,
  budget: FreeformBudget,
  shape: CallShape | undefined,
): Grammar | undefined {
  const format = shape?.kind === 'custom' ? shape.format : undefined
  const text = format && freeformGrammar(format, budget)
  if (text !== undefined) return text
  const parameters = heldParameters(tool, shape) ?? (isDemanded ? tool.parameters : undefined)
  const grammar = parameters ? schemaGrammar(parameters) : undefined
  return grammar ?? (isDemanded ? jsonObjectGrammar : undefined)
}

function heldParameters(
  { strict, parameters }: FunctionTool,
  shape: CallShape | undefined,
): Record<string, unknown> | null | undefined {
  if (shape === undefined || shape.kind === 'function') return strict ? parameters : undefined
  return shape.kind === 'custom' ? parameters : runnableParameters(shape.kind, parameters)
}

function formatGrammar({ text }: ResponsesRequest): Grammar | undefined {
  const format = text?.format
  if (format?.type === 'json_object') return jsonObjectGrammar
  return format?.type === 'json_schema' ? schemaGrammar(format.schema) : undefined
}
