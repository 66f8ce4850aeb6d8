// Whole responses as messages, and what a stream and a whole answer have in common: usage and the reason of the end.
import { ApiError } from '../errors.ts'
import { isObject } from '../protocol/check.ts'
import type { Message, MessageUsage, OutputBlock, StopReason } from '../protocol/messages.ts'
import type { ResponseUsage } from '../protocol/responses.ts'
import { errorIn } from './chat-stream.ts'
import { containerOf, isCountedSearch, serverCall } from './messages-server-blocks.ts'
import { carryingSignature, shownSignature, type ThinkingDisplay } from './messages-thinking.ts'
import { cacheWritesOf, usageFromResponses } from './usage.ts'

export interface MessageOptions {
  /** `msg_…` */
  id: string
  /** The model that answers. */
  model: string
  display: ThinkingDisplay
  /**
   * `max_tokens`, where the place counts exactly: an answer cut below it was cut by the end of the context. Undefined where
   * that cannot be told.
   */
  exactLimit?: number | undefined
  /** Milliseconds since the epoch; without it nothing is said of containers. */
  now?: (() => number) | undefined
}

/** A response object, ours or any server's, as a message; throws ApiError where it failed. */
export function responseToMessage(response: unknown, options: MessageOptions): Message {
  if (!isObject(response) || !Array.isArray(response.output)) {
    throw new ApiError('upstream_error', 'The upstream sent something that is no response.', {
      retryable: true,
    })
  }
  if (response.status === 'failed' || response.status === 'cancelled') {
    throw errorIn(isObject(response.error) ? response : {})
  }
  const items = response.output.filter(isObject)
  const content = items.flatMap((item) => blocksOf(item, options.display))
  const usage = usageFromResponses(response.usage)
  const refused = items.some((item) => objects(item.content).some(({ type }) => type === 'refusal'))
  const end = endOf(response, { hasCalls: content.some(isCall), refused, usage, options })
  const searches = items.filter(isCountedSearch).length
  const containers = items.flatMap((item) => containerOf(item, options.now?.()) ?? [])
  const container = containers.at(-1) ?? null
  return {
    ...emptyMessage(options),
    content,
    container,
    ...end,
    usage: wholeUsage(usage, searches),
  }
}

/** The message of `message_start`. */
export function emptyMessage({ id, model }: MessageOptions): Message {
  return {
    id,
    type: 'message',
    role: 'assistant',
    model,
    content: [],
    stop_reason: null,
    stop_sequence: null,
    stop_details: null,
    container: null,
    diagnostics: null,
    usage: wholeUsage(undefined),
  }
}

/**
 * Counts in Anthropic's words: what came from a cache or went into one is no part of `input_tokens` there. `searches`: how often the web was
 * searched.
 */
export function usageToMessages(usage: ResponseUsage | undefined, searches = 0): MessageUsage {
  const cached = usage?.input_tokens_details.cached_tokens ?? 0
  const written = cacheWritesOf(usage)
  return {
    input_tokens: Math.max(0, (usage?.input_tokens ?? 0) - cached - written),
    cache_creation_input_tokens: written,
    cache_read_input_tokens: cached,
    output_tokens: usage?.output_tokens ?? 0,
    output_tokens_details: {
      thinking_tokens: usage?.output_tokens_details.reasoning_tokens ?? 0,
    },
    server_tool_use:
      searches === 0 ? null : { web_search_requests: searches, web_fetch_requests: 0 },
  }
}

function wholeUsage(usage: ResponseUsage | undefined, searches = 0): Message['usage'] {
  const rest = { cache_creation: null, inference_geo: null, service_tier: 'standard' as const }
  return { ...usageToMessages(usage, searches), ...rest, speed: null }
}

/** Why a response has ended, in Anthropic's words. */
export function endOf(
  response: Record<string, unknown>,
  seen: {
    hasCalls: boolean
    refused: boolean
    usage: ResponseUsage | undefined
    options: MessageOptions
  },
): { stop_reason: StopReason; stop_sequence: string | null } {
  const { hasCalls, refused, usage, options } = seen
  const stopped = (stop_reason: StopReason) => ({ stop_reason, stop_sequence: null })
  if (response.status === 'incomplete') {
    const details = isObject(response.incomplete_details) ? response.incomplete_details : {}
    if (details.reason === 'content_filter') return stopped('refusal')
    if (details.reason === 'max_tool_calls') return stopped('pause_turn')
    const limit = options.exactLimit
    const isContext = limit !== undefined && usage !== undefined && usage.output_tokens < limit
    return stopped(isContext ? 'model_context_window_exceeded' : 'max_tokens')
  }
  if (hasCalls) return stopped('tool_use')
  if (refused) return stopped('refusal')
  const { stop_sequence } = response
  return typeof stop_sequence === 'string'
    ? { stop_reason: 'stop_sequence', stop_sequence }
    : stopped('end_turn')
}

function blocksOf(item: Record<string, unknown>, display: ThinkingDisplay): OutputBlock[] {
  switch (item.type) {
    case 'message':
      return objects(item.content).flatMap((part) => {
        const text = part.type === 'refusal' ? part.refusal : part.text
        return typeof text === 'string' && text !== ''
          ? [{ type: 'text' as const, text, citations: null }]
          : []
      })
    case 'reasoning': {
      const text = reasoningText(item)
      return text === '' || display === 'none' ? [] : [thinkingBlock(text, display)]
    }
    case 'function_call': {
      const input = inputOf(typeof item.arguments === 'string' ? item.arguments : '')
      return [{ ...emptyCall(item), input }]
    }
    default: {
      const call = serverCall(item)
      return call === undefined ? [] : [call.use, call.result]
    }
  }
}

/** The text of a reasoning item: its content, or where it has none its summary. */
export function reasoningText(item: Record<string, unknown>): string {
  const content = objects(item.content)
  const parts = content.length > 0 ? content : objects(item.summary)
  return parts.flatMap(({ text }) => (typeof text === 'string' ? [text] : [])).join('\n')
}

/** How a block of reasoning is signed. */
export function signatureOf(text: string, display: ThinkingDisplay): string {
  return display === 'omitted' ? carryingSignature(text) : shownSignature
}

function thinkingBlock(text: string, display: ThinkingDisplay): OutputBlock {
  const signature = signatureOf(text, display)
  return { type: 'thinking', thinking: display === 'omitted' ? '' : text, signature }
}

/** A call without its input. */
export function emptyCall(item: Record<string, unknown>) {
  return {
    type: 'tool_use' as const,
    id: String(item.call_id),
    name: String(item.name),
    input: {},
    caller: { type: 'direct' as const },
  }
}

/** What is no JSON object goes under the name that Anthropic's documentation gives to such input. */
function inputOf(text: string): unknown {
  if (text.trim() === '') return {}
  try {
    const value: unknown = JSON.parse(text)
    if (isObject(value)) return value
  } catch {
    // Told below.
  }
  return { INVALID_JSON: text }
}

function isCall(block: OutputBlock): boolean {
  return block.type === 'tool_use'
}

export function objects(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.filter(isObject) : []
}
