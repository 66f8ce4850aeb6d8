// One Responses request on its way: what goes up in either dialect, and the way back.
import { lowerTools } from '../convert/agent-tools.ts'
import { responsesToChat } from '../convert/request.ts'
import { chatToResponse } from '../convert/response.ts'
import { refuseUnreadable, withoutOwnSeals } from '../convert/sealed-reasoning.ts'
import { ChatToResponsesStream } from '../convert/stream.ts'
import { callableNames } from '../convert/tools.ts'
import { usageFromResponses } from '../convert/usage.ts'
import { ApiError } from '../errors.ts'
import { isObject } from '../protocol/check.ts'
import { responsesFields, sortFields } from '../protocol/fields.ts'
import { unknownIncludes, wantsSealedReasoning } from '../protocol/includes.ts'
import type { ResponsesRequest } from '../protocol/responses.ts'
import type { Recorder } from '../store/store.ts'
import { initialResponse } from '../stream/snapshot.ts'
import type { AnswerStream } from './answer-stream.ts'
import {
  ConvertedStream,
  ResponsesSink,
  ResponsesSource,
  refuseCalls,
  type Source,
} from './convert-stream.ts'
import type { Candidate, Dialect, FaceDeps } from './deps.ts'
import type { FaceRequest, JsonAnswer } from './face-request.ts'
import { isFronted } from './fronted.ts'
import { PassedStream, ResponsesWatch } from './pass-stream.ts'
import { type Shape, ShapedSource, shapedResponse } from './shaped-source.ts'
import { RecordedStream, recordWhole, StatedStream } from './state-stream.ts'
import { clientsParam, type StateFields } from './turn.ts'

/** A Responses request as the send path understands it; `recorder` keeps its answer, where that is kept. */
export class ResponsesFace implements FaceRequest {
  readonly request: ResponsesRequest
  readonly dialect = 'responses'
  readonly stream: boolean
  upstream: FaceRequest['upstream']
  readonly #deps: FaceDeps
  readonly #recorder: Recorder | undefined
  /** Set where the response has state of ours to tell of. */
  readonly #state: StateFields | undefined
  /** Items of earlier turns in front of the client's own. */
  readonly #before: number

  constructor(
    request: ResponsesRequest,
    deps: FaceDeps,
    recorder: Recorder | undefined,
    state: StateFields | undefined,
    before = 0,
  ) {
    this.request = request
    this.#before = before
    this.stream = request.stream === true
    this.#deps = deps
    this.#recorder = recorder
    this.#state = state
  }

  bodyFor(candidate: Candidate, dialect: Dialect) {
    if (dialect === 'chat') {
      const { body, dropped } = responsesToChat(this.request)
      const all = [...dropped, ...this.#unsealed()]
      return { body: { ...body, model: candidate.model }, dropped: all }
    }
    if (candidate.kind === 'tools')
      return { body: { ...withoutOwnSeals(this.request) }, dropped: [] }
    const upstream = candidate.kind === 'provider' ? 'responses' : 'engine'
    const sorted = sortFields(this.request, responsesFields, upstream)
    // All of them go up as they came: what an engine behind a node makes of them is its own affair.
    const dropped = isFronted(candidate) ? [] : sorted.dropped
    if (upstream === 'engine') {
      refuseUnreadable(this.request)
      dropped.push(...lowerTools(this.request).dropped, ...unknownIncludes(this.request))
    }
    // State is ours: the upstream gets the whole input and keeps nothing.
    const {
      previous_response_id: _,
      conversation: _c,
      background: _b,
      ...rest
    } = withoutOwnSeals(this.request)
    return {
      body: { ...rest, model: candidate.model, store: false },
      dropped: [...dropped, ...this.#unsealed()],
    }
  }

  /** `include` asks for what only a host with a secret can give. */
  #unsealed(): string[] {
    const wanted = wantsSealedReasoning(this.request) && this.#deps.seal === undefined
    return wanted ? ['include (reasoning.encrypted_content)'] : []
  }

  /** What the answer must become for the client; undefined: what it is. */
  #shape(dialect: Dialect): Shape | undefined {
    const { seal, reasoningEvents, newId, onError } = this.#deps
    const sealing = wantsSealedReasoning(this.request) ? seal : undefined
    const otherFamily = dialect === 'responses' && reasoningEvents !== 'reasoning_text'
    const padded = this.request.stream_options?.include_obfuscation === true
    if (sealing === undefined && !otherFamily && !padded) return undefined
    return {
      seal: sealing,
      family: otherFamily ? reasoningEvents : undefined,
      padding: padded ? newId : undefined,
      onError,
    }
  }

