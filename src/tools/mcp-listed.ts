// One MCP server of a request and what is known of its tools: the list that the input brought, which is a pin, or the one that
// the server gives now.
import { ApiError } from '../errors.ts'
import type { NewId } from '../ids.ts'
import { McpFault } from './mcp/fault.ts'
import type { McpServer } from './mcp/server.ts'
import type { McpSpec } from './mcp/server-spec.ts'
import { changedTools, type McpTool, readTools } from './mcp/tool-list.ts'
import type { Json, ShownItem } from './runner.ts'

export class ListedServer {
  readonly spec: McpSpec
  readonly server: McpServer
  /** What the model is told of; empty before steps() and where the server could not be listed. */
  tools: McpTool[] = []
  /** The list came with the input: what the server has now is looked at before a call. */
  pinned = false
  /** What it has now, once that was asked for. */
  #current: Promise<McpTool[]> | undefined

  constructor({ spec, server }: { spec: McpSpec; server: McpServer }) {
    this.spec = spec
    this.server = server
  }

  /**
   * What the client sees while the list is fetched; nothing where `input`, the whole history, has brought it. Throws ApiError
   * for a list in the input that could not be a server's.
   */
  steps(
    input: readonly object[],
    newId: NewId,
    signal: AbortSignal,
  ): (ShownItem | Promise<ShownItem>)[] {
    const before = pinnedTools(this.spec, input)
    if (before !== undefined) {
      this.tools = before
      this.pinned = true
      return []
    }
    const id = newId('mcpl')
    const item = { id, type: 'mcp_list_tools', server_label: this.spec.label, tools: [] }
    const began = { item, events: ['mcp_list_tools.in_progress'], done: false }
    const ended = this.#fetch(item, signal)
    // It is waited for in its turn, which a fault of another may prevent.
    ended.catch(() => undefined)
    return [began, ended]
  }

  /** The tools as they are in this request: a list of the client's may be from any time. Throws McpFault. */
  current(signal: AbortSignal): Promise<McpTool[]> {
    if (!this.pinned) return Promise.resolve(this.tools)
    this.#current ??= this.server.list(signal)
    return this.#current
  }

  /** The server's tool, where it is another one than the pinned list says: nobody has agreed to that one. Throws McpFault. */
  async changed(tool: McpTool, signal: AbortSignal): Promise<McpTool | undefined> {
    if (!this.pinned) return undefined
    const now = (await this.current(signal)).find(({ name }) => name === tool.name)
    if (now === undefined) {
      throw new ApiError('not_found', `The server no longer has the tool '${tool.name}'.`)
    }
    const changed = await changedTools([tool], [now])
    return changed.has(tool.name) ? now : undefined
  }

  async #fetch(item: Json, signal: AbortSignal): Promise<ShownItem> {
    try {
      this.tools = await this.server.list(signal)
      const tools = this.tools.map((tool) => ({ ...tool }))
      return { item: { ...item, tools }, events: ['mcp_list_tools.completed'], done: true }
    } catch (thrown) {
      if (!(thrown instanceof McpFault)) throw thrown
      const error = thrown.toText()
      return { item: { ...item, error }, events: ['mcp_list_tools.failed'], done: true }
    }
  }
}

/** The tools that the last list of the input names and the request allows. */
function pinnedTools(spec: McpSpec, input: readonly object[]): McpTool[] | undefined {
  for (let at = input.length - 1; at >= 0; at--) {
    const item = input[at] as Json
    if (item.type !== 'mcp_list_tools' || item.server_label !== spec.label) continue
    if (item.error != null || !Array.isArray(item.tools)) continue
    try {
      return readTools(item.tools).filter((tool) => spec.allows(tool))
    } catch (thrown) {
      if (!(thrown instanceof McpFault)) throw thrown
      const param = `input[${at}].tools`
      const message = `Invalid value for '${param}': ${thrown.message}`
      throw new ApiError('invalid_value', message, { param })
    }
  }
  return undefined
}
