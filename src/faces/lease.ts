// The answer to a request that came with a key, while it is made: the key is held, tools are announced before they are called,
// and what became of it is kept. An answer that failed or was cut before any tool was called leaves the key free.
import { ApiError } from '../errors.ts'
import { isObject } from '../protocol/check.ts'
import type { IdempotencyKeys, KeptAnswer, KeptBody } from '../store/idempotency.ts'
import type { TurnStore } from '../store/store.ts'
import { within } from '../tools/mcp/within.ts'
import { AnswerCopy } from './answer-copy.ts'
import type { FaceDeps, Outcome } from './deps.ts'

/** Three times within a lease. */
const renewMs = 10_000
/** How long the store may take to keep an answer. */
const keepMs = 10_000

export interface LeaseOptions {
  /** Digest of the key. */
  key: string
  holder: string
  keys: IdempotencyKeys
  deps: FaceDeps
  /** The client's request. */
  body: unknown
}

export class Lease {
  readonly #options: LeaseOptions
  readonly #timer: ReturnType<typeof setInterval>
  /** The client wants nothing of the answer kept. */
  readonly #unstored: boolean
  /** Set when tools are about to be called. */
  #announced: Promise<void> | undefined
  /** Tools may have been called, and the store knows it. */
  #acting = false
  /** Id of the stored response that the answer is; set with its recorder. */
  #response: string | undefined
  /** Set when the answer has ended, or its client has left. */
  #outcome: Outcome['status'] | undefined
  /** The upstream's own bytes go through: their end is not known when the outcome is told. */
  #raw = false
  /** Set when the answer has begun. */
  #head: Pick<KeptAnswer, 'status' | 'headers'> | undefined
  /** Of an answer that is kept by its own text. */
  #copy: AnswerCopy | undefined
  #ended: Promise<void> | undefined

  /** Of a key that was just taken. */
  constructor(options: LeaseOptions) {
    this.#options = options
    const { body } = options
    this.#unstored = isObject(body) && body.store === false
    this.#timer = setInterval(() => void this.#renew(), renewMs)
  }

  /** Has the request answered, and keeps its answer. */
  async answer(run: (deps: FaceDeps) => Promise<Response>): Promise<Response> {
    let response: Response
    try {
      response = await run(this.#deps())
    } catch (thrown) {
      await this.#end()
      throw thrown
    }
    const { status, headers, body, ok } = response
    this.#head = { status, headers: [...headers] }
    const isCopied = this.#response === undefined && !this.#unstored && (ok || this.#acting)
    if (isCopied && body !== null) return this.#copied(response, body)
    if (this.#outcome !== undefined) await this.#end()
    return response
  }

  #deps(): FaceDeps {
    const { deps } = this.#options
    const own: FaceDeps = {
      ...deps,
      acting: (response) => this.#announce(response),
      onEnd: (outcome) => {
        deps.onEnd?.(outcome)
        this.#onEnd(outcome)
      },
    }
    if (deps.state !== undefined) own.state = this.#watched(deps.state)
    return own
  }

  #onEnd({ status, candidate }: Outcome): void {
    this.#outcome = status
    this.#raw = candidate?.raw === true
    if (this.#head === undefined) return
    if (this.#copy !== undefined && status !== 'cancelled') this.#copy.complete()
    else void this.#end()
  }

  /** The answer on its way: it is kept before the client sees its end. */
  #copied({ status, headers }: Response, body: ReadableStream<Uint8Array>): Response {
    this.#copy = new AnswerCopy({
      body,
      onEnd: (how) => {
        if (how !== 'ended') this.#outcome = how
        return this.#end()
      },
    })
    if (this.#outcome !== undefined && !this.#raw) this.#copy.complete()
    return new Response(this.#copy.stream, { status, headers })
  }

  /** The store, looked at for the response that the answer becomes. */
  #watched(state: TurnStore): TurnStore {
    const own: TurnStore = {
      history: (id) => state.history(id),
      items: (ids) => state.items(ids),
      begin: (turn) => {
        const recorder = state.begin(turn)
        this.#response = recorder?.id
        return recorder
      },
    }
    if (state.background === undefined) return own
    own.background = async (work) => {
      // It runs without us and may call tools: it is started once, whatever becomes of us meanwhile.
      await this.#announce(undefined)
      const started = await state.background?.(work).catch((thrown: unknown) => {
        if (thrown instanceof ApiError) this.#acting = false
        throw thrown
      })
      if (started === undefined) throw new Error('There is no background here.')
      this.#response = String(started.response.id)
      return started
    }
    return own
  }

  /** Once is enough: from then on the request is not answered a second time. Rejects where the store may not know of it. */
  #announce(response: string | undefined): Promise<void> {
    this.#announced ??= this.#hold(response)
    return this.#announced
  }

  async #hold(response: string | undefined): Promise<void> {
    const { keys, key, holder } = this.#options
    const isHeld = await keys.hold(key, holder, { response: response ?? null })
    if (!isHeld) throw new Error('The key is no longer held by this request.')
    this.#acting = true
  }

  async #renew(): Promise<void> {
    const { keys, key, holder, deps } = this.#options
    try {
      if (!(await keys.hold(key, holder, null))) clearInterval(this.#timer)
    } catch (error) {
      deps.onError?.(error)
    }
  }

  #end(): Promise<void> {
    this.#ended ??= this.#keep()
    return this.#ended
  }

  /** Never rejects: an answer is none the poorer where it cannot be kept. */
  async #keep(): Promise<void> {
    const { keys, key, holder, deps } = this.#options
    clearInterval(this.#timer)
    const late = new Error('The response store did not keep an answer in time.')
    try {
      // Whether tools may be called is being written down: what is said here must not come before that.
      await this.#announced?.catch(() => undefined)
      const { signal } = new AbortController()
      await within(keepMs, signal, late, () => keys.end(key, holder, this.#answer()))
    } catch (error) {
      deps.onError?.(error)
    }
  }

  /** What a repeat is given; null where it is a new try. */
  #answer(): KeptAnswer | null {
    const isGood = this.#outcome === 'completed' || this.#outcome === 'incomplete'
    if (!isGood && !this.#acting) return null
    return { ...(this.#head ?? { status: 200, headers: [] }), body: this.#body() }
  }

  #body(): KeptBody {
    if (this.#response !== undefined) return { response: this.#response }
    if (this.#unstored) return { missing: 'unstored' }
    if (this.#copy === undefined || this.#outcome === 'cancelled') return { missing: 'interrupted' }
    const { text } = this.#copy
    return text === undefined ? { missing: 'too_large' } : { text }
  }
}
