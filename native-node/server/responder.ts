// Answers a canonical Responses request with the engine: prompt, generation, events, as SSE or as one JSON object.
// Events leave with the engine step that made them.
import { lowerTools } from '../../src/convert/agent-tools.ts'
import { ApiError, type ErrorCode, toApiError } from '../../src/errors.ts'
import type { NewId } from '../../src/ids.ts'
import type { ResponsesEvent } from '../../src/protocol/events.ts'
import { parseResponsesRequest, type ResponsesRequest } from '../../src/protocol/responses.ts'
import { doneMarker, encodeEvent } from '../../src/sse/encode.ts'
import { type ReasoningEvents, ResponseWriter } from '../../src/stream/writer.ts'
import { Answer, wantsLogprobs } from './answer.ts'
import { BuiltInTools } from './built-in-tools.ts'
import type { TokenEngine } from './engine.ts'
import { assertFits } from './engine-errors.ts'
import type { GenerateParams } from './generate-params.ts'
import { GeneratedTurns } from './generated-turns.ts'
import { answerConstraints } from './grammar/answer-constraints.ts'
import { encodeConversation, renderToolError } from './harmony-render.ts'
import { calledNames, toHarmony, turnMessages } from './harmony-request.ts'
import { type OutputContract, outputContract } from './output-contract.ts'
import { predictedIds } from './prediction.ts'
import type { GenerationStep } from './sequence.ts'
import { fittingPrompt } from './truncate.ts'
import { control } from './vocabulary.ts'

export interface ResponderOptions {
  engine: TokenEngine
  /** The model's name in answers. */
  model: string
  /** Milliseconds since the epoch. */
  now: () => number
  newId: NewId
  /** First line of the system message, instead of ChatGPT's. */
  identity?: string
  reasoningEvents?: ReasoningEvents
  /** A cause worth logging; prompt text never passes here. */
  onError?: (error: unknown) => void
}

/** Calls of tools that nobody declared which are answered with an error instead of ending the response. */
const maxStrayCalls = 1

/** A request that has been accepted: its generation runs. */
interface Accepted {
  /** As the client wrote it. */
  request: ResponsesRequest
  writer: ResponseWriter
  answer: Answer
  prompt: readonly number[]
  params: GenerateParams
  steps: AsyncIterable<GenerationStep>
  /** Aborted when nobody reads the answer any more. */
  signal: AbortSignal
}

export class Responder {
  readonly #options: ResponderOptions
  readonly #turns = new GeneratedTurns()

  constructor(options: ResponderOptions) {
    this.#options = options
  }

  /**
   * A Response with SSE or JSON. Throws ApiError for what is refused before anything runs, and without a stream for
   * what failed; throws the signal's reason when the client is gone.
   */
  async respond(
    request: ResponsesRequest,
    { stream, signal }: { stream: boolean; signal: AbortSignal },
  ): Promise<Response> {
    if (!stream) return this.#collect(await this.#accept(request, signal))
    const reader = new AbortController()
    const accepted = await this.#accept(request, AbortSignal.any([signal, reader.signal]))
    return this.#stream(accepted, reader)
  }

