// Chat request → Responses request: how a Chat client's request becomes canonical.
import { ApiError } from '../errors.ts'
import type {
  ChatAssistantMessage,
  ChatMessage,
  ChatRequest,
  ChatResponseFormat,
} from '../protocol/chat.ts'
import { isObject } from '../protocol/check.ts'
import type { InputItem, ResponsesRequest, TextFormat } from '../protocol/responses.ts'
import { partsFromChat } from './content.ts'
import { toolsFromChat } from './tools.ts'

/** Converts a checked Chat request; throws ApiError for what no upstream of ours can do. */
export function chatToResponses(request: ChatRequest): ResponsesRequest {
  if ((request.n ?? 1) > 1) {
    throw new ApiError('unsupported_parameter', "Unsupported value for 'n': only 1 is supported.", {
      param: 'n',
    })
  }
  const {
    messages,
    tools: _tools,
    tool_choice: _choice,
    response_format,
    verbosity,
    reasoning_effort,
    reasoning,
    logprobs,
    max_tokens,
    max_completion_tokens,
    n: _n,
    ...rest
  } = request
  const text = {
    ...(response_format == null ? {} : { format: formatFromChat(response_format) }),
    ...(verbosity == null ? {} : { verbosity }),
  }
  // `reasoning: { effort }` is how OpenRouter's clients say it.
  const effort = reasoning_effort ?? undefined
  const reasoningFields = {
    ...(isObject(reasoning) ? reasoning : {}),
    ...(effort === undefined ? {} : { effort }),
  }
  const limit = max_completion_tokens ?? max_tokens
  return {
    ...rest,
    input: itemsOfAll(messages),
    ...toolsFromChat(request),
    ...(Object.keys(text).length === 0 ? {} : { text }),
    ...(Object.keys(reasoningFields).length === 0 ? {} : { reasoning: reasoningFields }),
    ...(limit == null ? {} : { max_output_tokens: limit }),
    ...(logprobs === true ? { include: ['message.output_text.logprobs'] } : {}),
  }
}

function formatFromChat(format: ChatResponseFormat): TextFormat {
  if (format.type !== 'json_schema') return format
  const { json_schema, ...rest } = format
  return { ...rest, ...json_schema, schema: json_schema.schema ?? {} }
}

function itemsOfAll(messages: readonly ChatMessage[]): InputItem[] {
  const freeform = new Set<string>()
  for (const message of messages) {
    if (message.role !== 'assistant') continue
    for (const { type, id } of message.tool_calls ?? []) {
      if (String(type) === 'custom') freeform.add(id)
    }
  }
  const items = messages.flatMap((message, index) => itemsOf(message, index))
  if (freeform.size === 0) return items
  // The answer to a freeform call is an item of its own kind; Chat has one kind of tool message.
  return items.map((item) =>
    item.type === 'function_call_output' && freeform.has(item.call_id)
      ? otherItem({ ...item, type: 'custom_tool_call_output' })
      : item,
  )
}

/** An item of a kind that the types do not list. */
function otherItem(item: object): InputItem {
  return item as InputItem
}

function itemsOf(message: ChatMessage, index: number): InputItem[] {
  const path = `messages[${index}].content`
  switch (message.role) {
    case 'system':
    case 'developer':
    case 'user': {
      const { content, ...rest } = message
      const parts = typeof content === 'string' ? content : partsFromChat(content, 'input', path)
      return [{ ...rest, type: 'message', content: parts }]
    }
    case 'tool': {
      const { role: _, tool_call_id, content, ...rest } = message
      const output = typeof content === 'string' ? content : partsFromChat(content, 'input', path)
      return [{ ...rest, type: 'function_call_output', call_id: tool_call_id, output }]
    }
    case 'assistant':
      return assistantItems(message, index)
    default:
      throw new ApiError('invalid_value', `Invalid value for 'messages[${index}].role'.`, {
        param: `messages[${index}].role`,
      })
  }
}

