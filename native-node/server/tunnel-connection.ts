// One connection of the tunnel client, from dialling to its end: greeting, liveness, status, and the requests on it.
// tunnel-client.ts decides whether there is another one after it.
import type { Port } from '../../src/tunnel/channel.ts'
import {
  closeCodes,
  decodeFrame,
  decodeJson,
  encodeJson,
  type Frame,
  FrameError,
} from '../../src/tunnel/frames.ts'
import {
  errorSchema,
  nodeErrorSchema,
  supportedVersions,
  welcomeSchema,
} from '../../src/tunnel/messages.ts'
import { Responder } from '../../src/tunnel/responder.ts'
import type { TunnelClientOptions } from './tunnel-options.ts'

export interface ConnectionEnd {
  /** The WebSocket's close code; 1006 where there was none. */
  code: number
  reason: string
  /** The gateway refused the token. */
  refused: boolean
}

/** Milliseconds. The hub gives up on a busy node after 16 s of silence, on an idle one after 65 s. */
const busyPing = 5000
const idlePing = 20_000
const pongDeadline = 10_000
const joinDeadline = 15_000
const idleStatus = 60_000
const busyStatus = 250
/** Above this many unsent bytes, bodies wait. */
const sendBufferLimit = 4_194_304
const sendBufferPoll = 10

/** Node's WebSocket takes headers (undici's extension); the DOM's types do not know that. */
const HeaderWebSocket = WebSocket as unknown as new (
  url: string,
  init: { headers: Record<string, string> },
) => WebSocket

export class TunnelConnection {
  readonly #options: TunnelClientOptions
  readonly #url: string
  readonly #onEnd: (end: ConnectionEnd) => void
  readonly #socket: WebSocket
  readonly #joinTimer: NodeJS.Timeout
  /** Set by WELCOME. */
  #responder: Responder | undefined
  #tick: NodeJS.Timeout | undefined
  #opened = false
  #ended = false
  #draining = false
  /** What the gateway said before it closed. */
  #farewell: string | undefined
  #heardAt = 0
  #pingedAt = 0
  #statusAt = 0
  #lastStatus = ''
  /** Set while a STATUS is due. */
  #statusTimer: NodeJS.Timeout | undefined

