// Messages request → canonical Responses request, with the way back from a canonical field to what the client wrote.
// A field that changes the answer is honoured or refused by name; one that only advises Anthropic's own servers is left
// out and named; unknown fields go on to the upstream (`seed`, `min_p`, …).
import { ApiError } from '../errors.ts'
import type { CountTokensRequest, MessagesRequest } from '../protocol/messages.ts'
import type { ResponsesRequest } from '../protocol/responses.ts'
import { MessagesHistory, type Origin } from './messages-history.ts'
import { isServerResult } from './messages-server-blocks.ts'
import {
  namedContainer,
  type PlacedTool,
  searchIncludes,
  searchLimit,
  serverChoice,
  serverField,
} from './messages-server-tools.ts'
import { effortOf } from './messages-thinking.ts'
import { choiceFromMessages, toolsFromMessages } from './messages-tools.ts'

export interface ConvertedMessages {
  request: ResponsesRequest
  /** Paths of what was left out, as the client wrote them (reported in a `warning` header). */
  dropped: string[]
  /** The path of a canonical field as the client wrote it: `input[3].output[0]` → `messages[2].content[1].content[0]`. */
  paramOf(param: string): string
}

/** Converts a checked request; throws ApiError for what no upstream of ours can do. */
export function messagesToResponses(request: MessagesRequest): ConvertedMessages {
  const { max_tokens, stream, stop_sequences, temperature, top_p, top_k, metadata, ...counted } =
    request
  const { request: canonical, dropped, paramOf } = conversationToResponses(counted)
  const user = metadata?.user_id ?? undefined
  // Claude Code packs a JSON document into it; OpenAI's own limit for the field is 64.
  const fits = user !== undefined && user.length <= maxUser
  return {
    request: {
      ...canonical,
      max_output_tokens: max_tokens,
      ...(stream == null ? {} : { stream }),
      ...(stop_sequences?.length ? { stop: stop_sequences } : {}),
      ...(temperature == null ? {} : { temperature }),
      ...(top_p == null ? {} : { top_p }),
      ...(top_k == null ? {} : { top_k }),
      ...(fits ? { user } : {}),
      ...(request.service_tier === 'standard_only' ? { service_tier: 'default' } : {}),
    },
    dropped: user === undefined || fits ? dropped : [...dropped, 'metadata.user_id'],
    paramOf,
  }
}

/** Converts what both endpoints have: all that goes into the prompt. */
export function conversationToResponses(request: CountTokensRequest): ConvertedMessages {
  refuseFields(request)
  const history = new MessagesHistory(request.messages)
  const declared = request.tools ?? []
  const { tools, dropped } = toolsFromMessages(declared, history.toolChanges(chosenTool(request)), {
    servers: request.mcp_servers ?? [],
    container: namedContainer(request),
  })
  const { thinking: _t, output_config: _o, output_format: _f, tool_choice, ...rest } = request
  const format = request.output_config?.format ?? request.output_format ?? undefined
  const effort = effortOf(request, history.effort)
  const instructions = [...systemTexts(request.system), ...history.leadingInstructions]
  const canonical: ResponsesRequest = {
    ...withoutOwnFields(rest),
    model: request.model,
    input: history.items,
    ...(instructions.length === 0 ? {} : { instructions: instructions.join('\n\n') }),
    ...(tools.length === 0 ? {} : { tools: tools.map(({ tool }) => tool) }),
    ...choiceFromMessages(tool_choice, tools.length > 0),
    ...serverWishes(request),
    ...(format === undefined ? {} : { text: { format: formatOf(format.schema) } }),
    ...(effort === undefined ? {} : { reasoning: { effort } }),
  }
  return {
    request: canonical,
    dropped: [...advice(request), ...history.dropped, ...dropped],
    paramOf: (param) => paramIn(request, history.origins, tools, param),
  }
}

const maxUser = 64

/** What tools that run here are told beside their declarations. */
function serverWishes({ tools, tool_choice }: CountTokensRequest): Partial<ResponsesRequest> {
  const declared = tools ?? []
  const chosen = tool_choice?.type === 'tool' ? serverChoice(tool_choice.name, declared) : undefined
  const limit = searchLimit(declared)
  const include = searchIncludes(declared)
  return {
    ...(chosen === undefined ? {} : { tool_choice: chosen }),
    ...(limit === undefined ? {} : { max_tool_calls: limit }),
    ...(include.length === 0 ? {} : { include }),
  }
}

/** A tool that the model must call is one that it must see. */
function chosenTool({ tool_choice }: CountTokensRequest): string[] {
  return tool_choice?.type === 'tool' ? [tool_choice.name] : []
}

