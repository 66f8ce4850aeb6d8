// Folds of whole streams. The answer without streaming is the fold of the stream, by construction.

import { toFinish } from '../convert/finish-reason.ts'
import { usageToChat } from '../convert/usage.ts'
import { ApiError } from '../errors.ts'
import type { ChatResponse, FinishReason } from '../protocol/chat.ts'
import { isObject } from '../protocol/check.ts'
import type { Logprob, ResponseUsage } from '../protocol/responses.ts'
import { ResponseFold } from './fold.ts'
import { type NormalizedChunk, normalizeChunk } from './normalize.ts'
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
  const collector = new ChatCollector()
  for (const raw of chunks) {
    const { error } = collector.push(raw)
    if (error !== undefined) throw new ApiError('upstream_error', error.message)
  }
  return collector.completion()
}

/** Puts a completion together, a chunk at a time. */
export class ChatCollector {
  readonly #calls = new ToolCallTable()
  readonly #logprobs: Logprob[] = []
  /** The first value of every field of a chunk. */
  #head: Record<string, unknown> = {}
  readonly #extra: Record<string, unknown> = {}
  #reasoning = ''
  #content = ''
  #refusal = ''
  #finish: FinishReason | undefined
  #stopReason: string | undefined
  #usage: ResponseUsage | undefined

  push(raw: unknown): NormalizedChunk {
    const chunk = normalizeChunk(raw)
    if (isObject(raw)) {
      keepFirst(raw, this.#head)
      keepUnknown(raw.choices, this.#extra)
    }
    this.#reasoning += chunk.reasoning
    this.#content += chunk.content
    this.#refusal += chunk.refusal
    if (chunk.calls.length > 0) this.#calls.push(chunk.calls)
    if (chunk.logprobs.length > 0) this.#logprobs.push(...chunk.logprobs)
    this.#finish ??= toFinish(chunk.finishReason)
    this.#stopReason ??= chunk.stopReason
    this.#usage = chunk.usage ?? this.#usage
    return chunk
  }

  /** `finish`: what counts where no chunk said it. Throws ApiError without an end. */
  completion(finish?: FinishReason): ChatResponse {
    const finishReason = this.#finish ?? finish
    if (finishReason === undefined) {
      throw new ApiError('upstream_error', 'The stream ended without a finish_reason.')
    }
    const { choices: _choices, usage: _usage, x_groq: _groq, object: _object, ...head } = this.#head
    const { id, created, model } = head
    const usage = this.#usage
    const stopReason = this.#stopReason
    const logprobs = this.#logprobs
    return {
      ...head,
      id: typeof id === 'string' ? id : '',
      object: 'chat.completion',
      created: typeof created === 'number' ? created : 0,
      model: typeof model === 'string' ? model : '',
      choices: [
        {
          index: 0,
          message: this.#message(),
          logprobs: logprobs.length === 0 ? null : { content: logprobs, refusal: null },
          finish_reason: finishReason,
          // vLLM's own field: which stop string it was.
          ...(stopReason === undefined ? {} : { stop_reason: stopReason }),
        },
      ],
      ...(usage === undefined ? {} : { usage: usageToChat(usage) }),
    }
  }

  #message() {
    const toolCalls = this.#calls.calls.map(({ id = '', name = '', arguments: args }) => ({
      id,
      type: 'function' as const,
      function: { name, arguments: args },
    }))
    const [content, refusal, reasoning] = [this.#content, this.#refusal, this.#reasoning]
    return {
      ...this.#extra,
      role: 'assistant' as const,
      content: content === '' && (toolCalls.length > 0 || refusal !== '') ? null : content,
      refusal: refusal === '' ? null : refusal,
      ...(reasoning === '' ? {} : { reasoning, reasoning_content: reasoning }),
      ...(toolCalls.length === 0 ? {} : { tool_calls: toolCalls }),
    }
  }
}

function keepFirst(raw: Record<string, unknown>, head: Record<string, unknown>): void {
  for (const key in raw) if (!Object.hasOwn(head, key)) head[key] = raw[key]
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
  for (const key in delta) {
    const value = delta[key]
    if (known.has(key) || value == null) continue
    const before = Object.hasOwn(extra, key) ? extra[key] : undefined
    extra[key] = Array.isArray(before) && Array.isArray(value) ? [...before, ...value] : value
  }
}
