// A tenant's nodes: their sockets (hibernating), their names, and the dispatch of requests to them. Relays bytes;
// what they mean is the Worker's business. One object a tenant. Protocol: docs/tunnel.md.
//
// What is kept where, and what an eviction costs:
// - A request under way keeps the object in memory: its fetch has not ended. So hibernation never cuts a stream. When
//   it strikes, sockets stay, `nodes` and the attachments bring the list back, and nothing needs to be said.
// - A reset (deploy, runtime update, memory limit) cuts every socket and every fetch. The Worker sees its fetch fail
//   (before HEAD: next candidate; after: the body's reader throws and the face ends in `node_lost`); a node sees its
//   socket close, cancels its streams and dials in again.
// - Two instances may be alive for a moment (uniqueness is enforced at event start and storage access). A socket belongs
//   to exactly one of them, so neither can send on the other's behalf; a dispatch that reaches the one without sockets
//   is refused as `model_not_here` and goes to the next candidate.
import { ApiError } from '../../src/errors.ts'
import {
  closeCodes,
  decodeFrame,
  decodeJson,
  encodeJson,
  type Frame,
  FrameError,
} from '../../src/tunnel/frames.ts'
import {
  type Hello,
  helloSchema,
  statusSchema,
  supportedVersions,
} from '../../src/tunnel/messages.ts'
import { logFault } from '../log.ts'
import { chooseNode, isFull } from './choose-node.ts'
import { askContainers } from './container-dispatch.ts'
import {
  hubErrorHeader,
  hubRefusal,
  type NodeInfo,
  nodeHeader,
  refusalSeconds,
  refusedNamesHeader,
} from './hub-wire.ts'
import { NodeConnection } from './node-connection.ts'
import { callTool } from './tool-dispatch.ts'

const versionsMessage = `This gateway speaks tunnel versions ${supportedVersions.join(', ')}.`
/** By these a node says before it starts that its queue is full or its engine away: another may have room. */
const elsewhere = new Set([429, 502, 503])
/** What of the Worker's request headers a node gets to see. */
const forwardedHeaders = new Set(['accept', 'content-type', 'x-request-id'])

export class NodeHub {
  /** Milliseconds. */
  protected readonly helloDeadline: number = 10_000
  /** A node with work pings every 5 s: three lost pings and a little. */
  protected readonly busySilence: number = 16_000
  /** An idle node pings every 20 s. */
  protected readonly idleSilence: number = 65_000

  protected readonly maxNodes: number = 1000

  readonly #state: DurableObjectState
  #connections = new Map<string, NodeConnection>()
  #bySocket = new WeakMap<WebSocket, NodeConnection>()
  #dispatches = 0
  /** Runs only while requests are under way: a timer keeps the object from hibernating. */
  #watch: ReturnType<typeof setInterval> | undefined