function assistantItems(message: ChatAssistantMessage, index: number): InputItem[] {
  const { content, refusal, tool_calls, reasoning, reasoning_content, ...rest } = message
  const items: InputItem[] = []
  const thought = reasoning || reasoning_content
  if (thought) {
    items.push({
      type: 'reasoning',
      // The Responses schema wants an id; a stable one keeps the conversion pure and prefix caches warm.
      id: `rs_${index}`,
      summary: [],
      content: [{ type: 'reasoning_text', text: thought }],
    })
  }
  const parts =
    typeof content === 'string' || content == null
      ? content
      : partsFromChat(content, 'output', `messages[${index}].content`)
  if (refusal != null && refusal !== '') {
    const before = typeof parts === 'string' && parts !== '' ? [outputText(parts)] : []
    const all = Array.isArray(parts) ? parts : before
    items.push({ ...rest, type: 'message', content: [...all, { type: 'refusal', refusal }] })
  } else if (parts != null && parts.length > 0) {
    items.push({ ...rest, type: 'message', content: parts })
  }
  for (const [at, call] of (tool_calls ?? []).entries()) {
    const { custom } = call
    if (String(call.type) === 'custom' && isObject(custom)) {
      const { name, input } = custom
      items.push(otherItem({ type: 'custom_tool_call', call_id: call.id, name, input }))
      continue
    }
    if (call.type !== 'function') {
      throw new ApiError(
        'unsupported_content',
        `A call of type '${String(call.type)}' is not supported.`,
        {
          param: `messages[${index}].tool_calls[${at}].type`,
        },
      )
    }
    const { name, arguments: args } = call.function
    items.push({ type: 'function_call', call_id: call.id, name, arguments: args })
  }
  // An empty assistant turn stays a turn.
  if (items.length === 0) items.push({ ...rest, type: 'message', content: '' })
  return items
}

function outputText(text: string) {
  return { type: 'output_text' as const, text, annotations: [] }
}

const schemaName = 'response_format.json_schema.schema'

const chatNames: ReadonlyMap<string, string> = new Map([
  ['input', 'messages'],
  ['text.format', 'response_format'],
  ['text.format.schema', schemaName],
  ['text.verbosity', 'verbosity'],
  ['reasoning.effort', 'reasoning_effort'],
  ['max_output_tokens', 'max_completion_tokens'],
])

/** The path of a canonical field as the Chat client wrote it: `input[3].output[0]` → `messages[2].content[0]`. */
export function chatParam(request: ChatRequest, param: string): string {
  const known = chatNames.get(param)
  if (known !== undefined) {
    return param === 'max_output_tokens' && request.max_completion_tokens == null
      ? 'max_tokens'
      : known
  }
  const schema = /^text\.format\.schema(?=\.)/.exec(param)
  if (schema !== null) return `${schemaName}${param.slice(schema[0].length)}`
  const grammar = /^(tools\[\d+\])\.format\.definition$/.exec(param)
  if (grammar !== null) return `${grammar[1]}.custom.format.grammar.definition`
  const tool = /^tools\[\d+\](?=\.(?:name|description|parameters|strict))/.exec(param)
  if (tool !== null) return `${tool[0]}.function${param.slice(tool[0].length)}`
  const item = /^input\[(\d+)\](?:\.(content|output|call_id)\b)?/.exec(param)
  if (item === null) return param
  const field = item[2] === undefined ? '' : item[2] === 'call_id' ? '.tool_call_id' : '.content'
  const rest = param
    .slice(item[0].length)
    .replace(/\.(image|video)_url$/, '.$1_url.url')
    .replace(/\.(?=file_(?:data|url|id)$)/, '.file.')
  return `messages[${messageOf(request, Number(item[1]))}]${field}${rest}`
}

/** Index of the message that became this item. */
function messageOf(request: ChatRequest, item: number): number {
  let items = 0
  const index = request.messages.findIndex((message, at) => {
    items += itemsOf(message, at).length
    return items > item
  })
  return index === -1 ? request.messages.length - 1 : index
}
