// What a request demands of the form of its answer, where the place that answers does not guarantee it: a JSON schema of the
// text, and schemas of the arguments of strict functions. An answer with a call is not held to the schema of the text, nor
// is a refusal, nor one that was cut at its limit (its status says so) or by a stop string (`stop_sequence`).
import { ApiError, toApiError } from '../errors.ts'
import { isObject } from '../protocol/check.ts'
import type { ResponsesRequest } from '../protocol/responses.ts'
import { declaredFunctions } from './declared-functions.ts'
import { JsonGate } from './json-gate.ts'
import { compileSchema, type SchemaCheck } from './structured-check.ts'

type Json = Record<string, unknown>

/** What a place makes of a schema; assumed `best_effort` of a place that nothing is known of. */
export interface Guarantee {
  /** `guaranteed` holds for a schema that is `strict`; `none`: `json_schema` would be refused there. */
  schema: 'guaranteed' | 'best_effort' | 'none'
  /** Of the arguments of strict functions. */
  calls: 'guaranteed' | 'best_effort'
  /** Where there is no `json_schema`: `json_object` is known. */
  jsonObject?: boolean | undefined
  /** An own node: it fails at a miss, unless it is asked to leave that to us, who can have it mended (`outputCheck`). */
  checksItself?: boolean | undefined
  /** It has nothing to say: nothing is demanded of it. */
  exempt?: boolean | undefined
}

/** The field of a body that asks an own node not to judge what we judge, and its value. */
export const outputCheck = { output_check: 'caller' } as const

export const bestEffort: Guarantee = { schema: 'best_effort', calls: 'best_effort' }

export interface FormatDemand {
  schema: Json
  description: string | undefined
  /** Undefined where the schema cannot be checked and need not be, as it is not strict. */
  check: SchemaCheck | undefined
  /** Brackets that an answer may begin with. */
  openers: string
}

export interface Contract {
  format: FormatDemand | undefined
  /** By the function's name. */
  calls: ReadonlyMap<string, SchemaCheck>
  /** What is demanded and cannot be checked, in words. */
  unchecked: readonly string[]
}

/** Whether a string of `stop` ended an answer: who sets it asks for what stands before it, be it half of the JSON. */
export const isStopped = ({ stop_sequence }: Json): boolean => typeof stop_sequence === 'string'

/** Why an answer is not what was demanded. */
export interface Fault {
  /** For the client. */
  message: string
  /** For the model: `#/age must be integer, not string`. */
  reason: string
  /** Calls at fault: call_id → reason. Undefined: the text is. */
  calls?: ReadonlyMap<unknown, string> | undefined
}

/**
 * Undefined where nothing is left to check: nothing is demanded, or the place guarantees it. Throws ApiError for a strict
 * schema that cannot be checked; a place that guarantees may still take it.
 */
export function contractOf(request: ResponsesRequest, place: Guarantee): Contract | undefined {
  if (place.exempt === true) return undefined
  const wanted = schemaFormat(request)
  const isGiven = wanted?.strict === true && place.schema === 'guaranteed'
  const functions = place.calls === 'guaranteed' ? [] : strictFunctions(request)
  if ((wanted === undefined || isGiven) && functions.length === 0) return undefined
  const unchecked: string[] = []
  const compile = (schema: unknown, param: string, strict: boolean) => {
    try {
      return compileSchema(schema, { param })
    } catch (thrown) {
      const { code, message } = toApiError(thrown)
      if (strict) throw new ApiError(code, message, { param, retryable: true, cause: thrown })
      unchecked.push(message)
      return undefined
    }
  }
  const calls = new Map<string, SchemaCheck>()
  for (const { name, parameters, index } of functions) {
    const check = compile(parameters, `tools[${index}].parameters`, true)
    if (check !== undefined) calls.set(name, check)
  }
  if (wanted === undefined || isGiven) return { format: undefined, calls, unchecked }
  const { schema, description, strict } = wanted
  const check = compile(schema, 'text.format.schema', strict === true)
  const format = {
    schema,
    check,
    description: description ?? undefined,
    openers: openersOf(schema),
  }
  return { format, calls, unchecked }
}

