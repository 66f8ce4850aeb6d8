// A TCP relay in front of workerd. workerd notices that a client has left only when it next writes to it, unless the
// connection is reset; an engine would go on generating for nobody. Here the end of a client's side (Ctrl-C of curl, an
// SDK's abort) becomes a reset at once, as servers such as nginx read it.
import { connect, createServer, type Server, type Socket } from 'node:net'

export interface Relay {
  close(): Promise<void>
}

/** Listens on `host`:`port` and hands every connection to `target` on loopback. */
export function startRelay(host: string, port: number, target: number): Promise<Relay> {
  const open = new Set<Socket>()
  // Half-open, so that the end of one side is ours to translate.
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const inner = connect({ host: '127.0.0.1', port: target, noDelay: true })
    open.add(client)
    const leave = () => {
      inner.resetAndDestroy()
      client.destroy()
    }
    client.on('end', leave)
    client.on('error', leave)
    client.on('close', () => {
      open.delete(client)
      inner.resetAndDestroy()
    })
    inner.on('end', () => client.end())
    inner.on('error', () => client.destroy())
    client.pipe(inner, { end: false })
    inner.pipe(client, { end: false })
  })
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port }, () => resolve({ close: () => close(server, open) }))
  })
}

function close(server: Server, open: Set<Socket>): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    for (const socket of open) socket.destroy()
  })
}
