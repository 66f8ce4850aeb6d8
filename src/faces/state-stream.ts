// Around an answer of the Responses dialect: what its snapshots must say about state, and its record. Both work on the text
// that goes out, so that they hold for every way an answer is made; deltas pass them as they are.
import type { ApiError } from '../errors.ts'
import { isObject } from '../protocol/check.ts'
import type { ResponseUsage } from '../protocol/responses.ts'
import { encodeEvent } from '../sse/encode.ts'
import {
  cutTerminal,
  eventBlocks,
  isTerminal,
  lastSequence,
  sequenceOf,
} from '../store/event-text.ts'
import type { Json, Recorder } from '../store/store.ts'
import type { AnswerStatus, AnswerStream } from './answer-stream.ts'
import { concat } from './event-bytes.ts'
import type { StateFields } from './turn.ts'

const decoder = new TextDecoder()

/** What both hand on of the answer within. */
abstract class Around implements AnswerStream {
  protected readonly inner: AnswerStream

  constructor(inner: AnswerStream) {
    this.inner = inner
  }

  get status(): AnswerStatus | undefined {
    return this.inner.status
  }

  get error(): ApiError | undefined {
    return this.inner.error
  }

  get usage(): ResponseUsage | undefined {
    return this.inner.usage
  }

  get begun(): boolean {
    return this.inner.begun
  }

  get finished(): boolean {
    return this.inner.finished === true
  }

  continuation(): string | undefined {
    return this.inner.continuation?.()
  }

  resume(): void {
    this.inner.resume?.()
  }

  abstract start(): string
  abstract push(bytes: Uint8Array): Uint8Array | string
  abstract end(): string
  abstract fail(error: ApiError): string
}

/** An upstream's own snapshots speak of its ids and its store: ours are put in their place. */
export class StatedStream extends Around {
  readonly #fields: StateFields

  constructor(inner: AnswerStream, fields: StateFields) {
    super(inner)
    this.#fields = fields
  }

  start(): string {
    return this.#stated(this.inner.start())
  }

  push(bytes: Uint8Array): Uint8Array | string {
    const before = this.begun
    const passed = this.inner.push(bytes)
    // Snapshots come before the first item and at the end.
    if (before && this.status === undefined) return passed
    return this.#stated(typeof passed === 'string' ? passed : decoder.decode(passed))
  }

  end(): string {
    return this.#stated(this.inner.end())
  }

  fail(error: ApiError): string {
    return this.#stated(this.inner.fail(error))
  }

  held(): Promise<string> | undefined {
    return this.inner
      .held?.()
      ?.then((passed) => this.#stated(typeof passed === 'string' ? passed : decoder.decode(passed)))
  }

  #stated(text: string): string {
    if (text === '') return text
    let stated = ''
    for (const { text: block, json } of eventBlocks(text)) {
      stated += isObject(json?.response)
        ? encodeEvent(String(json.type), {
            ...json,
            response: { ...json.response, ...endOf(json), ...this.#fields },
          })
        : block
    }
    return stated
  }
}

/** What the type of a terminal event says of its object, which some servers leave at `in_progress`. */
function endOf(json: Json): Json {
  return isTerminal({ text: '', json })
    ? { status: String(json.type).slice('response.'.length) }
    : {}
}

/** How long the end of an answer waits for its record. */
const maxWaitMs = 10_000
const defaultEveryMs = 250
const batchLength = 32 * 1024

export interface RecordedOptions {
  recorder: Recorder
  /** Takes out of a failed answer's end what neither a client nor a record may hold. */
  clean: ((text: string) => string) | undefined
  onError: ((error: unknown) => void) | undefined
}

/**
 * Writes an answer down as it goes out, in batches. The terminal event waits until all is kept, so that whoever has seen it
 * finds the response; where it cannot be kept, the event says so and the answer is none the poorer.
 */
export class RecordedStream extends Around {
  readonly #recorder: Recorder
  readonly #clean: (text: string) => string
  readonly #onError: ((error: unknown) => void) | undefined
  /** Went out and is not written down yet. */
  #batch: (Uint8Array | string)[] = []
  #batchLength = 0
  #timer: ReturnType<typeof setTimeout> | undefined
  /** Another candidate may still take its place before this is set. */
  #chosen = false
  /** Highest sequence number written down. */
  #upTo = -1
  /** The terminal event and what follows it: held back for `last`. */
  #ending = ''

