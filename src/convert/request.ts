// Responses request → Chat request. Pure; what Chat cannot say is refused by its path or named in `dropped`.
import { ApiError } from '../errors.ts'
import type {
  ChatAssistantMessage,
  ChatMessage,
  ChatPart,
  ChatRequest,
  ChatResponseFormat,
} from '../protocol/chat.ts'
import { responsesFields, sortFields } from '../protocol/fields.ts'
import { unknownIncludes } from '../protocol/includes.ts'
import type {
  FunctionCallItem,
  FunctionCallOutputItem,
  InputItem,
  MessageItem,
  ReasoningItem,
  ResponsesRequest,
  TextFormat,
} from '../protocol/responses.ts'
import { lowerTools } from './agent-tools.ts'
import { partsToChat, textOf, unsupported } from './content.ts'
import { refuseUnreadable } from './sealed-reasoning.ts'
import { toolsToChat } from './tools.ts'

/** A converted request and what could not be taken along (reported in a `warning` header). */
export interface Converted<T> {
  body: T
  dropped: string[]
}

/** Converts a canonical request for an upstream that speaks Chat; throws ApiError for content that it cannot carry. */
export function responsesToChat(given: ResponsesRequest): Converted<ChatRequest> {
  const lowered = lowerTools(given)
  const { request } = lowered
  refuseUnreadable(request)
  const { input, instructions, text, reasoning, max_output_tokens, top_logprobs } = request
  const sorted = sortFields(request, responsesFields, 'chat')
  const { parallel_tool_calls: _, ...passed } = sorted.passed
  const format = text?.format == null ? undefined : formatToChat(text.format)
  const logprobs = wantsLogprobs(request)
  const body: ChatRequest = {
    ...withoutNulls(passed),
    model: request.model,
    messages: messagesOf(input, instructions ?? undefined),
    ...toolsToChat(request),
    ...(format === undefined ? {} : { response_format: format }),
    ...(text?.verbosity == null ? {} : { verbosity: text.verbosity }),
    ...(reasoning?.effort == null ? {} : { reasoning_effort: reasoning.effort }),
    ...(max_output_tokens == null ? {} : { max_completion_tokens: max_output_tokens }),
    ...(logprobs ? { logprobs: true } : {}),
    ...(logprobs && top_logprobs != null ? { top_logprobs } : {}),
  }
  if (request.stream === true) {
    const { include_obfuscation: _, ...options } = request.stream_options ?? {}
    // Without it most servers send no usage in a stream.
    body.stream_options = { ...options, include_usage: true }
  }
  const includes = unknownIncludes(request)
  return { body, dropped: [...sorted.dropped, ...lowered.dropped, ...includes] }
}

/** True where the client asked for logprobs in either way that the API knows. */
export function wantsLogprobs({ include, top_logprobs }: ResponsesRequest): boolean {
  return (top_logprobs ?? 0) > 0 || (include ?? []).includes('message.output_text.logprobs')
}

function withoutNulls(fields: Record<string, unknown>): Record<string, unknown> {
  const kept: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(fields)) if (value !== null) kept[key] = value
  return kept
}

function formatToChat(format: TextFormat): ChatResponseFormat {
  if (format.type !== 'json_schema') return format
  const { type, name, schema, description, strict, ...rest } = format
  return {
    type,
    json_schema: {
      ...rest,
      name,
      schema,
      ...(description == null ? {} : { description }),
      ...(strict == null ? {} : { strict }),
    },
  }
}

function messagesOf(input: string | readonly InputItem[], instructions?: string): ChatMessage[] {
  const messages: ChatMessage[] = []
  if (instructions !== undefined && instructions !== '') {
    messages.push({ role: 'system', content: instructions })
  }
  if (typeof input === 'string') {
    messages.push({ role: 'user', content: input })
    return messages
  }
  const builder = new MessageBuilder(messages)
  for (const [index, item] of input.entries()) builder.add(item, `input[${index}]`)
  builder.flush()
  if (messages.length === 0) {
    throw new ApiError('invalid_value', "Invalid value for 'input': expected at least one item.", {
      param: 'input',
    })
  }
  return messages
}

/**
 * Chat wants one assistant message that holds reasoning, text and all calls, followed by one tool message per call;
 * Responses has an item for each. The builder gathers assistant items until something else comes.
 */
class MessageBuilder {
  readonly #messages: ChatMessage[]
  /** The assistant message being gathered. */
  #assistant: ChatAssistantMessage | undefined
  /** Images and files of tool outputs: Chat takes them only from a user, after the last tool message in a row. */
  #attachments: ChatPart[] = []
  /** call_ids seen so far: an output without its call is refused, as OpenAI does. */
  readonly #calls = new Set<string>()

  constructor(messages: ChatMessage[]) {
    this.#messages = messages
  }

