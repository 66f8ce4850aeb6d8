// How the tests of this folder open a server: over plain fetch, as the gateway does, or over a node's pinned one.
import { mcpTools } from '../../../native-node/server/mcp-tools.ts'
import { McpFault } from '../../../src/tools/mcp/fault.ts'
import { type McpHost, openMcpServer } from '../../../src/tools/mcp/server.ts'
import { parseMcpTool } from '../../../src/tools/mcp/server-spec.ts'
import type { McpTool } from '../../../src/tools/mcp/tool-list.ts'

export const never = new AbortController().signal

export const echo: McpTool = {
  name: 'echo',
  description: null,
  input_schema: { type: 'object' },
  annotations: null,
}

export interface OpenOptions {
  /** Fields of the tool's entry. */
  fields?: Record<string, unknown>
  /** Listed beside the server's own. */
  hosts?: string[]
  limits?: McpHost['limits']
  pinned?: boolean
}

export function open(server: { url: string; host: string }, options: OpenOptions = {}) {
  const { fields, hosts = [], limits, pinned } = options
  const egress = { mcpHosts: [server.host, ...hosts] }
  const tool = { type: 'mcp', server_label: 'test', server_url: server.url, ...fields }
  const plain: McpHost = { fetch: (url, init) => fetch(url, init), egress, use: 'fetch' }
  const host = pinned ? mcpTools({ egress }).host : plain
  return openMcpServer(parseMcpTool(tool, 'tools[0]', egress, host.use), {
    ...host,
    ...(limits === undefined ? {} : { limits }),
  })
}

/** What the work fails with; it must be a fault. */
export async function faultOf(work: Promise<unknown>): Promise<McpFault> {
  const thrown = await work.then(
    (value) => new Error(`no fault but ${JSON.stringify(value)}`),
    (error: unknown) => error,
  )
  if (thrown instanceof McpFault) return thrown
  throw thrown
}
