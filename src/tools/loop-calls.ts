// The calls of ours in one response: decided on, written down, made and told. Each is made once, after it was written down and
// outside of everything that tries again; one whose end is never known is told as such.

import type { LoopBudget } from './loop-budget.ts'
import type { LoopHost } from './loop-host.ts'
import type { LoopTurn, TurnCall } from './loop-turn.ts'
import type { LoopWriter } from './loop-writer.ts'
import type { Json, PendingRun, RunEnd, ToolRun } from './runner.ts'

const maxAtOnce = 8

export interface LoopCallsOptions {
  host: LoopHost
  writer: LoopWriter
  budget: LoopBudget
  /** Named where something must be said before a model has answered. */
  model: string
  /** False: one after the other. */
  parallel: boolean
}

export class LoopCalls {
  readonly #options: LoopCallsOptions
  /** Calls that are made and whose end is not told. */
  readonly #begun = new Map<ToolRun, { text: string; index: number | undefined }>()
  #acted = false

  constructor(options: LoopCallsOptions) {
    this.#options = options
  }

  /** A call was made: whatever becomes of the response, what it did must be told. */
  get acted(): boolean {
    return this.#acted
  }

  /** Calls that the client has allowed: shown and made in order. */
  async *approved(pending: readonly PendingRun[], signal: AbortSignal): AsyncGenerator<Json[]> {
    const { writer, budget, host, model } = this.#options
    await this.#journal(pending, signal)
    for (const { run, text } of pending) {
      const started = writer.start(model)
      const { index, events } = writer.begin(run)
      yield [
        ...started,
        ...events,
        ...writer.grow(index, run, text),
        ...writer.run(index, run, text),
      ]
      const reason = budget.refuseAllowed()
      const began = host.now()
      const end = await this.#make(run, text, reason, index, signal)
      budget.waited(began)
      this.#begun.delete(run)
      yield writer.end(index, end)
    }
  }

  /** Those of a turn that is over: made in parallel, told in order. `refusal`: why none of them is made. */
  async *ofTurn(
    turn: LoopTurn,
    refusal: string | undefined,
    ends: Map<TurnCall, RunEnd>,
    signal: AbortSignal,
  ): AsyncGenerator<Json[]> {
    const { writer, host, budget } = this.#options
    const { calls } = turn
    const began = host.now()
    const reasons = new Map(calls.map((call) => [call, this.#reason(call, refusal, began)]))
    const shown = calls.find(({ index }) => index !== undefined)
    if (shown?.index !== undefined) {
      const text = textOf(shown.item)
      const grown = shown.grown ? [] : writer.grow(shown.index, shown.run, text)
      yield [...grown, ...writer.run(shown.index, shown.run, text)]
    }
    const made = calls.filter((call) => reasons.get(call) === undefined)
    const runs = made.map(({ run, item }) => ({ run, text: textOf(item) }))
    await this.#journal(runs, signal)
    const running = this.#start(calls, reasons, began, signal)
    const ended = async (call: TurnCall): Promise<RunEnd> => {
      const end = await (running.get(call) ?? this.#end(call, reasons, began, signal))
      ends.set(call, end)
      this.#begun.delete(call.run)
      return end
    }
    if (shown?.index !== undefined) yield writer.end(shown.index, await ended(shown))
    for (const each of turn.waiting()) {
      if (Array.isArray(each)) {
        if (each.length > 0) yield each
      } else yield writer.whole(each.run, textOf(each.item), await ended(each))
    }
    budget.waited(began)
  }

  /** Ends the items of calls that were made and that nobody waits for any more: they may have run. */
  lost(): Json[] {
    const { writer } = this.#options
    const open = [...this.#begun].sort(([, a], [, b]) => (a.index ?? 1e9) - (b.index ?? 1e9))
    this.#begun.clear()
    return open.flatMap(([run, { text, index }]) => {
      const lost = run.lost?.(text)
      if (lost === undefined) return []
      const end = { ...lost, output: '' }
      return index === undefined ? writer.whole(run, text, end) : writer.end(index, end)
    })
  }

  /** All of a round in one entry, which is there before the first of them is made. */
  async #journal(runs: readonly PendingRun[], signal: AbortSignal): Promise<void> {
    const { journal } = this.#options.host
    if (journal === undefined) return
    const entries = runs.flatMap(({ run, text }) => {
      const end = run.lost?.(text)
      if (end === undefined) return []
      const { announced, begun, grows, running } = run
      const { item, events } = end
      return [{ announced, begun, grows, running, text, end: { item, events } }]
    })
    if (entries.length > 0) await journal(entries, signal)
  }

  #reason(
    { item, isWhole }: TurnCall,
    refusal: string | undefined,
    began: number,
  ): string | undefined {
    if (refusal !== undefined) return refusal
    if (!isWhole) return 'The call was cut off.'
    return this.#options.budget.refuse(item, textOf(item), began)
  }

  #start(
    calls: readonly TurnCall[],
    reasons: ReadonlyMap<TurnCall, string | undefined>,
    began: number,
    signal: AbortSignal,
  ): Map<TurnCall, Promise<RunEnd>> {
    const running = new Map<TurnCall, Promise<RunEnd>>()
    const atOnce = this.#options.parallel ? maxAtOnce : 1
    for (const [at, call] of calls.entries()) {
      const before = calls[at - atOnce]
      const start = () => this.#end(call, reasons, began, signal)
      const previous = before && running.get(before)
      const end = previous === undefined ? start() : previous.then(start, start)
      // One that is not waited for any more, as the client has left, fails unheard.
      end.catch(() => undefined)
      running.set(call, end)
    }
    return running
  }

  async #end(
    call: TurnCall,
    reasons: ReadonlyMap<TurnCall, string | undefined>,
    began: number,
    signal: AbortSignal,
  ): Promise<RunEnd> {
    // Whoever asked has left: what has not begun does not.
    signal.throwIfAborted()
    // Those before it may have used up what was left.
    const reason = reasons.get(call) ?? this.#options.budget.spent(began)
    return this.#make(call.run, textOf(call.item), reason, call.index, signal)
  }

  async #make(
    run: ToolRun,
    text: string,
    reason: string | undefined,
    index: number | undefined,
    signal: AbortSignal,
  ): Promise<RunEnd> {
    let end: RunEnd
    if (reason === undefined) {
      this.#acted = true
      this.#begun.set(run, { text, index })
      end = await run.run(text, signal)
    } else end = run.refuse(text, reason)
    this.#options.budget.took(end)
    return end
  }
}

/** What the model wrote: arguments or freeform input. */
export function textOf(item: Json): string {
  const text = item.type === 'custom_tool_call' ? item.input : item.arguments
  return typeof text === 'string' ? text : ''
}
