// The tool loop: a turn of the model, the calls of ours that it made, and the next turn with what they gave, until it answers
// or the client has to act. A call runs once: after its turn is over, and outside of everything that tries again.
//
// Limits: 16 rounds, eight calls at a time (loop-calls.ts), and those of loop-budget.ts. Past a limit the model is told so and may answer; calls
// after the last round end the response as incomplete.
import { ApiError, isErrorCode, toApiError } from '../errors.ts'
import { isObject } from '../protocol/check.ts'
import type { InputItem, ResponsesRequest, Tool } from '../protocol/responses.ts'
import type { CitationSources } from './citations.ts'
import { lastCitations } from './container-files.ts'
import {
  afterFirst,
  atClientsTools,
  type InnerInput,
  innerInput,
  innerRequest,
} from './inner-request.ts'
import { LoopBudget } from './loop-budget.ts'
import { LoopCalls } from './loop-calls.ts'
import type { LoopHost } from './loop-host.ts'
import { LoopTurn, type TurnCall } from './loop-turn.ts'
import { LoopWriter } from './loop-writer.ts'
import type { Json, RunEnd, Runner } from './runner.ts'

const maxRounds = 16
/** Many providers take no more functions; which one of them answers is not known here. */
const usualFunctions = 128

export interface LoopOptions {
  /** The response's. */
  id: string
  /** The client's request, its whole history in `input`. */
  request: ResponsesRequest
  /** Its tools that do not run here. */
  rest: readonly Tool[]
  runners: readonly Runner[]
  host: LoopHost
  /** The model that is asked first: named where something must be said before it has answered. */
  model: string
  /** Pages that text may cite; undefined where nothing browses. */
  sources: CitationSources | undefined
}

export class ToolLoop {
  readonly #options: LoopOptions
  readonly #writer: LoopWriter
  readonly #budget: LoopBudget
  readonly #calls: LoopCalls
  #input: InnerInput = { items: [], from: [] }
  #base: ResponsesRequest | undefined
  #headers: Headers | undefined
  #isListing = true
  readonly #unlisted: string[] = []
  /** Annotations that wait for a message to be told with. */
  #files: Json[] = []
  #response: Json | undefined
  #error: ApiError | undefined

  constructor(options: LoopOptions) {
    this.#options = options
    const { request, host, model } = options
    const now = () => host.now()
    const writer = new LoopWriter({ request, id: options.id, now })
    const budget = new LoopBudget(request.max_tool_calls, now)
    const parallel = request.parallel_tool_calls !== false
    this.#writer = writer
    this.#budget = budget
    this.#calls = new LoopCalls({ host, writer, budget, model, parallel })
  }

  /** Of the first turn, once it has begun. */
  get headers(): Headers | undefined {
    return this.#headers
  }

  /** Nothing but lists of tools was told so far. */
  get isListing(): boolean {
    return this.#isListing
  }

  /** Labels of servers whose tools could not be listed: the model was not told of them. */
  get unlisted(): readonly string[] {
    return this.#unlisted
  }

  /** Its terminal event was told. */
  get ended(): boolean {
    return this.#response !== undefined
  }

  /** What it failed with. */
  get error(): ApiError | undefined {
    return this.#error
  }

  /** A call was made: whatever becomes of the response, what it did must be told. */
  get acted(): boolean {
    return this.#calls.acted
  }

  /** The response object, once the loop has ended. */
  get response(): Json {
    return this.#response ?? this.#writer.response({})
  }

  /** Runs it; yields events in batches. Throws ApiError only before the first event. Whoever stops reading ends it. */
  async *run(signal: AbortSignal): AsyncGenerator<Json[]> {
    const { runners } = this.#options
    try {
      yield* this.#open(signal)
      yield* this.#rounds(signal)
    } catch (thrown) {
      const error = this.#inClientsWords(toApiError(thrown))
      if (!this.#writer.started) throw error
      const events = [...this.#calls.lost(), ...this.#writer.fail(error, this.#options.model)]
      this.#response = this.#writer.response({
        status: 'failed',
        error: { code: error.code, message: error.message },
      })
      this.#error = error
      yield events
    } finally {
      await Promise.allSettled(runners.map((runner) => runner.close()))
    }
  }

  async *#open(signal: AbortSignal): AsyncGenerator<Json[]> {
    const { runners, request, rest, model } = this.#options
    for (const runner of runners) {
      for await (const shown of runner.open?.(signal) ?? []) {
        const { error, server_label } = shown.item
        if (error != null) this.#unlisted.push(String(server_label))
        yield [...this.#writer.start(model), ...this.#writer.shown(shown)]
      }
    }
    const pending = runners.flatMap((runner) => runner.pending?.() ?? [])
    this.#isListing = pending.length === 0
    yield* this.#calls.approved(pending, signal)
    this.#base = innerRequest(request, runners, rest)
    this.#input = innerInput(request.input, runners)
  }

