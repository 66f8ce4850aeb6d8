// One turn on a socket: a response.create, answered by the same path as a POST, each event of its stream one message.
import { ApiError } from '../errors.ts'
import { isObject } from '../protocol/check.ts'
import { SseDecoder } from '../sse/decode.ts'
import { ResponseFold } from '../stream/fold.ts'
import type { FaceDeps } from './deps.ts'
import type { Client } from './serve.ts'
import { errorEnvelope, responseEnvelope } from './socket-message.ts'

/** The socket's end that is ours. */
export interface Wire {
  /** One text message; a promise where the client is too slow to take more. Never throws. */
  send(text: string): Promise<void> | undefined
  /** Never throws. */
  close(code: number, reason: string): void
}

/** How a body is answered: as a POST would be. */
export type Answer = (
  body: Record<string, unknown>,
  client: Client,
  deps: FaceDeps,
) => Promise<Response>

export interface TurnOptions {
  wire: Wire
  deps: FaceDeps
  /** OpenAI's `stream_id`: every event says it again. */
  lane: string | undefined
  /** As POST takes it, `stream` set. */
  body: Record<string, unknown>
  answer: Answer
  /** Size of its message. */
  bytes: number
}

/** `refused`: an error and no response; `failed`: a response that failed; `left`: nobody is there to be told. */
export type TurnEnd = 'answered' | 'refused' | 'failed' | 'cancelled' | 'left'

/** Our own events have no bound but that of what they are made of: a snapshot repeats the request's instructions. */
const maxEventBytes = 256 * 1024 * 1024

export class SocketTurn {
  readonly lane: string | undefined
  readonly bytes: number
  readonly #options: TurnOptions
  readonly #fold = new ResponseFold()
  readonly #abort = new AbortController()
  /** Why it is stopped; set by cancel() and leave(). */
  #stopped: 'cancelled' | 'left' | undefined

  constructor(options: TurnOptions) {
    this.lane = options.lane
    this.bytes = options.bytes
    this.#options = options
  }

  /** What it goes on from. */
  get previousResponseId(): unknown {
    return this.#options.body.previous_response_id
  }

  /** Its response's id, once the client knows it. */
  get responseId(): unknown {
    return this.#fold.response?.id
  }

  /** Answers; never rejects. */
  async run(): Promise<TurnEnd> {
    try {
      return await this.#run()
    } catch (thrown) {
      this.#options.deps.onError?.(thrown)
      return this.#close(new ApiError('server_error', 'The server had an error.'))
    }
  }

  /** The client wants no more of it, and is told that it has ended. */
  cancel(): void {
    this.#stop('cancelled')
  }

  /** The client is gone. */
  leave(): void {
    this.#stop('left')
  }

  #stop(why: 'cancelled' | 'left'): void {
    this.#stopped ??= why
    this.#abort.abort()
  }

  async #run(): Promise<TurnEnd> {
    const { body, deps, answer } = this.#options
    const response = await answer(body, this.#abort, deps)
    if (this.#stopped !== undefined) {
      await response.body?.cancel()
      return this.#close(cancelled())
    }
    const isStream = response.headers.get('content-type')?.startsWith('text/event-stream') === true
    if (response.status !== 200 || !isStream || response.body === null) {
      await this.#send(await responseEnvelope(response, this.lane))
      return 'refused'
    }
    await this.#forward(response.body)
    return this.#close(
      this.#stopped === 'cancelled'
        ? cancelled()
        : new ApiError('upstream_error', 'The upstream closed the stream before its end.'),
    )
  }

  async #forward(body: ReadableStream<Uint8Array>): Promise<void> {
    const reader = body.getReader()
    // A body whose request was aborted need not end by itself.
    const release = () => reader.cancel().catch(() => {})
    this.#abort.signal.addEventListener('abort', release)
    const decoder = new SseDecoder(maxEventBytes)
    for (;;) {
      const { done, value } = await reader.read()
      const messages = done ? decoder.end() : decoder.push(value)
      for (const { data } of messages) {
        if (this.#stopped !== undefined) return
        await this.#event(data)
      }
      if (done) return
    }
  }

  #event(data: string): Promise<void> | undefined {
    if (this.#fold.terminal !== undefined || !data.startsWith('{')) return
    const event: unknown = JSON.parse(data)
    if (!isObject(event) || typeof event.type !== 'string') return
    this.#fold.push(event)
    return this.#send(this.lane === undefined ? data : withLane(data, this.lane))
  }

  /** Says what the stream still lacks; the answer is whole where that is nothing. */
  async #close(fault: ApiError): Promise<TurnEnd> {
    if (this.#stopped === 'left') return 'left'
    const { terminal, response } = this.#fold
    if (terminal !== undefined) return terminal === 'response.failed' ? 'failed' : 'answered'
    const how = this.#stopped ?? (response === undefined ? 'refused' : 'failed')
    if (response === undefined) await this.#send(errorEnvelope(fault, this.lane))
    else {
      for (const event of this.#fold.fail(fault, response)) {
        const text = JSON.stringify(event)
        await this.#send(this.lane === undefined ? text : withLane(text, this.lane))
      }
    }
    return how
  }

  #send(text: string): Promise<void> | undefined {
    return this.#options.wire.send(text)
  }
}

function cancelled(): ApiError {
  return new ApiError('response_cancelled', 'The response was cancelled.')
}

/** The event's own text, one member longer. */
function withLane(event: string, lane: string): string {
  return `${event.slice(0, event.lastIndexOf('}'))},"stream_id":${JSON.stringify(lane)}}`
}
