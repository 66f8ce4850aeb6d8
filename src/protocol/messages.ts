// Anthropic's Messages API: request, message and stream events. https://docs.anthropic.com/en/api/messages
// Requests are checked where we read them and left alone elsewhere; what we send is written as types alone, after those of
// @anthropic-ai/sdk, since nothing reads it back.
import { z } from 'zod'
import { check, dispatch, list, mapOf, stringOr } from './check.ts'

const nullable = <T extends z.ZodType>(schema: T) => schema.nullish()
const untyped = z.looseObject({ type: z.string() })

function byType(schemas: Record<string, z.ZodType>) {
  return (value: object) => {
    const type: unknown = Reflect.get(value, 'type')
    if (typeof type !== 'string') return untyped
    return Object.hasOwn(schemas, type) ? schemas[type] : undefined
  }
}

// ---- content blocks

const textBlock = z.looseObject({ type: z.literal('text'), text: z.string() })

const base64Source = z.looseObject({
  type: z.literal('base64'),
  media_type: z.string().regex(/^[\w.+-]+\/[\w.+-]+$/, 'expected a media type'),
  data: z.string(),
})
const urlSource = z.looseObject({ type: z.literal('url'), url: z.string() })
const fileSource = z.looseObject({ type: z.literal('file'), file_id: z.string() })
const textSource = z.looseObject({ type: z.literal('text'), data: z.string() })
const imageSources = { base64: base64Source, url: urlSource, file: fileSource }
export type ImageSource =
  | z.infer<typeof base64Source>
  | z.infer<typeof urlSource>
  | z.infer<typeof fileSource>
const imageBlock = z.looseObject({
  type: z.literal('image'),
  source: dispatch<ImageSource>(byType(imageSources), 'an image source'),
})

const sourceContent = dispatch<z.infer<typeof textBlock> | z.infer<typeof imageBlock>>(
  byType({ text: textBlock, image: imageBlock }),
  'a content block',
)
const contentSource = z.looseObject({
  type: z.literal('content'),
  content: stringOr(list(sourceContent)),
})
export type DocumentSource =
  | ImageSource
  | z.infer<typeof textSource>
  | z.infer<typeof contentSource>
const documentBlock = z.looseObject({
  type: z.literal('document'),
  source: dispatch<DocumentSource>(
    byType({ ...imageSources, text: textSource, content: contentSource }),
    'a document source',
  ),
  title: nullable(z.string()),
  context: nullable(z.string()),
})
const searchResultBlock = z.looseObject({
  type: z.literal('search_result'),
  source: z.string(),
  title: z.string(),
  content: list(textBlock),
})
const toolReferenceBlock = z.looseObject({
  type: z.literal('tool_reference'),
  tool_name: z.string().min(1),
})

const resultBlocks = {
  text: textBlock,
  image: imageBlock,
  document: documentBlock,
  search_result: searchResultBlock,
  tool_reference: toolReferenceBlock,
}
/** A block of a tool's result. At run time other types occur too. */
export type ResultBlock =
  | z.infer<typeof textBlock>
  | z.infer<typeof imageBlock>
  | z.infer<typeof documentBlock>
  | z.infer<typeof searchResultBlock>
  | z.infer<typeof toolReferenceBlock>

