// `switchyard tools`: the hosted tools of this machine, listed, or served to MCP clients over stdio or HTTP.
import type { Server } from '@modelcontextprotocol/server'
import { toApiError } from '../../src/errors.ts'
import type { HostedToolName } from '../../src/tools/hosted.ts'
import { hostedToolNames } from '../../src/tools/hosted-wire.ts'
import type { ToolHost } from '../tools/host.ts'
import { type Command, CommandError, note, parseInteger, print, UsageError } from './command.ts'
import { stopSignal } from './stop-signal.ts'
import { type ChosenTools, chooseTools, openTools, toolOptions } from './tool-options.ts'

export const tools: Command = {
  name: 'tools',
  summary: 'Lists the hosted tools of this machine, or serves them to MCP clients.',
  usage: '[--json] | --mcp [--http PORT] [--tools LIST]',
  details:
    'Without --mcp: one line a tool, and whether it can run here. With --mcp: an MCP server on stdin and stdout until stdin\n' +
    'ends; with --http it listens on http://127.0.0.1:PORT/mcp instead, for one user: all its clients share one Python and\n' +
    'one browser.',
  options: {
    mcp: { type: 'boolean', help: 'serve the tools over the Model Context Protocol' },
    http: { type: 'string', value: 'PORT', help: 'streamable HTTP on loopback (0: any free port)' },
    tools: {
      ...toolOptions.tools,
      default: 'code_interpreter, and web_search where switchyard.json has a search engine',
    },
    json: { type: 'boolean', help: 'list as JSON' },
  },
  async run(invocation) {
    const mcp = invocation.flag('mcp')
    const http = invocation.text('http')
    if (!mcp && http !== undefined) throw new UsageError('--http goes with --mcp.')
    if (mcp && invocation.flag('json')) throw new UsageError('Give either --mcp or --json.')
    const port = http === undefined ? undefined : parseInteger(http, '--http', 0, 65_535)
    const chosen = chooseTools(invocation, ['code_interpreter'])
    if (!mcp) return list(chosen, invocation.flag('json'))
    const host = await openTools(chosen)
    if (host === undefined) throw new CommandError('No tool is switched on (switchyard.json).')
    const { mcpServers } = await import('../tools/mcp-server.ts')
    const make = mcpServers(host)
    try {
      await (port === undefined ? serveStdio(make) : serveHttp(make, port, host))
    } finally {
      await host.close()
    }
    return 0
  },
}

async function list({ names, tools: document }: ChosenTools, json: boolean): Promise<number> {
  const { mcpToolNames } = await import('../tools/mcp-server.ts')
  const rows = hostedToolNames.map((name) => ({
    name,
    on: names.includes(name),
    ...(name === 'web_search' ? { backend: document.web_search?.backend ?? null } : {}),
    mcp: mcpToolNames([name]),
  }))
  const text = json
    ? JSON.stringify({ tools: rows }, null, 2)
    : rows.map((row) => `${row.name.padEnd(18)}${stateOf(row)}`).join('\n')
  await print(`${text}\n`)
  return 0
}

function stateOf(row: { name: HostedToolName; on: boolean; backend?: string | null }): string {
  if (row.on) return row.backend ? `on (${row.backend})` : 'on'
  return row.name === 'web_search' && row.backend === null
    ? 'off: set tools.web_search in switchyard.json'
    : 'off'
}

/** Resolves when the client has closed our stdin, or a signal came. stdout is the protocol's alone. */
async function serveStdio(make: () => Server): Promise<void> {
  const { serveStdio: serve } = await import('@modelcontextprotocol/server/stdio')
  const ended = new Promise<void>((resolve) => {
    process.stdin.once('end', resolve)
    process.stdin.once('close', resolve)
  })
  const handle = serve(make, { onerror: (error) => note(`switchyard tools: ${error.message}`) })
  await Promise.race([ended, stopSignal()])
  await handle.close()
}

async function serveHttp(make: () => Server, port: number, host: ToolHost): Promise<void> {
  const { createMcpHandler } = await import('@modelcontextprotocol/server')
  const { listen, refuseForeign } = await import('../server/index.ts')
  const handler = createMcpHandler(make, {
    onerror: (error) => note(`switchyard tools: ${error.message}`),
  })
  const server = await listen({
    async fetch(request) {
      try {
        // A page in the user's browser reaches loopback, too.
        refuseForeign(request)
      } catch (error) {
        return toApiError(error).toResponse()
      }
      if (new URL(request.url).pathname === '/mcp') return handler.fetch(request)
      return new Response('The MCP server is at /mcp.\n', { status: 404 })
    },
    host: '127.0.0.1',
    port,
    keyed: false,
  })
  note(`switchyard: ready: ${server.url}/mcp  (${host.tools.join(', ')})`)
  await stopSignal()
  await server.close(true)
}