  async *#rounds(signal: AbortSignal): AsyncGenerator<Json[]> {
    for (let round = 1; ; round++) {
      const isLast = round > maxRounds || this.#budget.timeIsOver
      const turn = this.#turn()
      const request = this.#request(round)
      const { headers, events } = await this.#options.host
        .turn(request, signal)
        .catch((thrown: unknown) => {
          throw withCount(thrown, request.tools?.length ?? 0)
        })
      this.#headers ??= headers
      for await (const batch of events) {
        const told = batch.flatMap((event) => turn.push(event))
        if (told.length > 0) yield told
      }
      this.#writer.used(turn.usage)
      refuseFailed(turn)
      const goesOn = yield* this.#end(turn, isLast, signal)
      if (!goesOn) return
    }
  }

  #turn(): LoopTurn {
    const { runners, sources, model } = this.#options
    const files = this.#files
    this.#files = []
    return new LoopTurn({
      writer: this.#writer,
      model,
      take: (call) => {
        for (const runner of runners) {
          const run = runner.take(call)
          if (run !== undefined) return run
        }
        return undefined
      },
      find: sources?.find,
      files,
    })
  }

  #request(round: number): ResponsesRequest {
    const { request } = this.#options
    const { tool_choice, ...base } = this.#base ?? request
    const choice =
      round === 1 ? tool_choice : afterFirst(tool_choice ?? undefined, request.tool_choice)
    const limit = this.#tokensLeft()
    return {
      ...base,
      ...(choice == null ? {} : { tool_choice: choice }),
      ...(limit === Number.POSITIVE_INFINITY ? {} : { max_output_tokens: limit }),
      input: this.#input.items,
    }
  }

  /** What `max_output_tokens` leaves for further turns. */
  #tokensLeft(): number {
    const limit = this.#options.request.max_output_tokens ?? Number.POSITIVE_INFINITY
    return limit - (this.#writer.usage?.output_tokens ?? 0)
  }

  /** After a turn: runs its calls. Gives true where the model goes on. */
  async *#end(
    turn: LoopTurn,
    isLast: boolean,
    signal: AbortSignal,
  ): AsyncGenerator<Json[], boolean> {
    const cut = turn.terminal === 'response.incomplete'
    const ends = new Map<TurnCall, RunEnd>()
    if (turn.calls.length > 0) {
      const reason = isLast ? 'The limit of tool rounds of this response is reached.' : undefined
      const refusal = cut ? 'The answer was cut off.' : reason
      yield* this.#calls.ofTurn(turn, refusal, ends, signal)
      const made = [...ends.values()].flatMap(({ annotations = [] }) => annotations)
      this.#files = lastCitations([...turn.untoldFiles, ...made])
    }
    const waits = [...ends.values()].some(({ output }) => output === undefined)
    if (cut || isLast || waits || turn.clientCalls || turn.calls.length === 0) {
      yield this.#finish(turn, isLast && turn.calls.length > 0 ? 'max_tool_calls' : undefined)
      return false
    }
    if (this.#tokensLeft() < 1) {
      yield this.#finish(turn, 'max_output_tokens')
      return false
    }
    const outputs = [...ends].flatMap(([call, end]) => outputOf(call, end))
    this.#add(turn.items as unknown as InputItem[])
    this.#add(outputs)
    return true
  }

  /** `reason`: why it ends here, where the turn itself does not say so. */
  #finish({ terminal, response }: LoopTurn, reason: string | undefined): Json[] {
    const { incomplete_details: details } = response
    const told =
      isObject(details) && typeof details.reason === 'string' ? details.reason : undefined
    const end =
      reason === undefined && terminal !== 'response.incomplete'
        ? { status: 'completed' as const }
        : {
            status: 'incomplete' as const,
            incomplete_details: { reason: reason ?? told ?? 'max_output_tokens' },
          }
    const { service_tier } = response
    const tier = typeof service_tier === 'string' ? { service_tier } : {}
    const events = this.#writer.finish({ ...end, ...tier })
    this.#response = this.#writer.response({ ...end, ...tier })
    return events
  }

  #add(items: readonly InputItem[]): void {
    for (const item of items) {
      this.#input.items.push(item)
      this.#input.from.push(undefined)
    }
  }

  /** A fault in an item or a tool is told with its place in the client's request. */
  #inClientsWords(error: ApiError): ApiError {
    if (error.param?.startsWith('tools[') === true && this.#base !== undefined) {
      const { rest, request } = this.#options
      const param = atClientsTools(error.param, rest, request)
      return error.with({ param, message: error.message.replace(error.param, () => param) })
    }
    const [head, index] = /^input\[(\d+)\]/.exec(error.param ?? '') ?? []
    if (head === undefined || error.param === null || this.#base === undefined) return error
    const from = this.#input.from[Number(index)]
    const param = from === undefined ? 'input' : `input[${from}]${error.param.slice(head.length)}`
    return error.with({ param })
  }
}

/** A refusal of more functions than most take says how many there are: the client wrote down a server, and no functions. */
function withCount(thrown: unknown, count: number): unknown {
  const isRefusal = thrown instanceof ApiError && thrown.status >= 400 && thrown.status < 429
  if (count <= usualFunctions || !isRefusal) return thrown
  const hint = `The model was told of ${count} functions, and many take ${usualFunctions} at most: name fewer in 'allowed_tools'.`
  return thrown.with({ message: `${thrown.message} (${hint})` })
}

function outputOf({ item }: TurnCall, { output }: RunEnd): InputItem[] {
  if (output === undefined) return []
  const type = item.type === 'custom_tool_call' ? 'custom_tool_call_output' : 'function_call_output'
  return [{ type, call_id: String(item.call_id), output } as InputItem]
}

function refuseFailed(turn: LoopTurn): void {
  if (turn.terminal === undefined) {
    const message = 'The upstream closed the stream before the answer was complete.'
    throw new ApiError('upstream_error', message)
  }
  if (turn.terminal !== 'response.failed') return
  const error = turn.error ?? turn.response.error
  const { code, message, param } = (error ?? {}) as Json
  throw new ApiError(
    isErrorCode(code) ? code : 'upstream_error',
    typeof message === 'string' ? message : 'The upstream failed.',
    typeof param === 'string' ? { param } : {},
  )
}
