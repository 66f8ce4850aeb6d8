// POST /v1/responses.
import { responsesToChat } from '../convert/request.ts'
import { chatToResponse } from '../convert/response.ts'
import { ChatToResponsesStream } from '../convert/stream.ts'
import { usageFromResponses } from '../convert/usage.ts'
import { ApiError } from '../errors.ts'
import { isObject } from '../protocol/check.ts'
import { parseResponsesRequest, type ResponsesRequest } from '../protocol/responses.ts'
import { initialResponse } from '../stream/snapshot.ts'
import type { AnswerStream } from './answer-stream.ts'
import { ConvertedStream, ResponsesSink, ResponsesSource } from './convert-stream.ts'
import type { Candidate, Dialect, FaceDeps } from './deps.ts'
import { PassedStream, ResponsesWatch } from './pass-stream.ts'
import { type Client, type FaceRequest, type JsonAnswer, serve, serveParsed } from './serve.ts'

/** Answers a Responses request, streaming or not; errors are responses, too. */
export function handleResponses(request: Request, deps: FaceDeps): Promise<Response> {
  return serve(request, deps, (body) => new ResponsesFace(parse(body), deps))
}

/** The same for a parsed body that came on a socket. */
export function answerResponses(
  body: Record<string, unknown>,
  client: Client,
  deps: FaceDeps,
): Promise<Response> {
  return serveParsed(body, client, deps, (body) => new ResponsesFace(parse(body), deps))
}

function parse(body: unknown): ResponsesRequest {
  const request = parseResponsesRequest(body)
  if (request.previous_response_id != null) {
    // Nothing is stored yet, so that no id can be known.
    throw new ApiError(
      'previous_response_not_found',
      `Previous response with id '${request.previous_response_id}' not found.`,
      { param: 'previous_response_id' },
    )
  }
  if (request.background === true) refuse('background')
  if (request.conversation != null) refuse('conversation')
  if (request.prompt != null) refuse('prompt')
  return request
}

function refuse(param: string): never {
  throw new ApiError('unsupported_parameter', `Unsupported parameter: '${param}'.`, { param })
}

class ResponsesFace implements FaceRequest {
  readonly request: ResponsesRequest
  readonly dialect = 'responses'
  readonly stream: boolean
  readonly #deps: FaceDeps

  constructor(request: ResponsesRequest, deps: FaceDeps) {
    this.request = request
    this.stream = request.stream === true
    this.#deps = deps
  }

  bodyFor(candidate: Candidate, dialect: Dialect) {
    if (dialect === 'chat') {
      const { body, dropped } = responsesToChat(this.request)
      return { body: { ...body, model: candidate.model }, dropped }
    }
    // `store` is taken and answered with false: nothing is kept here, and nothing shall be kept elsewhere.
    return { body: { ...this.request, model: candidate.model, store: false }, dropped: [] }
  }

  streamFor(candidate: Candidate, dialect: Dialect, lost: () => ApiError): AnswerStream {
    if (dialect === 'chat') {
      const source = new ChatToResponsesStream(this.#options(candidate))
      return new ConvertedStream(source, new ResponsesSink())
    }
    const fallback = initialResponse(this.request, this.#options(candidate))
    return new PassedStream(new ResponsesWatch(new ResponsesSource(lost, fallback)))
  }

  jsonFor(candidate: Candidate, dialect: Dialect, json: unknown): JsonAnswer {
    if (dialect === 'responses') return checkedResponse(json)
    const body = chatToResponse(json, this.#options(candidate))
    const status = body.status === 'incomplete' ? 'incomplete' : 'completed'
    return { body, status, usage: body.usage ?? undefined }
  }

  paramFor(param: string): string {
    return param
  }

  #options(candidate: Candidate) {
    const { newId, now, reasoningEvents } = this.#deps
    return {
      request: this.request,
      id: newId('resp'),
      model: candidate.model,
      createdAt: Math.floor(now() / 1000),
      newId,
      now,
      reasoningEvents,
      inlineReasoning: candidate.inlineReasoning,
      lostCode: candidate.lostCode,
    }
  }
}

/** A response object that goes through as it is. */
function checkedResponse(json: unknown): JsonAnswer {
  if (!isObject(json) || !Array.isArray(json.output)) {
    throw new ApiError('upstream_error', 'The upstream sent something that is no response.', {
      retryable: true,
    })
  }
  const { status } = json
  return {
    body: undefined,
    status: status === 'failed' || status === 'incomplete' ? status : 'completed',
    usage: usageFromResponses(json.usage),
  }
}