function schemaFormat(request: ResponsesRequest) {
  const format = request.text?.format
  return format?.type === 'json_schema' ? format : undefined
}

function strictFunctions({ tools, tool_choice }: ResponsesRequest) {
  if (tools == null || tool_choice === 'none') return []
  return declaredFunctions(tools).flatMap(({ tool: { name, strict, parameters }, index }) =>
    strict === true && parameters != null ? [{ name, parameters, index }] : [],
  )
}

/** References and choices may lead anywhere: only a plain `type` narrows it down. */
function openersOf({ type }: Json): string {
  if (type === 'object') return '{'
  return type === 'array' ? '[' : '{['
}

/** The answer's text without what is around its JSON, or what is wrong with it. */
export function judgeText(
  { check, openers }: FormatDemand,
  text: string,
): { text: string; unchecked?: boolean } | Fault {
  const whole = parsed(text)
  if (whole !== undefined) return judged(check, whole.value, text.trim())
  const gate = new JsonGate(openers)
  gate.push(text)
  return judgeGate(check, gate)
}

/** The same for a text that has gone through the gate already. */
export function judgeGate(
  check: SchemaCheck | undefined,
  gate: JsonGate,
): { text: string; unchecked?: boolean } | Fault {
  if (!gate.begun) return textFault(gate.before === '' ? 'it is empty' : 'it is not JSON')
  const found = parsed(gate.value)
  return found === undefined
    ? textFault(gate.complete ? 'it is not valid JSON' : 'its JSON has no end')
    : judged(check, found.value, gate.value)
}

function judged(check: SchemaCheck | undefined, value: unknown, text: string) {
  const fault = check?.check(value)
  if (fault === undefined) return { text }
  if (fault.unchecked) return { text, unchecked: true }
  return textFault(`${fault.path} ${fault.message}`)
}

function textFault(reason: string): Fault {
  const message = `The model's answer does not have the format that was asked for: ${reason}.`
  return { message, reason }
}

/** What is wrong with calls of strict functions; undefined where nothing is. */
export function judgeCalls(
  checks: ReadonlyMap<string, SchemaCheck>,
  items: readonly unknown[],
): Fault | undefined {
  const calls = new Map<unknown, string>()
  let message = ''
  for (const item of items) {
    if (!isObject(item) || item.type !== 'function_call' || item.namespace != null) continue
    const reason = judgeArguments(checks.get(String(item.name)), item.arguments)
    if (reason === undefined) continue
    calls.set(item.call_id, reason)
    message ||= `The arguments for function '${String(item.name)}' do not fit: ${reason}.`
  }
  const [reason] = calls.values()
  return reason === undefined ? undefined : { message, reason, calls }
}

function judgeArguments(check: SchemaCheck | undefined, given: unknown): string | undefined {
  if (check === undefined) return undefined
  const found = parsed(String(given))
  if (found === undefined) return 'they are not valid JSON'
  const fault = check.check(found.value)
  return fault === undefined || fault.unchecked ? undefined : `${fault.path} ${fault.message}`
}

/** Calls that a place runs itself: an answer follows them. */
const runThere: ReadonlySet<unknown> = new Set([
  'web_search_call',
  'file_search_call',
  'code_interpreter_call',
  'image_generation_call',
  'mcp_call',
])

/** True for an item that is a call for the client to run. */
export function isCall(item: unknown): item is Json {
  if (!isObject(item) || typeof item.type !== 'string') return false
  return item.type.endsWith('_call') && !runThere.has(item.type)
}

/** True for what judging gives of something that is wrong. */
export function isFault(verdict: object | undefined): verdict is Fault {
  return verdict !== undefined && 'reason' in verdict
}

function parsed(text: string): { value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) }
  } catch {
    return undefined
  }
}
