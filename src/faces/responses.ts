// POST /v1/responses.
import { responsesToChat } from '../convert/request.ts'
import { chatToResponse } from '../convert/response.ts'
import { ChatToResponsesStream } from '../convert/stream.ts'
import { usageFromResponses } from '../convert/usage.ts'
import { ApiError } from '../errors.ts'
import { isObject } from '../protocol/check.ts'
import { parseResponsesRequest, type ResponsesRequest } from '../protocol/responses.ts'
import type { BackgroundWork, Recorder, Turn } from '../store/store.ts'
import { initialResponse } from '../stream/snapshot.ts'
import type { AnswerStream } from './answer-stream.ts'
import { ConvertedStream, ResponsesSink, ResponsesSource } from './convert-stream.ts'
import type { Candidate, Dialect, FaceDeps } from './deps.ts'
import { PassedStream, ResponsesWatch } from './pass-stream.ts'
import { type Client, type FaceRequest, type JsonAnswer, serve, serveParsed } from './serve.ts'
import { RecordedStream, recordWhole, StatedStream } from './state-stream.ts'
import { openTurn, type StateFields, stateFields } from './turn.ts'

const eventStreamHeaders = { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' }

/** Answers a Responses request, streaming or not; errors are responses, too. */
export function handleResponses(request: Request, deps: FaceDeps): Promise<Response> {
  return serve(request, deps, (body) => faceOf(body, deps))
}

/** The same for a parsed body that came on a socket. */
export function answerResponses(
  body: Record<string, unknown>,
  client: Client,
  deps: FaceDeps,
): Promise<Response> {
  return serveParsed(body, client, deps, (body) => faceOf(body, deps))
}

/** Does the work of a response that TurnStore.background() has begun; `queued` is its object, `recorder` keeps it. */
export function runInBackground(
  work: BackgroundWork,
  recorder: Recorder,
  signal: AbortSignal,
  deps: FaceDeps,
): Promise<Response> {
  const request = { ...work.request, stream: true }
  const created_at = Number(work.queued.created_at)
  const state = { ...stateFields(request, work.turn, recorder), created_at }
  const face = new ResponsesFace(request, deps, recorder, state)
  return serveParsed(undefined, { signal }, deps, () => face)
}

async function faceOf(body: unknown, deps: FaceDeps): Promise<ResponsesFace | Response> {
  const parsed = parseResponsesRequest(body)
  if (parsed.prompt != null) refuse('prompt')
  const { request, turn } = await openTurn(parsed, deps)
  if (request.background === true) return startInBackground(request, turn, deps)
  const recorder = deps.state?.begin(turn)
  return new ResponsesFace(request, deps, recorder, stateFields(request, turn, recorder))
}

async function startInBackground(
  request: ResponsesRequest,
  turn: Turn,
  deps: FaceDeps,
): Promise<Response> {
  // Asked now, so that a model that nobody serves is refused at once and not found out by polling.
  const [candidate] = await deps.plan({ model: request.model, request })
  const queued = initialResponse(request, {
    id: '',
    model: candidate?.model ?? request.model,
    createdAt: Math.floor(deps.now() / 1000),
    state: { ...stateFields(request, turn, undefined), store: true, background: true },
  })
  const { background } = deps.state ?? {}
  if (background === undefined) return refuse('background')
  const started = await background({ request, turn, queued: { ...queued, status: 'queued' } })
  if (!turn.stream) return Response.json(started.response)
  const { body } = await started.events()
  return new Response(body, { headers: eventStreamHeaders })
}

function refuse(param: string): never {
  throw new ApiError('unsupported_parameter', `Unsupported parameter: '${param}'.`, { param })
}

class ResponsesFace implements FaceRequest {
  readonly request: ResponsesRequest
  readonly dialect = 'responses'
  readonly stream: boolean
  readonly #deps: FaceDeps
  readonly #recorder: Recorder | undefined
  /** Set where the response has state of ours to tell of. */
  readonly #state: StateFields | undefined

  constructor(
    request: ResponsesRequest,
    deps: FaceDeps,
    recorder: Recorder | undefined,
    state: StateFields | undefined,
  ) {
    this.request = request
    this.stream = request.stream === true
    this.#deps = deps
    this.#recorder = recorder
    this.#state = state
  }

  bodyFor(candidate: Candidate, dialect: Dialect) {
    if (dialect === 'chat') {
      const { body, dropped } = responsesToChat(this.request)
      return { body: { ...body, model: candidate.model }, dropped }
    }
    // State is ours: the upstream gets the whole input and keeps nothing.
    const { previous_response_id: _, conversation: _c, background: _b, ...rest } = this.request
    return { body: { ...rest, model: candidate.model, store: false }, dropped: [] }
  }

  streamFor(candidate: Candidate, dialect: Dialect, lost: () => ApiError): AnswerStream {
    if (dialect === 'chat') {
      const source = new ChatToResponsesStream(this.#options(candidate))
      return this.#recorded(new ConvertedStream(source, new ResponsesSink()))
    }
    const fallback = initialResponse(this.request, this.#options(candidate))
    const passed = new PassedStream(new ResponsesWatch(new ResponsesSource(lost, fallback)))
    const state = this.#state
    return this.#recorded(state === undefined ? passed : new StatedStream(passed, state))
  }

  jsonFor(candidate: Candidate, dialect: Dialect, json: unknown): JsonAnswer {
    if (dialect === 'responses') return checkedResponse(json, this.#state)
    const body = chatToResponse(json, this.#options(candidate))
    const status = body.status === 'incomplete' ? 'incomplete' : 'completed'
    return { body, status, usage: body.usage ?? undefined }
  }

  async settle(answer: JsonAnswer): Promise<JsonAnswer> {
    const recorder = this.#recorder
    if (recorder === undefined || !isObject(answer.body)) return answer
    return { ...answer, body: await recordWhole(recorder, answer.body, this.#deps.onError) }
  }

  paramFor(param: string): string {
    return param
  }

  #recorded(answer: AnswerStream): AnswerStream {
    const recorder = this.#recorder
    return recorder === undefined
      ? answer
      : new RecordedStream(answer, recorder, this.#deps.onError)
  }

  #options(candidate: Candidate) {
    const { newId, now, reasoningEvents } = this.#deps
    return {
      request: this.request,
      id: this.#recorder?.id ?? newId('resp'),
      model: candidate.model,
      createdAt: Math.floor(now() / 1000),
      state: this.#state,
      newId,
      now,
      reasoningEvents,
      inlineReasoning: candidate.inlineReasoning,
      lostCode: candidate.lostCode,
    }
  }
}

/** A response object that goes through as it is, but for what only we can say. */
function checkedResponse(json: unknown, state: StateFields | undefined): JsonAnswer {
  if (!isObject(json) || !Array.isArray(json.output)) {
    throw new ApiError('upstream_error', 'The upstream sent something that is no response.', {
      retryable: true,
    })
  }
  const { status } = json
  return {
    body: state === undefined ? undefined : { ...json, ...state },
    status: status === 'failed' || status === 'incomplete' ? status : 'completed',
    usage: usageFromResponses(json.usage),
  }
}
