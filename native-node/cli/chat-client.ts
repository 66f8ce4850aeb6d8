// The HTTP side of `switchyard chat`: Chat Completions, streamed, from any server that speaks it.
import { createParser } from 'eventsource-parser'
import { CommandError } from './command.ts'

export interface Server {
  base: string
  key: string | undefined
}

export interface ToolCall {
  id: string
  type: 'function'
  function: { name: string; arguments: string }
}

export interface ChatMessage {
  role: 'system' | 'user' | 'assistant' | 'tool'
  content: string | null
  /** Sent back with tool calls only: the model goes on thinking from it. */
  reasoning?: string
  tool_calls?: ToolCall[]
  tool_call_id?: string
}

export interface Answer {
  message: ChatMessage
  calls: ToolCall[]
  finish: string | undefined
  /** The user stopped it. */
  stopped: boolean
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const textOf = (value: unknown) => (typeof value === 'string' ? value : '')

function headersOf(server: Server): Record<string, string> {
  return {
    'content-type': 'application/json',
    ...(server.key ? { authorization: `Bearer ${server.key}` } : {}),
  }
}

async function request(server: Server, path: string, init: RequestInit): Promise<Response> {
  let response: Response
  try {
    response = await fetch(`${server.base}${path}`, { ...init, headers: headersOf(server) })
  } catch (error) {
    if (error instanceof Error && error.name === 'AbortError') throw error
    throw new CommandError(`${server.base} cannot be reached. Is the server running? (npm start)`)
  }
  if (response.ok) return response
  const body = await response.text()
  throw new CommandError(`${response.status} ${messageOf(body)}`)
}

/** The message in an error body of any of the usual shapes. */
function messageOf(body: string): string {
  try {
    const value: unknown = JSON.parse(body)
    if (isRecord(value)) {
      if (isRecord(value.error)) return textOf(value.error.message) || body
      return textOf(value.error) || textOf(value.message) || body
    }
  } catch {
    // Not JSON: shown as it is.
  }
  return body.slice(0, 500)
}

/** The id of the server's first model. */
export async function firstModel(server: Server): Promise<string> {
  const value: unknown = await (await request(server, '/models', {})).json()
  const first = isRecord(value) && Array.isArray(value.data) ? value.data[0] : undefined
  if (!isRecord(first) || typeof first.id !== 'string')
    throw new CommandError(`${server.base} lists no model; name one with --model.`)
  return first.id
}

/** A tool in Chat or Responses form as a Chat tool; undefined when it is neither. */
export function chatTool(tool: unknown): unknown {
  if (!isRecord(tool) || tool.type !== 'function') return undefined
  if (isRecord(tool.function)) return tool
  const { type, ...definition } = tool
  return typeof definition.name === 'string' ? { type, function: definition } : undefined
}

/** Streams one answer; `show` gets each piece of reasoning and content as it comes. */
export async function streamAnswer(
  server: Server,
  body: Record<string, unknown>,
  signal: AbortSignal,
  show: (kind: 'reasoning' | 'content', piece: string) => void,
): Promise<Answer> {
  let content = ''
  let reasoning = ''
  let finish: string | undefined
  let failure: string | undefined
  let ended = false
  const calls: ToolCall[] = []
  const read = (data: string) => {
    if (data === '[DONE]') {
      ended = true
      return
    }
    const chunk: unknown = JSON.parse(data)
    if (!isRecord(chunk)) return
    if (chunk.error)
      failure = isRecord(chunk.error) ? textOf(chunk.error.message) : textOf(chunk.error)
    const choice: unknown = Array.isArray(chunk.choices) ? chunk.choices[0] : undefined
    if (!isRecord(choice)) return
    if (typeof choice.finish_reason === 'string') finish = choice.finish_reason
    const delta = isRecord(choice.delta) ? choice.delta : {}
    const thought = textOf(delta.reasoning) || textOf(delta.reasoning_content)
    if (thought) {
      reasoning += thought
      show('reasoning', thought)
    }
    if (textOf(delta.content)) {
      content += textOf(delta.content)
      show('content', textOf(delta.content))
    }
    for (const piece of Array.isArray(delta.tool_calls) ? delta.tool_calls : [])
      addCall(calls, piece)
  }

  let stopped = false
  try {
    const response = await request(server, '/chat/completions', {
      method: 'POST',
      body: JSON.stringify({ ...body, stream: true }),
      signal,
    })
    const parser = createParser({ onEvent: ({ data }) => read(data) })
    const decoder = new TextDecoder()
    for await (const bytes of response.body ?? [])
      parser.feed(decoder.decode(bytes, { stream: true }))
  } catch (error) {
    if (!signal.aborted) throw error
    stopped = true
  }
  if (failure !== undefined) throw new CommandError(failure || 'The server reported an error.')
  if (!stopped && !ended && finish === undefined)
    throw new CommandError('The stream ended before the answer did.')
  const whole = stopped ? [] : calls
  return {
    message: {
      role: 'assistant',
      content: content || (whole.length > 0 ? null : ''),
      ...(whole.length > 0 ? { tool_calls: whole, ...(reasoning ? { reasoning } : {}) } : {}),
    },
    calls: whole,
    finish,
    stopped,
  }
}

/** Adds one delta to the call of its index; a call without an index continues the last. */
function addCall(calls: ToolCall[], piece: unknown) {
  if (!isRecord(piece)) return
  const index = typeof piece.index === 'number' ? piece.index : Math.max(0, calls.length - 1)
  calls[index] ??= { id: '', type: 'function', function: { name: '', arguments: '' } }
  const call = calls[index]
  const definition = isRecord(piece.function) ? piece.function : {}
  if (textOf(piece.id)) call.id = textOf(piece.id)
  if (textOf(definition.name)) call.function.name = textOf(definition.name)
  call.function.arguments += textOf(definition.arguments)
}
