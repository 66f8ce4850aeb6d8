// The client's side of MCP against a real server, on each wire.
import { afterEach, describe, expect, it } from 'vitest'
import { type McpHost, openMcpServer } from '../../../src/tools/mcp/server.ts'
import { parseMcpTool } from '../../../src/tools/mcp/server-spec.ts'
import { type McpServerOptions, startMcpServer, type TestMcpServer } from '../mcp-server.ts'

const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

const never = new AbortController().signal

async function start(options: McpServerOptions = {}) {
  const server = await startMcpServer(options)
  ends.push(() => server.close())
  return server
}

function open(
  server: TestMcpServer,
  fields: Record<string, unknown> = {},
  host: Partial<McpHost> = {},
) {
  const egress = { mcpHosts: [server.host] }
  const tool = { type: 'mcp', server_label: 'test', server_url: server.url, ...fields }
  const spec = parseMcpTool(tool, 'tools[0]', egress, 'fetch')
  const mcp = openMcpServer(spec, {
    fetch: (url, init) => fetch(url, init),
    egress,
    use: 'fetch',
    ...host,
  })
  ends.push(() => mcp.close())
  return mcp
}

describe.each(['both', 'newest', 'sessions'] as const)('wire %s', (wire) => {
  it('lists and calls over one connection', async () => {
    const server = await start({ wire })
    const mcp = open(server)
    const tools = await mcp.list(never)
    expect(tools.map(({ name }) => name)).toContain('echo')
    const echo = tools.find(({ name }) => name === 'echo')
    if (echo === undefined) throw new Error('no echo')
    expect(await mcp.call(echo, { text: 'hello' }, never)).toEqual({
      output: 'hello',
      isError: false,
    })
    await mcp.close()
    expect(server.calls()).toEqual(new Map([['echo {"text":"hello"}', 1]]))
    expect(server.methods).toEqual(
      wire === 'newest' || wire === 'both'
        ? ['server/discover', 'tools/list', 'tools/call']
        : [
            'server/discover',
            'initialize',
            'notifications/initialized',
            'tools/list',
            'tools/call',
          ],
    )
    expect(server.requests.some(({ method }) => method === 'GET')).toBe(false)
  })
})
