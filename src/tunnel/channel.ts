// HTTP-shaped requests over one socket, the side that asks (the hub). Many streams share the port; each has its own
// credit. The side that answers is responder.ts; greeting, status and draining belong to whoever owns the socket.
import { ApiError, type ErrorCode } from '../errors.ts'
import { BodyReceiver, BodySender } from './bodies.ts'
import {
  decodeCredit,
  decodeJson,
  defaultWindow,
  encodeCredit,
  encodeFrame,
  encodeJson,
  encodeRequestData,
  type Frame,
  FrameError,
} from './frames.ts'
import { errorSchema, headSchema, type RequestHead } from './messages.ts'

/** A socket that carries whole messages, in order. `send` may throw when the socket is gone: that counts as lost. */
export interface Port {
  send(bytes: Uint8Array): void
  close(code: number, reason: string): void
  /** Where the runtime tells: a promise while too much waits to be sent, undefined when there is room. */
  ready?(): Promise<void> | undefined
}

export interface OpenRequest {
  method: string
  path: string
  headers: [string, string][]
  /** A stream is read as the peer takes it. */
  body: Uint8Array | ReadableStream<Uint8Array> | undefined
  signal?: AbortSignal | undefined
  /** Counted apart, until it has ended: it takes none of the peer's slots. */
  aside?: boolean
}

export interface RequesterOptions {
  /** Bytes of a response body that may wait here; told to the peer in WELCOME. */
  window?: number
  /** Bytes of a request body that the peer lets wait there; from HELLO. */
  peerWindow?: number
  /** Where stream numbers start. A hub that woke with its memory gone starts elsewhere, so that no late frame meets a new stream. */
  firstStream?: number
}

interface Stream {
  sender: BodySender
  /** Set by HEAD. */
  receiver: BodyReceiver | undefined
  settle: { resolve: (response: Response) => void; reject: (error: unknown) => void }
  aside: boolean
  unlisten: () => void
}

/** A response that may carry no body, not even an empty one. */
const bodiless = new Set([204, 205, 304])
const rememberedStreams = 256

/** Opens requests on a port and matches what comes back. */
export class Requester {
  readonly #port: Port
  readonly #window: number
  readonly #peerWindow: number
  #next: number
  #streams = new Map<number, Stream>()
  /** Streams that the peer was told to stop and may not have stopped yet; bounded, oldest out first. */
  #cancelled = new Set<number>()
  /** Streams that were opened aside. */
  #aside = 0
  /** Set when the port is gone. */
  #lost: ApiError | undefined

  constructor(port: Port, options: RequesterOptions = {}) {
    this.#port = port
    this.#window = options.window ?? defaultWindow
    this.#peerWindow = options.peerWindow ?? defaultWindow
    this.#next = options.firstStream ?? 1
  }

  /** Requests that have not ended. */
  get inFlight(): number {
    return this.#streams.size
  }

  /** Those among them that were opened aside. */
  get aside(): number {
    return this.#aside
  }

  /**
   * Resolves with HEAD; the body streams. Rejects with ApiError: `retryable` says that another node may be asked.
   * A stream that breaks after HEAD makes the body's reader throw.
   */
  open(request: OpenRequest): Promise<Response> {
    if (this.#lost) return Promise.reject(this.#lost)
    const { signal, aside = false } = request
    if (signal?.aborted) return Promise.reject(signal.reason)
    const id = this.#allocate()
    return new Promise((resolve, reject) => {
      const onAbort = () => this.#cancel(id, signal?.reason)
      signal?.addEventListener('abort', onAbort, { once: true })
      const sender = new BodySender(
        this.#peerWindow,
        (parts, last) => this.#send(encodeRequestData(id, parts, last)),
        this.#port.ready && (() => this.#port.ready?.()),
      )
      this.#streams.set(id, {
        sender,
        receiver: undefined,
        settle: { resolve, reject },
        aside,
        unlisten: () => signal?.removeEventListener('abort', onAbort),
      })
      if (aside) this.#aside++
      const { method, path, headers, body } = request
      const head: RequestHead = { method, path, headers, body: body !== undefined }
      this.#send(encodeJson('REQUEST', id, head))
      if (body instanceof Uint8Array) sender.sendAll(body).catch((error) => this.#fail(id, error))
      else if (body) this.#sendStream(id, sender, body)
    })
  }

