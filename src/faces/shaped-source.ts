// Responses events on their way to a client that asked for more than the upstream writes: reasoning sealed as well as plain,
// another family of reasoning events, padding. Only requests that ask for it come through here.
import { reasoningToSeal } from '../convert/sealed-reasoning.ts'
import type { ApiError } from '../errors.ts'
import type { NewId } from '../ids.ts'
import { isObject } from '../protocol/check.ts'
import type { ResponseUsage } from '../protocol/responses.ts'
import type { Seal } from '../seal.ts'
import { paddingFor } from '../stream/padding.ts'
import { inFamily, responseInFamily } from '../stream/reasoning-family.ts'
import type { ReasoningEvents } from '../stream/writer.ts'
import type { Source } from './convert-stream.ts'

type Json = Record<string, unknown>

export interface Shape {
  /** Set where reasoning shall come sealed as well. */
  seal: Seal | undefined
  /** Set where the upstream's own events may be of another family. */
  family: ReasoningEvents | undefined
  /** Set where deltas are padded, against guesses from their length. */
  padding: NewId | undefined
  onError: ((error: unknown) => void) | undefined
}

export class ShapedSource implements Source {
  readonly #inner: Source
  readonly #shape: Shape
  /** Events from a reasoning item on that is not sealed yet: nothing may overtake it. */
  #waiting: Json[] = []
  /** Id of an item → its sealed reasoning. */
  readonly #sealed = new Map<unknown, string>()

  constructor(inner: Source, shape: Shape) {
    this.#inner = inner
    this.#shape = shape
  }

  get error(): ApiError | undefined {
    return this.#inner.error
  }

  get usage(): ResponseUsage | undefined {
    return this.#inner.usage
  }

  get begun(): boolean {
    return this.#inner.begun
  }

  get finished(): boolean {
    return this.#inner.finished === true
  }

  continuation(): string | undefined {
    return this.#inner.continuation?.()
  }

  resume(): void {
    this.#inner.resume?.()
  }

  start(): object[] {
    return this.#take(this.#inner.start())
  }

  push(json: unknown): object[] {
    return this.#take(this.#inner.push(json))
  }

  done(): object[] {
    return this.#take(this.#inner.done())
  }

  end(): object[] {
    return this.#take(this.#inner.end())
  }

  fail(error: ApiError): object[] {
    return this.#take(this.#inner.fail(error))
  }

  /** What waits for its seal, once it has it; undefined where nothing waits. */
  held(): Promise<object[]> | undefined {
    return this.#waiting.length === 0 ? undefined : this.#release()
  }

  #take(events: object[]): object[] {
    const out: object[] = []
    for (const given of events) {
      const event = this.#shaped({ ...given })
      if (this.#waiting.length > 0 || this.#sealable(event) !== undefined) this.#waiting.push(event)
      else out.push(this.#withSeals(event))
    }
    return out
  }

  async #release(): Promise<object[]> {
    const waiting = this.#waiting
    this.#waiting = []
    const out: object[] = []
    for (const event of waiting) {
      const bytes = this.#sealable(event)
      if (bytes !== undefined) await this.#seal(event, bytes)
      out.push(this.#withSeals(event))
    }
    return out
  }

  async #seal(event: Json, bytes: Uint8Array): Promise<void> {
    const id = isObject(event.item) ? event.item.id : undefined
    try {
      const sealed = await this.#shape.seal?.seal('reasoning', bytes)
      if (sealed !== undefined) this.#sealed.set(id, sealed)
    } catch (error) {
      // The answer is none the worse for it.
      this.#shape.onError?.(error)
    }
  }

  #sealable(event: Json): Uint8Array | undefined {
    if (this.#shape.seal === undefined || event.type !== 'response.output_item.done')
      return undefined
    return reasoningToSeal(event.item)
  }

  #shaped(event: Json): Json {
    const { family, padding } = this.#shape
    const familiar = family === undefined ? event : inFamily(event, family)
    const { delta } = familiar
    if (padding === undefined || typeof delta !== 'string' || familiar.obfuscation !== undefined) {
      return familiar
    }
    return { ...familiar, obfuscation: paddingFor(delta, padding) }
  }

  #withSeals(event: Json): Json {
    if (this.#sealed.size === 0) return event
    if (isObject(event.item)) return { ...event, item: this.#withSeal(event.item) }
    if (!isObject(event.response) || !Array.isArray(event.response.output)) return event
    const output = event.response.output.map((item) => this.#withSeal(item))
    return { ...event, response: { ...event.response, output } }
  }

  #withSeal(item: unknown): unknown {
    const sealed = isObject(item) ? this.#sealed.get(item.id) : undefined
    return sealed === undefined || !isObject(item) || item.status === 'in_progress'
      ? item
      : { ...item, encrypted_content: sealed }
  }
}

/** The same for an answer in one piece. */
export async function shapedResponse(response: Json, { seal, family }: Shape): Promise<Json> {
  const familiar = family === undefined ? response : responseInFamily(response, family)
  if (seal === undefined || !Array.isArray(familiar.output)) return familiar
  const output = await Promise.all(
    familiar.output.map(async (item: unknown) => {
      const bytes = reasoningToSeal(item)
      if (bytes === undefined || !isObject(item)) return item
      return { ...item, encrypted_content: await seal.seal('reasoning', bytes) }
    }),
  )
  return { ...familiar, output }
}
