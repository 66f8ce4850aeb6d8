// `GET /v1/responses` with Upgrade. The socket lives in the isolate that took it: what it remembers is in that isolate's
// memory and goes with the connection, which is all that `store: false` may have.
import type { Handler } from 'hono'
import { ApiError } from '../../src/errors.ts'
import { withFamily } from '../../src/faces/reasoning-family.ts'
import { ResponsesSocket } from '../../src/faces/socket.ts'
import type { Wire } from '../../src/faces/socket-turn.ts'
import type { GatewayEnv } from '../env.ts'
import { faceDeps } from '../face-deps.ts'

/** Opens a Responses socket; its caller is known by now, for as long as it is open. */
export const responsesSocket: Handler<GatewayEnv> = (c) => {
  if (c.req.header('upgrade')?.toLowerCase() !== 'websocket') {
    throw new ApiError(
      'method_not_allowed',
      'Send requests to this endpoint by POST, or open a WebSocket on it.',
      { status: 426 },
    )
  }
  const deps = withFamily(faceDeps(c), c.req.raw.headers)
  const { 0: client, 1: server } = new WebSocketPair()
  server.accept()
  const socket = new ResponsesSocket({ wire: wireTo(server), deps })
  server.addEventListener('message', ({ data }) => socket.receive(data))
  server.addEventListener('error', () => socket.closed())
  server.addEventListener('close', ({ code }) => {
    socket.closed()
    close(server, code, '')
  })
  return new Response(null, { status: 101, webSocket: client })
}

function wireTo(server: WebSocket): Wire {
  return {
    send(text) {
      try {
        server.send(text)
      } catch {
        // Closed: its event tells the rest.
      }
      return undefined
    },
    close: (code, reason) => close(server, code, reason),
  }
}

function close(server: WebSocket, code: number, reason: string): void {
  try {
    // What may be received may not all be sent: 1005 and 1006 stand for a close without a code, and for none.
    server.close(code >= 1005 && code <= 1006 ? 1000 : code, reason)
  } catch {
    // Closed already.
  }
}
