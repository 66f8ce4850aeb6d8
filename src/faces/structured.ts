// Structured output that holds at any place. Where a place guarantees the schema, nothing of this runs. Elsewhere:
// - the place is asked in the words that it knows: `json_schema`, or an instruction (structured-body.ts);
// - its answer is read as Responses events or as a response, whatever its dialect, and judged before the client has it, or,
//   streamed, before the terminal event (structured-answer.ts, structured-stream.ts);
// - one that does not fit is asked for once more at the same place, with what was wrong, and the usage is added up;
// - one that does not fit again is an error, `structured_output_invalid`; where the client has seen nothing, the next
//   candidate gets its turn.
// It works at the level of one attempt, so that it holds inside of whatever asks for turns of a model. The face reads what
// comes of it as an answer in the Responses dialect.
import { chatToResponse } from '../convert/response.ts'
import { ChatToResponsesStream } from '../convert/stream.ts'
import { callableNames } from '../convert/tools.ts'
import { sumUsage, usageFromResponses } from '../convert/usage.ts'
import { ApiError } from '../errors.ts'
import { isObject } from '../protocol/check.ts'
import { encodeEvent } from '../sse/encode.ts'
import { initialResponse } from '../stream/snapshot.ts'
import { judgeAnswer } from '../tools/structured-answer.ts'
import { type BodyEdit, instructing, repairing } from '../tools/structured-body.ts'
import { bestEffort, type Contract, contractOf, type Fault } from '../tools/structured-contract.ts'
import { StructuredEvents } from '../tools/structured-stream.ts'
import { EventReader } from './answer-stream.ts'
import { ResponsesSource, type Source, unstoredOptions } from './convert-stream.ts'
import type { Candidate, Dialect, FaceDeps } from './deps.ts'
import type { FaceRequest } from './face-request.ts'
import { TurnReader } from './turn-reader.ts'
import { lostError, type WholeAnswer } from './whole-answer.ts'

type Json = Record<string, unknown>

/** Asks the same place once more, with another body. */
export interface Again {
  /** For a stream. */
  stream(edit: BodyEdit): Promise<Response>
  /** For the JSON of an answer in one piece. */
  whole(edit: BodyEdit): Promise<unknown>
}

/** Between the reads nothing is written here: who reads what comes of it breaks the silence. */
const silenceLimit = 60_000
/** By these a place says that the request itself is wrong. */
const refusals: ReadonlySet<number> = new Set([400, 413, 422])

/** True where the answer's text must follow a schema. */
export function demandsSchema({ request }: FaceRequest): boolean {
  return request.text?.format?.type === 'json_schema'
}

/** Undefined for nearly every request: nothing is demanded, or the candidate guarantees it. Throws ApiError. */
export function structuredFor(
  face: FaceRequest,
  candidate: Candidate,
  deps: FaceDeps,
): Structured | undefined {
  const { tools } = face.request
  if (!demandsSchema(face) && !tools?.some(({ strict }) => strict === true)) return undefined
  // The turns within are checked.
  if (candidate.kind === 'tools') return undefined
  const place = candidate.structured ?? bestEffort
  if (candidate.requireParameters === true && place.schema === 'none' && demandsSchema(face)) {
    const param = 'text.format'
    const message = `${candidate.name} does not support '${param}', and provider.require_parameters is set.`
    throw new ApiError('unsupported_parameter', message, { param, retryable: true })
  }
  const contract = contractOf(face.request, place)
  return contract === undefined ? undefined : new Structured(contract, face, candidate, deps)
}

export class Structured {
  /** What is changed in the body of the first turn. */
  readonly edit: BodyEdit | undefined
  readonly #contract: Contract
  readonly #face: FaceRequest
  readonly #candidate: Candidate
  readonly #deps: FaceDeps
  /** Demands that could not be checked. */
  readonly #unchecked: string[]
  #again: Again | undefined

