// POST /v1/chat/completions.
import { needsLowering } from '../convert/agent-items.ts'
import { lowerTools } from '../convert/agent-tools.ts'
import { chatParam, chatToResponses } from '../convert/chat-request.ts'
import { toFinish } from '../convert/finish-reason.ts'
import { responsesToChat } from '../convert/request.ts'
import { chatToResponse, responseToChat } from '../convert/response.ts'
import { ChatToResponsesStream, endedInError, inBandError } from '../convert/stream.ts'
import { callableNames, callLimit, restrictChatTools } from '../convert/tools.ts'
import { usageFromResponses } from '../convert/usage.ts'
import { ApiError } from '../errors.ts'
import { type ChatRequest, parseChatRequest } from '../protocol/chat.ts'
import { isObject } from '../protocol/check.ts'
import { chatFields, sortFields } from '../protocol/fields.ts'
import type { ResponsesRequest } from '../protocol/responses.ts'
import { normalizeChunk } from '../stream/normalize.ts'
import { initialResponse } from '../stream/snapshot.ts'
import type { AnswerStream } from './answer-stream.ts'
import {
  ChatSink,
  ConvertedStream,
  ResponsesSource,
  refuseCalls,
  unstoredOptions,
} from './convert-stream.ts'
import type { Candidate, Dialect, FaceDeps } from './deps.ts'
import type { FaceRequest, JsonAnswer } from './face-request.ts'
import { isFronted } from './fronted.ts'
import { ChatWatch, PassedStream } from './pass-stream.ts'
import { serve } from './serve.ts'
import { toolUpstream } from './tool-upstream.ts'

/** Answers a Chat Completions request, streaming or not; errors are responses, too. */
export function handleChat(request: Request, deps: FaceDeps): Promise<Response> {
  return serve(request, deps, (body, own) => {
    const face = new ChatFace(parseChatRequest(body), own)
    if (face.request.tools != null) face.upstream = toolUpstream(face.request, own, 'chat')
    return face
  })
}

class ChatFace implements FaceRequest {
  readonly request: ResponsesRequest
  readonly dialect = 'chat'
  readonly stream: boolean
  upstream: FaceRequest['upstream']
  readonly #chat: ChatRequest
  readonly #deps: FaceDeps
  readonly #includeUsage: boolean
  readonly #includeReasoning: boolean

  constructor(chat: ChatRequest, deps: FaceDeps) {
    this.#chat = chat
    this.#deps = deps
    this.request = chatToResponses(chat)
    this.stream = chat.stream === true
    this.#includeUsage = chat.stream_options?.include_usage === true
    // OpenRouter's `reasoning: { exclude: true }` and Groq's `include_reasoning: false`.
    this.#includeReasoning =
      chat.include_reasoning !== false &&
      !(isObject(chat.reasoning) && chat.reasoning.exclude === true)
  }

  bodyFor(candidate: Candidate, dialect: Dialect) {
    if (dialect === 'responses') return this.#responsesBody(candidate)
    const body = { ...this.#chatTools(), model: candidate.model }
    if (!this.stream) return { body, dropped: [] }
    const { include_obfuscation: _, ...options } = this.#chat.stream_options ?? {}
    // Usage is always asked for, and kept from clients that did not ask.
    const stream_options = { ...options, include_usage: true }
    return { body: { ...body, stream_options }, dropped: [] }
  }

  #responsesBody(candidate: Candidate) {
    if (candidate.kind === 'tools') return { body: { ...this.request }, dropped: [] }
    const upstream = candidate.kind === 'provider' ? 'responses' : 'engine'
    const sorted = sortFields(this.#chat, chatFields, upstream)
    // Unknown fields go up, and are nothing to our own engine alone.
    const dropped = isFronted(candidate)
      ? sorted.dropped.filter((field) => Object.hasOwn(chatFields, field))
      : sorted.dropped
    if (upstream === 'engine') dropped.push(...lowerTools(this.request).dropped)
    const body: Record<string, unknown> = { ...this.request, model: candidate.model, store: false }
    for (const field of Object.keys(this.#chat)) {
      const fate = Object.hasOwn(chatFields, field) ? chatFields[field]?.[upstream] : undefined
      if (field !== 'store' && (fate === 'here' || fate === 'left out')) delete body[field]
    }
    return { body, dropped }
  }

  /** Hardly a server outside OpenAI knows `custom` tools: they go up as functions, and their calls come back converted. */
  #chatTools(): ChatRequest {
    if (lowerTools(this.request).calls.size === 0 && !this.#freeform) {
      return restrictChatTools(this.#chat)
    }
    const { messages, tools, tool_choice } = responsesToChat(this.request).body
    const { tools: _tools, tool_choice: _choice, ...rest } = this.#chat
    return {
      ...rest,
      messages,
      ...(tools === undefined ? {} : { tools }),
      ...(tool_choice === undefined ? {} : { tool_choice }),
    }
  }

  /** The upstream's own bytes will not do: reasoning is to be split off, calls to be held to what the client allows, … */
  #mustConvert(candidate: Candidate): boolean {
    return candidate.inlineReasoning === true || this.#padded || this.#changesCalls
  }

  /** Calls of the upstream may be none of the client's: of freeform tools, of ones that it rules out, or too many. */
  get #changesCalls(): boolean {
    const { request } = this
    const lowered = lowerTools(request)
    return (
      lowered.calls.size > 0 ||
      callableNames(lowered.request) !== undefined ||
      (request.tools != null && callLimit(request) !== Number.POSITIVE_INFINITY)
    )
  }

