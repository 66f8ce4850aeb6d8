// Folds of whole streams. The answer without streaming is the fold of the stream, by construction.

import { toFinish } from '../convert/finish-reason.ts'
import { usageToChat } from '../convert/usage.ts'
import { ApiError } from '../errors.ts'
import type { ChatResponse } from '../protocol/chat.ts'
import { isObject } from '../protocol/check.ts'
import type { Logprob, ResponseUsage } from '../protocol/responses.ts'
import { ResponseFold } from './fold.ts'
import { normalizeChunk } from './normalize.ts'
import { ToolCallTable } from './tool-calls.ts'

/** The response that a list of Responses events amounts to; throws ApiError without a terminal event. */
export function collectResponse(events: Iterable<unknown>): Record<string, unknown> {
  const fold = new ResponseFold()
  for (const event of events) fold.push(event)
  const { response, terminal } = fold
  if (response === undefined || terminal === undefined) {
    throw new ApiError('upstream_error', 'The stream has no terminal event.')
  }
  return response
}

/** The completion that a list of Chat chunks amounts to; throws ApiError for an error chunk or a missing end. */
export function collectChat(chunks: Iterable<unknown>): ChatResponse {
  const calls = new ToolCallTable()
  const logprobs: Logprob[] = []
  let head: Record<string, unknown> = {}
  const extra: Record<string, unknown> = {}
  let reasoning = ''
  let content = ''
  let refusal = ''
  let finish: string | undefined
  let usage: ResponseUsage | undefined
  let stopReason: string | undefined
  for (const raw of chunks) {
    const chunk = normalizeChunk(raw)
    if (chunk.error !== undefined) throw new ApiError('upstream_error', chunk.error.message)
    if (isObject(raw)) {
      head = { ...raw, ...head }
      keepUnknown(raw.choices, extra)
    }
    reasoning += chunk.reasoning
    content += chunk.content
    refusal += chunk.refusal
    calls.push(chunk.calls)
    logprobs.push(...chunk.logprobs)
    finish ??= toFinish(chunk.finishReason)
    usage = chunk.usage ?? usage
    stopReason ??= chunk.stopReason
  }
  const finishReason = toFinish(finish)
  if (finishReason === undefined) {
    throw new ApiError('upstream_error', 'The stream ended without a finish_reason.')
  }
  const toolCalls = calls.calls.map(({ id = '', name = '', arguments: args }) => ({
    id,
    type: 'function' as const,
    function: { name, arguments: args },
  }))
  const { choices: _choices, usage: _usage, x_groq: _groq, object: _object, ...unknown } = head
  return {
    ...unknown,
    id: typeof head.id === 'string' ? head.id : '',
    object: 'chat.completion',
    created: typeof head.created === 'number' ? head.created : 0,
    model: typeof head.model === 'string' ? head.model : '',
    choices: [
      {
        index: 0,
        message: {
          ...extra,
          role: 'assistant',
          content: content === '' && (toolCalls.length > 0 || refusal !== '') ? null : content,
          refusal: refusal === '' ? null : refusal,
          ...(reasoning === '' ? {} : { reasoning, reasoning_content: reasoning }),
          ...(toolCalls.length === 0 ? {} : { tool_calls: toolCalls }),
        },
        logprobs: logprobs.length === 0 ? null : { content: logprobs, refusal: null },
        finish_reason: finishReason,
        ...(stopReason === undefined ? {} : { stop_reason: stopReason }),
      },
    ],
    ...(usage === undefined ? {} : { usage: usageToChat(usage) }),
  }
}

/** Fields of a delta that are read into fields of their own. */
const known: ReadonlySet<string> = new Set([
  'role',
  'content',
  'refusal',
  'reasoning',
  'reasoning_content',
  'thinking',
  'reasoning_details',
  'tool_calls',
  'function_call',
])

/** What a server adds to its deltas (citations, annotations) belongs to the message: lists grow, the rest is as it came last. */
function keepUnknown(choices: unknown, extra: Record<string, unknown>): void {
  const choice: unknown = Array.isArray(choices) ? choices[0] : undefined
  const delta = isObject(choice) && isObject(choice.delta) ? choice.delta : {}
  for (const [key, value] of Object.entries(delta)) {
    if (known.has(key) || value == null) continue
    const before = extra[key]
    extra[key] = Array.isArray(before) && Array.isArray(value) ? [...before, ...value] : value
  }
}