  constructor(state: DurableObjectState) {
    this.#state = state
    state.setWebSocketAutoResponse(new WebSocketRequestResponsePair('ping', 'pong'))
    const { sql } = state.storage
    sql.exec('CREATE TABLE IF NOT EXISTS nodes (id TEXT PRIMARY KEY, hello TEXT NOT NULL)')
    for (const socket of state.getWebSockets()) {
      const connection = NodeConnection.restored(socket, (id) => this.#storedHello(id))
      if (connection?.hello) this.#remember(connection)
      else socket.close(closeCodes.helloTimeout, 'hello_timeout')
    }
    const rows = sql.exec<{ id: string }>('SELECT id FROM nodes').toArray()
    for (const { id } of rows) if (!this.#connections.has(id)) this.#erase(id)
  }

  /** Routes between Worker and hub; none is reachable from outside. */
  async fetch(request: Request): Promise<Response> {
    const url = new URL(request.url)
    switch (url.pathname) {
      case '/connect':
        return this.#connect(request)
      case '/nodes':
        return Response.json(this.#list())
      case '/dispatch':
        return this.#dispatch(request, url.searchParams)
      case '/tools':
        return this.#callTool(request, url.searchParams)
      case '/containers':
        return this.#askContainers(request, url.searchParams)
      default:
        return new Response(null, { status: 404 })
    }
  }

  async webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): Promise<void> {
    const connection = this.#find(socket)
    if (!connection) return
    connection.heardAt = Date.now()
    try {
      if (typeof message === 'string') throw new FrameError('Text other than ping.')
      this.#receive(connection, new Uint8Array(message))
    } catch (error) {
      if (!(error instanceof FrameError)) throw error
      this.#refuse(connection, error.closeCode, 'protocol_error', error.message)
    }
  }

  async webSocketClose(socket: WebSocket, code: number, reason: string): Promise<void> {
    const connection = this.#find(socket)
    if (!connection) return
    connection.close(closeCodes.normal, '')
    this.#drop(connection, `The node's connection closed (${code} ${reason}).`)
  }

  async webSocketError(socket: WebSocket): Promise<void> {
    const connection = this.#find(socket)
    if (connection) this.#drop(connection, "The node's connection broke.")
  }

  #connect(request: Request): Response {
    this.#dropSilent(this.idleSilence)
    const { 0: client, 1: server } = new WebSocketPair()
    if (this.#connections.size >= this.maxNodes) {
      // A failed upgrade could not tell why: a socket can.
      server.accept()
      const message = `This gateway has ${this.maxNodes} nodes and takes no more.`
      server.send(encodeJson('ERROR', 0, { code: 'too_many_nodes', message }))
      server.close(closeCodes.tooManyNodes, 'too_many_nodes')
      return new Response(null, { status: 101, webSocket: client })
    }
    const id = crypto.randomUUID()
    this.#state.acceptWebSocket(server, [id])
    const connection = NodeConnection.accepted(server, id, Date.now())
    connection.refusedNames = request.headers.get(refusedNamesHeader)?.split(',') ?? []
    this.#remember(connection)
    // The timer keeps the object in memory, so no socket is ever restored that has not said HELLO.
    connection.helloTimer = setTimeout(
      () => this.#refuse(connection, closeCodes.helloTimeout, 'hello_timeout', 'No HELLO came.'),
      this.helloDeadline,
    )
    return new Response(null, { status: 101, webSocket: client })
  }

  #receive(connection: NodeConnection, bytes: Uint8Array): void {
    const frame = decodeFrame(bytes)
    if (!supportedVersions.includes(frame.version)) {
      this.#refuse(connection, closeCodes.upgradeRequired, 'upgrade_required', versionsMessage)
      return
    }
    // A type of a newer minor version: nothing that we must understand.
    if (frame.type === undefined) return
    if (frame.type === 'HELLO') this.#onHello(connection, readHello(frame))
    else if (!connection.requester) throw new FrameError('HELLO comes first.')
    else if (frame.type === 'STATUS') connection.onStatus(decodeJson(frame, statusSchema))
    else if (frame.type === 'DRAIN') connection.onDrain()
    else if (frame.stream !== 0) connection.requester.receive(frame)
  }

  #onHello(connection: NodeConnection, hello: Hello): void {
    const { node: name, versions } = hello
    if (!versions.some((version) => supportedVersions.includes(version))) {
      this.#refuse(connection, closeCodes.upgradeRequired, 'upgrade_required', versionsMessage)
      return
    }
    if (connection.hello && connection.hello.node !== name)
      throw new FrameError('A node keeps its name.', closeCodes.invalidHello)
    if (connection.refusedNames.includes(name.toLowerCase())) {
      const message = `A node cannot be called ${name}: a reserved word, a provider or a route has that name.`
      this.#refuse(connection, closeCodes.nameRefused, 'name_refused', message)
      return
    }
    for (const other of [...this.#connections.values()]) {
      if (other === connection || other.hello?.node !== name) continue
      const message = `Another node called ${name} has joined.`
      this.#refuse(other, closeCodes.superseded, 'superseded', message)
    }
    const { sql } = this.#state.storage
    sql.exec('INSERT OR REPLACE INTO nodes VALUES (?, ?)', connection.id, JSON.stringify(hello))
    clearTimeout(connection.helloTimer)
    connection.greet(hello)
  }