  async #accept(given: ResponsesRequest, signal: AbortSignal): Promise<Accepted> {
    const { engine, model, now, newId, reasoningEvents = 'reasoning_text' } = this.#options
    refuseUnsupported(given)
    const { request, calls } = lowerTools(given)
    const builtIns = new BuiltInTools(given, calls)
    const contract = outputContract(request)
    const prompt = await this.#prompt(request, builtIns)
    // Before the work of its grammars: thousands of strict functions fit no context.
    assertFits(prompt.length, engine.contextLength)
    const params = generateParams(request)
    const constraints = answerConstraints({
      request,
      calls,
      names: calledNames(request, builtIns),
      builtIns,
    })
    if (constraints) params.constraints = constraints
    if (request.prediction != null)
      params.predicted = await predictedIds(request, engine.vocabulary)
    const steps = engine.generate(prompt, params, signal)
    const { temperature, topP } = engine.defaults
    const writer = new ResponseWriter({
      // The echo tells what was used, not what a client would guess.
      request: {
        ...given,
        temperature: given.temperature ?? temperature,
        top_p: given.top_p ?? topP,
      },
      calls,
      id: newId('resp'),
      model,
      createdAt: Math.floor(now() / 1000),
      newId,
      now,
      reasoningEvents,
    })
    const answer = this.#answer(request, builtIns, writer, contract, params.predicted)
    return { request: given, writer, answer, prompt, params, steps, signal }
  }

  /** How many tokens the prompt of a request is; throws ApiError as respond() does for what is refused. */
  async countTokens(given: ResponsesRequest): Promise<number> {
    refuseUnsupported(given)
    const { request, calls } = lowerTools(given)
    return (await this.#prompt(request, new BuiltInTools(given, calls))).length
  }

  #prompt(request: ResponsesRequest, builtIns: BuiltInTools): Promise<readonly number[]> {
    const { engine, now, identity } = this.#options
    const date = day(now())
    const encode = (some: ResponsesRequest) =>
      encodeConversation(
        toHarmony(some, { date, builtIns, ...(identity ? { identity } : {}) }),
        engine.vocabulary,
        (turn) => this.#turns.find(turn),
      )
    const answerRoom = Math.min(request.max_output_tokens ?? 1024, engine.contextLength >> 2)
    return fittingPrompt(request, engine.contextLength - answerRoom, encode)
  }

  #answer(
    request: ResponsesRequest,
    builtIns: BuiltInTools,
    writer: ResponseWriter,
    contract: OutputContract,
    predicted: readonly number[] | undefined,
  ): Answer {
    const { engine, newId } = this.#options
    const newCallId = () => newId('call')
    return new Answer({
      request,
      writer,
      vocabulary: engine.vocabulary,
      names: calledNames(request, builtIns),
      builtIns,
      contract,
      predicted,
      newCallId,
    })
  }

  #stream(accepted: Accepted, reader: AbortController): Response {
    const events = this.#events(accepted)
    const encoder = new TextEncoder()
    const body = new ReadableStream<Uint8Array>({
      async pull(controller) {
        const { value, done } = await events.next()
        if (!done)
          controller.enqueue(
            encoder.encode(value.map((event) => encodeEvent(event.type, event)).join('')),
          )
        else {
          controller.enqueue(encoder.encode(doneMarker))
          controller.close()
        }
      },
      cancel(reason) {
        // The engine hears of it at once; the generators are left when they next come to a stop.
        reader.abort(reason)
        events.return().catch(() => {})
      },
    })
    const headers = {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache',
    }
    return new Response(body, { headers })
  }

  async #collect(accepted: Accepted): Promise<Response> {
    let failure: Extract<ResponsesEvent, { type: 'error' }> | undefined
    for await (const events of this.#events(accepted)) {
      failure ??= events.find((event) => event.type === 'error')
    }
    if (failure) {
      const { code, message } = failure
      // 500 and not 502: a hub takes 502 for an engine that is away, and would ask another node.
      throw new ApiError(code as ErrorCode, message, code === 'no_capacity' ? {} : { status: 500 })
    }
    return Response.json(accepted.writer.response)
  }

  /** The events of each engine step, as they come. */
  async *#events(accepted: Accepted): AsyncGenerator<ResponsesEvent[], void> {
    const { writer } = accepted
    yield writer.start()
    try {
      yield* this.#generate(accepted)
    } catch (error) {
      // Nobody is left to be told.
      if (accepted.signal.aborted) throw error
      this.#options.onError?.(error)
      const { code, message, type, param } = toApiError(error)
      yield writer.fail({ code, message, type, param }, accepted.answer.usage)
    }
  }

  async *#generate(accepted: Accepted): AsyncGenerator<ResponsesEvent[], void> {
    const { answer } = accepted
    const generated: number[] = []
    let finish: 'stop' | 'length' = 'stop'
    let { steps } = accepted
    for (let round = 0; ; round++) {
      for await (const step of steps) {
        finish = step.finish ?? finish
        const before = answer.outputTokens
        const events = answer.push(step)
        // What a step brings behind the answer's end is no part of it.
        const read = answer.outputTokens - before
        for (let i = 0; i < read; i++) generated.push(step.ids[i]!)
        if (events.length > 0) yield events
        if (answer.done) break
      }
      if (answer.strayCall === undefined || round >= maxStrayCalls) break
      const next = this.#continue(accepted, generated, answer.strayCall)
      if (!next) break
      yield answer.resume()
      steps = next
    }
    yield answer.end(finish)
    this.#remember(accepted, generated)
  }

  /** A call will come back in the next request, and shall be the same tokens there. */
  #remember({ request, writer }: Accepted, generated: readonly number[]): void {
    const { vocabulary } = this.#options.engine
    const { status, output } = writer.response
    if (status !== 'completed' || generated.at(-1) !== vocabulary.special(control.call)) return
    const next = parseResponsesRequest({ ...request, input: output })
    const { request: lowered, calls } = lowerTools(next)
    const turn = turnMessages(lowered, new BuiltInTools(next, calls))
    if (turn.at(-1)?.recipient !== undefined) this.#turns.add(turn, generated)
  }

  /** Goes on behind a call that nobody can answer: the model is told so, once, and finds another way. */
  #continue({ answer, prompt, params, signal }: Accepted, generated: number[], recipient: string) {
    const { engine } = this.#options
    const left = params.maxTokens === undefined ? undefined : params.maxTokens - answer.outputTokens
    if (left !== undefined && left <= 0) return undefined
    const reply = renderToolError(recipient, engine.vocabulary)
    const ids = [...prompt, ...generated, ...reply]
    if (ids.length >= engine.contextLength) return undefined
    // A turn that is remembered holds all that stood between the prompt and its call.
    generated.push(...reply)
    return engine.generate(
      ids,
      { ...params, ...(left === undefined ? {} : { maxTokens: left }) },
      signal,
    )
  }
}