function formatOf(schema: Record<string, unknown>) {
  return { type: 'json_schema' as const, name: 'output', schema, strict: true }
}

/** Claude Code's first block is a line for Anthropic's billing: it changes with the client and tells a model nothing. */
const billingMark = 'x-anthropic-billing-header:'

function systemTexts(system: CountTokensRequest['system']): string[] {
  const texts = typeof system === 'string' ? [system] : (system ?? []).map((block) => block.text)
  return texts.filter((text) => text !== '' && !text.startsWith(billingMark))
}

// ---- fields

/** Fields that change what the answer would be: without them it would be a wrong one. */
const refused = [
  ['thread', 'conversations are not kept for this API; send all messages'],
  ['compaction', 'ask for a summary in a message'],
  ['inference_geo', 'where an upstream runs is not known here'],
] as const

function refuseFields(request: CountTokensRequest): void {
  for (const [param, why] of refused) {
    const value = request[param]
    if (value == null || (Array.isArray(value) && value.length === 0)) continue
    throw new ApiError('unsupported_parameter', `'${param}' is not supported: ${why}.`, { param })
  }
  const last = request.messages.length - 1
  const { role, content } = request.messages[last] ?? {}
  const end = Array.isArray(content) ? content.at(-1) : undefined
  // A turn that was paused between two calls of the server's own goes on from there.
  if (role !== 'assistant' || (end !== undefined && isServerResult(end))) return
  // Open models begin a new turn behind it: a client would glue two halves that do not fit.
  throw new ApiError(
    'unsupported_content',
    `The last message ('messages[${last}]') is the assistant's: answers are not continued here.`,
    { param: `messages[${last}]` },
  )
}

/** Words of Anthropic's API that no upstream of ours knows: read above, advice, or nothing that a model sees. */
const ownFields = new Set(
  [
    'messages system tools cache_control mcp_servers container thread compaction inference_geo metadata service_tier',
    'betas anthropic_beta anthropic_version context_management diagnostics fallbacks fallback_credit_token speed',
    'billing_policy user_profile_id workspace_id',
  ].flatMap((line) => line.split(' ')),
)

const advisory = 'context_management diagnostics fallbacks fallback_credit_token'.split(' ')

function withoutOwnFields(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).filter(([name, value]) => !ownFields.has(name) && value !== null),
  )
}

/** What was asked for and is not done. */
function advice(request: CountTokensRequest): string[] {
  const left = advisory.filter((name) => request[name] != null)
  if (request.speed === 'fast') left.push('speed')
  if (request.output_config?.task_budget != null) left.push('output_config.task_budget')
  return left
}

// ---- the way back

const names: Readonly<Record<string, string>> = {
  input: 'messages',
  instructions: 'system',
  max_output_tokens: 'max_tokens',
  stop: 'stop_sequences',
  user: 'metadata.user_id',
  'reasoning.effort': 'output_config.effort',
  parallel_tool_calls: 'tool_choice.disable_parallel_tool_use',
}

function paramIn(
  request: CountTokensRequest,
  origins: readonly Origin[],
  tools: readonly PlacedTool[],
  param: string,
): string {
  const known = Object.hasOwn(names, param) ? names[param] : undefined
  if (known !== undefined) return known
  const format = /^text\.format/.exec(param)
  if (format !== null) {
    const ours = request.output_config?.format == null ? 'output_format' : 'output_config.format'
    return ours + param.slice(format[0].length)
  }
  const tool = /^tools\[(\d+)\]/.exec(param)
  if (tool !== null) {
    const path = tools[Number(tool[1])]?.path ?? 'tools'
    const rest = param.slice(tool[0].length)
    if (rest === '.container') return 'container'
    const filter = '.filters.allowed_domains'
    if (rest.startsWith(filter)) return `${path}.allowed_domains${rest.slice(filter.length)}`
    if (path.startsWith('mcp_servers')) return path + serverField(rest)
    return path + param.slice(tool[0].length).replace(/^\.parameters/, '.input_schema')
  }
  const item = /^input\[(\d+)\](?:\.(?:content|output)(?:\[(\d+)\])?)?/.exec(param)
  if (item === null) return param
  const origin = origins[Number(item[1])]
  if (origin === undefined) return 'messages'
  const part = item[2] === undefined ? undefined : origin.parts[Number(item[2])]
  const rest = param.slice(item[0].length).replace(/^\.call_id$/, `.${origin.callId ?? 'call_id'}`)
  if (part === undefined) return origin.path + rest
  return /^\.(?:image|file)_url$/.test(rest) ? `${part}.source.url` : part
}
