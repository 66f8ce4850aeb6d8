// A server that speaks just enough MCP to go wrong anywhere: each method can be answered by hand.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Rpc {
  id?: string | number
  method?: string
  params?: Record<string, unknown>
}

export type Answer = (
  message: Rpc,
  response: ServerResponse,
  request: IncomingMessage,
) => unknown | Promise<unknown>

export interface RawMcpServer {
  url: string
  host: string
  /** Calls that came, by the text of their arguments. */
  calls: Map<string, number>
  /** `POST /mcp tools/call`, in order. */
  log: string[]
  requests: IncomingMessage[]
  close(): Promise<void>
}

export const sendJson = (response: ServerResponse, value: unknown, headers = {}) =>
  response
    .writeHead(200, { 'content-type': 'application/json', ...headers })
    .end(JSON.stringify(value))

export const result = (message: Rpc, value: unknown) => ({
  jsonrpc: '2.0',
  id: message.id,
  result: value,
})

export const event = (value: unknown, id?: string) =>
  `${id === undefined ? '' : `id: ${id}\n`}event: message\ndata: ${JSON.stringify(value)}\n\n`

const echo = {
  name: 'echo',
  description: 'Gives back the text.',
  inputSchema: { type: 'object', properties: { text: { type: 'string' } } },
}

/** What a server of 2025-11-25 says where nothing else is asked of it. */
export const usual: Record<string, Answer> = {
  'server/discover': (message, response) =>
    sendJson(response, {
      jsonrpc: '2.0',
      id: message.id,
      error: { code: -32601, message: 'Method not found' },
    }),
  initialize: (message, response) =>
    sendJson(
      response,
      result(message, {
        protocolVersion: '2025-11-25',
        capabilities: { tools: {} },
        serverInfo: { name: 'raw', version: '1' },
      }),
      { 'mcp-session-id': 'session-1' },
    ),
  'notifications/initialized': (_, response) => response.writeHead(202).end(),
  'notifications/cancelled': (_, response) => response.writeHead(202).end(),
  'tools/list': (message, response) => sendJson(response, result(message, { tools: [echo] })),
  'tools/call': (message, response) =>
    sendJson(
      response,
      result(message, { content: [{ type: 'text', text: JSON.stringify(message.params) }] }),
    ),
}

/** Starts it; `answers` by JSON-RPC method, or by HTTP method for what has none, in place of the usual ones. */
export async function startRawMcp(answers: Record<string, Answer> = {}): Promise<RawMcpServer> {
  const calls = new Map<string, number>()
  const log: string[] = []
  const requests: IncomingMessage[] = []
  const http = createServer(async (request, response) => {
    const pieces: Buffer[] = []
    for await (const piece of request) pieces.push(piece)
    const body = Buffer.concat(pieces).toString()
    const message: Rpc = body === '' ? {} : JSON.parse(body)
    requests.push(request)
    log.push([request.method, request.url, message.method].filter(Boolean).join(' '))
    if (message.method === 'tools/call') {
      const key = JSON.stringify(message.params?.arguments)
      calls.set(key, (calls.get(key) ?? 0) + 1)
    }
    const kind = message.method ?? request.method ?? ''
    const answer = answers[kind] ?? usual[kind]
    if (answer === undefined) response.writeHead(405).end()
    else await answer(message, response, request)
  })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  const { port } = http.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/mcp`,
    host: `127.0.0.1:${port}`,
    calls,
    log,
    requests,
    close: async () => {
      http.closeAllConnections()
      await new Promise((resolve) => http.close(resolve))
    },
  }
}
