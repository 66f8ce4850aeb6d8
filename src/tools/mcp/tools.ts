// What a host gives for remote MCP, bound to one caller.
import type { Approvals } from './approvals.ts'
import type { McpHost } from './guarded-fetch.ts'

export interface McpTools {
  host: McpHost
  approvals: Approvals
}
