// Whole answers between the two dialects. A Chat answer goes through the stream converter as one chunk, so that
// streaming and not streaming can never disagree.
import { ApiError } from '../errors.ts'
import type { ChatLogprobs, ChatResponse } from '../protocol/chat.ts'
import { isObject } from '../protocol/check.ts'
import type { Logprob, ResponseObject } from '../protocol/responses.ts'
import { normalizeChunk } from '../stream/normalize.ts'
import { finishOf } from './finish-reason.ts'
import { type ChatStreamOptions, ChatToResponsesStream, inBandError } from './stream.ts'
import { usageFromResponses, usageToChat } from './usage.ts'

/** A Chat completion as a response object; throws ApiError where it is none, or an error in disguise. */
export function chatToResponse(completion: unknown, options: ChatStreamOptions): ResponseObject {
  const answer = normalizeChunk(completion)
  if (answer.error !== undefined) throw inBandError(answer.error)
  if (!answer.isCompletion) {
    throw new ApiError('upstream_error', 'The upstream sent something that is no completion.', {
      retryable: true,
    })
  }
  const stream = new ChatToResponsesStream({ ...options, silent: true })
  stream.take(answer)
  // A JSON answer arrives whole or not at all, so that a missing finish_reason is no cut.
  if (!answer.finishReason) stream.push({ choices: [{ finish_reason: 'stop' }] })
  stream.end()
  if (stream.error !== undefined) throw stream.error
  return stream.response
}

/** What Chat says that a response object does not hold. */
export interface ChatResponseOptions {
  /** `chatcmpl-…` */
  id: string
  /** False where the client asked for no reasoning. */
  includeReasoning: boolean
}

/** A response object, ours or any server's, as a Chat completion; throws ApiError where it failed. */
export function responseToChat(
  response: unknown,
  { id, includeReasoning }: ChatResponseOptions,
): ChatResponse {
  if (!isObject(response) || !Array.isArray(response.output)) {
    throw new ApiError('upstream_error', 'The upstream sent something that is no response.', {
      retryable: true,
    })
  }
  if (response.status === 'failed' || response.status === 'cancelled') {
    throw inBandError(normalizeChunk({ error: response.error ?? {} }).error ?? noMessage)
  }
  const message = messageOf(response.output, includeReasoning)
  const details = isObject(response.incomplete_details) ? response.incomplete_details : {}
  const usage = usageFromResponses(response.usage)
  const { logprobs, ...fields } = message
  return {
    id,
    object: 'chat.completion',
    created: typeof response.created_at === 'number' ? Math.trunc(response.created_at) : 0,
    model: typeof response.model === 'string' ? response.model : '',
    choices: [
      {
        index: 0,
        message: fields,
        logprobs,
        finish_reason: finishOf(
          response.status,
          details.reason,
          (fields.tool_calls?.length ?? 0) > 0,
        ),
      },
    ],
    ...(usage === undefined ? {} : { usage: usageToChat(usage) }),
    ...(typeof response.service_tier === 'string' ? { service_tier: response.service_tier } : {}),
  }
}

const noMessage = { message: 'The upstream failed.', code: undefined, status: undefined }

type ChatMessageFields = ChatResponse['choices'][number]['message']

function messageOf(
  output: unknown[],
  includeReasoning: boolean,
): ChatMessageFields & { logprobs: ChatLogprobs | null } {
  const texts: string[] = []
  const thoughts: string[] = []
  const logprobs: Logprob[] = []
  let refusal: string | null = null
  const calls: NonNullable<ChatMessageFields['tool_calls']> = []
  for (const item of output) {
    if (!isObject(item)) continue
    if (item.type === 'message') {
      let text = ''
      for (const part of objects(item.content)) {
        if (typeof part.text === 'string') text += part.text
        if (typeof part.refusal === 'string') refusal = (refusal ?? '') + part.refusal
        // Not spread into the call: a long answer has more of them than an argument list may hold.
        if (Array.isArray(part.logprobs)) for (const each of part.logprobs) logprobs.push(each)
      }
      if (text !== '') texts.push(text)
    } else if (item.type === 'reasoning') {
      const content = objects(item.content)
      const source = content.length > 0 ? content : objects(item.summary)
      for (const part of source) if (typeof part.text === 'string') thoughts.push(part.text)
    } else if (item.type === 'function_call') {
      calls.push({
        id: String(item.call_id),
        type: 'function',
        function: { name: String(item.name), arguments: String(item.arguments ?? '') },
      })
    } else if (item.type === 'custom_tool_call') {
      const custom = { name: String(item.name), input: String(item.input ?? '') }
      calls.push({ id: String(item.call_id), type: 'custom', custom })
    }
  }
  const reasoning = thoughts.join('\n')
  return {
    role: 'assistant',
    content: texts.length === 0 && (calls.length > 0 || refusal !== null) ? null : texts.join('\n'),
    refusal,
    // Two names for one text: `reasoning` is OpenAI's advice for gpt-oss, `reasoning_content` what older clients read.
    ...(reasoning === '' || !includeReasoning ? {} : { reasoning, reasoning_content: reasoning }),
    ...(calls.length === 0 ? {} : { tool_calls: calls }),
    logprobs: logprobs.length === 0 ? null : { content: logprobs, refusal: null },
  }
}

function objects(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.filter(isObject) : []
}