const thinkingBlock = z.looseObject({
  type: z.literal('thinking'),
  thinking: z.string(),
  signature: nullable(z.string()),
})
const redactedThinkingBlock = z.looseObject({ type: z.literal('redacted_thinking') })
const toolUseBlock = z.looseObject({
  type: z.literal('tool_use'),
  id: z.string().min(1),
  name: z.string().min(1).max(256),
  input: z.unknown(),
})
const toolResultBlock = z.looseObject({
  type: z.literal('tool_result'),
  tool_use_id: z.string().min(1),
  content: nullable(stringOr(list(dispatch<ResultBlock>(byType(resultBlocks), 'a content block')))),
  is_error: nullable(z.boolean()),
})
const name = z.string().min(1).max(256)
/** What ran at the server that answered: the call, and what came of it. */
const serverBlocks = {
  mcp_tool_use: z.looseObject({
    type: z.literal('mcp_tool_use'),
    id: z.string().min(1),
    name,
    server_name: name,
  }),
  mcp_tool_result: z.looseObject({
    type: z.literal('mcp_tool_result'),
    tool_use_id: z.string().min(1),
    is_error: nullable(z.boolean()),
  }),
  server_tool_use: z.looseObject({
    type: z.literal('server_tool_use'),
    id: z.string().min(1),
    name,
  }),
  code_execution_tool_result: z.looseObject({
    type: z.literal('code_execution_tool_result'),
    tool_use_id: z.string().min(1),
  }),
}
const compactionBlock = z.looseObject({
  type: z.literal('compaction'),
  content: nullable(z.string()),
})
export type ThinkingBlock = z.infer<typeof thinkingBlock>
export type ToolUseBlock = z.infer<typeof toolUseBlock>
export type ToolResultBlock = z.infer<typeof toolResultBlock>

const tool = z.looseObject({
  type: nullable(z.string()),
  name: z.string().min(1).max(256).optional(),
  description: nullable(z.string()),
  input_schema: z.record(z.string(), z.unknown()).optional(),
  strict: nullable(z.boolean()),
  defer_loading: nullable(z.boolean()),
  input_examples: nullable(list(z.record(z.string(), z.unknown()))),
})
const customTool = tool.extend({
  name: z.string().min(1).max(256),
  input_schema: z.record(z.string(), z.unknown()),
})
const isOn = nullable(z.looseObject({ enabled: nullable(z.boolean()) }))
const mcpToolset = tool.extend({
  mcp_server_name: z.string().min(1),
  default_config: isOn,
  configs: nullable(mapOf(z.looseObject({ enabled: nullable(z.boolean()) }))),
})
const domains = nullable(list(z.string(), { max: 100 }))
const webSearchTool = tool.extend({
  allowed_domains: domains,
  blocked_domains: domains,
  max_uses: nullable(z.int().min(1)),
  user_location: z.unknown(),
})
/** Which tools of a server of `mcp_servers` the model may call. */
export type McpToolset = z.infer<typeof mcpToolset>
/** `web_search_…` of Anthropic's servers. */
export type WebSearchTool = z.infer<typeof webSearchTool>
/** A tool: `custom` or without a type a function of the client, else one of Anthropic's by its dated type. */
export type MessagesTool = z.infer<typeof tool>
const anyTool = dispatch<MessagesTool>((value) => {
  const type: unknown = Reflect.get(value, 'type')
  if (type === 'mcp_toolset') return mcpToolset
  if (typeof type === 'string' && /^web_search_\d{8}$/.test(type)) return webSearchTool
  return type == null || type === 'custom' ? customTool : tool
}, 'a tool')

const toolChangeBlock = (type: 'tool_addition' | 'tool_removal') =>
  z.looseObject({
    type: z.literal(type),
    tool: z.looseObject({
      type: z.string(),
      name: z.string().optional(),
      definition: anyTool.optional(),
    }),
  })
const toolAdditionBlock = toolChangeBlock('tool_addition')
const toolRemovalBlock = toolChangeBlock('tool_removal')

/** A block of a message. At run time other types occur too (what Anthropic's own servers ran). */
export type Block =
  | ResultBlock
  | ThinkingBlock
  | z.infer<typeof redactedThinkingBlock>
  | ToolUseBlock
  | ToolResultBlock
  | z.infer<typeof compactionBlock>
  | z.infer<typeof toolAdditionBlock>
  | z.infer<typeof toolRemovalBlock>

const block = dispatch<Block>(
  byType({
    ...resultBlocks,
    thinking: thinkingBlock,
    redacted_thinking: redactedThinkingBlock,
    tool_use: toolUseBlock,
    tool_result: toolResultBlock,
    ...serverBlocks,
    compaction: compactionBlock,
    tool_addition: toolAdditionBlock,
    tool_removal: toolRemovalBlock,
  }),
  'a content block',
)

