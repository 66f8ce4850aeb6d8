// One node's socket as the hub sees it: greeting, status, and the requests under way. What must outlive hibernation
// is in the socket's attachment (small) and in the hub's `nodes` table (HELLO, which has no size to count on).
import { type OpenRequest, type Port, Requester } from '../../src/tunnel/channel.ts'
import { defaultWindow, encodeJson, maxFrameBytes } from '../../src/tunnel/frames.ts'
import {
  type Hello,
  protocolVersion,
  type Status,
  statusSchema,
  type Welcome,
} from '../../src/tunnel/messages.ts'
import type { NodeLoad } from './choose-node.ts'
import type { NodeInfo } from './hub-wire.ts'

interface Attachment {
  id: string
  connectedAt: number
  draining: boolean
  status: Status | null
}

export class NodeConnection implements NodeLoad {
  readonly socket: WebSocket
  readonly id: string
  readonly connectedAt: number

  /** Both set by HELLO. */
  hello: Hello | undefined
  requester: Requester | undefined
  /** Both matter until HELLO only. */
  refusedNames: string[] = []
  helloTimer: number | null = null
  draining = false
  status: Status | undefined
  inFlightThen = 0
  lastUsed = 0
  /** When the last binary frame came. Pings are answered by the runtime, which keeps their time itself. */
  heardAt: number
  /** When it got its present work; an idle node is heard of more seldom. */
  busySince = 0
  /** True after hibernation, until the node was told that its streams of before are forgotten. */
  #stale: boolean

  private constructor(socket: WebSocket, attachment: Attachment, restored: boolean) {
    this.socket = socket
    this.id = attachment.id
    this.connectedAt = attachment.connectedAt
    this.draining = attachment.draining
    this.status = attachment.status ?? undefined
    this.heardAt = attachment.connectedAt
    this.#stale = restored
  }

  static accepted(socket: WebSocket, id: string, now: number): NodeConnection {
    const attachment = { id, connectedAt: now, draining: false, status: null }
    socket.serializeAttachment(attachment)
    return new NodeConnection(socket, attachment, false)
  }

  /** After hibernation or a restart of the object: undefined when the socket is none of ours. */
  static restored(socket: WebSocket, hello: (id: string) => Hello | undefined) {
    const attachment: Attachment | null = socket.deserializeAttachment()
    if (!attachment) return undefined
    const connection = new NodeConnection(socket, attachment, true)
    const said = hello(attachment.id)
    if (said) connection.#meet(said)
    return connection
  }

  get slots(): number {
    return this.status?.slots ?? this.hello?.slots ?? 0
  }

  /** Calls of tools, and what else takes no slot, that have not ended. */
  get toolCalls(): number {
    return this.requester?.aside ?? 0
  }

  /** Requests that take a slot of the engine: calls of tools are none. */
  get inFlight(): number {
    return (this.requester?.inFlight ?? 0) - this.toolCalls
  }

  /** Anything is under way there. */
  get busy(): boolean {
    return (this.requester?.inFlight ?? 0) > 0
  }

  serves(model: string): boolean {
    return this.hello?.models.some(({ id }) => id === model) ?? false
  }

  offers(tool: string): boolean {
    return this.hello?.tools?.includes(tool) ?? false
  }

  /** Takes the node among those that get requests. A second HELLO replaces the first and is not answered. */
  greet(hello: Hello): void {
    const first = this.hello === undefined
    this.#meet(hello)
    this.#attach()
    if (first) this.#welcome()
  }

  /** Sends a request to the node; see Requester.open. */
  open(request: OpenRequest): Promise<Response> {
    if (this.#stale) this.#welcome()
    if (!this.requester) throw new Error('A request for a node that has not said HELLO.')
    if (!this.busy) this.busySince = Date.now()
    return this.requester.open(request)
  }

  /** The same for a call of a tool. */
  openTool(request: OpenRequest): Promise<Response> {
    return this.open({ ...request, aside: true })
  }

  /** The socket is gone: what waits for its answers fails. */
  lost(reason: string): void {
    this.requester?.lost(reason)
  }

  onStatus(status: Status): void {
    this.status = status
    this.inFlightThen = this.inFlight
    this.#attach()
  }

  onDrain(): void {
    this.draining = true
    this.#attach()
  }

  close(code: number, reason: string): void {
    try {
      // A close frame holds 123 bytes of text.
      this.socket.close(code, reason.slice(0, 120))
    } catch {
      // Closed already.
    }
  }

  /** Tells why, then closes: a close code alone says too little to a person who reads a log. */
  refuse(closeCode: number, code: string, message: string): void {
    try {
      this.socket.send(encodeJson('ERROR', 0, { code, message }))
    } catch {
      // Closed already.
    }
    this.close(closeCode, code)
  }

  info(): NodeInfo | undefined {
    const { hello, status } = this
    if (!hello) return undefined
    return {
      name: hello.node,
      models: hello.models,
      slots: this.slots,
      running: Math.max(status?.running ?? 0, Math.min(this.inFlight, this.slots)),
      waiting: status?.waiting ?? 0,
      draining: this.draining,
      connectedAt: this.connectedAt,
      ...(hello.tools !== undefined && { tools: hello.tools }),
      ...(hello.pid !== undefined && { pid: hello.pid }),
      ...(hello.agent !== undefined && { agent: hello.agent }),
    }
  }

  #meet(hello: Hello): void {
    this.hello = hello
    const port: Port = {
      send: (bytes) => this.socket.send(bytes),
      close: (code, reason) => this.close(code, reason),
    }
    // A random start: after hibernation a late frame of a forgotten stream must not meet a new one.
    const [firstStream = 1] = crypto.getRandomValues(new Uint32Array(1))
    const peerWindow = hello.window ?? defaultWindow
    this.requester ??= new Requester(port, { firstStream, peerWindow })
  }

  #welcome(): void {
    this.#stale = false
    const welcome: Welcome = {
      version: protocolVersion,
      limits: { frame_bytes: maxFrameBytes, window: defaultWindow },
    }
    this.socket.send(encodeJson('WELCOME', 0, welcome))
  }

  #attach(): void {
    const { id, connectedAt, draining } = this
    // Only what choosing needs: an attachment holds 2 KiB, and a STATUS may carry keys that we do not know.
    const known = this.status && statusSchema.strip().parse(this.status)
    this.socket.serializeAttachment({ id, connectedAt, draining, status: known ?? null })
  }
}
