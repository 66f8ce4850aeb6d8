// How a model is asked for structured output where its place knows no schemas, and asked again where its answer did not fit:
// changes of a request body in either dialect, before the place's own last changes.
import { responsesToChat } from '../convert/request.ts'
import type { Dialect } from '../faces/deps.ts'
import { isObject } from '../protocol/check.ts'
import type { InputItem, ResponsesRequest } from '../protocol/responses.ts'
import {
  type Contract,
  type Fault,
  type FormatDemand,
  type Guarantee,
  isCall,
  outputCheck,
} from './structured-contract.ts'

type Json = Record<string, unknown>

/** Makes another body of a body. */
export type BodyEdit = (body: Json, dialect: Dialect) => Json

/** A bad answer is shown to the model up to here. */
const maxShown = 32_768

/** What is changed in the first body; undefined where the place takes schemas as they are. */
export function instructing({ format }: Contract, place: Guarantee): BodyEdit | undefined {
  if (place.checksItself === true) return (body) => ({ ...body, ...outputCheck })
  if (format === undefined || place.schema !== 'none') return undefined
  const instruction = instructionOf(format)
  const isObjectMode = place.jsonObject === true && format.openers === '{'
  return (body, dialect) => {
    if (dialect === 'chat') {
      const { response_format: _, ...rest } = body
      const messages = instructed(rest.messages, instruction)
      const mode = isObjectMode ? { response_format: { type: 'json_object' } } : {}
      return { ...rest, messages, ...mode }
    }
    const text = isObject(body.text) ? body.text : {}
    const before = typeof body.instructions === 'string' ? `${body.instructions}\n\n` : ''
    const type = isObjectMode ? 'json_object' : 'text'
    return { ...body, instructions: before + instruction, text: { ...text, format: { type } } }
  }
}

function instructionOf({ schema, description }: FormatDemand): string {
  const about = description === undefined ? '' : ` It is: ${description}`
  return `Answer with one JSON value that fits the JSON schema below, and with nothing else: no Markdown, no text around it.${about}\n\n${JSON.stringify(schema)}`
}

/** With the last of the system's messages at the beginning; many templates take no others. */
function instructed(given: unknown, instruction: string): unknown[] {
  const messages: unknown[] = Array.isArray(given) ? [...given] : []
  const after = messages.findIndex((message) => !isSystem(message))
  const at = (after === -1 ? messages.length : after) - 1
  const last = messages[at]
  if (!isObject(last)) return [{ role: 'system', content: instruction }, ...messages]
  const { content } = last
  messages[at] = Array.isArray(content)
    ? { ...last, content: [...content, { type: 'text', text: `\n\n${instruction}` }] }
    : { ...last, content: content ? `${String(content)}\n\n${instruction}` : instruction }
  return messages
}

function isSystem(message: unknown): boolean {
  return isObject(message) && (message.role === 'system' || message.role === 'developer')
}

/** What is added for one more turn: the answer that did not fit, and why. */
export function repairing(
  request: ResponsesRequest,
  { format }: Contract,
  { output, text, fault }: { output: readonly unknown[]; text: string; fault: Fault },
): BodyEdit {
  const items =
    fault.calls === undefined ? textTurn(text, fault, format) : callTurn(output, fault.calls)
  return (body, dialect) => {
    if (dialect === 'chat') {
      const { messages } = responsesToChat({ ...request, instructions: null, input: items }).body
      return { ...body, messages: [...list(body.messages), ...messages] }
    }
    const { input } = body
    const before = typeof input === 'string' ? [{ role: 'user', content: input }] : list(input)
    return { ...body, input: [...before, ...items] }
  }
}

function textTurn(text: string, { reason }: Fault, format: FormatDemand | undefined): InputItem[] {
  const shown = text.length > maxShown ? `${text.slice(0, maxShown)}…` : text
  const schema = format === undefined ? '' : `\n\n${JSON.stringify(format.schema)}`
  const content = `Your answer does not have the format that was asked for: ${reason}. Answer again, with nothing but the JSON that fits this schema:${schema}`
  const told: InputItem = { type: 'message', role: 'user', content }
  // Some templates refuse a message without a word.
  return shown.trim() === ''
    ? [told]
    : [{ type: 'message', role: 'assistant', content: shown }, told]
}

function callTurn(output: readonly unknown[], faults: ReadonlyMap<unknown, string>): InputItem[] {
  const items: InputItem[] = []
  const outputs: InputItem[] = []
  for (const item of output) {
    if (!isCall(item) || item.type !== 'function_call') continue
    const { name, arguments: given } = item
    const call_id = String(item.call_id)
    const reason = faults.get(item.call_id)
    const told =
      reason === undefined
        ? 'Not run, as another call beside it was not valid. Call it again.'
        : `Not run, as its arguments do not fit the schema of its parameters: ${reason}. Call it again with arguments that fit.`
    items.push({ type: 'function_call', call_id, name: String(name), arguments: String(given) })
    outputs.push({ type: 'function_call_output', call_id, output: told })
  }
  return [...items, ...outputs]
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : []
}