  /** A body that breaks off ends its request: the peer must not wait for the rest. */
  async #sendStream(
    id: number,
    sender: BodySender,
    body: ReadableStream<Uint8Array>,
  ): Promise<void> {
    try {
      const isWhole = await sender.sendFrom(body)
      if (isWhole && this.#streams.has(id)) this.#send(encodeRequestData(id, [], true))
    } catch (cause) {
      const message = 'The request body ended before it was complete.'
      this.#cancel(id, new ApiError('invalid_request', message, { cause }))
    }
  }

  /** Takes HEAD, DATA, END, ERROR and CREDIT; throws FrameError when the peer breaks the protocol. */
  receive(frame: Frame): void {
    const stream = this.#streams.get(frame.stream)
    if (stream) this.#onFrame(frame, stream)
    else this.#onOrphan(frame)
  }

  /** The socket is gone: everything pending fails, retryable where the peer had not begun to answer. */
  lost(reason: string): void {
    this.#lost ??= new ApiError('node_lost', reason, { retryable: true })
    for (const [id, stream] of this.#streams) {
      const retryable = stream.receiver === undefined
      this.#fail(id, new ApiError('node_lost', reason, { retryable }))
    }
  }

  #onFrame(frame: Frame, stream: Stream): void {
    switch (frame.type) {
      case 'HEAD':
        this.#onHead(frame, stream)
        break
      case 'DATA':
        if (!stream.receiver) throw new FrameError('DATA before HEAD.')
        stream.receiver.push(frame.payload)
        break
      case 'END':
        if (!stream.receiver) throw new FrameError('END before HEAD.')
        stream.receiver.end()
        this.#forget(frame.stream)
        break
      case 'CREDIT':
        stream.sender.grant(decodeCredit(frame))
        break
      case 'ERROR': {
        const { code, message } = decodeJson(frame, errorSchema)
        const retryable = stream.receiver === undefined
        this.#fail(frame.stream, new ApiError(knownCode(code), message, { retryable }))
        break
      }
      default:
        throw new FrameError(`${frame.type} is not for this side.`)
    }
  }

  #onHead(frame: Frame, stream: Stream): void {
    if (stream.receiver) throw new FrameError('A second HEAD.')
    const { status, headers } = decodeJson(frame, headSchema)
    const id = frame.stream
    const receiver = new BodyReceiver(
      this.#window,
      (bytes) => this.#send(encodeCredit(id, bytes)),
      () => this.#cancel(id, undefined),
    )
    const body = bodiless.has(status) ? null : receiver.stream
    let response: Response
    try {
      response = new Response(body, { status, headers: forwardable(headers) })
    } catch (cause) {
      throw new FrameError(`HEAD cannot be a response: ${cause}`)
    }
    stream.receiver = receiver
    stream.settle.resolve(response)
  }

  #onOrphan(frame: Frame): void {
    const { type, stream } = frame
    if (type !== 'HEAD' && type !== 'DATA') return
    if (stream === 0 || this.#cancelled.has(stream)) return
    // An orphan of a time before this memory: whoever waited for it is gone, so its slot must be freed.
    this.#tellCancel(stream)
  }

  #cancel(id: number, reason: unknown): void {
    if (!this.#streams.has(id)) return
    this.#tellCancel(id)
    this.#fail(id, reason ?? new ApiError('server_error', 'The request was cancelled.'))
  }

  #tellCancel(id: number): void {
    this.#cancelled.add(id)
    if (this.#cancelled.size > rememberedStreams) {
      for (const oldest of this.#cancelled) {
        this.#cancelled.delete(oldest)
        break
      }
    }
    this.#send(encodeFrame('CANCEL', id))
  }

  #fail(id: number, error: unknown): void {
    const stream = this.#streams.get(id)
    if (!stream) return
    this.#forget(id)
    if (stream.receiver) stream.receiver.fail(error)
    else stream.settle.reject(error)
  }

  #forget(id: number): void {
    const stream = this.#streams.get(id)
    if (!this.#streams.delete(id)) return
    if (stream?.aside) this.#aside--
    stream?.unlisten()
    stream?.sender.stop(undefined)
  }

  #send(bytes: Uint8Array): void {
    if (this.#lost) return
    try {
      this.#port.send(bytes)
    } catch (cause) {
      this.lost(`The connection to the node is gone: ${cause}`)
    }
  }

  #allocate(): number {
    let id = this.#next >>> 0
    while (id === 0 || this.#streams.has(id) || this.#cancelled.has(id)) id = (id + 1) >>> 0
    this.#next = (id + 1) >>> 0
    return id
  }
}

const errorCodes = new Set<string>([
  'server_error',
  'upstream_error',
  'upstream_timeout',
  'no_capacity',
  'node_lost',
  'context_length_exceeded',
  'model_not_found',
  'body_too_large',
] satisfies ErrorCode[])

function knownCode(code: string): ErrorCode {
  return errorCodes.has(code) ? (code as ErrorCode) : 'upstream_error'
}

/** Headers of one hop, and those that described bytes which have since been decoded or cut anew. */
const hopByHop = new Set([
  'connection',
  'content-encoding',
  'content-length',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'set-cookie',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** Headers that may cross the tunnel. */
export function forwardable(headers: Iterable<[string, string]>): [string, string][] {
  const kept: [string, string][] = []
  for (const [name, value] of headers) {
    const lower = name.toLowerCase()
    if (!hopByHop.has(lower)) kept.push([lower, value])
  }
  return kept
}
