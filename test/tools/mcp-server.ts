// A real MCP server of the official package on a free port of loopback, whose tools do what tools do: answer, wait, fail,
// change. It counts what it has executed.
import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { NodeStreamableHTTPServerTransport, toNodeHandler } from '@modelcontextprotocol/node'
import {
  type CallToolResult,
  createMcpHandler,
  Server,
  type Tool,
} from '@modelcontextprotocol/server'

export interface McpServerOptions {
  /**
   * `both`: 2026-07-28, and 2025-11-25 without sessions. `newest`: 2026-07-28 alone. `sessions`: 2025-11-25 with sessions, as
   * most servers of the field. Default `both`.
   */
  wire?: 'both' | 'newest' | 'sessions'
  /** Tools beside the usual ones. */
  tools?: Tool[]
  /** In place of the usual tools' own: a text, or a whole result. Undefined leaves the call to the usual tool. */
  call?: (name: string, args: Record<string, unknown>) => string | CallToolResult | undefined
  /** From the second list on. */
  changed?: (tools: Tool[]) => Tool[]
  /** 401 without it. */
  token?: string
  /** Milliseconds that `slow` takes; default 300. */
  slowMs?: number
  /** Answers as a stream of events, also where there is nothing to tell before the result. */
  stream?: boolean
}

export interface TestMcpServer {
  /** `http://127.0.0.1:PORT/mcp` */
  url: string
  /** `127.0.0.1:PORT`, for egress.allowHosts or egress.mcpHosts. */
  host: string
  /** Executions by tool and arguments: `echo {"text":"a"}`. */
  calls(): Map<string, number>
  /** All executions of a tool, or of all tools. */
  count(tool?: string): number
  /** Requests with their headers, as they came: `POST /mcp`. */
  requests: { method: string; path: string; headers: IncomingMessage['headers'] }[]
  /** JSON-RPC methods in the order of their arrival. */
  methods: string[]
  /** Forgets all sessions, as a restart would. */
  forgetSessions(): void
  close(): Promise<void>
}

const text = (value: string, isError = false) => ({
  content: [{ type: 'text' as const, text: value }],
  ...(isError ? { isError } : {}),
})

const object = (
  properties: Record<string, { type: string }>,
  required: string[] = [],
): Tool['inputSchema'] => ({ type: 'object', properties, required })

const string = { type: 'string' }
const number = { type: 'number' }

/** A schema that refers to itself, as a tree's does, and once to nothing but itself. */
const cyclic = {
  type: 'object' as const,
  properties: { node: { $ref: '#/$defs/node' }, loop: { $ref: '#/$defs/loop' } },
  $defs: {
    node: {
      type: 'object',
      properties: { value: string, next: { $ref: '#/$defs/node' } },
      required: ['value'],
    },
    loop: { $ref: '#/$defs/loop' },
  },
}

export const usualTools: Tool[] = [
  {
    name: 'echo',
    description: 'Gives back the text.',
    inputSchema: object({ text: string }, ['text']),
    annotations: { readOnlyHint: true },
  },
  {
    name: 'add',
    description: 'Adds two numbers.',
    inputSchema: object({ a: number, b: number }, ['a', 'b']),
    annotations: { readOnlyHint: true },
  },
  { name: 'slow', description: 'Takes its time.', inputSchema: object({ text: string }) },
  { name: 'failing', description: 'Says that it failed.', inputSchema: object({}) },
  { name: 'throwing', description: 'Answers with an error.', inputSchema: object({}) },
  { name: 'large', description: 'Gives bytes.', inputSchema: object({ bytes: number }) },
  { name: 'tree', description: 'Takes a tree.', inputSchema: cyclic },
]

async function usual(
  name: string,
  args: Record<string, unknown>,
  { slowMs = 300 }: McpServerOptions,
): Promise<ReturnType<typeof text>> {
  switch (name) {
    case 'echo':
      return text(String(args.text))
    case 'add':
      return text(String(Number(args.a) + Number(args.b)))
    case 'slow':
      await new Promise((resolve) => setTimeout(resolve, slowMs))
      return text(`slowly: ${args.text}`)
    case 'failing':
      return text('It did not work.', true)
    case 'large':
      return text('x'.repeat(Number(args.bytes ?? 5_000_000)))
    case 'tree':
      return text(JSON.stringify(args))
    default:
      throw new Error(`${name} threw.`)
  }
}

