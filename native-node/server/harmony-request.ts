// A Responses request → harmony messages. What the prompt looks like is what gpt-oss was trained on; nothing is added
// that the client did not ask for. What the model can not take is refused with its path.
import { ApiError } from '../../src/errors.ts'
import type {
  FunctionCallItem,
  FunctionCallOutputItem,
  FunctionTool,
  InputItem,
  InputPart,
  MessageItem,
  ReasoningItem,
  ResponsesRequest,
} from '../../src/protocol/responses.ts'
import { declaredFunctions } from '../../src/tools/declared-functions.ts'
import { type BuiltInTools, codeOf } from './built-in-tools.ts'
import { type FunctionNames, functionNames } from './function-names.ts'
import type {
  DeveloperContent,
  HarmonyMessage,
  HarmonyTool,
  SystemContent,
} from './harmony-message.ts'
import { inlineSchema } from './harmony-schema.ts'

export interface HarmonyOptions {
  /** `2025-06-28`; the same for a whole day, or no two prompts would share a prefix. */
  date: string
  /** First line of the system message. */
  identity?: string
  /** Which of the functions are told as the tools that the model was trained with. */
  builtIns?: BuiltInTools
}

const defaultIdentity = 'You are ChatGPT, a large language model trained by OpenAI.'
const knowledgeCutoff = '2024-06'

/** The conversation that the request describes; throws ApiError with the path of what can not be rendered. */
export function toHarmony(request: ResponsesRequest, options: HarmonyOptions): HarmonyMessage[] {
  const { builtIns } = options
  const offered = offeredTools(request)
  const tools = offered.filter(({ tool }) => builtIns?.recipient(tool.name) === undefined)
  const names = functionNames(tools.map(({ tool }) => tool.name))
  const items = inputItems(request)
  const first = items[0]
  const leading = isMessage(first) && isDeveloper(first) ? first : undefined
  const history = new History(names, items, builtIns)
  const system = builtIns?.namespaces(new Set(offered.map(({ tool }) => tool.name)))
  return [
    systemMessage(request, options, system),
    ...developerMessage(request, leading, tools, names),
    ...history.render(leading ? 1 : 0),
  ]
}

/** What an answer's own items will be as messages when the client sends them back as `input`. */
export function turnMessages(request: ResponsesRequest, builtIns?: BuiltInTools): HarmonyMessage[] {
  return new History(calledNames(request, builtIns), inputItems(request), builtIns).render(0)
}

/** The names of the functions that are no built-in tools. */
export function calledNames(request: ResponsesRequest, builtIns?: BuiltInTools): FunctionNames {
  const names = offeredTools(request).map(({ tool }) => tool.name)
  return functionNames(names.filter((name) => builtIns?.recipient(name) === undefined))
}

/** The functions that the model may call in this turn, with their place in `tools`. Other kinds of tool run elsewhere. */
export function offeredTools(request: ResponsesRequest): { tool: FunctionTool; index: number }[] {
  const choice = request.tool_choice
  const all = declaredFunctions(request.tools)
  if (choice === 'none') return []
  if (typeof choice !== 'object' || choice === null) return all
  if (choice.type === 'allowed_tools') {
    if (choice.mode === 'none') return []
    const allowed = new Set(choice.tools.map(({ name }) => name))
    return all.filter(({ tool }) => allowed.has(tool.name))
  }
  const type: string = choice.type
  if (type !== 'function') {
    const message = `A tool choice of type '${type}' is not supported by this model.`
    throw new ApiError('unsupported_parameter', message, { param: 'tool_choice' })
  }
  const named = all.filter(({ tool }) => tool.name === choice.name)
  if (named.length > 0) return named
  throw new ApiError(
    'invalid_value',
    `Tool choice 'function' names '${choice.name}', which is not among the functions in 'tools'.`,
    { param: 'tool_choice' },
  )
}