// ---- request

const turn = z.looseObject({
  role: z.enum(['user', 'assistant']),
  content: stringOr(list(block)),
})
const efforts = ['low', 'medium', 'high', 'xhigh', 'max'] as const
/** Instructions in the middle of a conversation; clients send it with new tools or another effort. */
const systemMessage = z.looseObject({
  role: z.literal('system'),
  content: nullable(stringOr(list(block))),
  clear_at: nullable(z.enum(['next_user_message', 'never'])),
  output_config: nullable(z.looseObject({ effort: nullable(z.enum(efforts)) })),
})
const knownRole = z.looseObject({ role: z.enum(['user', 'assistant', 'system']) })
export type Turn = z.infer<typeof turn>
export type SystemMessage = z.infer<typeof systemMessage>
const message = dispatch<Turn | SystemMessage>((value) => {
  const role: unknown = Reflect.get(value, 'role')
  if (role === 'system') return systemMessage
  return role === 'user' || role === 'assistant' ? turn : knownRole
}, 'a message')

const systemSchema = stringOr(list(textBlock))

const choiceFlags = { disable_parallel_tool_use: nullable(z.boolean()) }
const toolChoices = {
  auto: z.looseObject({ type: z.literal('auto'), ...choiceFlags }),
  any: z.looseObject({ type: z.literal('any'), ...choiceFlags }),
  tool: z.looseObject({ type: z.literal('tool'), name: z.string().min(1), ...choiceFlags }),
  none: z.looseObject({ type: z.literal('none'), ...choiceFlags }),
}
export type MessagesToolChoice =
  | z.infer<typeof toolChoices.auto>
  | z.infer<typeof toolChoices.any>
  | z.infer<typeof toolChoices.tool>
  | z.infer<typeof toolChoices.none>
const knownChoice = z.looseObject({ type: z.enum(['auto', 'any', 'tool', 'none']) })
const toolChoice = dispatch<MessagesToolChoice>(
  (value) => byType(toolChoices)(value) ?? knownChoice,
  'a tool choice',
)

const thinking = z.looseObject({
  type: z.enum(['enabled', 'disabled', 'adaptive', 'between_tools']),
  budget_tokens: z.int().min(1).optional(),
  display: nullable(z.enum(['summarized', 'omitted'])),
})
const outputFormat = z.looseObject({
  type: z.literal('json_schema'),
  schema: z.record(z.string(), z.unknown()),
})
const mcpServer = z.looseObject({
  type: nullable(z.literal('url')),
  name: z.string().min(1),
  url: z.string(),
  authorization_token: nullable(z.string()),
  tool_configuration: nullable(
    z.looseObject({ enabled: nullable(z.boolean()), allowed_tools: nullable(list(z.string())) }),
  ),
})
/** A server of tools that whoever is asked connects to. */
export type McpServerEntry = z.infer<typeof mcpServer>
const countedFields = {
  model: z.string().min(1),
  messages: list(message, { min: 1 }),
  system: nullable(systemSchema),
  tools: nullable(list(anyTool, { max: 512 })),
  tool_choice: nullable(toolChoice),
  thinking: nullable(thinking),
  output_config: nullable(
    z.looseObject({ effort: nullable(z.enum(efforts)), format: nullable(outputFormat) }),
  ),
  // The name of `output_config.format` before it had a home.
  output_format: nullable(outputFormat),
  mcp_servers: nullable(list(mcpServer, { max: 20 })),
  container: nullable(
    stringOr(z.looseObject({ id: nullable(z.string()), skills: nullable(list(z.unknown())) })),
  ),
}

/** Body of `POST /v1/messages/count_tokens`. */
export const countTokensSchema = z.looseObject(countedFields)
export type CountTokensRequest = z.infer<typeof countTokensSchema>

