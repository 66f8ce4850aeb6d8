// The Responses socket of `switchyard serve`: WebSocket upgrades of a Node server, and the wire under a socket's rules.
import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'
import { type ApiError, toApiError } from '../../src/errors.ts'
import type { ResponsesSocket } from '../../src/faces/socket.ts'
import type { Wire } from '../../src/faces/socket-turn.ts'

/** Lets a client in, or throws ApiError; then makes the socket that its messages go to. */
export type AcceptSocket = (request: Request) => (wire: Wire) => ResponsesSocket

/** A larger message ends the connection; a smaller one that is over the limit of a body is answered with an error. */
const maxMessageBytes = 32 * 1024 * 1024
/** Written and not taken by the client: more than this, and its answers wait. */
const maxUnsentBytes = 1024 * 1024

/** Whether a request is for a socket; any other `Upgrade` (h2c) is ignored, as HTTP has it. */
export function asksForSocket({ headers, url }: IncomingMessage): boolean {
  return headers.upgrade?.toLowerCase() === 'websocket' && pathOf(url) === '/v1/responses'
}

/** Serves the upgrades of a server; gives the end of all sockets. */
export function serveSockets(server: Server, accept: AcceptSocket): () => void {
  const sockets = new WebSocketServer({ noServer: true, maxPayload: maxMessageBytes })
  server.on('upgrade', (incoming, socket, head) => {
    // Until the handshake is done a broken connection is nobody's but ours.
    const ignore = () => {}
    socket.on('error', ignore)
    let open: (wire: Wire) => ResponsesSocket
    try {
      open = accept(requestOf(incoming))
    } catch (thrown) {
      refuse(socket, toApiError(thrown))
      return
    }
    sockets.handleUpgrade(incoming, socket, head, (client) => {
      socket.off('error', ignore)
      connect(client, open)
    })
  })
  return () => {
    for (const client of sockets.clients) client.terminate()
  }
}

function connect(client: WebSocket, open: (wire: Wire) => ResponsesSocket): void {
  const socket = open(wireTo(client))
  client.on('message', (data, isBinary) => socket.receive(isBinary ? data : String(data)))
  client.on('error', () => {})
  client.on('close', () => socket.closed())
}

function wireTo(client: WebSocket): Wire {
  return {
    send(text) {
      if (client.readyState !== client.OPEN) return undefined
      if (client.bufferedAmount < maxUnsentBytes) {
        client.send(text, () => {})
        return undefined
      }
      return new Promise((resolve) => client.send(text, () => resolve()))
    },
    close: (code, reason) => client.close(code, reason),
  }
}

function requestOf({ headers, url }: IncomingMessage): Request {
  const given = new Headers()
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) given.set(name, String(value))
  }
  return new Request(`http://localhost${pathOf(url)}`, { headers: given })
}

function pathOf(url: string | undefined): string {
  return url?.split('?', 1)[0] ?? ''
}

function refuse(socket: Duplex, error: ApiError): void {
  const body = JSON.stringify(error.toBody())
  const { status, type } = error
  socket.end(
    `HTTP/1.1 ${status} ${type}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  )
}