  add(item: InputItem, path: string): void {
    switch (item.type) {
      case undefined:
      case 'message':
        if (item.role === 'assistant') this.#assistantMessage(item, path)
        else this.#message(item, path)
        return
      case 'reasoning':
        this.#reasoning(item)
        return
      case 'function_call':
        this.#call(item)
        return
      case 'function_call_output':
        this.#output(item, path)
        return
      case 'item_reference':
        throw new ApiError(
          'invalid_value',
          `Item with id '${item.id}' not found: no items are stored.`,
          {
            param: `${path}.id`,
          },
        )
      default:
        throw unsupported(`An item of type '${String(Reflect.get(item, 'type'))}'`, `${path}.type`)
    }
  }

  /** Ends the message being gathered. */
  flush(): void {
    if (this.#assistant !== undefined) this.#messages.push(this.#assistant)
    this.#assistant = undefined
    if (this.#attachments.length > 0) {
      this.#messages.push({ role: 'user', content: this.#attachments })
      this.#attachments = []
    }
  }

  #message(item: MessageItem, path: string): void {
    this.flush()
    const { type: _t, id: _i, status: _s, phase: _p, role, content, ...rest } = item
    const parts = typeof content === 'string' ? content : partsToChat(content, `${path}.content`)
    // Some templates take only a string from the system.
    const flat = role === 'user' ? simple(parts) : (textOf(parts, '\n') ?? parts)
    if (role === 'user') this.#messages.push({ ...rest, role, content: flat })
    else if (role !== 'assistant') this.#messages.push({ ...rest, role, content: flat })
  }

  #assistantMessage(item: MessageItem, path: string): void {
    const { type: _t, id: _i, status: _s, phase: _p, role: _r, content, ...rest } = item
    let text = ''
    let refusal: string | undefined
    const parts = typeof content === 'string' ? undefined : partsToChat(content, `${path}.content`)
    if (typeof content === 'string') text = content
    for (const [index, part] of (parts ?? []).entries()) {
      if (part.type === 'text') text += part.text
      else if (part.type === 'refusal') refusal = (refusal ?? '') + part.refusal
      else throw unsupported(`A part of type '${part.type}'`, `${path}.content[${index}].type`)
    }
    let message = this.#gathering()
    // Text after text is another message, unless calls still wait for their outputs.
    if (message.tool_calls == null && (message.content != null || message.refusal != null)) {
      this.flush()
      message = this.#gathering()
    }
    Object.assign(message, rest)
    const joined = typeof message.content === 'string' ? `${message.content}\n${text}` : text
    message.content = refusal !== undefined && joined === '' ? null : joined
    if (refusal !== undefined) message.refusal = refusal
  }

  #reasoning(item: ReasoningItem): void {
    const source = item.content?.length ? item.content : (item.summary ?? [])
    const text = source.map((part) => part.text).join('\n')
    if (text === '') return
    let message = this.#gathering()
    if (message.tool_calls == null && message.content != null) {
      this.flush()
      message = this.#gathering()
    }
    message.reasoning = message.reasoning == null ? text : `${message.reasoning}\n${text}`
  }

  #call(item: FunctionCallItem): void {
    const { call_id, name, arguments: args } = item
    const message = this.#gathering()
    this.#calls.add(call_id)
    message.tool_calls ??= []
    message.tool_calls.push({ id: call_id, type: 'function', function: { name, arguments: args } })
  }

  #output(item: FunctionCallOutputItem, path: string): void {
    if (!this.#calls.has(item.call_id)) {
      throw new ApiError(
        'invalid_value',
        `No tool call found for function call output with call_id '${item.call_id}'.`,
        { param: `${path}.call_id` },
      )
    }
    if (this.#assistant !== undefined) {
      this.#messages.push(this.#assistant)
      this.#assistant = undefined
    }
    const { type: _t, id: _i, status: _s, call_id: tool_call_id, output, ...rest } = item
    const parts = typeof output === 'string' ? output : partsToChat(output, `${path}.output`)
    let content: string
    if (typeof parts === 'string') content = parts
    else {
      const others = parts.filter((part) => part.type !== 'text')
      this.#attachments.push(...others)
      const texts = parts.flatMap((part) => (part.type === 'text' ? [part.text] : []))
      if (texts.length === 0 && others.length > 0) texts.push('(see the attached content)')
      content = texts.join('\n')
    }
    this.#messages.push({ ...rest, role: 'tool', tool_call_id, content })
  }

  #gathering(): ChatAssistantMessage {
    if (this.#assistant === undefined) {
      this.flush()
      this.#assistant = { role: 'assistant', content: null }
    }
    return this.#assistant
  }
}

/** One plain text part is the same as a string, and every server takes a string. */
function simple(content: string | ChatPart[]): string | ChatPart[] {
  if (typeof content === 'string' || content.length !== 1) return content
  const [part] = content
  return part?.type === 'text' && Object.keys(part).length === 2 ? part.text : content
}
