// The smallest Worker around a server of tools: lists, calls once, and tells what came of it.
import { McpFault } from '../../../src/tools/mcp/fault.ts'
import { openMcpServer } from '../../../src/tools/mcp/server.ts'
import { parseMcpTool } from '../../../src/tools/mcp/server-spec.ts'

export default {
  async fetch(request) {
    const { url, hosts, limits, args, lists } = await request.json()
    const egress = { mcpHosts: hosts }
    const tool = { type: 'mcp', server_label: 'test', server_url: url, authorization: 'secret' }
    const spec = parseMcpTool(tool, 'tools[0]', egress, 'fetch')
    const fetching = (input, init) => fetch(input, init)
    const mcp = openMcpServer(spec, { fetch: fetching, egress, use: 'fetch', limits })
    const { signal } = new AbortController()
    try {
      const tools = lists ? (await mcp.list(signal)).map(({ name }) => name) : []
      const echo = { name: 'echo', description: null, input_schema: {}, annotations: null }
      return Response.json({ tools, ...(await mcp.call(echo, args, signal)) })
    } catch (thrown) {
      if (!(thrown instanceof McpFault)) throw thrown
      const { kind, code, message, outcome } = thrown
      return Response.json({ kind, code, message, outcome })
    } finally {
      await mcp.close()
    }
  },
}
