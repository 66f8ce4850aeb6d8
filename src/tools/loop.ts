// The tool loop: a turn of the model, the calls of ours that it made, and the next turn with what they gave, until it answers
// or the client has to act. A call runs once: after its turn is over, and outside of everything that tries again.
//
// Limits: 16 rounds, eight calls at a time, and those of loop-budget.ts. Past a limit the model is told so and may answer; calls
// after the last round end the response as incomplete.
import { ApiError, isErrorCode, toApiError } from '../errors.ts'
import type { NewId } from '../ids.ts'
import { isObject } from '../protocol/check.ts'
import type { InputItem, ResponsesRequest, Tool } from '../protocol/responses.ts'
import type { CitationSources } from './citations.ts'
import { lastCitations } from './container-files.ts'
import { afterFirst, type InnerInput, innerInput, innerRequest } from './inner-request.ts'
import { LoopBudget } from './loop-budget.ts'
import { LoopTurn, type TurnCall } from './loop-turn.ts'
import { LoopWriter } from './loop-writer.ts'
import type { Json, PendingRun, RunEnd, Runner } from './runner.ts'

const maxRounds = 16
const maxAtOnce = 8

/** What the loop needs of the face. */
export interface LoopHost {
  /** One turn of the model, stateless. Throws ApiError where it failed before its first event. */
  turn(request: ResponsesRequest, signal: AbortSignal): Promise<ModelTurn>
  newId: NewId
  /** Milliseconds since the epoch. */
  now(): number
}

export interface ModelTurn {
  /** What the answer's headers say of who answered. */
  headers: Headers
  /** Parsed Responses events in batches; an answer in one piece is its terminal event alone. */
  events: AsyncIterable<readonly unknown[]>
}

export interface LoopOptions {
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
  #input: InnerInput = { items: [], from: [] }
  #base: ResponsesRequest | undefined
  #headers: Headers | undefined
  /** Annotations that wait for a message to be told with. */
  #files: Json[] = []
  #response: Json | undefined
  #error: ApiError | undefined

  constructor(options: LoopOptions) {
    this.#options = options
    const { request, host } = options
    const now = () => host.now()
    this.#writer = new LoopWriter({ request, newId: host.newId, now })
    this.#budget = new LoopBudget(request.max_tool_calls, now)
  }

  /** Of the first turn, once it has begun. */
  get headers(): Headers | undefined {
    return this.#headers
  }

  /** What it failed with. */
  get error(): ApiError | undefined {
    return this.#error
  }

  /** A call has run: whatever becomes of the response, what it did must be told. */
  get acted(): boolean {
    return this.#budget.calls > 0
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
      const error = this.#inClientsInput(toApiError(thrown))
      if (!this.#writer.started) throw error
      const events = this.#writer.fail(error, this.#options.model)
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
        yield [...this.#writer.start(model), ...this.#writer.shown(shown)]
      }
    }
    for (const runner of runners) yield* this.#approved(runner.pending?.() ?? [], signal)
    this.#base = innerRequest(request, runners, rest)
    this.#input = innerInput(request.input, runners)
  }

