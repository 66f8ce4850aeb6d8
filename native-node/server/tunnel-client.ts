// The node's end of the tunnel: dials the gateway, says HELLO, serves what comes, and dials again when the line drops.
// Who the node is and how it answers is passed in; the wire is src/tunnel. Protocol: docs/tunnel.md.
import { closeCodes } from '../../src/tunnel/frames.ts'
import { type ConnectionEnd, TunnelConnection } from './tunnel-connection.ts'
import type { TunnelClientOptions } from './tunnel-options.ts'

const firstDelay = 250
const longestDelay = 30_000
/** Wrong token: someone must act, so ask seldom. */
const refusedDelay = 30_000
/** A connection that held this long starts the back-off anew. */
const stableAfter = 60_000
/** Closed with one of these, dialling again could not help: the newer namesake would only be pushed out in turn. */
const finalCodes = new Set<number>([
  closeCodes.superseded,
  closeCodes.nameRefused,
  closeCodes.upgradeRequired,
  closeCodes.invalidHello,
])

/** Keeps one node joined to one gateway. */
export class TunnelClient {
  readonly #options: TunnelClientOptions
  readonly #url: string
  #connection: TunnelConnection | undefined
  #attempts = 0
  #retry: NodeJS.Timeout | undefined
  #draining = false
  #stopped = false

  constructor(options: TunnelClientOptions) {
    this.#options = options
    this.#url = connectUrl(options.gateway)
  }

  /** Dials, and goes on dialling until stop(). */
  start(): void {
    if (!this.#stopped && !this.#connection) this.#dial()
  }

  /** Requests that came through the tunnel and have not ended. */
  get inFlight(): number {
    return this.#connection?.inFlight ?? 0
  }

  /** Takes no more requests; resolves when those under way have ended. */
  async drain(): Promise<void> {
    this.#draining = true
    clearTimeout(this.#retry)
    this.#connection?.drain()
    await this.#connection?.settled()
  }

  /** Leaves at once: requests under way are cancelled. */
  stop(): void {
    this.#giveUp()
    this.#connection?.close(closeCodes.normal, 'The node stops.')
  }

  /** Tells the hub at once what status() says now: for changes that no tunnel request caused. */
  statusChanged(): void {
    this.#connection?.tellStatus()
  }

  /** Tells the hub at once what hello() says now: other models, other slots. */
  helloChanged(): void {
    this.#connection?.tellHello()
  }

  #dial(): void {
    this.#options.onState?.('connecting')
    const startedAt = performance.now()
    this.#connection = new TunnelConnection(this.#url, this.#options, (end) => {
      this.#connection = undefined
      if (performance.now() - startedAt > stableAfter) this.#attempts = 0
      if (this.#stopped) return
      if (this.#draining) this.#giveUp()
      else if (finalCodes.has(end.code)) this.#giveUp(end.reason)
      else this.#again(end)
    })
  }

  /** Full jitter: when a gateway comes back, its nodes do not all dial at once. */
  #again({ refused, reason }: ConnectionEnd): void {
    const ceiling = Math.min(longestDelay, firstDelay * 2 ** Math.min(this.#attempts++, 16))
    const random = this.#options.random ?? Math.random
    const delay = refused ? refusedDelay * (0.5 + random() / 2) : ceiling * random()
    this.#options.log(`${reason} Dialling again in ${(delay / 1000).toFixed(1)} s.`)
    this.#options.onState?.('waiting', reason)
    this.#retry = setTimeout(() => this.#dial(), delay)
  }

  #giveUp(reason?: string): void {
    if (this.#stopped) return
    this.#stopped = true
    clearTimeout(this.#retry)
    if (reason !== undefined) this.#options.log(`The gateway does not take this node: ${reason}`)
    this.#options.onState?.('stopped', reason)
  }
}

/** `https://host/base` → `wss://host/base/nodes/connect`. */
export function connectUrl(gateway: string): string {
  const url = new URL(gateway)
  url.protocol = url.protocol.replace(/^http/, 'ws')
  if (url.protocol !== 'ws:' && url.protocol !== 'wss:')
    throw new TypeError(`The gateway's address must begin with http:// or https://, not ${gateway}`)
  url.pathname = `${url.pathname.replace(/\/+$/, '')}/nodes/connect`
  url.search = ''
  url.hash = ''
  return url.href
}