  constructor(url: string, options: TunnelClientOptions, onEnd: (end: ConnectionEnd) => void) {
    this.#url = url
    this.#options = options
    this.#onEnd = onEnd
    this.#socket = new HeaderWebSocket(url, { headers: authorization(options.token) })
    this.#socket.binaryType = 'arraybuffer'
    this.#socket.onopen = () => {
      this.#opened = true
      this.tellHello()
    }
    this.#socket.onmessage = ({ data }) => this.#onMessage(data)
    this.#socket.onclose = ({ code, reason }) => this.#end(code, reason)
    this.#joinTimer = setTimeout(() => this.#end(1006, 'No WELCOME came.'), joinDeadline)
  }

  get inFlight(): number {
    return this.#responder?.inFlight ?? 0
  }

  async settled(): Promise<void> {
    await this.#responder?.settled()
  }

  tellHello(): void {
    this.#send(encodeJson('HELLO', 0, { ...this.#options.hello(), versions: supportedVersions }))
  }

  /** Tells status() if it differs from what the hub knows. */
  tellStatus(): void {
    clearTimeout(this.#statusTimer)
    this.#statusTimer = undefined
    if (!this.#responder) return
    const status = this.#options.status()
    const text = JSON.stringify(status)
    const now = performance.now()
    if (text === this.#lastStatus && now - this.#statusAt < idleStatus) return
    this.#lastStatus = text
    this.#statusAt = now
    this.#send(encodeJson('STATUS', 0, status))
  }

  /** The hub sends no more requests; those under way go on. */
  drain(): void {
    this.#draining = true
    if (this.#responder) this.#send(encodeJson('DRAIN', 0, {}))
  }

  close(code: number, reason: string): void {
    this.#end(code, reason)
  }

  #onMessage(data: unknown): void {
    if (this.#ended) return
    this.#heardAt = performance.now()
    // Text is only ever the runtime's `pong`.
    if (!(data instanceof ArrayBuffer)) return
    try {
      this.#receive(decodeFrame(new Uint8Array(data)))
    } catch (error) {
      if (!(error instanceof FrameError)) throw error
      this.#send(encodeJson('ERROR', 0, { code: 'protocol_error', message: error.message }))
      this.#end(error.closeCode, `The gateway broke the protocol: ${error.message}`)
    }
  }

  #receive(frame: Frame): void {
    if (!supportedVersions.includes(frame.version)) {
      this.#end(closeCodes.upgradeRequired, 'The gateway speaks another tunnel version.')
    } else if (frame.type === 'WELCOME') {
      this.#onWelcome(frame)
    } else if (frame.type === 'ERROR' && frame.stream === 0) {
      this.#farewell = decodeJson(frame, errorSchema).message
    } else if (frame.type !== undefined) {
      if (!this.#responder) throw new FrameError('WELCOME comes first.')
      this.#responder.receive(frame)
    }
  }

  #onWelcome(frame: Frame): void {
    const { limits } = decodeJson(frame, welcomeSchema)
    if (this.#responder) {
      // The hub woke with its memory gone: whoever waited for our answers is gone too.
      this.#responder.cancelAll('The gateway has forgotten its requests.')
      return
    }
    clearTimeout(this.#joinTimer)
    const port: Port = {
      send: (bytes) => this.#send(bytes),
      close: (code, reason) => this.#end(code, reason),
      ready: () => this.#ready(),
    }
    const { window } = this.#options.hello()
    this.#responder = new Responder(port, (request) => this.#handle(request), {
      peerWindow: limits.window,
      ...(window !== undefined && { window }),
      onError: (error, requestId) =>
        this.#options.log(`Request ${requestId} failed: ${describeFault(error)}`),
    })
    this.#tick = setInterval(() => this.#onTick(), busyPing)
    this.#options.onState?.('joined')
    this.tellStatus()
    if (this.#draining) this.drain()
  }

  async #handle(request: Request): Promise<Response> {
    this.#statusSoon()
    return this.#options.handle(request)
  }

  /** Never in the way of a first byte: the hub counts its own requests and can wait for our word. */
  #statusSoon(): void {
    this.#statusTimer ??= setTimeout(() => {
      this.tellStatus()
      if (this.inFlight > 0) this.#statusSoon()
    }, busyStatus)
  }

  #onTick(): void {
    const now = performance.now()
    if (this.#pingedAt > this.#heardAt && now - this.#pingedAt >= pongDeadline) {
      this.#end(1006, 'The gateway fell silent.')
      return
    }
    // One ping at a time: its deadline counts from when it was sent.
    const due = this.inFlight > 0 ? busyPing : idlePing
    if (this.#pingedAt <= this.#heardAt && now - this.#pingedAt >= due - 100) {
      this.#pingedAt = now
      this.#send('ping')
    }
    this.tellStatus()
  }

  #send(data: Uint8Array | string): void {
    if (this.#ended || this.#socket.readyState !== WebSocket.OPEN) return
    this.#socket.send(data as Uint8Array<ArrayBuffer> | string)
  }

  /** Node tells how much waits to be sent, but not when it has been: so look again now and then. */
  #ready(): Promise<void> | undefined {
    if (this.#socket.bufferedAmount <= sendBufferLimit) return undefined
    return new Promise((resolve) => {
      const timer = setInterval(() => {
        if (!this.#ended && this.#socket.bufferedAmount > sendBufferLimit) return
        clearInterval(timer)
        resolve()
      }, sendBufferPoll)
    })
  }

  /** Does not wait for the closing handshake: a dead line would never answer it. */
  #end(code: number, reason: string): void {
    if (this.#ended) return
    this.#ended = true
    clearTimeout(this.#joinTimer)
    clearTimeout(this.#statusTimer)
    clearInterval(this.#tick)
    const { readyState } = this.#socket
    if (readyState === WebSocket.OPEN || readyState === WebSocket.CONNECTING)
      this.#socket.close(...closable(code, reason))
    this.#responder?.lost('The connection to the gateway is gone.')
    const said = this.#farewell ?? (reason || `The connection to the gateway closed (${code}).`)
    const told = this.#opened || code === closeCodes.normal
    if (told) this.#onEnd({ code, reason: said, refused: false })
    else this.#explain(said).then(this.#onEnd)
  }

  /** A failed upgrade tells a WebSocket nothing, so plain HTTP asks why: the token is checked before the upgrade is. */
  async #explain(reason: string): Promise<ConnectionEnd> {
    const url = this.#url.replace(/^ws/, 'http')
    try {
      const response = await fetch(url, {
        headers: authorization(this.#options.token),
        redirect: 'manual',
        signal: AbortSignal.timeout(joinDeadline),
      })
      const text = await response.text()
      // 426: the token is right and the route is there; it was the line that broke.
      if (response.status === 426) return { code: 1006, reason, refused: false }
      const refused = response.status === 401 || response.status === 403
      const why = refused
        ? `The gateway at ${url} refused the node token`
        : `The gateway at ${url} did not let the node in`
      const said = messageOf(text) ?? text.slice(0, 300)
      return { code: 1006, reason: `${why} (${response.status}: ${said})`, refused }
    } catch (error) {
      const why = error instanceof Error && error.cause instanceof Error ? error.cause : error
      const said = why instanceof Error && why.message !== '' ? ` (${why.message})` : ''
      return { code: 1006, reason: `No connection to ${url}${said}.`, refused: false }
    }
  }
}

/** In words for the node's owner: node's own `aborted` says nothing of who broke off. */
function describeFault(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const code = 'code' in error ? String(error.code) : ''
  const brokeOff = code === 'ECONNRESET' || code === 'ERR_STREAM_PREMATURE_CLOSE'
  const cause = error.cause instanceof Error ? ` (${error.cause.message})` : ''
  return brokeOff
    ? `the engine broke off its answer (${error.message})`
    : `${error.message}${cause}`
}

/** Of an error in the gateway's own shape. */
function messageOf(body: string): string | undefined {
  try {
    return nodeErrorSchema.safeParse(JSON.parse(body)).data?.error.message.slice(0, 300)
  } catch {
    return undefined
  }
}

/** What WebSocket.close() takes without a throw: 1000 or an application's code, and at most 123 bytes of text. */
function closable(code: number, reason: string): [number, string] {
  const text = reason.replace(/[^ -~]/g, '?').slice(0, 100)
  if (code === 1006) return [closeCodes.silent, text]
  return [code === 1000 || code >= 3000 ? code : closeCodes.protocolError, text]
}

function authorization(token: string): Record<string, string> {
  return { authorization: `Bearer ${token}` }
}
