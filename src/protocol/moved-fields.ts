// Fields of the other API, as a client sends them that was moved from one to the other by half. They are refused with the
// word that this API has for them: sent on, they would be lost (an answer without its format, a conversation without its
// history), and the client would not know.
import { ApiError } from '../errors.ts'
import { isObject } from './check.ts'

type Moved = Readonly<Record<string, string | undefined>>

const toResponses: Moved = {
  messages: "'input'",
  response_format: "'text.format'",
  max_tokens: "'max_output_tokens'",
  max_completion_tokens: "'max_output_tokens'",
  reasoning_effort: "'reasoning.effort'",
  verbosity: "'text.verbosity'",
  functions: "'tools'",
  function_call: "'tool_choice'",
}

/** This API has no word for it. */
const elsewhere = undefined

const toChat: Moved = {
  input: "'messages'",
  instructions: "'messages', as one with the role 'system'",
  text: "'response_format' and 'verbosity'",
  max_output_tokens: "'max_completion_tokens'",
  previous_response_id: elsewhere,
  conversation: elsewhere,
  background: elsewhere,
  max_tool_calls: elsewhere,
}

/** Throws ApiError for a field of Chat Completions in a Responses request. */
export function refuseChatFields(body: unknown): void {
  refuse(body, toResponses, 'the Responses API')
}

/** Throws ApiError for a field of the Responses API in a Chat request. */
export function refuseResponsesFields(body: unknown): void {
  refuse(body, toChat, 'Chat Completions')
}

function refuse(body: unknown, moved: Moved, api: string): void {
  if (!isObject(body)) return
  for (const field in moved) {
    const value = body[field]
    if (saysNothing(value)) continue
    const word = moved[field]
    const advice = word ? `In ${api} it is ${word}.` : 'POST /v1/responses has it.'
    throw new ApiError('unsupported_parameter', `Unsupported parameter: '${field}'. ${advice}`, {
      param: field,
    })
  }
}

/** SDKs send nulls, false and what is empty for completeness. */
function saysNothing(value: unknown): boolean {
  if (value == null || value === false || value === '') return true
  return typeof value === 'object' && Object.keys(value).length === 0
}
