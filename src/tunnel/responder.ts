// HTTP-shaped requests over one socket, the side that answers (the node): a REQUEST becomes a web Request, what the
// handler gives back becomes HEAD, DATA and END. See channel.ts for the other side.
import { ApiError, toApiError } from '../errors.ts'
import { BodyReceiver, BodySender } from './bodies.ts'
import { forwardable, type Port } from './channel.ts'
import {
  decodeCredit,
  decodeJson,
  decodeRequestData,
  defaultWindow,
  encodeCredit,
  encodeFrame,
  encodeJson,
  encodeParts,
  type Frame,
  FrameError,
} from './frames.ts'
import { maxHeaders, type RequestHead, requestSchema } from './messages.ts'

export type Handler = (request: Request) => Promise<Response>

export interface ResponderOptions {
  /** Bytes of a request body that may wait here; told to the peer in HELLO. */
  window?: number
  /** Bytes of a response body that the peer lets wait there; from WELCOME. */
  peerWindow?: number
  /** Told what a handler threw, and the request's id; its text does not cross the tunnel unless it is an ApiError. */
  onError?: (error: unknown, requestId: string) => void
}

interface Stream {
  requestId: string
  controller: AbortController
  request: BodyReceiver | undefined
  sender: BodySender
}

/** Serves the requests that arrive on a port. */
export class Responder {
  readonly #port: Port
  readonly #handler: Handler
  readonly #options: ResponderOptions
  #streams = new Map<number, Stream>()
  #lost = false
  /** Set while someone waits for the last stream to end. */
  #idle: (() => void)[] = []

  constructor(port: Port, handler: Handler, options: ResponderOptions = {}) {
    this.#port = port
    this.#handler = handler
    this.#options = options
  }

  /** Requests that have not ended. */
  get inFlight(): number {
    return this.#streams.size
  }

  /** Takes REQUEST, REQUEST_DATA, CANCEL and CREDIT; throws FrameError when the peer breaks the protocol. */
  receive(frame: Frame): void {
    const stream = this.#streams.get(frame.stream)
    switch (frame.type) {
      case 'REQUEST':
        this.#onRequest(frame)
        break
      // A frame for a stream that has just ended here is no fault: it crossed our END.
      case 'REQUEST_DATA': {
        const { bytes, last } = decodeRequestData(frame)
        stream?.request?.push(bytes)
        if (last) stream?.request?.end()
        break
      }
      case 'CREDIT':
        stream?.sender.grant(decodeCredit(frame))
        break
      case 'CANCEL':
        this.#stop(frame.stream, 'The request was cancelled.')
        break
      default:
        throw new FrameError(`${frame.type} is not for this side.`)
    }
  }

  /** The peer has forgotten its streams (it says WELCOME anew) or the socket is gone: all work stops. */
  cancelAll(reason: string): void {
    for (const id of this.#streams.keys()) this.#stop(id, reason)
  }

  /** The socket is gone. */
  lost(reason: string): void {
    this.#lost = true
    this.cancelAll(reason)
  }

  /** Resolves when no request is left. */
  async settled(): Promise<void> {
    if (this.#streams.size === 0) return
    await new Promise<void>((resolve) => this.#idle.push(resolve))
  }

  #onRequest(frame: Frame): void {
    const id = frame.stream
    if (id === 0 || this.#streams.has(id)) throw new FrameError('REQUEST on a stream in use.')
    const head = decodeJson(frame, requestSchema)
    const controller = new AbortController()
    const request = head.body
      ? new BodyReceiver(
          this.#options.window ?? defaultWindow,
          (bytes) => this.#send(encodeCredit(id, bytes)),
          () => {},
        )
      : undefined
    const sender = new BodySender(
      this.#options.peerWindow ?? defaultWindow,
      (parts) => this.#send(encodeParts('DATA', id, parts)),
      this.#port.ready && (() => this.#port.ready?.()),
    )
    const requestId = requestIdOf(head)
    const stream = { requestId, controller, request, sender }
    this.#streams.set(id, stream)
    this.#answer(id, head, stream)
      .catch((error) => this.#break(id, error))
      .finally(() => {
        if (this.#streams.get(id) === stream) this.#forget(id)
      })
  }

  async #answer(id: number, head: RequestHead, stream: Stream): Promise<void> {
    const { signal } = stream.controller
    const request = asRequest(head, stream.request?.stream, signal)
    const response = await this.#respond(request, stream.requestId)
    if (signal.aborted) {
      await response.body?.cancel().catch(() => {})
      return
    }
    const { status, body } = response
    this.#send(encodeJson('HEAD', id, { status, headers: forwardable(response.headers) }))
    const whole = body === null || (await stream.sender.sendFrom(body))
    if (whole && !signal.aborted) this.#send(encodeFrame('END', id))
  }

  /** What a handler throws before it answers is an answer too: the whole error crosses as HTTP. */
  async #respond(request: Request, requestId: string): Promise<Response> {
    try {
      const response = await this.#handler(request)
      if (response.status >= 200 && [...response.headers].length <= maxHeaders) return response
      throw new ApiError('upstream_error', 'The engine gave no proper HTTP response.')
    } catch (thrown) {
      if (!request.signal.aborted) this.#options.onError?.(thrown, requestId)
      return toApiError(thrown).toResponse()
    }
  }

  /** The body broke off after HEAD. */
  #break(id: number, thrown: unknown): void {
    const stream = this.#streams.get(id)
    if (!stream) return
    this.#options.onError?.(thrown, stream.requestId)
    const known = thrown instanceof ApiError
    const code = known ? thrown.code : 'upstream_error'
    const message = known ? thrown.message : 'The engine broke off its answer.'
    this.#send(encodeJson('ERROR', id, { code, message: message.slice(0, 4096) }))
  }

  #stop(id: number, reason: string): void {
    const stream = this.#streams.get(id)
    if (!stream) return
    this.#forget(id)
    const error = new DOMException(reason, 'AbortError')
    stream.controller.abort(error)
    stream.request?.fail(error)
    stream.sender.stop(error)
  }

  #forget(id: number): void {
    if (!this.#streams.delete(id) || this.#streams.size > 0) return
    for (const resolve of this.#idle.splice(0)) resolve()
  }

  #send(bytes: Uint8Array): void {
    if (this.#lost) return
    try {
      this.#port.send(bytes)
    } catch (cause) {
      this.lost(`The connection to the hub is gone: ${cause}`)
    }
  }
}

function asRequest(
  head: RequestHead,
  body: ReadableStream<Uint8Array> | undefined,
  signal: AbortSignal,
): Request {
  const { method, path } = head
  const headers = forwardable(head.headers)
  // `duplex` is what fetch's standard asks for with a streaming body; the DOM types do not know it yet.
  const init = { method, headers, signal, ...(body && { body, duplex: 'half' }) }
  return new Request(`http://node${path}`, init)
}

/** For the log, which no peer may write lines into. */
function requestIdOf({ headers }: RequestHead): string {
  const given = headers.find(([name]) => name === 'x-request-id')?.[1] ?? ''
  return /^[\w-]{1,100}$/.test(given) ? given : '-'
}