  #shaped(source: Source, dialect: Dialect): Source {
    const shape = this.#shape(dialect)
    return shape === undefined ? source : new ShapedSource(source, shape)
  }

  streamFor(candidate: Candidate, dialect: Dialect, lost: () => ApiError): AnswerStream {
    if (dialect === 'chat') {
      const source = new ChatToResponsesStream(this.#options(candidate))
      return this.#recorded(
        new ConvertedStream(this.#shaped(source, dialect), new ResponsesSink()),
        candidate,
      )
    }
    const fallback = initialResponse(this.request, this.#options(candidate))
    const source = new ResponsesSource(lost, fallback, callableNames(this.request))
    const shaped = this.#shaped(source, dialect)
    const passed =
      shaped === source
        ? new PassedStream(new ResponsesWatch(source))
        : new ConvertedStream(shaped, new ResponsesSink())
    const state = this.#state
    return this.#recorded(state === undefined ? passed : new StatedStream(passed, state), candidate)
  }

  jsonFor(candidate: Candidate, dialect: Dialect, json: unknown): JsonAnswer {
    if (dialect === 'responses') {
      refuseCalls(json, this.request)
      return checkedResponse(json, this.#state, this.#shape(dialect) !== undefined)
    }
    const body = chatToResponse(json, this.#options(candidate))
    const status = body.status === 'incomplete' ? 'incomplete' : 'completed'
    return { body, status, usage: body.usage ?? undefined }
  }

  settle(answer: JsonAnswer): JsonAnswer | Promise<JsonAnswer> {
    const { body } = answer
    if (!isObject(body)) return answer
    const shape = this.#shape('responses')
    if (shape === undefined && this.#recorder === undefined) return answer
    return this.#settled(answer, body, shape)
  }

  async #settled(
    answer: JsonAnswer,
    given: Record<string, unknown>,
    shape: Shape | undefined,
  ): Promise<JsonAnswer> {
    const recorder = this.#recorder
    const body = shape === undefined ? given : await shapedResponse(given, shape)
    if (recorder === undefined) return { ...answer, body }
    return { ...answer, body: await recordWhole(recorder, body, this.#deps.onError) }
  }

  paramFor(param: string): string {
    return clientsParam(param, this.#before, this.request.conversation)
  }

  #recorded(answer: AnswerStream, candidate: Candidate): AnswerStream {
    const recorder = this.#recorder
    if (recorder === undefined) return answer
    const { redact, onError } = this.#deps
    const clean = redact && ((text: string) => redact(text, candidate))
    return new RecordedStream(answer, { recorder, clean, onError })
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
function checkedResponse(
  json: unknown,
  state: StateFields | undefined,
  changes: boolean,
): JsonAnswer {
  if (!isObject(json) || !Array.isArray(json.output)) {
    throw new ApiError('upstream_error', 'The upstream sent something that is no response.', {
      retryable: true,
    })
  }
  const status =
    json.status === 'failed' || json.status === 'incomplete' ? json.status : 'completed'
  return {
    body: state === undefined && !changes ? undefined : { ...json, status, ...state },
    status,
    usage: usageFromResponses(json.usage),
  }
}