  /** A completion that is as it should be goes through, with all that a server says beyond the API. */
  #mustConvertWhole(candidate: Candidate, json: unknown): boolean {
    if (candidate.inlineReasoning === true) return true
    if (!this.#changesCalls) return false
    if (hidesCalls(json)) return true
    const lowered = lowerTools(this.request)
    const allowed = callableNames(lowered.request)
    const { calls } = normalizeChunk(json)
    if (calls.length > callLimit(this.request)) return true
    // Some servers write a name with harmony about it: whether it is a freeform tool's is for the converter to find out.
    const isFine = (name = '') => lowered.calls.size === 0 && allowed?.has(name) !== false
    return calls.some(({ name }) => !isFine(name))
  }

  /** The history has calls of custom tools, even where none is declared any more. */
  get #freeform(): boolean {
    const { input } = this.request
    return typeof input !== 'string' && input.some(needsLowering)
  }

  get #padded(): boolean {
    return this.#chat.stream_options?.include_obfuscation === true
  }

  streamFor(
    candidate: Candidate,
    dialect: Dialect,
    lost: () => ApiError,
    rescuable: boolean,
  ): AnswerStream {
    if (dialect === 'chat' && !this.#mustConvert(candidate)) {
      return new PassedStream(new ChatWatch({ lost, includeUsage: this.#includeUsage, rescuable }))
    }
    const options = this.#options(candidate)
    const source =
      dialect === 'chat'
        ? new ChatToResponsesStream(options)
        : new ResponsesSource(
            lost,
            initialResponse(this.request, options),
            callableNames(this.request),
          )
    const sink = new ChatSink({
      id: this.#deps.newId('chatcmpl'),
      model: candidate.model,
      createdAt: options.createdAt,
      includeUsage: this.#includeUsage,
      includeReasoning: this.#includeReasoning,
      lostCode: candidate.lostCode,
      padding: this.#padded ? this.#deps.newId : undefined,
    })
    return new ConvertedStream(source, sink)
  }

  jsonFor(candidate: Candidate, dialect: Dialect, json: unknown): JsonAnswer {
    if (dialect === 'chat' && !this.#mustConvertWhole(candidate, json)) {
      return checkedCompletion(json)
    }
    if (dialect === 'responses') refuseCalls(json, this.request)
    const response = dialect === 'chat' ? chatToResponse(json, this.#options(candidate)) : json
    const body = responseToChat(response, {
      id: this.#deps.newId('chatcmpl'),
      includeReasoning: this.#includeReasoning,
    })
    const usage = isObject(response) ? usageFromResponses(response.usage) : undefined
    const status = statusOf(body.choices[0]?.finish_reason)
    return { body, status, usage }
  }

  paramFor(param: string): string {
    return chatParam(this.#chat, param)
  }

  #options(candidate: Candidate) {
    return unstoredOptions(this.request, candidate, this.#deps)
  }
}

/** Calls may stand where a reader of one answer does not look: in a choice that nobody asked for, or beside a `delta`. */
function hidesCalls(json: unknown): boolean {
  if (!isObject(json) || !Array.isArray(json.choices)) return false
  const [choice] = json.choices
  return json.choices.length > 1 || (isObject(choice) && isObject(choice.delta))
}

function statusOf(finishReason: unknown): JsonAnswer['status'] {
  const finish = toFinish(finishReason)
  return finish === 'length' || finish === 'content_filter' ? 'incomplete' : 'completed'
}

/** A completion that goes through as it is. */
function checkedCompletion(json: unknown): JsonAnswer {
  const { error, isCompletion, finishReason, usage } = normalizeChunk(json)
  if (error !== undefined) throw inBandError(error)
  if (finishReason === 'error') throw endedInError()
  if (!isCompletion) {
    throw new ApiError('upstream_error', 'The upstream sent something that is no completion.', {
      retryable: true,
    })
  }
  return { body: undefined, status: statusOf(finishReason), usage }
}
