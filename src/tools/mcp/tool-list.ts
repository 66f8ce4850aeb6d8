// The tools of a server, as it lists them: read with suspicion, named for the model, and pinned by a hash, so that a tool
// that changes behind its name is noticed.
import { isObject } from '../../protocol/check.ts'
import { faultCodes, McpFault } from './fault.ts'
import { mcpLimits } from './limits.ts'

/** As in an `mcp_list_tools` item. */
export interface McpTool {
  name: string
  description: string | null
  input_schema: Record<string, unknown>
  annotations: Record<string, unknown> | null
}

/** Adds up what a list takes, over its pages; throws McpFault beyond the limits. */
export class ToolListReader {
  readonly tools: McpTool[] = []
  readonly #names = new Set<string>()
  #bytes = 0

  /** Takes the tools of one page; a name that was seen before is skipped: the first one is the tool. */
  push(page: readonly unknown[]): void {
    for (const value of page) {
      const tool = readTool(value)
      if (this.#names.has(tool.name)) continue
      this.#names.add(tool.name)
      this.#count(tool)
      this.tools.push(tool)
    }
  }

  #count(tool: McpTool): void {
    const schemaBytes = sizeOf(tool.input_schema)
    if (schemaBytes > mcpLimits.schemaBytes) {
      throw tooLarge(`the schema of '${tool.name}' is larger than ${mcpLimits.schemaBytes} bytes`)
    }
    this.#bytes += schemaBytes + sizeOf([tool.name, tool.description, tool.annotations])
    if (this.#bytes > mcpLimits.listBytes) {
      throw tooLarge(`its tools take more than ${mcpLimits.listBytes} bytes`)
    }
    if (this.tools.length >= mcpLimits.tools) {
      throw tooLarge(`it has more than ${mcpLimits.tools} tools`)
    }
  }
}

/** The tools of an `mcp_list_tools` item that a client sends back. Throws McpFault where they could not be a server's. */
export function readTools(tools: readonly unknown[]): McpTool[] {
  const reader = new ToolListReader()
  reader.push(tools)
  return reader.tools
}

/** Reads one tool, in MCP's spelling of the schema's name or in that of the Responses API. */
function readTool(value: unknown): McpTool {
  const name = isObject(value) ? value.name : undefined
  if (!isObject(value) || typeof name !== 'string' || name === '') {
    throw invalid('it lists a tool without a name')
  }
  // MCP: 1 to 128 of these characters; servers of the field also use others, which no log or model should see raw.
  if (name.length > mcpLimits.toolNameLength || /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(name)) {
    throw invalid('it lists a tool whose name is too long or has control characters')
  }
  const schema = value.input_schema ?? value.inputSchema ?? { type: 'object' }
  if (!isObject(schema)) throw invalid(`the schema of '${name}' is not an object`)
  const description = typeof value.description === 'string' ? value.description : null
  return {
    name,
    description: description?.slice(0, mcpLimits.descriptionLength) ?? null,
    input_schema: schema,
    annotations: isObject(value.annotations) ? value.annotations : null,
  }
}

function sizeOf(value: unknown): number {
  try {
    return new TextEncoder().encode(JSON.stringify(value)).length
  } catch {
    // Too deep even to be written out.
    return Number.POSITIVE_INFINITY
  }
}

function invalid(reason: string): McpFault {
  return new McpFault(
    'mcp_protocol_error',
    faultCodes.invalidAnswer,
    `The server's tools cannot be used: ${reason}.`,
  )
}

function tooLarge(reason: string): McpFault {
  return new McpFault(
    'mcp_protocol_error',
    faultCodes.tooLarge,
    `The server's tools cannot be used: ${reason}.`,
  )
}

// ---- names for the model

export interface NamedTool {
  label: string
  tool: McpTool
}

const maxFunctionName = 64

/**
 * The names under which the model calls the tools of all servers: `label__tool`, of the characters and the length that every
 * provider takes. What that makes equal is told apart by a number.
 */
export function functionNames(
  servers: readonly { label: string; tools: readonly McpTool[] }[],
): Map<string, NamedTool> {
  const named = new Map<string, NamedTool>()
  for (const { label, tools } of servers) {
    for (const tool of tools) {
      const plain = `${label}__${tool.name}`.replace(/[^A-Za-z0-9_-]/g, '_')
      let name = plain.slice(0, maxFunctionName)
      for (let number = 2; named.has(name); number++) {
        const ending = `_${number}`
        name = plain.slice(0, maxFunctionName - ending.length) + ending
      }
      named.set(name, { label, tool })
    }
  }
  return named
}

// ---- pins

/** What an approval and a conversation hold on to: name, description, schema and annotations, whatever their order. */
export async function toolHash(tool: McpTool): Promise<string> {
  const { name, description, input_schema, annotations } = tool
  return await sha256(canonical([name, description, input_schema, annotations]))
}

/** One hash for a whole list, whatever the order of its tools. */
export async function listHash(tools: readonly McpTool[]): Promise<string> {
  const hashes = await Promise.all(tools.map(toolHash))
  return await sha256(hashes.sort().join())
}

/** Names of the tools that are not, or not the same, in the pinned list: each needs a new approval. */
export async function changedTools(
  pinned: readonly McpTool[],
  current: readonly McpTool[],
): Promise<Set<string>> {
  const known = new Map<string, string>()
  for (const tool of pinned) known.set(tool.name, await toolHash(tool))
  const changed = new Set<string>()
  for (const tool of current) {
    if (known.get(tool.name) !== (await toolHash(tool))) changed.add(tool.name)
  }
  return changed
}

/** JSON whose keys are in order. Its depth is bounded by that of a list that was read. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    isObject(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : inner,
  )
}

/** Hex. */
export async function sha256(text: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('')
}