  #refuse(connection: NodeConnection, closeCode: number, code: string, message: string): void {
    connection.refuse(closeCode, code, message)
    this.#drop(connection, message)
  }

  /** Asks nodes one after another until one has answered with HEAD; the body is kept until then. */
  async #dispatch(request: Request, query: URLSearchParams): Promise<Response> {
    const model = query.get('model') ?? ''
    const pinned = query.get('node')
    const body = new Uint8Array(await request.arrayBuffer())
    const headers = [...request.headers].filter(([name]) => forwardedHeaders.has(name))
    const path = query.get('path') ?? '/'
    const { signal, method } = request
    const tried = new Set<NodeConnection>()
    // Where another node answers, nobody else hears of them.
    const faults: { error: ApiError; place: string | undefined }[] = []
    let refusal: Response | undefined
    this.#watchSilence()
    for (;;) {
      const { chosen, present } = this.#choose(model, pinned, tried)
      if (!chosen) return refusal ?? nobody(model, present)
      tried.add(chosen)
      chosen.lastUsed = ++this.#dispatches
      try {
        const response = await chosen.open({ method, path, headers, body, signal })
        response.headers.delete(hubErrorHeader)
        response.headers.set(nodeHeader, chosen.hello?.node ?? '')
        forget(refusal)
        if (!elsewhere.has(response.status)) {
          const requestId = request.headers.get('x-request-id') ?? ''
          for (const { error, place } of faults) logFault(error, { requestId, place })
          return response
        }
        refusal = response
      } catch (error) {
        forget(refusal)
        // The Worker that asked is gone: nobody reads this.
        if (signal.aborted) return new Response(null, { status: 499 })
        if (!(error instanceof ApiError)) throw error
        const code = error.code === 'node_lost' ? 'node_lost' : 'upstream_error'
        const place = chosen.hello?.node
        faults.push({ error, place })
        refusal = hubRefusal({ code, message: error.message }, place)
      }
    }
  }

  async #callTool(request: Request, query: URLSearchParams): Promise<Response> {
    this.#watchSilence()
    return callTool(this.#connections.values(), request, {
      tool: query.get('tool') ?? '',
      node: query.get('node'),
      use: (node) => {
        node.lastUsed = ++this.#dispatches
      },
    })
  }

  async #askContainers(request: Request, query: URLSearchParams): Promise<Response> {
    this.#watchSilence()
    return askContainers(this.#connections.values(), request, {
      node: query.get('node'),
      path: query.get('path') ?? '/',
      all: query.has('all'),
      use: (node) => {
        node.lastUsed = ++this.#dispatches
      },
    })
  }

  #choose(model: string, pinned: string | null, tried: ReadonlySet<NodeConnection>) {
    const present = [...this.#connections.values()].filter(
      (node) => !node.draining && node.serves(model) && (!pinned || node.hello?.node === pinned),
    )
    return { chosen: chooseNode(present.filter((node) => !tried.has(node))), present }
  }

  #list(): NodeInfo[] {
    this.#dropSilent(this.idleSilence)
    return [...this.#connections.values()].flatMap((node) => node.info() ?? [])
  }

  /** While requests are under way, a node that says nothing at all is taken for dead. */
  #watchSilence(): void {
    this.#dropSilent(this.idleSilence)
    if (this.#watch !== undefined) return
    this.#watch = setInterval(() => {
      const busy = [...this.#connections.values()].filter((node) => node.busy)
      this.#dropSilent(this.busySilence, busy)
      if (busy.length > 0) return
      if (this.#watch !== undefined) clearInterval(this.#watch)
      this.#watch = undefined
    }, this.busySilence / 4)
  }

  #dropSilent(limit: number, among: Iterable<NodeConnection> = this.#connections.values()): void {
    const now = Date.now()
    for (const connection of [...among]) {
      const pinged =
        this.#state.getWebSocketAutoResponseTimestamp(connection.socket)?.getTime() ?? 0
      if (now - Math.max(pinged, connection.heardAt, connection.busySince) <= limit) continue
      connection.close(closeCodes.silent, 'silent')
      this.#drop(connection, 'The node fell silent.')
    }
  }

  #find(socket: WebSocket): NodeConnection | undefined {
    const known = this.#bySocket.get(socket)
    if (known) return known
    const id: string | undefined = socket.deserializeAttachment()?.id
    return id === undefined ? undefined : this.#connections.get(id)
  }

  #remember(connection: NodeConnection): void {
    this.#connections.set(connection.id, connection)
    this.#bySocket.set(connection.socket, connection)
  }

  #drop(connection: NodeConnection, reason: string): void {
    if (!this.#connections.delete(connection.id)) return
    clearTimeout(connection.helloTimer)
    this.#erase(connection.id)
    connection.lost(reason)
  }

  #erase(id: string): void {
    this.#state.storage.sql.exec('DELETE FROM nodes WHERE id = ?', id)
  }

  #storedHello(id: string): Hello | undefined {
    const [row] = this.#state.storage.sql
      .exec<{ hello: string }>('SELECT hello FROM nodes WHERE id = ?', id)
      .toArray()
    return row ? helloSchema.parse(JSON.parse(row.hello)) : undefined
  }
}

function readHello(frame: Frame): Hello {
  try {
    return decodeJson(frame, helloSchema)
  } catch (error) {
    if (!(error instanceof FrameError)) throw error
    throw new FrameError(error.message, closeCodes.invalidHello)
  }
}

function nobody(model: string, present: readonly NodeConnection[]): Response {
  if (present.some(isFull)) {
    const message = `Every node with ${model} has a full queue.`
    return hubRefusal({ code: 'no_capacity', message, retryAfter: refusalSeconds })
  }
  return hubRefusal({ code: 'model_not_here', message: `No node serves ${model} now.` })
}

/** Nobody reads it, and its node need not send the rest. */
function forget(refusal: Response | undefined): void {
  refusal?.body?.cancel().catch(() => {})
}