  constructor(inner: AnswerStream, { recorder, clean, onError }: RecordedOptions) {
    super(inner)
    this.#recorder = recorder
    this.#clean = clean ?? ((text) => text)
    this.#onError = onError
  }

  start(): string {
    return this.#pass(this.inner.start())
  }

  push(bytes: Uint8Array): Uint8Array | string {
    const passed = this.inner.push(bytes)
    return this.status === undefined ? this.#keep(passed) : this.#cut(passed)
  }

  end(): string {
    return this.#pass(this.inner.end())
  }

  held(): Promise<Uint8Array | string> | undefined {
    return this.inner
      .held?.()
      ?.then((passed) => (this.status === undefined ? this.#keep(passed) : this.#cut(passed)))
  }

  fail(error: ApiError): string {
    return this.#pass(this.inner.fail(error))
  }

  chosen(): void {
    this.#chosen = true
    if (this.status === undefined) this.#flush()
  }

  async last(): Promise<string> {
    if (this.#timer !== undefined) clearTimeout(this.#timer)
    if (this.status === 'failed') this.#ending = this.#clean(this.#ending)
    const terminal = eventBlocks(this.#ending).find(isTerminal)
    const response = isObject(terminal?.json?.response) ? terminal.json.response : undefined
    if (terminal?.json === undefined || response === undefined) {
      this.#recorder.cancel()
      return this.#ending
    }
    const before = this.#text()
    const events = (this.status === 'failed' ? this.#clean(before) : before) + this.#ending
    const upTo = sequenceOf(terminal) ?? this.#upTo + 1
    try {
      await withinTime(this.#recorder.finish(response, events, upTo), maxWaitMs)
      return this.#ending
    } catch (error) {
      this.#onError?.(error)
      const told = encodeEvent(String(terminal.json.type), {
        ...terminal.json,
        response: { ...response, store: false },
      })
      return this.#ending.replace(terminal.text, () => told)
    }
  }

  cancel(): void {
    if (this.#timer !== undefined) clearTimeout(this.#timer)
    // Calls may have been written down before: then nobody else takes its place.
    if (!this.#chosen && !this.#recorder.begun) return
    this.#flush()
    this.#recorder.cancel()
  }

  #pass(text: string): string {
    return this.status === undefined ? this.#keep(text) : this.#cut(text)
  }

  #keep<T extends Uint8Array | string>(passed: T): T {
    if (passed.length === 0) return passed
    this.#batch.push(passed)
    this.#batchLength += passed.length
    if (!this.#chosen) return passed
    if (this.#batchLength >= batchLength) this.#flush()
    else this.#timer ??= setTimeout(() => this.#flush(), this.#recorder.everyMs ?? defaultEveryMs)
    return passed
  }

  /** Holds back the terminal event. */
  #cut(passed: Uint8Array | string): string {
    const text = typeof passed === 'string' ? passed : decoder.decode(passed)
    const { before, ending } = cutTerminal(text)
    this.#ending = ending
    return this.#keep(before)
  }

  #flush(): void {
    if (this.#timer !== undefined) clearTimeout(this.#timer)
    this.#timer = undefined
    const text = this.#text()
    if (text === '') return
    this.#upTo = lastSequence(text) ?? this.#upTo + 1
    this.#recorder.write(text, this.#upTo)
  }

  #text(): string {
    const text = this.#batch.every((piece) => typeof piece === 'string')
      ? this.#batch.join('')
      : decoder.decode(concat(this.#batch))
    this.#batch = []
    this.#batchLength = 0
    return text
  }
}

/** Keeps a whole answer; gives it as it is then true. */
export async function recordWhole(
  recorder: Recorder,
  response: Json,
  onError: ((error: unknown) => void) | undefined,
): Promise<Json> {
  try {
    await withinTime(recorder.finish(response, '', -1), maxWaitMs)
    return response
  } catch (error) {
    onError?.(error)
    return { ...response, store: false }
  }
}

async function withinTime(work: Promise<void>, ms: number): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('The response store did not answer in time.')), ms)
  })
  try {
    await Promise.race([work, late])
  } finally {
    if (timer !== undefined) clearTimeout(timer)
  }
}
