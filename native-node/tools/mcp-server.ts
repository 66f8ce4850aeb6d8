// The hosted tools as an MCP server: `python`, `search`, `open`, `find`, for any client of the protocol. What the tools
// are told and answer is what our own models get; their state lasts as long as the server.
import { type CallToolResult, Server, type Tool } from '@modelcontextprotocol/server'
import { ApiError } from '../../src/errors.ts'
import type {
  HostedCall,
  HostedOutputFile,
  HostedResult,
  HostedToolName,
} from '../../src/tools/hosted.ts'
import { browserToolFunctions, pythonName } from '../../src/tools/trained-tools.ts'
import { version } from '../../src/version.ts'
import type { ToolHost } from './host.ts'

interface ServedTool {
  hosted: HostedToolName
  action: string
  tool: Tool
}

const pythonDescription =
  'Runs Python code and gives back what it prints and the value of its last line. Variables and files stay from call to call; there is no network.'

const served: readonly ServedTool[] = [
  {
    hosted: 'code_interpreter',
    action: 'run',
    tool: {
      name: pythonName,
      description: pythonDescription,
      inputSchema: {
        type: 'object',
        properties: { code: { type: 'string', description: 'The code to run.' } },
        required: ['code'],
      },
    },
  },
  ...browserToolFunctions.map(
    ({ name, description, parameters }): ServedTool => ({
      hosted: 'web_search',
      action: name,
      tool: {
        name,
        description,
        inputSchema: { ...parameters, type: 'object' },
        annotations: { readOnlyHint: true, openWorldHint: true },
      },
    }),
  ),
]

/** What an MCP client sees of these tools. */
export function mcpToolNames(names: readonly HostedToolName[]): string[] {
  return served.filter(({ hosted }) => names.includes(hosted)).map(({ tool }) => tool.name)
}

/** Makes the servers of one host: one a connection or a request, as the wire wants it. All share their tools' sessions. */
export function mcpServers(host: ToolHost): () => Server {
  const offered = served.filter(({ hosted }) => host.tools.includes(hosted))
  const sessions = new Sessions()
  return () => {
    const info = { name: 'switchyard', version }
    const server = new Server(info, { capabilities: { tools: {} } })
    server.setRequestHandler('tools/list', () => ({ tools: offered.map(({ tool }) => tool) }))
    server.setRequestHandler('tools/call', async ({ params }, { mcpReq }) => {
      const entry = offered.find(({ tool }) => tool.name === params.name)
      if (entry === undefined) return failure(`There is no tool '${params.name}'.`)
      const { hosted: tool, action } = entry
      const call = { tool, action, arguments: params.arguments ?? {} }
      return sessions.call(host, call, mcpReq.signal)
    })
    return server
  }
}

/** One session a tool, in which calls follow each other. */
class Sessions {
  /** By tool: its session, once its last call is over. */
  readonly #last = new Map<HostedToolName, Promise<string | undefined>>()

  async call(host: ToolHost, call: HostedCall, signal: AbortSignal): Promise<CallToolResult> {
    const before = this.#last.get(call.tool) ?? Promise.resolve(undefined)
    const result = before.then((session) => host.call({ ...call, session }, signal))
    // A call that came to nothing leaves the session as it was.
    const after = result.then(
      ({ session }) => session,
      () => before,
    )
    this.#last.set(call.tool, after)
    try {
      return contentOf(await result)
    } catch (error) {
      if (signal.aborted || !(error instanceof ApiError)) throw error
      return failure(error.message)
    }
  }
}

function contentOf({ text, isError, files = [] }: HostedResult): CallToolResult {
  return {
    content: [{ type: 'text', text }, ...files.flatMap(fileContent)],
    ...(isError ? { isError } : {}),
  }
}

function fileContent({ path, data, mediaType }: HostedOutputFile): CallToolResult['content'] {
  if (data === undefined) return []
  if (mediaType.startsWith('image/')) return [{ type: 'image', data, mimeType: mediaType }]
  const uri = `file:///mnt/data/${path.split('/').map(encodeURIComponent).join('/')}`
  return [{ type: 'resource', resource: { uri, mimeType: mediaType, blob: data } }]
}

function failure(why: string): CallToolResult {
  return { content: [{ type: 'text', text: `Error: ${why}` }], isError: true }
}
