// POST /v1/messages: Anthropic's clients on any model. No upstream speaks this dialect, so every answer is converted.
import { lowerTools } from '../convert/agent-tools.ts'
import { messagesErrorResponse } from '../convert/messages-error.ts'
import { type ConvertedMessages, messagesToResponses } from '../convert/messages-request.ts'
import { responseToMessage } from '../convert/messages-response.ts'
import { MessagesStream, type MessagesStreamOptions } from '../convert/messages-stream.ts'
import { type ThinkingDisplay, thinkingDisplay } from '../convert/messages-thinking.ts'
import { responsesToChat } from '../convert/request.ts'
import { chatToResponse } from '../convert/response.ts'
import { ChatToResponsesStream } from '../convert/stream.ts'
import { callableNames } from '../convert/tools.ts'
import { usageFromResponses } from '../convert/usage.ts'
import type { ApiError } from '../errors.ts'
import type { ChatMessage } from '../protocol/chat.ts'
import { isObject } from '../protocol/check.ts'
import { type MessagesRequest, parseMessagesRequest } from '../protocol/messages.ts'
import type { ResponsesRequest } from '../protocol/responses.ts'
import { encodeEvent } from '../sse/encode.ts'
import { initialResponse } from '../stream/snapshot.ts'
import type { AnswerStatus, AnswerStream } from './answer-stream.ts'
import {
  ConvertedStream,
  ResponsesSource,
  refuseCalls,
  type Sink,
  unstoredOptions,
} from './convert-stream.ts'
import type { Candidate, Dialect, FaceDeps } from './deps.ts'
import type { FaceRequest, JsonAnswer } from './face-request.ts'
import { serve } from './serve.ts'
import { toolUpstream } from './tool-upstream.ts'

/** Answers a Messages request, streaming or not; errors are responses in Anthropic's shape. `requestId` names it in them. */
export async function handleMessages(
  request: Request,
  deps: FaceDeps,
  requestId?: string,
): Promise<Response> {
  const own: FaceDeps = {
    ...deps,
    errorResponse: (error) => messagesErrorResponse(error, requestId),
  }
  const response = await serve(request, own, (body, given) => {
    const face = new MessagesFace(parseMessagesRequest(body), given, requestId)
    // As in Chat nobody can be asked in the middle of an answer.
    if (face.request.tools != null) face.upstream = toolUpstream(face.request, given, 'chat')
    return face
  })
  if (requestId !== undefined) response.headers.set('request-id', requestId)
  return response
}

class MessagesFace implements FaceRequest {
  readonly request: ResponsesRequest
  readonly dialect = undefined
  readonly stream: boolean
  upstream: FaceRequest['upstream']
  readonly #converted: ConvertedMessages
  readonly #deps: FaceDeps
  readonly #requestId: string | undefined
  readonly #display: ThinkingDisplay
  readonly #maxTokens: number

  constructor(messages: MessagesRequest, deps: FaceDeps, requestId: string | undefined) {
    this.#converted = messagesToResponses(messages)
    this.request = this.#converted.request
    this.stream = messages.stream === true
    this.#deps = deps
    this.#requestId = requestId
    this.#display = thinkingDisplay(messages)
    this.#maxTokens = messages.max_tokens
  }

  bodyFor(candidate: Candidate, dialect: Dialect) {
    const { request, dropped } = this.#advised(candidate)
    const { model } = candidate
    if (candidate.kind === 'tools') return { body: { ...systemToUser(request) }, dropped }
    const named = (left: readonly string[]) => [
      ...dropped,
      ...left.map((param) => this.paramFor(param)),
    ]
    if (dialect === 'responses') {
      // A provider may know tools that our own engine leaves out.
      const left = candidate.kind === 'provider' ? [] : lowerTools(request).dropped
      return { body: { ...request, model, store: false }, dropped: named(left) }
    }
    const chat = responsesToChat(request)
    const messages = systemFirst(chat.body.messages)
    return { body: { ...chat.body, messages, model }, dropped: named(chat.dropped) }
  }