  /** Calls that the client has allowed: shown and run in order. */
  async *#approved(pending: readonly PendingRun[], signal: AbortSignal): AsyncGenerator<Json[]> {
    for (const { run, text } of pending) {
      const started = this.#writer.start(this.#options.model)
      const { index, events } = this.#writer.begin(run)
      yield [
        ...started,
        ...events,
        ...this.#writer.grow(index, run, text),
        ...this.#writer.run(index, run, text),
      ]
      const reason = this.#budget.refuseAllowed()
      const began = this.#options.host.now()
      const end = reason === undefined ? await run.run(text, signal) : run.refuse(text, reason)
      this.#budget.waited(began)
      this.#budget.took(end)
      yield this.#writer.end(index, end)
    }
  }

  async *#rounds(signal: AbortSignal): AsyncGenerator<Json[]> {
    for (let round = 1; ; round++) {
      const isLast = round > maxRounds || this.#budget.timeIsOver
      const turn = this.#turn()
      const { headers, events } = await this.#options.host.turn(this.#request(round), signal)
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
    const { tool_choice, ...base } = this.#base ?? this.#options.request
    const choice = round === 1 ? tool_choice : afterFirst(tool_choice ?? undefined)
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
    this.#files.push(...turn.untoldFiles)
    const ends = new Map<TurnCall, RunEnd>()
    if (turn.calls.length > 0) {
      const reason = isLast ? 'The limit of tool rounds of this response is reached.' : undefined
      yield* this.#execute(turn, cut ? 'The answer was cut off.' : reason, ends, signal)
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

  async *#execute(
    turn: LoopTurn,
    refusal: string | undefined,
    ends: Map<TurnCall, RunEnd>,
    signal: AbortSignal,
  ): AsyncGenerator<Json[]> {
    const running = new Map<TurnCall, Promise<RunEnd>>()
    const shown = turn.calls.find(({ index }) => index !== undefined)
    // Told before it runs: what was recorded of a call that was lost says that it may have run.
    if (shown?.index !== undefined) {
      const text = textOf(shown.item)
      const grown = shown.grown ? [] : this.#writer.grow(shown.index, shown.run, text)
      yield [...grown, ...this.#writer.run(shown.index, shown.run, text)]
    }
    const { host, request } = this.#options
    const began = host.now()
    const atOnce = request.parallel_tool_calls === false ? 1 : maxAtOnce
    const { calls } = turn
    for (const [at, call] of calls.entries()) {
      const before = calls[at - atOnce]
      const start = () => this.#start(call, refusal, began, signal)
      const previous = before && running.get(before)
      const end = previous === undefined ? start() : previous.then(start, start)
      // One that is not waited for any more, as the client has left, fails unheard.
      end.catch(() => undefined)
      running.set(call, end)
    }
    const ended = async (call: TurnCall): Promise<RunEnd> => {
      const end = await (running.get(call) ?? this.#start(call, refusal, began, signal))
      ends.set(call, end)
      this.#files = lastCitations([...this.#files, ...(end.annotations ?? [])])
      return end
    }
    if (shown?.index !== undefined) yield this.#writer.end(shown.index, await ended(shown))
    for (const each of turn.waiting()) {
      if (Array.isArray(each)) {
        if (each.length > 0) yield each
      } else yield this.#writer.whole(each.run, textOf(each.item), await ended(each))
    }
    this.#budget.waited(began)
  }

  async #start(
    call: TurnCall,
    refusal: string | undefined,
    began: number,
    signal: AbortSignal,
  ): Promise<RunEnd> {
    // Whoever asked has left: what has not begun does not.
    signal.throwIfAborted()
    const { run, item, isWhole } = call
    const text = textOf(item)
    const reason =
      refusal ?? (isWhole ? this.#budget.refuse(item, text, began) : 'The call was cut off.')
    const end = reason === undefined ? await run.run(text, signal) : run.refuse(text, reason)
    this.#budget.took(end)
    return end
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

  /** A fault in an item is told with the item's place in the client's input. */
  #inClientsInput(error: ApiError): ApiError {
    const [head, index] = /^input\[(\d+)\]/.exec(error.param ?? '') ?? []
    if (head === undefined || error.param === null || this.#base === undefined) return error
    const from = this.#input.from[Number(index)]
    const param = from === undefined ? 'input' : `input[${from}]${error.param.slice(head.length)}`
    const { code, message, cause, status, wireCode, retryable } = error
    return new ApiError(code, message, { param, cause, status, wireCode, retryable })
  }
}

/** What the model wrote: arguments or freeform input. */
function textOf(item: Json): string {
  const text = item.type === 'custom_tool_call' ? item.input : item.arguments
  return typeof text === 'string' ? text : ''
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