/** Starts a server; close() ends it and every connection. */
export async function startMcpServer(options: McpServerOptions = {}): Promise<TestMcpServer> {
  const calls = new Map<string, number>()
  const methods: string[] = []
  const requests: TestMcpServer['requests'] = []
  let lists = 0
  const make = () => {
    const server = new Server({ name: 'test', version: '1.0.0' }, { capabilities: { tools: {} } })
    server.setRequestHandler('tools/list', () => {
      const tools = [...usualTools, ...(options.tools ?? [])]
      lists++
      return { tools: lists > 1 && options.changed ? options.changed(tools) : tools }
    })
    server.setRequestHandler('tools/call', async ({ params }, context) => {
      const args = params.arguments ?? {}
      const key = `${params.name} ${JSON.stringify(args)}`
      calls.set(key, (calls.get(key) ?? 0) + 1)
      if (options.stream) await context.mcpReq.log('info', 'running').catch(() => {})
      const own = options.call?.(params.name, args)
      if (own !== undefined) return typeof own === 'string' ? text(own) : own
      return await usual(params.name, args, options)
    })
    return server
  }
  const handler = handlerFor(make, options)
  const http = createServer((request, response) => {
    const { method = '', url = '', headers } = request
    requests.push({ method, path: url, headers })
    if (options.token !== undefined && headers.authorization !== `Bearer ${options.token}`) {
      response.writeHead(401, { 'www-authenticate': 'Bearer error="invalid_token"' }).end()
      return
    }
    void readJson(request).then((body) => {
      for (const message of Array.isArray(body) ? body : [body]) {
        if (typeof message?.method === 'string') methods.push(message.method)
      }
      return handler.handle(request, response, body)
    })
  })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  const { port } = http.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/mcp`,
    host: `127.0.0.1:${port}`,
    calls: () => calls,
    count: (tool) =>
      [...calls]
        .filter(([key]) => tool === undefined || key.startsWith(`${tool} `))
        .reduce((sum, [, count]) => sum + count, 0),
    requests,
    methods,
    forgetSessions: handler.forget,
    close: async () => {
      http.closeAllConnections()
      await new Promise((resolve) => http.close(resolve))
    },
  }
}

interface Handler {
  handle(request: IncomingMessage, response: ServerResponse, body: unknown): Promise<void>
  forget(): void
}

function handlerFor(make: () => Server, { wire = 'both', stream }: McpServerOptions): Handler {
  if (wire !== 'sessions') {
    const mcp = createMcpHandler(make, {
      legacy: wire === 'newest' ? 'reject' : 'stateless',
      responseMode: stream ? 'sse' : 'auto',
    })
    const node = toNodeHandler(mcp)
    return {
      async handle(request, response, body) {
        const { method = 'GET', url = '/' } = request
        await node(Object.assign(request, { method, url }), response, body)
      },
      forget() {},
    }
  }
  const sessions = new Map<string, NodeStreamableHTTPServerTransport>()
  const open = async () => {
    const transport: NodeStreamableHTTPServerTransport = new NodeStreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      enableJsonResponse: !stream,
      onsessioninitialized: (id) => {
        sessions.set(id, transport)
      },
    })
    await make().connect(transport)
    return transport
  }
  return {
    async handle(request, response, body) {
      const id = request.headers['mcp-session-id']
      const known = typeof id === 'string' ? sessions.get(id) : undefined
      if (id !== undefined && known === undefined) {
        response.writeHead(404, { 'content-type': 'application/json' })
        const error = { code: -32001, message: 'Session not found' }
        response.end(JSON.stringify({ jsonrpc: '2.0', id: null, error }))
        return
      }
      await (known ?? (await open())).handleRequest(request, response, body)
    },
    forget: () => sessions.clear(),
  }
}

/** The body parsed; undefined where there is none. */
// biome-ignore lint/suspicious/noExplicitAny: a message of any kind
async function readJson(request: IncomingMessage): Promise<any> {
  const pieces: Buffer[] = []
  for await (const piece of request) pieces.push(piece)
  const body = Buffer.concat(pieces).toString()
  try {
    return body === '' ? undefined : JSON.parse(body)
  } catch {
    return undefined
  }
}