  constructor(contract: Contract, face: FaceRequest, candidate: Candidate, deps: FaceDeps) {
    this.#contract = contract
    this.#face = face
    this.#candidate = candidate
    this.#deps = deps
    this.edit = instructing(contract, candidate.structured ?? bestEffort)
    this.#unchecked = [...contract.unchecked]
  }

  /** How a second turn is asked for; set once the first is under way. */
  asksAgain(again: Again): void {
    this.#again = again
  }

  /** Says in the headers what was demanded and could not be checked. */
  warn(headers: Record<string, string>): void {
    if (this.#unchecked.length === 0) return
    const said = this.#unchecked
      .join(' ')
      .replaceAll(/[^\x20-\x7e]|["\\]/g, "'")
      .slice(0, 500)
    const before = headers.warning === undefined ? '' : `${headers.warning}, `
    headers.warning = `${before}199 switchyard "not checked: ${said}"`
  }

  /** An answer in one piece, as a response object that fits. Throws ApiError. */
  async whole(answer: WholeAnswer, dialect: Dialect): Promise<WholeAnswer> {
    return { text: undefined, json: await this.#judged(answer.json, dialect) }
  }

  async #judged(json: unknown, dialect: Dialect): Promise<unknown> {
    const first = this.#response(json, dialect)
    if (first === undefined) return json
    const judged = judgeAnswer(this.#contract, first)
    if (judged.fault === undefined) return this.#told(judged)
    const { fault, text } = judged
    const output = Array.isArray(first.output) ? first.output : []
    const edit = this.#repair({ fault, text, output })
    const second = this.#response(
      await askedAgain(fault, async () => this.#again?.whole(edit)),
      dialect,
    )
    if (second === undefined) throw noResponse()
    const usage = usageOfBoth(first, second)
    const mended = judgeAnswer(this.#contract, { ...second, ...usage })
    if (mended.fault === undefined) return this.#told(mended)
    const message = `${mended.fault.message} So it was when it was asked again.`
    throw new ApiError('structured_output_invalid', message, { retryable: true })
  }

  /** A stream, as Responses events that fit, or end in response.failed. */
  stream(upstream: Response, dialect: Dialect): ReadableStream<Uint8Array> {
    const events = new StructuredEvents(this.#contract, this.#echo)
    let turn = this.#turn(upstream, dialect)
    let cancelled = false
    const encoder = new TextEncoder()
    const next = async (): Promise<string> => {
      const text = encoded(await turn.next(), events)
      if (events.ended || events.unfit !== undefined) turn.cancel()
      if (events.unfit === undefined || cancelled) return text
      const { fault } = events.unfit
      const edit = this.#repair(events.unfit)
      events.nextTurn()
      turn = this.#turn(await askedAgain(fault, () => this.#sent(edit)), dialect)
      return text
    }
    return new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          for (let text = ''; text === ''; ) {
            text = await next()
            if (text !== '' && !cancelled) controller.enqueue(encoder.encode(text))
            if (!events.ended && !cancelled) continue
            if (!cancelled) controller.close()
            return
          }
        },
        cancel() {
          cancelled = true
          turn.cancel()
        },
      },
      { highWaterMark: 0 },
    )
  }

  async #sent(edit: BodyEdit): Promise<Response> {
    const upstream = await this.#again?.stream(edit)
    if (upstream === undefined) throw noStream()
    return upstream
  }

  #repair(unfit: Parameters<typeof repairing>[2]): BodyEdit {
    const repair = repairing(this.#face.request, this.#contract, unfit)
    return (body, dialect) => repair(this.edit?.(body, dialect) ?? body, dialect)
  }

  #told({ response, unchecked }: { response: Json; unchecked: boolean }): Json {
    if (unchecked) this.#unchecked.push('The answer is too deep or too large to be checked.')
    return response
  }

  /** Undefined for what is no response: the face says so. */
  #response(json: unknown, dialect: Dialect): Json | undefined {
    if (dialect === 'chat') return { ...chatToResponse(json, this.#options()) }
    return isObject(json) && Array.isArray(json.output) ? { ...json, ...this.#echo } : undefined
  }

  #turn(upstream: Response, dialect: Dialect): UpstreamTurn {
    const { request } = this.#face
    const lost = () => lostError(this.#candidate, undefined, false)
    const options = this.#options()
    const source =
      dialect === 'chat'
        ? new ChatToResponsesStream(options)
        : new ResponsesSource(lost, initialResponse(request, options), callableNames(request))
    return new UpstreamTurn(upstream, source, this.#candidate, this.#deps)
  }

  /** What a response must say of a request that was asked for in other words. */
  get #echo(): Json {
    if (this.edit === undefined || this.#candidate.structured?.schema !== 'none') return {}
    const { instructions, text } = initialResponse(this.#face.request, this.#options())
    return { instructions, text }
  }

  #options() {
    return unstoredOptions(this.#face.request, this.#candidate, this.#deps)
  }
}

/** One turn of the model, read as events of the Responses dialect. */
class UpstreamTurn {
  readonly #reader: TurnReader
  readonly #events = new EventReader()
  readonly #source: Source
  readonly #candidate: Candidate
  /** Told with the first that comes. */
  #opening: object[]

  constructor(upstream: Response, source: Source, candidate: Candidate, deps: FaceDeps) {
    if (upstream.body === null) throw noStream()
    this.#reader = new TurnReader(upstream.body, candidate.limits, deps.now, deps.gather)
    this.#source = source
    this.#candidate = candidate
    this.#opening = source.start()
  }

  /** The next events; none in a long silence. Throws ApiError for an upstream that was lost. */
  async next(): Promise<object[]> {
    const turn = await this.#reader.turn(silenceLimit)
    if (turn === undefined) return []
    const out = this.#opening
    this.#opening = []
    for (const chunk of turn.chunks) {
      for (const { isDone, json } of this.#events.push(chunk)) {
        out.push(...(isDone ? this.#source.done() : this.#source.push(json)))
      }
    }
    if (this.#source.begun) this.#reader.begins()
    if (turn.failure !== undefined && this.#source.finished !== true) {
      out.push(...this.#source.fail(lostError(this.#candidate, turn.failure.cause, false)))
    } else if (turn.done) {
      for (const { isDone, json } of this.#events.end()) {
        out.push(...(isDone ? this.#source.done() : this.#source.push(json)))
      }
      out.push(...this.#source.end())
    }
    return out
  }

  cancel(): void {
    this.#reader.cancel()
  }
}

function encoded(upstream: object[], events: StructuredEvents): string {
  let text = ''
  for (const given of upstream) {
    for (const event of events.push(given)) text += encodeEvent(String(event.type), event)
  }
  return text
}

/** The second question is ours: where it is refused, as it may be too long, the client has asked nothing wrong. */
async function askedAgain<T>({ message }: Fault, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask()
  } catch (thrown) {
    if (!(thrown instanceof ApiError) || !refusals.has(thrown.status)) throw thrown
    const told = `${message} It could not be asked again: ${thrown.code}.`
    throw new ApiError('structured_output_invalid', told, { retryable: true, cause: thrown })
  }
}

function usageOfBoth(first: Json, second: Json): { usage?: object } {
  const before = usageFromResponses(first.usage)
  const after = usageFromResponses(second.usage)
  if (after === undefined) return before === undefined ? {} : { usage: before }
  return { usage: sumUsage(before, after) }
}

function noResponse(): ApiError {
  const message = 'The upstream sent something that is no response.'
  return new ApiError('upstream_error', message, { retryable: true })
}

function noStream(): ApiError {
  const message = 'The upstream did not answer with a stream.'
  return new ApiError('upstream_error', message, { retryable: true })
}
