// Starts the hub in real workerd and joins nodes to it over real sockets.
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { Miniflare } from 'miniflare'
import { TunnelClient } from '../../native-node/server/tunnel-client.ts'
import type { TunnelClientOptions } from '../../native-node/server/tunnel-options.ts'
import type { Handler } from '../../src/tunnel/responder.ts'
import { deferred } from '../contract/channel.ts'

export const token = 'a-node-token-for-tests'
export const otherToken = 'another-tenants-token'

export interface Call {
  path?: string
  body?: Record<string, unknown>
  query?: Record<string, string>
  signal?: AbortSignal
}

/** What the tests read of gateway/nodes.ts's NodeInfo, which is written in the Worker's types. */
export interface NodeInfo {
  name: string
  models: { id: string }[]
  slots: number
  running: number
  waiting: number
  draining: boolean
  pid?: number
}

export interface NodeOptions extends Partial<TunnelClientOptions> {
  name: string
  model?: string
  slots?: number
  tools?: string[]
}

export class Hub {
  readonly url: string
  readonly #miniflare: Miniflare
  readonly #clients: TunnelClient[] = []
  readonly #className: string

  private constructor(miniflare: Miniflare, url: URL, className: string) {
    this.#miniflare = miniflare
    this.url = url.href.replace(/\/$/, '')
    this.#className = className
  }

  static async start(className = 'NodeHub'): Promise<Hub> {
    const miniflare = new Miniflare(await options(className))
    return new Hub(miniflare, await miniflare.ready, className)
  }

  /** Hibernation, as after some seconds without work: memory goes, sockets stay. Waits until no request is under way. */
  async hibernate(): Promise<void> {
    await this.#miniflare.unsafeEvictDurableObject('hub', this.#className, {
      name: 'default',
      webSockets: 'hibernate',
    })
  }

  /** What a deploy does: the object is reset while requests are under way, and its sockets are cut. */
  async reset(): Promise<void> {
    await fetch(`${this.url}/reset`)
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) client.stop()
    await this.#miniflare.dispose()
  }

  /** A client that is not started yet. */
  client(
    handle: Handler,
    { name, model = 'm', slots = 4, tools, ...rest }: NodeOptions,
  ): TunnelClient {
    const client = new TunnelClient({
      gateway: this.url,
      token,
      hello: () => ({
        node: name,
        models: [{ id: model, dialects: ['responses'] }],
        slots,
        ...(tools && { tools }),
      }),
      status: () => ({ running: 0, waiting: 0 }),
      handle,
      log: () => {},
      ...rest,
    })
    this.#clients.push(client)
    return client
  }

  /** Resolves when the node has joined. */
  async join(handle: Handler, options: NodeOptions): Promise<TunnelClient> {
    const { promise, resolve, reject } = deferred()
    const client = this.client(handle, {
      ...options,
      onState: (state, reason) => {
        options.onState?.(state, reason)
        if (state === 'joined') resolve()
        if (state === 'stopped') reject(new Error(reason))
      },
    })
    client.start()
    await promise
    return client
  }

  async nodes(query = ''): Promise<NodeInfo[]> {
    const response = await fetch(`${this.url}/nodes${query}`)
    return JSON.parse(await response.text())
  }

  /** Resolves when the list of nodes is as wanted. */
  async until(wanted: (nodes: NodeInfo[]) => boolean): Promise<void> {
    while (!wanted(await this.nodes())) await new Promise((resolve) => setTimeout(resolve, 20))
  }

  /** One request through the Worker; an abort resets the connection, since workerd sees a mere FIN only when it writes. */
  call({ path = '/call', body = {}, query = {}, signal }: Call = {}): Promise<Response> {
    const url = `${this.url}${path}?${new URLSearchParams({ model: 'm', ...query })}`
    return new Promise((resolve, reject) => {
      const headers = { 'content-type': 'application/json' }
      const request = httpRequest(url, { method: 'POST', headers, agent: false })
      signal?.addEventListener('abort', () => request.socket?.resetAndDestroy(), { once: true })
      request.on('error', reject)
      request.on('response', (message) => resolve(asResponse(message)))
      request.end(JSON.stringify(body))
    })
  }
}

/** Reads nothing that nobody asked for, beyond Node's own buffer; the test worker's mark of a broken body is an error again. */
function asResponse(message: IncomingMessage): Response {
  const chunks = message[Symbol.asyncIterator]()
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await chunks.next()
        if (done) return controller.close()
        const broken = /^\[broken: (.*)\]$/.exec(value.toString())
        if (broken) controller.error(new Error(broken[1]))
        else controller.enqueue(new Uint8Array(value))
      },
      cancel() {
        message.socket.resetAndDestroy()
      },
    },
    { highWaterMark: 0 },
  )
  const headers = new Headers()
  for (const [name, value] of Object.entries(message.headers)) headers.set(name, String(value))
  return new Response(body, { status: message.statusCode ?? 0, headers })
}

let script: string | undefined

async function options(className: string) {
  script ??= await bundled()
  return {
    name: 'hub',
    modules: true as const,
    script,
    host: '127.0.0.1',
    compatibilityDate: '2026-07-01',
    compatibilityFlags: ['enable_request_signal'],
    durableObjects: { NODE_HUB: { className, useSQLite: true } },
    bindings: { SWITCHYARD_NODE_TOKEN: JSON.stringify({ default: token, other: otherToken }) },
  }
}

async function bundled(): Promise<string> {
  const result = await build({
    entryPoints: [fileURLToPath(new URL('worker.mjs', import.meta.url))],
    bundle: true,
    format: 'esm',
    target: 'es2022',
    write: false,
  })
  return result.outputFiles[0]?.text ?? ''
}