  /** Claude Code asks for an effort in every request; a provider of a model that knows none may refuse the whole request. */
  #advised(candidate: Candidate): { request: ResponsesRequest; dropped: string[] } {
    const { request, dropped } = this.#converted
    const isOwn = candidate.kind === 'node' || candidate.kind === 'engine'
    const isTaken = isOwn || takesEffort.test(candidate.model)
    if (isTaken || request.reasoning?.effort == null) return { request, dropped }
    const { reasoning: _, ...rest } = request
    return { request: rest, dropped: [...dropped, this.paramFor('reasoning.effort')] }
  }

  streamFor(candidate: Candidate, dialect: Dialect, lost: () => ApiError): AnswerStream {
    const options = this.#options(candidate)
    const source =
      dialect === 'chat'
        ? new ChatToResponsesStream(options)
        : new ResponsesSource(
            lost,
            initialResponse(this.request, options),
            callableNames(this.request),
          )
    return new ConvertedStream(
      source,
      new MessagesSink(this.#messageOptions(candidate), this.#deps.now),
    )
  }

  jsonFor(candidate: Candidate, dialect: Dialect, json: unknown): JsonAnswer {
    if (dialect === 'responses') refuseCalls(json, this.request)
    const response = dialect === 'chat' ? chatToResponse(json, this.#options(candidate)) : json
    const body = responseToMessage(response, this.#messageOptions(candidate))
    const fields: Record<string, unknown> = isObject(response) ? response : {}
    const status = fields.status === 'incomplete' ? 'incomplete' : 'completed'
    return { body, status, usage: usageFromResponses(fields.usage) }
  }

  paramFor(param: string): string {
    return this.#converted.paramOf(param)
  }

  #messageOptions({ kind, model, lostCode }: Candidate): MessagesStreamOptions {
    return {
      id: this.#deps.newId('msg'),
      model,
      display: this.#display,
      // Providers have limits of their own, and some do not count reasoning.
      exactLimit: kind === 'provider' ? undefined : this.#maxTokens,
      requestId: this.#requestId,
      lostCode,
      now: this.#deps.now,
    }
  }

  #options(candidate: Candidate) {
    return unstoredOptions(this.request, candidate, this.#deps)
  }
}

/** Models whose providers take `reasoning_effort`. */
const takesEffort = /gpt-oss|gpt-5|(?:^|\/)o\d/i

/**
 * Chat templates take a system message in the first place: gpt-oss' own drops later ones without a word, others refuse
 * them. What the client's instructions say later on is said by the user then, marked as Claude Code marks its own.
 */
function systemFirst(messages: readonly ChatMessage[]): ChatMessage[] {
  return messages.map((message, index) => {
    if (index === 0 || message.role !== 'system' || typeof message.content !== 'string') {
      return message
    }
    return { role: 'user', content: reminder(message.content) }
  })
}

/** The same for turns that go the ordinary way, with tools between them. */
function systemToUser(request: ResponsesRequest): ResponsesRequest {
  if (typeof request.input === 'string') return request
  const input = request.input.map((item) => {
    const isSystem = 'role' in item && item.role === 'system' && typeof item.content === 'string'
    if (!isSystem) return item
    return { type: 'message' as const, role: 'user' as const, content: reminder(item.content) }
  })
  return { ...request, input }
}

function reminder(text: unknown): string {
  return `<system-reminder>\n${String(text)}\n</system-reminder>`
}

const ping = encodeEvent('ping', { type: 'ping' })
const quietMs = 10_000

/** For clients that speak Messages: a failed answer ends with an `error` event and without message_stop. */
class MessagesSink implements Sink {
  readonly ping = ping
  readonly #stream: MessagesStream
  readonly #now: () => number
  /** When the client was last sent anything. */
  #saidAt: number

  constructor(options: MessagesStreamOptions, now: () => number) {
    this.#stream = new MessagesStream(options)
    this.#now = now
    this.#saidAt = now()
  }

  get status(): AnswerStatus | undefined {
    return this.#stream.status
  }

  write(events: object[]): string {
    let text = ''
    for (const event of events) {
      for (const each of this.#stream.push(event)) text += encodeEvent(each.type, each)
    }
    if (text === '') return this.#patience()
    this.#saidAt = this.#now()
    return text
  }

  /** A model that thinks unseen is not silent, but its client would take the connection for a dead one. */
  #patience(): string {
    const isQuiet = this.#now() - this.#saidAt >= quietMs
    if (isQuiet) this.#saidAt = this.#now()
    return isQuiet ? ping : ''
  }
}
