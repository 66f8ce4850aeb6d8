// Tools, tool choice and tool names between the two dialects.
import { ApiError } from '../errors.ts'
import type { ChatRequest, ChatTool, ChatToolChoice } from '../protocol/chat.ts'
import { isObject } from '../protocol/check.ts'
import type { ResponsesRequest, Tool, ToolChoice } from '../protocol/responses.ts'

/** The tool fields of a Chat request, for a request whose tools are functions. */
export function toolsToChat(
  request: ResponsesRequest,
): Pick<ChatRequest, 'tools' | 'tool_choice' | 'parallel_tool_calls'> {
  const choice = request.tool_choice ?? undefined
  const allowed = allowedToolNames(request)
  const tools = (request.tools ?? [])
    .filter(({ type, name }) => type === 'function' && (allowed?.has(name) ?? true))
    .map(toolToChat)
  const mode = isObject(choice) && choice.type === 'allowed_tools' ? choice.mode : choice
  if (tools.length === 0) {
    if (mode === 'required' || isObject(mode)) {
      throw nothingToCall()
    }
    // Several servers refuse `tools: []`, and tool_choice without tools.
    return {}
  }
  const toolChoice = isObject(mode) ? namedToChat(mode, tools) : mode
  return {
    tools,
    ...(toolChoice === undefined ? {} : { tool_choice: toolChoice }),
    ...(request.parallel_tool_calls == null
      ? {}
      : { parallel_tool_calls: request.parallel_tool_calls }),
  }
}

function toolToChat({ type: _, name, description, parameters, strict, ...rest }: Tool): ChatTool {
  return {
    type: 'function',
    function: {
      ...rest,
      name,
      ...(description == null ? {} : { description }),
      ...(parameters == null ? {} : { parameters }),
      ...(strict == null ? {} : { strict }),
    },
  }
}

function namedToChat(choice: Exclude<ToolChoice, string>, tools: ChatTool[]): ChatToolChoice {
  const name = choice.type === 'function' ? choice.name : undefined
  if (name === undefined || !tools.some((tool) => tool.function.name === name)) {
    throw new ApiError(
      'invalid_value',
      `tool_choice names '${String(name)}', which is not in tools.`,
      {
        param: 'tool_choice',
      },
    )
  }
  return { type: 'function', function: { name } }
}

/** The tool fields of a Responses request. */
export function toolsFromChat(
  request: ChatRequest,
): Pick<ResponsesRequest, 'tools' | 'tool_choice'> {
  return {
    ...(request.tools == null ? {} : { tools: request.tools.map(toolFromChat) }),
    ...(request.tool_choice == null ? {} : { tool_choice: choiceFromChat(request.tool_choice) }),
  }
}

function toolFromChat(tool: ChatTool): Tool {
  if (tool.type !== 'function') return otherToolFromChat(tool)
  const { function: definition, ...rest } = tool
  const { description, parameters, strict } = definition
  // Chat's `strict` is false unless said, Responses' is true: saying it keeps the meaning.
  return {
    ...rest,
    ...definition,
    description: description ?? null,
    parameters: parameters ?? null,
    strict: strict ?? false,
  }
}

/** Chat puts a grammar one level deeper. */
function otherToolFromChat(tool: object): Tool {
  const flat = flattened<Record<string, unknown>>(tool)
  const { format } = flat
  const grammar = isObject(format) && isObject(format.grammar) ? format.grammar : undefined
  return (
    grammar === undefined ? flat : { ...flat, format: { type: 'grammar', ...grammar } }
  ) as Tool
}

/** `{ type: 'custom', custom: { name } }` → `{ type: 'custom', name }`: kinds that the types do not list. */
function flattened<T>(value: object): T {
  const type = String(Reflect.get(value, 'type'))
  const inner: unknown = Reflect.get(value, type)
  return (isObject(inner) ? { type, ...inner } : value) as T
}

function choiceFromChat(choice: ChatToolChoice): ToolChoice {
  if (typeof choice === 'string') return choice
  if (choice.type === 'function') return { type: 'function', name: choice.function.name }
  if (choice.type !== 'allowed_tools') return flattened(choice)
  const { mode, tools } = choice.allowed_tools
  return {
    type: 'allowed_tools',
    mode: mode ?? 'auto',
    tools: tools.map(({ type, function: definition, custom, ...rest }) => {
      const named = isObject(definition) ? definition : custom
      return {
        ...rest,
        type: typeof type === 'string' ? type : 'function',
        ...(isObject(named) && typeof named.name === 'string' ? { name: named.name } : {}),
      }
    }),
  }
}

/** Names that `allowed_tools` lists; undefined where the choice is another one. */
export function allowedToolNames(
  request: Pick<ResponsesRequest, 'tool_choice'>,
): ReadonlySet<string> | undefined {
  const choice = request.tool_choice
  if (!isObject(choice) || choice.type !== 'allowed_tools' || !Array.isArray(choice.tools)) {
    return undefined
  }
  const names = new Set<string>()
  for (const tool of choice.tools) {
    if (isObject(tool) && typeof tool.name === 'string') names.add(tool.name)
  }
  return names
}

/** Names that the model may call; undefined where it may call anything. */
export function callableNames(request: ResponsesRequest): ReadonlySet<string> | undefined {
  return request.tool_choice === 'none' ? new Set() : allowedToolNames(request)
}

/** The error of a call that tool_choice rules out, whoever made it. */
export function notAllowed(name: string): ApiError {
  return new ApiError(
    'tool_choice_not_met',
    `The model called '${name}', which tool_choice does not allow.`,
  )
}

/** How many calls of one answer the client takes: `max_tool_calls`, and one where it runs no two at once. */
export function callLimit({ parallel_tool_calls, max_tool_calls }: ResponsesRequest): number {
  const atOnce = parallel_tool_calls === false ? 1 : Number.POSITIVE_INFINITY
  return Math.min(atOnce, max_tool_calls ?? Number.POSITIVE_INFINITY)
}

/**
 * A tool name as the model wrote it, cleaned of harmony: `search<|channel|>commentary` (vLLM #32587) and
 * `functions.search`. A declared name always wins.
 */
export function cleanToolName(name: string, declared: ReadonlySet<string>): string {
  if (declared.has(name)) return name
  const marker = name.indexOf('<|')
  const cut = (marker === -1 ? name : name.slice(0, marker)).trim()
  const bare = cut.startsWith('functions.') ? cut.slice('functions.'.length) : cut
  return declared.has(bare) ? bare : cut
}

/**
 * `allowed_tools` for a Chat upstream: hardly a server outside OpenAI knows it, so that tools outside the list are not
 * sent and only the mode is left of the choice.
 */
export function restrictChatTools(request: ChatRequest): ChatRequest {
  const choice = request.tool_choice
  if (!isObject(choice) || choice.type !== 'allowed_tools') return request
  const { tool_choice: _, tools, ...rest } = request
  const allowed = allowedToolNames(toolsFromChat(request))
  const kept = (tools ?? []).filter((tool) => allowed?.has(tool.function?.name) === true)
  const mode = choice.allowed_tools.mode ?? 'auto'
  if (kept.length > 0) return { ...rest, tools: kept, tool_choice: mode }
  if (mode === 'required') throw nothingToCall()
  return rest
}

function nothingToCall(): ApiError {
  return new ApiError('invalid_value', 'tool_choice asks for a tool, but there is none to call.', {
    param: 'tool_choice',
  })
}
