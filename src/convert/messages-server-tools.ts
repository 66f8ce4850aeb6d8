// What Anthropic's servers run for a Messages client, as tools of the canonical request that run here: remote MCP, web search
// and code execution. https://docs.anthropic.com/en/docs/agents-and-tools/mcp-connector
import { ApiError } from '../errors.ts'
import type {
  CountTokensRequest,
  McpServerEntry,
  McpToolset,
  MessagesTool,
  WebSearchTool,
} from '../protocol/messages.ts'
import type { Tool, ToolChoice } from '../protocol/responses.ts'

/** A tool for the canonical request, and where the client wrote it. */
export interface PlacedTool {
  tool: Tool
  path: string
}

const canonical = (fields: Record<string, unknown> & { type: string }) => fields as unknown as Tool

/**
 * Web search or code execution in canonical words; undefined for any other tool, and for what could not be kept.
 * `container`: where code is to run.
 */
export function serverToolOf(tool: MessagesTool, container?: string): Tool | undefined {
  if (isWebSearch(tool)) return searchOf(tool)
  return isCode(tool)
    ? canonical({ type: 'code_interpreter', container: container ?? { type: 'auto' } })
    : undefined
}

/** The container that a request goes on with. Throws ApiError for one that nothing could run in, and for skills. */
export function namedContainer({ container, tools }: CountTokensRequest): string | undefined {
  const { id, skills } = typeof container === 'string' ? { id: container } : (container ?? {})
  if (skills != null && skills.length > 0) {
    throw unsupported('container.skills', 'there are none here')
  }
  if (id == null) return undefined
  if (!tools?.some(isCode)) throw unsupported('container', 'no tool for code_execution is declared')
  return id
}

/** The choice of a server's tool by its name; undefined for the name of a function. */
export function serverChoice(
  name: string,
  declared: readonly MessagesTool[],
): ToolChoice | undefined {
  const tool = declared.find((each) => each.name === name)
  const type = tool && serverToolOf(tool)?.type
  return type === undefined ? undefined : ({ type } as unknown as ToolChoice)
}

export function isToolset(tool: MessagesTool): tool is McpToolset {
  return tool.type === 'mcp_toolset'
}

function isWebSearch(tool: MessagesTool): tool is WebSearchTool {
  return /^web_search_\d{8}$/.test(tool.type ?? '')
}

function isCode({ type }: MessagesTool): boolean {
  return /^code_execution_\d{8}$/.test(type ?? '')
}

function searchOf({ allowed_domains, blocked_domains, user_location }: WebSearchTool) {
  // There is no such filter here: a search that showed them after all would be a promise broken.
  if (blocked_domains != null && blocked_domains.length > 0) return undefined
  const filters = allowed_domains?.length ? { filters: { allowed_domains } } : {}
  return canonical({
    type: 'web_search',
    ...filters,
    ...(user_location == null ? {} : { user_location }),
  })
}

/** Searches tell which pages they have found, as Anthropic's do. */
export function searchIncludes(declared: readonly MessagesTool[]): string[] {
  return declared.some(isWebSearch) ? ['web_search_call.action.sources'] : []
}

/** How often a search may be made, where that is all that a request's tools of servers may do; else nobody counts it. */
export function searchLimit(declared: readonly MessagesTool[]): number | undefined {
  const running = declared.filter((tool) => isToolset(tool) || serverToolOf(tool) !== undefined)
  const [only] = running
  return running.length === 1 && only !== undefined && isWebSearch(only)
    ? (only.max_uses ?? undefined)
    : undefined
}

/** The servers with what their toolsets say of them. Throws ApiError for one that cannot be had as it is asked for. */
export function mcpTools(
  servers: readonly McpServerEntry[],
  declared: readonly MessagesTool[],
): PlacedTool[] {
  const sets = declared.flatMap((set, at) =>
    isToolset(set) ? [{ set, path: `tools[${at}]` }] : [],
  )
  const told = new Set<string>()
  for (const { set, path } of sets) {
    const { mcp_server_name: name } = set
    const param = `${path}.mcp_server_name`
    if (!servers.some((server) => server.name === name)) {
      throw invalid(param, `no server of that name is in 'mcp_servers'`)
    }
    // Which of the two would hold: a tool that one of them forbids must not be had by the other.
    if (told.has(name)) throw invalid(param, 'a server has one toolset')
    told.add(name)
  }
  return servers.flatMap((server, at): PlacedTool[] => {
    const own = sets.find(({ set }) => set.mcp_server_name === server.name)
    const { enabled, allowed_tools } = own === undefined ? ofServer(server) : ofToolset(own)
    if (!enabled) return []
    const tool = canonical({
      type: 'mcp',
      server_label: server.name,
      server_url: server.url,
      // Anthropic's connector asks nobody.
      require_approval: 'never',
      ...(server.authorization_token ? { authorization: server.authorization_token } : {}),
      ...(allowed_tools === undefined ? {} : { allowed_tools }),
    })
    return [{ tool, path: `mcp_servers[${at}]` }]
  })
}

interface Allowed {
  enabled: boolean
  allowed_tools?: string[] | undefined
}

function ofServer({ tool_configuration: told }: McpServerEntry): Allowed {
  return { enabled: told?.enabled !== false, allowed_tools: told?.allowed_tools ?? undefined }
}

function ofToolset({ set, path }: { set: McpToolset; path: string }): Allowed {
  const configs = Object.entries(set.configs ?? {})
  if (set.default_config?.enabled === false) {
    const names = configs.flatMap(([name, { enabled }]) => (enabled === true ? [name] : []))
    return { enabled: names.length > 0, allowed_tools: names }
  }
  const [off] = configs.find(([, { enabled }]) => enabled === false) ?? []
  if (off === undefined) return { enabled: true }
  const reason = 'single tools can be switched on (default_config.enabled: false), not off'
  throw unsupported(`${path}.configs.${off}.enabled`, reason)
}

function unsupported(param: string, reason: string): ApiError {
  const message = `'${param}' is not supported: ${reason}.`
  return new ApiError('unsupported_parameter', message, { param })
}

/** What the client calls the fields of a server. */
export function serverField(rest: string): string {
  return rest
    .replace(/^\.server_label/, '.name')
    .replace(/^\.server_url/, '.url')
    .replace(/^\.authorization/, '.authorization_token')
}

function invalid(param: string, reason: string): ApiError {
  return new ApiError('invalid_value', `Invalid value for '${param}': ${reason}.`, { param })
}