function inputItems(request: ResponsesRequest): readonly InputItem[] {
  if (request.previous_response_id != null) {
    throw new ApiError(
      'previous_response_not_found',
      `Previous response with id '${request.previous_response_id}' not found.`,
      { param: 'previous_response_id' },
    )
  }
  const { input } = request
  if (typeof input === 'string') return [{ role: 'user', content: input }]
  if (input && input.length > 0) return input
  throw new ApiError('missing_required_parameter', "Missing required parameter: 'input'.", {
    param: 'input',
  })
}

function systemMessage(
  request: ResponsesRequest,
  options: HarmonyOptions,
  tools: SystemContent['tools'],
): HarmonyMessage {
  return {
    role: 'system',
    content: [
      {
        type: 'system_content',
        model_identity: options.identity ?? defaultIdentity,
        knowledge_cutoff: knowledgeCutoff,
        conversation_start_date: options.date,
        reasoning_effort: effort(request),
        channel_config: {
          valid_channels: ['analysis', 'commentary', 'final'],
          channel_required: true,
        },
        tools,
      },
    ],
  }
}

/** gpt-oss knows three efforts; the others mean the nearest. */
function effort(request: ResponsesRequest): 'Low' | 'Medium' | 'High' {
  switch (request.reasoning?.effort) {
    case 'none':
    case 'minimal':
    case 'low':
      return 'Low'
    case 'high':
    case 'xhigh':
    case 'max':
      return 'High'
    default:
      return 'Medium'
  }
}

function developerMessage(
  request: ResponsesRequest,
  leading: MessageItem | undefined,
  tools: readonly { tool: FunctionTool; index: number }[],
  names: FunctionNames,
): HarmonyMessage[] {
  const said = leading ? messageText(leading, 'input[0]') : ''
  const instructions = [request.instructions ?? '', said].filter((text) => text !== '')
  const content: DeveloperContent = { type: 'developer_content' }
  if (instructions.length > 0) content.instructions = instructions.join('\n\n')
  if (tools.length > 0) {
    const rendered = tools.map(({ tool, index }) => renderTool(tool, index, names))
    content.tools = { functions: { name: 'functions', tools: rendered } }
  }
  const format = request.text?.format
  if (format?.type === 'json_schema') {
    const { name, description, schema } = format
    content.response_format = { name, description, schema }
  }
  const empty = Object.keys(content).length === 1
  return empty ? [] : [{ role: 'developer', content: [content] }]
}

function renderTool(tool: FunctionTool, index: number, names: FunctionNames): HarmonyTool {
  return {
    name: names.show(tool.name),
    description: tool.description,
    parameters: inlineSchema(tool.parameters ?? undefined, `tools[${index}].parameters`),
  }
}

/** The input items as messages. Calls are told apart by call_id, each followed by its own output. */
class History {
  readonly #names: FunctionNames
  readonly #items: readonly InputItem[]
  readonly #builtIns: BuiltInTools | undefined
  /** Index of a call → index of its output. */
  readonly #outputs = new Map<number, number>()

  constructor(
    names: FunctionNames,
    items: readonly InputItem[],
    builtIns: BuiltInTools | undefined,
  ) {
    this.#names = names
    this.#items = items
    this.#builtIns = builtIns
    this.#pairCalls()
  }

  render(from: number): HarmonyMessage[] {
    const items = this.#items.slice(from)
    return items.flatMap((item, offset) => this.#item(item, from + offset))
  }

  /** Clients reuse call ids from turn to turn: an output belongs to the oldest unanswered call with its id. */
  #pairCalls(): void {
    const unanswered = new Map<string, number[]>()
    for (const [index, item] of this.#items.entries()) {
      if (isCall(item)) {
        const waiting = unanswered.get(item.call_id)
        if (waiting) waiting.push(index)
        else unanswered.set(item.call_id, [index])
      } else if (isOutput(item)) {
        const call = unanswered.get(item.call_id)?.shift()
        if (call === undefined) {
          throw new ApiError(
            'invalid_value',
            `No tool call found for function call output with call_id ${item.call_id}.`,
            { param: `input[${index}].call_id` },
          )
        }
        this.#outputs.set(call, index)
      }
    }
  }

