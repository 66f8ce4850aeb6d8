// Which of a request's tools run here, and who runs them: remote MCP by the gateway or node itself, code and web search by
// whoever offers them. What nobody runs stays in the request.
import { ApiError } from '../errors.ts'
import type { ResponsesRequest, Tool } from '../protocol/responses.ts'
import { BrowserRunner } from '../tools/browser-runner.ts'
import { CitationSources } from '../tools/citations.ts'
import { chooseContainer } from '../tools/container-choice.ts'
import type { HostedTools } from '../tools/hosted.ts'
import type { Origin } from '../tools/mcp/approvals.ts'
import { openMcpServer } from '../tools/mcp/server.ts'
import { type McpSpec, parseMcpTool } from '../tools/mcp/server-spec.ts'
import type { McpTools } from '../tools/mcp/tools.ts'
import { McpRunner } from '../tools/mcp-runner.ts'
import { PythonRunner } from '../tools/python-runner.ts'
import type { Json, Runner } from '../tools/runner.ts'
import { browserName, pythonName } from '../tools/trained-tools.ts'
import { parseWebSearchTool, webSearchTypes } from '../tools/web-search-items.ts'
import type { Dialect, FaceDeps } from './deps.ts'

/** What a request's declared tools amount to here. */
export interface Equipment {
  runners: Runner[]
  /** Tools that are the client's, or nobody's. */
  rest: Tool[]
  sources: CitationSources | undefined
}

/** Each is a connection, and lists up to a mebibyte of tools. */
const maxServers = 16

/** True for a kind of tool that this software can run, if somebody is there to do it. */
export function mayRunHere({ type }: { type: string }): boolean {
  return type === 'mcp' || type === 'code_interpreter' || webSearchTypes.has(type)
}

/** Sorts a request's tools. Throws ApiError for one that is declared wrongly. `origin`: what approvals are bound to. */
export async function equip(
  request: ResponsesRequest,
  deps: FaceDeps,
  dialect: Dialect,
  origin: Origin,
): Promise<Equipment> {
  const equipment: Equipment = { runners: [], rest: [], sources: undefined }
  const specs: McpSpec[] = []
  const mcp = deps.mcp?.()
  /** A tool that is declared twice is one tool. */
  const declared = new Set<string>()
  for (const [index, tool] of (request.tools ?? []).entries()) {
    const path = `tools[${index}]`
    const { type }: { type: string } = tool
    const name = webSearchTypes.has(type) ? 'web_search' : type
    if (declared.has(name)) continue
    if (type === 'mcp' && mcp !== undefined) {
      const spec = parseMcpTool(tool, path, mcp.host.egress, mcp.host.use)
      refuseTwice(specs, spec, path)
      if (specs.length >= maxServers) throw tooManyServers(path)
      if (dialect === 'chat') refuseApproval(tool, path)
      specs.push(spec)
    } else if (await offersTool(deps.hosted, name, tool, path)) {
      declared.add(name)
      await addHosted(equipment, name, tool, path, request, deps)
    } else equipment.rest.push(tool)
  }
  refuseTaken(request, declared)
  if (mcp !== undefined && specs.length > 0) {
    equipment.runners.unshift(mcpRunner(specs, request, deps, mcp, origin))
  }
  return equipment
}

async function offersTool(
  hosted: HostedTools | undefined,
  name: string,
  tool: Json,
  path: string,
): Promise<boolean> {
  if (hosted === undefined) return false
  if (name === 'code_interpreter') return await hosted.offers(name)
  // Nothing is kept of the web: what may not be fetched cannot be searched.
  if (name !== 'web_search' || parseWebSearchTool(tool, path).offline === true) return false
  return await hosted.offers(name)
}

async function addHosted(
  equipment: Equipment,
  name: string,
  tool: Json,
  path: string,
  { input, include }: ResponsesRequest,
  { hosted, newId }: FaceDeps,
): Promise<void> {
  if (hosted === undefined) return
  if (name === 'web_search') {
    const sources = new CitationSources()
    equipment.sources = sources
    const settings = parseWebSearchTool(tool, path)
    equipment.runners.push(new BrowserRunner({ hosted, newId, settings, sources, include }))
  } else {
    const container = await chooseContainer(tool, path, input, hosted)
    equipment.runners.push(new PythonRunner({ hosted, newId, container }))
  }
}

function mcpRunner(
  specs: readonly McpSpec[],
  { input, tools }: ResponsesRequest,
  { newId }: FaceDeps,
  { host, approvals }: McpTools,
  origin: Origin,
): McpRunner {
  const servers = specs.map((spec) => ({ spec, server: openMcpServer(spec, host) }))
  const functions = (tools ?? []).filter(({ type }) => type === 'function')
  const taken = new Set(functions.map(({ name }) => name))
  return new McpRunner({
    servers,
    approvals,
    origin,
    newId,
    input: typeof input === 'string' ? [] : input,
    taken,
  })
}

/** A call of such a name could be the client's or ours. */
function refuseTaken({ tools }: ResponsesRequest, declared: ReadonlySet<string>): void {
  for (const [index, { type, name }] of (tools ?? []).entries()) {
    const isNamespace = String(type) === 'namespace'
    const hosted = isNamespace ? 'web_search' : 'code_interpreter'
    const isTaken = declared.has(hosted) && name === (isNamespace ? browserName : pythonName)
    if (!isTaken) continue
    const param = `tools[${index}].name`
    const message = `Invalid value for '${param}': '${name}' is what the model calls ${hosted} by.`
    throw new ApiError('invalid_value', message, { param })
  }
}

function refuseTwice(specs: readonly McpSpec[], { label }: McpSpec, path: string): void {
  if (!specs.some((spec) => spec.label === label)) return
  const param = `${path}.server_label`
  const message = `Invalid value for '${param}': two servers have the label '${label}'.`
  throw new ApiError('invalid_value', message, { param })
}

function tooManyServers(param: string): ApiError {
  const message = `'${param}' is one MCP server too many: at most ${maxServers} are asked for one response.`
  return new ApiError('invalid_value', message, { param })
}

/** Chat has no items, so that nobody could be asked. */
function refuseApproval({ require_approval }: Json, path: string): void {
  if (require_approval === 'never') return
  const param = `${path}.require_approval`
  const message = `'${param}' must be 'never' in Chat Completions: approvals need the Responses API.`
  throw new ApiError('unsupported_parameter', message, { param })
}
