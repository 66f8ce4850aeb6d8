// A node's API on a TCP port.
import { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type ServerType, serve } from '@hono/node-server'
import { isLoopbackHost } from './local-guard.ts'
import { type AcceptSocket, asksForSocket, serveSockets } from './responses-socket.ts'

const sweepMilliseconds = 50

export interface ListenOptions {
  fetch: (request: Request) => Promise<Response>
  /** Where Responses sockets are served, too. */
  acceptSocket?: AcceptSocket
  host: string
  /** 0: any free port. */
  port: number
  /** Whether clients must send a key; without one only loopback addresses are listened on. */
  keyed: boolean
}

export interface Listening {
  /** `http://127.0.0.1:8788` */
  url: string
  /** Takes no more connections; resolves when those that are open have ended. `now` ends them. */
  close(now?: boolean): Promise<void>
  /** The same, and ends those that are open after that time. */
  drain(milliseconds: number): Promise<void>
}

/** Listens; rejects when the address is taken, or not ours to open without a key. */
export async function listen(options: ListenOptions): Promise<Listening> {
  const { fetch, acceptSocket, host, port, keyed } = options
  if (!keyed && !isLoopbackHost(host)) {
    throw Object.assign(
      new Error(`Without a key the API is open to this machine only, not on ${host}.`),
      { code: 'invalid_argument' },
    )
  }
  const server = await new Promise<ServerType>((resolve, reject) => {
    // HTTP/1 with the listeners of `node:http`: what `serve` makes unless it is told otherwise.
    const serverOptions = { shouldUpgradeCallback: acceptSocket ? asksForSocket : () => false }
    const starting = serve({ fetch, hostname: host, port, serverOptions }, () => resolve(starting))
    starting.once('error', reject)
  })
  const endSockets =
    acceptSocket && server instanceof Server ? serveSockets(server, acceptSocket) : () => {}
  const { port: actual } = server.address() as AddressInfo
  const close = (now = false) => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    if ('closeIdleConnections' in server) server.closeIdleConnections()
    if (now && 'closeAllConnections' in server) server.closeAllConnections()
    if (now) endSockets()
    return closed
  }
  return {
    close,
    async drain(milliseconds) {
      // One that is kept open for a next request becomes idle with the end of its answer.
      const sweep = setInterval(() => {
        if ('closeIdleConnections' in server) server.closeIdleConnections()
      }, sweepMilliseconds)
      const late = new Promise((resolve) => setTimeout(resolve, milliseconds).unref())
      await Promise.race([close(), late])
      clearInterval(sweep)
      await close(true)
    },
    url: `http://${host.includes(':') && !host.startsWith('[') ? `[${host}]` : host}:${actual}`,
  }
}
