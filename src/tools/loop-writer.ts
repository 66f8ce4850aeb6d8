// The one stream that a client sees of several turns of a model and the tools between them: sequence numbers and output
// indices in one row, the snapshots, and what the tools' own items say. https://platform.openai.com/docs/api-reference/responses-streaming
import { sumUsage } from '../convert/usage.ts'
import type { ApiError } from '../errors.ts'
import type { ResponseObject, ResponsesRequest, ResponseUsage } from '../protocol/responses.ts'
import { initialResponse } from '../stream/snapshot.ts'
import type { Json, RunEnd, ShownItem, ToolRun } from './runner.ts'

export interface LoopWriterOptions {
  /** What the client asked for: echoed in every snapshot. */
  request: ResponsesRequest
  /** The response's. */
  id: string
  /** Milliseconds since the epoch. */
  now: () => number
}

/** How the response ends, beside its output. */
export type LoopEnd = Partial<
  Pick<ResponseObject, 'status' | 'incomplete_details' | 'service_tier' | 'error'>
>

export class LoopWriter {
  readonly #options: LoopWriterOptions
  #base: ResponseObject | undefined
  #sequence = 0
  readonly #output: Json[] = []
  /** Items announced and not done, by their index. */
  readonly #open = new Map<number, Json>()
  #next = 0
  #usage: ResponseUsage | undefined

  constructor(options: LoopWriterOptions) {
    this.#options = options
  }

  get started(): boolean {
    return this.#base !== undefined
  }

  get usage(): ResponseUsage | undefined {
    return this.#usage
  }

  /** response.created and response.in_progress, for the model that answers; nothing where they were said. */
  start(model: string): Json[] {
    if (this.#base !== undefined) return []
    const { request, id, now } = this.#options
    const createdAt = Math.floor(now() / 1000)
    this.#base = initialResponse(request, { id, model, createdAt })
    return [
      this.#event('response.created', { response: this.#base }),
      this.#event('response.in_progress', { response: this.#base }),
    ]
  }

  /** Adds up what the turns have used. */
  used(usage: ResponseUsage | undefined): void {
    if (usage !== undefined) this.#usage = sumUsage(this.#usage, usage)
  }

  /** Takes an index for an item and announces it. */
  add(item: Json): { index: number; events: Json[] } {
    const index = this.#next++
    this.#open.set(index, item)
    return {
      index,
      events: [this.#event('response.output_item.added', { output_index: index, item })],
    }
  }

  /** An event of a turn within an item, with the item's own index here. */
  within(index: number, event: Json): Json {
    return { ...event, output_index: index, sequence_number: this.#sequence++ }
  }

  done(index: number, item: Json): Json[] {
    this.#open.delete(index)
    this.#output.push(item)
    return [this.#event('response.output_item.done', { output_index: index, item })]
  }

  /** An item of a runner that shows itself when it begins and when it ends. */
  shown({ item, events, done }: ShownItem): Json[] {
    let index = [...this.#open].find(([, open]) => open.id === item.id)?.[0]
    const out: Json[] = []
    if (index === undefined) {
      const added = this.add(item)
      index = added.index
      out.push(...added.events)
    }
    out.push(...this.said(index, item, events))
    if (done) out.push(...this.done(index, item))
    return out
  }

  /** Events that name their item and say no more. */
  said(index: number, item: Json, types: readonly string[]): Json[] {
    return types.map((type) =>
      this.#event(`response.${type}`, { item_id: item.id, output_index: index }),
    )
  }

  /** A call is announced. */
  begin({ announced, begun }: ToolRun): { index: number; events: Json[] } {
    const { index, events } = this.add(announced)
    return { index, events: [...events, ...this.said(index, announced, begun)] }
  }

  /** More of what the model writes of a call. */
  grow(index: number, { announced, grows }: ToolRun, delta: string): Json[] {
    if (grows === undefined || delta === '') return []
    const fields = { item_id: announced.id, output_index: index, delta }
    return [this.#event(`response.${grows.events}.delta`, fields)]
  }

  /** The call is written; it runs from here on. */
  run(index: number, { announced, grows, running }: ToolRun, text: string): Json[] {
    const out: Json[] = []
    if (grows !== undefined) {
      const fields = { item_id: announced.id, output_index: index, [grows.field]: text }
      out.push(this.#event(`response.${grows.events}.done`, fields))
    }
    return [...out, ...this.said(index, announced, running)]
  }

  /** The call has ended. */
  end(index: number, { item, events }: RunEnd): Json[] {
    return [...this.said(index, item, events), ...this.done(index, item)]
  }

  /** A call that was not shown as it was written, all at once. */
  whole(run: ToolRun, text: string, end: RunEnd): Json[] {
    // It has become another item: a question to the client.
    if (end.output === undefined) return this.shown({ ...end, done: true })
    const { index, events } = this.begin(run)
    return [
      ...events,
      ...this.grow(index, run, text),
      ...this.run(index, run, text),
      ...this.end(index, end),
    ]
  }

  /** The terminal event of a response that is not failed. */
  finish(end: LoopEnd): Json[] {
    const status = end.status ?? 'completed'
    return [this.#event(`response.${status}`, { response: this.response({ ...end, status }) })]
  }

  /** Closes what is open, and ends with `error` and response.failed. */
  fail({ code, message, param, type }: ApiError, model: string): Json[] {
    const out = this.start(model)
    for (const [index, item] of [...this.#open]) {
      out.push(...this.done(index, { ...item, status: 'incomplete' }))
    }
    const error = { type, code, message, param }
    out.push(this.#event('error', { code, message, param, error }))
    const response = this.response({ status: 'failed', error: { code, message } })
    out.push(this.#event('response.failed', { response }))
    return out
  }

  /** The response as it stands. */
  response(end: LoopEnd): Json {
    const completed_at = end.status === 'completed' ? Math.floor(this.#options.now() / 1000) : null
    const usage = this.#usage ?? null
    return { ...this.#base, ...end, completed_at, output: [...this.#output], usage }
  }

  #event(type: string, fields: Json): Json {
    return { type, sequence_number: this.#sequence++, ...fields }
  }
}