const unsupportedFields = [
  ['functions', "use 'tools'"],
  ['function_call', "use 'tool_choice'"],
  ['audio', 'it answers in text only'],
  ['web_search_options', 'it cannot search the web'],
] as const

function refuseUnsupported(request: ResponsesRequest): void {
  const refuse = (param: string, message: string) =>
    new ApiError('unsupported_parameter', message, { param })
  if ((request.n ?? 1) > 1) throw refuse('n', 'This model gives one answer per request.')
  if (request.background) throw refuse('background', 'This model does not work in the background.')
  // Chat's fields that came through as they were. A client that declares `functions` would wait for a call in vain.
  for (const [param, why] of unsupportedFields) {
    const value: unknown = Reflect.get(request, param)
    if (value != null) throw refuse(param, `'${param}' is not supported by this model: ${why}.`)
  }
  const modalities: unknown = Reflect.get(request, 'modalities')
  if (
    modalities != null &&
    !(Array.isArray(modalities) && modalities.every((one) => one === 'text'))
  ) {
    throw refuse('modalities', 'This model answers in text only.')
  }
  for (const stop of [request.stop ?? []].flat()) {
    if (new TextEncoder().encode(stop).length <= 256) continue
    throw new ApiError('invalid_value', 'A stop string is longer than 256 bytes.', {
      param: 'stop',
    })
  }
}

function generateParams(request: ResponsesRequest): GenerateParams {
  const params: GenerateParams = {}
  if (request.max_output_tokens != null) params.maxTokens = request.max_output_tokens
  if (request.temperature != null) params.temperature = request.temperature
  if (request.top_p != null) params.topP = request.top_p
  // vLLM's clients turn it off with -1, llama.cpp's with 0.
  if (request.top_k != null) params.topK = Math.max(0, request.top_k)
  if (request.min_p != null) params.minP = request.min_p
  if (request.seed != null) params.seed = BigInt.asUintN(64, BigInt(request.seed))
  if (request.frequency_penalty != null) params.frequencyPenalty = request.frequency_penalty
  if (request.presence_penalty != null) params.presencePenalty = request.presence_penalty
  const { repetition_penalty } = request
  if (typeof repetition_penalty === 'number') params.repetitionPenalty = repetition_penalty
  else if (repetition_penalty != null) {
    const message = "'repetition_penalty' must be a number."
    throw new ApiError('invalid_value', message, { param: 'repetition_penalty' })
  }
  if (request.logit_bias != null) params.logitBias = tokenBiases(request.logit_bias)
  if (wantsLogprobs(request)) params.topLogprobs = request.top_logprobs ?? 0
  return params
}

function tokenBiases(biases: Readonly<Record<string, number>>): [id: number, bias: number][] {
  return Object.entries(biases).map(([id, bias]) => {
    // Number() would take '', ' 5', '0x10' and '1e2' as well.
    if (/^\d+$/.test(id)) return [Number(id), bias]
    throw new ApiError(
      'invalid_value',
      `The keys of 'logit_bias' must be token ids, digits only, not '${id.slice(0, 50)}'.`,
      { param: 'logit_bias' },
    )
  })
}

/** The local day, `2025-06-28`: prompts of one day share their prefix. */
function day(milliseconds: number): string {
  const date = new Date(milliseconds)
  const two = (value: number) => String(value).padStart(2, '0')
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
}