/** Body of `POST /v1/messages`. */
export const messagesRequestSchema = z.looseObject({
  ...countedFields,
  max_tokens: z.int().min(1),
  stream: nullable(z.boolean()),
  stop_sequences: nullable(list(z.string().min(1), { max: 64 })),
  temperature: nullable(z.number().min(0).max(2)),
  top_p: nullable(z.number().min(0).max(1)),
  top_k: nullable(z.int().min(0)),
  metadata: nullable(z.looseObject({ user_id: nullable(z.string()) })),
  service_tier: nullable(z.enum(['auto', 'standard_only'])),
})
export type MessagesRequest = z.infer<typeof messagesRequestSchema>

/** Checks a parsed body; throws ApiError with the path of the first bad field. */
export function parseMessagesRequest(body: unknown): MessagesRequest {
  return check(messagesRequestSchema, body)
}

/** Checks the body of a request that only counts; throws ApiError with the path of the first bad field. */
export function parseCountTokensRequest(body: unknown): CountTokensRequest {
  return check(countTokensSchema, body)
}

// ---- what we send

export type StopReason =
  | 'end_turn'
  | 'max_tokens'
  | 'stop_sequence'
  | 'tool_use'
  | 'refusal'
  | 'model_context_window_exceeded'
  | 'pause_turn'

/** A call that the model made of a tool of ours. */
export type ServerUseBlock =
  | { type: 'server_tool_use'; id: string; name: string; input: unknown }
  | { type: 'mcp_tool_use'; id: string; name: string; server_name: string; input: unknown }

/** What came of it. */
export type ServerResultBlock =
  | { type: 'mcp_tool_result'; tool_use_id: string; is_error: boolean; content: ResultText[] }
  | { type: 'web_search_tool_result'; tool_use_id: string; content: unknown }
  | { type: 'code_execution_tool_result'; tool_use_id: string; content: CodeResult }

/** Text of a tool's result. */
interface ResultText {
  type: 'text'
  text: string
  citations: null
}

interface CodeResult {
  type: 'code_execution_result'
  stdout: string
  stderr: string
  return_code: number
  content: []
}

export type OutputBlock =
  | { type: 'text'; text: string; citations: null }
  | { type: 'thinking'; thinking: string; signature: string }
  | { type: 'tool_use'; id: string; name: string; input: unknown; caller: { type: 'direct' } }
  | ServerUseBlock
  | ServerResultBlock

/** Counts of a whole message; `input_tokens` are those that no cache had. */
export interface MessageUsage {
  input_tokens: number
  cache_creation_input_tokens: number
  cache_read_input_tokens: number
  output_tokens: number
  output_tokens_details: { thinking_tokens: number }
  server_tool_use: { web_search_requests: number; web_fetch_requests: number } | null
}

/** Where code has run: named in the next request, its variables and files are there again. */
export interface MessageContainer {
  id: string
  /** ISO 8601. */
  expires_at: string
  skills: null
}

export interface Message {
  id: string
  type: 'message'
  role: 'assistant'
  model: string
  content: OutputBlock[]
  stop_reason: StopReason | null
  stop_sequence: string | null
  stop_details: null
  container: MessageContainer | null
  diagnostics: null
  usage: MessageUsage & {
    cache_creation: null
    inference_geo: null
    service_tier: 'standard'
    speed: null
  }
}

export type BlockDelta =
  | { type: 'text_delta'; text: string }
  | { type: 'thinking_delta'; thinking: string }
  | { type: 'signature_delta'; signature: string }
  | { type: 'input_json_delta'; partial_json: string }

export interface MessagesErrorBody {
  type: 'error'
  error: {
    type: string
    message: string
    details: { error_code: string | null; param: string | null }
  }
  request_id: string | null
}

export type MessagesEvent =
  | { type: 'message_start'; message: Message }
  | { type: 'ping' }
  | { type: 'content_block_start'; index: number; content_block: OutputBlock }
  | { type: 'content_block_delta'; index: number; delta: BlockDelta }
  | { type: 'content_block_stop'; index: number }
  | {
      type: 'message_delta'
      delta: {
        stop_reason: StopReason
        stop_sequence: string | null
        stop_details: null
        container: MessageContainer | null
      }
      usage: MessageUsage
    }
  | { type: 'message_stop' }
  | MessagesErrorBody