  #item(item: InputItem, index: number): HarmonyMessage[] {
    const path = `input[${index}]`
    if (isMessage(item)) return [this.#message(item, index, path)]
    if (isCall(item)) return this.#call(item, index)
    // Rendered with its call.
    if (isOutput(item)) return []
    if (isReasoning(item)) {
      const text = reasoningText(item)
      return text === '' ? [] : [assistant('analysis', text)]
    }
    const type = item.type ?? 'item_reference'
    throw new ApiError(
      'unsupported_content',
      `Input items of type '${type}' are not supported by this model.`,
      { param: path },
    )
  }

  #message(item: MessageItem, index: number, path: string): HarmonyMessage {
    const text = messageText(item, path)
    if (item.role === 'assistant') {
      const preamble = item.phase == null ? this.#precedesCall(index) : item.phase === 'commentary'
      return assistant(preamble ? 'commentary' : 'final', text)
    }
    return { role: item.role === 'user' ? 'user' : 'developer', content: text }
  }

  /** Text right before a call was said on the way, not as the answer. */
  #precedesCall(index: number): boolean {
    let at = index + 1
    let next = this.#items[at]
    while (next !== undefined && isReasoning(next)) next = this.#items[++at]
    return next !== undefined && isCall(next)
  }

  #call(item: FunctionCallItem, index: number): HarmonyMessage[] {
    const call = this.#builtInCall(item) ?? {
      role: 'assistant',
      recipient: `functions.${this.#names.show(item.name)}`,
      channel: 'commentary',
      content_type: '<|constrain|>json',
      content: item.arguments,
    }
    const at = this.#outputs.get(index)
    const output = at === undefined ? undefined : this.#items[at]
    if (!output || !isOutput(output)) return [call]
    const answer: HarmonyMessage = {
      role: 'tool',
      name: call.recipient,
      recipient: 'assistant',
      channel: call.channel,
      content: contentText(output.output, `input[${at}].output`),
    }
    return [call, answer]
  }

  /** Calls of built-in tools are part of the thinking, as they were in training. */
  #builtInCall(item: FunctionCallItem): HarmonyMessage | undefined {
    const recipient = this.#builtIns?.recipient(item.name)
    if (recipient === undefined) return undefined
    const content = this.#builtIns?.takesCode(item.name) ? codeOf(item.arguments) : item.arguments
    return { role: 'assistant', recipient, channel: 'analysis', content_type: 'code', content }
  }
}

function assistant(channel: string, content: string): HarmonyMessage {
  return { role: 'assistant', channel, content }
}

function isMessage(item: InputItem | undefined): item is MessageItem {
  return item !== undefined && 'role' in item && (item.type ?? 'message') === 'message'
}

function isDeveloper(item: MessageItem): boolean {
  return item.role === 'system' || item.role === 'developer'
}

function isCall(item: InputItem): item is FunctionCallItem {
  return item.type === 'function_call'
}

function isOutput(item: InputItem): item is FunctionCallOutputItem {
  return item.type === 'function_call_output'
}

function isReasoning(item: InputItem): item is ReasoningItem {
  return item.type === 'reasoning'
}

function reasoningText(item: ReasoningItem): string {
  const content = (item.content ?? []).map(({ text }) => text).join('')
  return content === '' ? (item.summary ?? []).map(({ text }) => text).join('\n\n') : content
}

function messageText(item: MessageItem, path: string): string {
  return contentText(item.content, `${path}.content`)
}

function contentText(content: string | readonly InputPart[], path: string): string {
  if (typeof content === 'string') return content
  return content.map((part, index) => partText(part, `${path}[${index}]`)).join('')
}

function partText(part: InputPart, param: string): string {
  switch (part.type) {
    case 'input_text':
    case 'output_text':
    case 'text':
      return part.text
    case 'refusal':
      return part.refusal
    default:
      throw new ApiError(
        'unsupported_content',
        `This model takes text only, not parts of type '${part.type}'.`,
        { param },
      )
  }
}
