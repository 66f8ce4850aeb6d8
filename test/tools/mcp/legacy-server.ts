// A whole server of before 2025: a stream at /sse, posts to /messages.
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { event, type Rpc, result } from '../raw-mcp.ts'

export interface LegacyOptions {
  /** What comes of a call; default: its result on the stream. */
  call?: (stream: ServerResponse, post: ServerResponse, message: Rpc) => void
  /** Where posts go. */
  endpoint?: string
}

export interface LegacyMcpServer {
  url: string
  host: string
  /** `POST /messages tools/call`, in order. */
  log: string[]
  close(): Promise<void>
}

/** Starts it on a free port. */
export async function startLegacyMcp(options: LegacyOptions = {}): Promise<LegacyMcpServer> {
  const { call, endpoint = '/messages?session=1' } = options
  const log: string[] = []
  let stream: ServerResponse | undefined
  const answers: Record<string, (message: Rpc) => unknown> = {
    initialize: () => ({
      protocolVersion: '2024-11-05',
      capabilities: { tools: {} },
      serverInfo: { name: 'old', version: '1' },
    }),
    'tools/list': () => ({ tools: [{ name: 'echo', inputSchema: { type: 'object' } }] }),
    'tools/call': () => ({ content: [{ type: 'text', text: 'done' }] }),
  }
  const http = createServer(async (request, response) => {
    const pieces: Buffer[] = []
    for await (const piece of request) pieces.push(piece)
    const { pathname } = new URL(request.url ?? '/', 'http://x')
    const message: Rpc =
      request.method === 'POST' ? JSON.parse(Buffer.concat(pieces).toString()) : {}
    log.push([request.method, pathname, message.method].filter(Boolean).join(' '))
    if (pathname === '/sse' && request.method === 'GET') {
      stream = response.writeHead(200, { 'content-type': 'text/event-stream' })
      stream.write(`event: endpoint\ndata: ${endpoint}\n\n`)
      return
    }
    if (pathname !== '/messages' || stream === undefined) return response.writeHead(404).end()
    if (message.method === 'tools/call' && call !== undefined) {
      return call(stream, response, message)
    }
    response.writeHead(202).end('Accepted')
    const answer = answers[message.method ?? '']
    if (answer !== undefined) stream.write(event(result(message, answer(message))))
  })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  const host = `127.0.0.1:${(http.address() as AddressInfo).port}`
  return {
    url: `http://${host}/sse`,
    host,
    log,
    close: async () => {
      http.closeAllConnections()
      await new Promise((resolve) => http.close(resolve))
    },
  }
}
