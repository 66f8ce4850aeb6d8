// One `{type: "mcp", …}` of a request's tools: which server, which of its tools, and which of those ask before they run.
// https://platform.openai.com/docs/guides/tools-connectors-mcp
import { z } from 'zod'
import { type EgressPolicy, mcpPolicy, refusalOf, type UrlUse } from '../../egress/egress.ts'
import { ApiError } from '../../errors.ts'
import { check, list, mapOf } from '../../protocol/check.ts'
import type { McpTool } from './tool-list.ts'

export interface McpSpec {
  label: string
  url: string
  /** The caller's own for this server, `authorization` among them; lower case. They go to its origin alone. */
  headers: Record<string, string>
  description: string | null
  /** False for a tool that `allowed_tools` leaves out: neither shown to the model nor called. */
  allows(tool: McpTool): boolean
  /** True unless the request says of this tool that it never needs it. */
  needsApproval(tool: McpTool): boolean
}

const filter = z.looseObject({
  tool_names: list(z.string(), { max: 512 }).nullish(),
  read_only: z.boolean().nullish(),
})
type Filter = z.infer<typeof filter>

/** Of headers that MCP or HTTP itself sets. */
const ownHeaders =
  /^(?:accept|accept-encoding|connection|content-.*|cookie2?|expect|host|keep-alive|last-event-id|mcp-.*|origin|proxy-.*|sec-.*|te|trailer|transfer-encoding|upgrade|via|x-forwarded-.*|forwarded|cf-.*)$/

const headerValue = z
  .string()
  .max(8192)
  .regex(/^[\t\x20-\x7e]*$/, 'must be printable ASCII')

const mcpTool = z.looseObject({
  type: z.literal('mcp'),
  server_label: z
    .string()
    .regex(
      /^[A-Za-z][A-Za-z0-9_-]{0,63}$/,
      'must be 1 to 64 letters, digits, "-" and "_", and start with a letter',
    ),
  server_url: z.string().nullish(),
  server_description: z.string().max(4096).nullish(),
  authorization: headerValue.min(1).nullish(),
  headers: mapOf(headerValue, { maxKeys: 32, maxKeyLength: 256 }).nullish(),
  allowed_tools: z.unknown(),
  require_approval: z.unknown(),
})
const names = list(z.string(), { max: 512 })
const approvalFilter = z.looseObject({ always: filter.nullish(), never: filter.nullish() })
const approvalMode = z.enum(['always', 'never'])

/**
 * Checks one entry of `tools`; throws ApiError with the path of the bad field. `use` says who connects: `fetch` where a name
 * cannot be resolved first (a Worker), `resolve` where the address behind it is checked as well.
 */
export function parseMcpTool(
  tool: Record<string, unknown>,
  path: string,
  egress: EgressPolicy | undefined,
  use: UrlUse,
): McpSpec {
  const checked = under(path, () => check(mcpTool, tool))
  for (const field of ['connector_id', 'tunnel_id']) {
    if (tool[field] != null) throw unsupported(`${path}.${field}`, 'name the server by server_url')
  }
  return {
    label: checked.server_label,
    url: checkedUrl(checked.server_url, `${path}.server_url`, egress, use),
    headers: headersOf(checked.headers, checked.authorization, path),
    description: checked.server_description ?? null,
    allows: allowedOf(checked.allowed_tools, `${path}.allowed_tools`),
    needsApproval: approvalOf(checked.require_approval, `${path}.require_approval`),
  }
}

function checkedUrl(
  url: string | null | undefined,
  path: string,
  egress: EgressPolicy | undefined,
  use: UrlUse,
): string {
  if (url == null) {
    throw new ApiError('missing_required_parameter', `Missing required parameter: '${path}'.`, {
      param: path,
    })
  }
  const refusal = refusalOfServer(url, egress, use)
  if (refusal === undefined) return url
  throw new ApiError('invalid_value', `The URL in '${path}' is refused: ${refusal}.`, {
    param: path,
  })
}

/** Why a server may not be connected to; undefined where it may. Tokens go there: plain http for listed hosts alone. */
export function refusalOfServer(
  url: string,
  egress: EgressPolicy | undefined,
  use: UrlUse,
): string | undefined {
  if (/^data:/i.test(url)) return 'it is not an http or https URL'
  const policy = mcpPolicy(egress)
  const refusal = refusalOf(url, policy, use)
  if (refusal !== undefined) return refusal.replace('egress.allowHosts', 'egress.mcpHosts')
  if (policy.allowHosts === undefined && !/^https:/i.test(url)) {
    return 'it is not https, and its host is not listed (egress.mcpHosts)'
  }
  return undefined
}

function headersOf(
  given: Record<string, string> | null | undefined,
  token: string | null | undefined,
  path: string,
): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(given ?? {})) {
    const lower = name.toLowerCase()
    const at = `${path}.headers.${name}`
    if (!/^[a-z0-9!#$%&'*+.^_`|~-]+$/.test(lower)) throw invalid(at, 'expected a header name')
    if (ownHeaders.test(lower)) throw invalid(at, 'this header may not be set')
    if (lower === 'authorization' && token != null) {
      throw invalid(at, "give either this or 'authorization'")
    }
    headers[lower] = value
  }
  if (token != null) headers.authorization = /^\w+ /.test(token) ? token : `Bearer ${token}`
  return headers
}

function allowedOf(value: unknown, path: string): McpSpec['allows'] {
  if (value == null) return () => true
  const wanted = Array.isArray(value)
    ? { tool_names: under(path, () => check(names, value)) }
    : under(path, () => check(filter, value))
  return matcher(wanted)
}

function approvalOf(value: unknown, path: string): McpSpec['needsApproval'] {
  if (value == null) return () => true
  if (typeof value !== 'object') {
    const mode = under(path, () => check(approvalMode, value))
    return () => mode === 'always'
  }
  const { always, never } = under(path, () => check(approvalFilter, value))
  const isAlways = always == null ? () => false : matcher(always)
  const isNever = never == null ? () => false : matcher(never)
  return (tool) => isAlways(tool) || !isNever(tool)
}

/** Every condition of a filter must hold; one without any holds for every tool. */
function matcher({ tool_names, read_only }: Filter): (tool: McpTool) => boolean {
  const named = tool_names == null ? undefined : new Set(tool_names)
  return (tool) =>
    (named?.has(tool.name) ?? true) &&
    (read_only == null || (tool.annotations?.readOnlyHint === true) === read_only)
}

/** Paths inside the entry become paths inside the request. */
function under<T>(path: string, work: () => T): T {
  try {
    return work()
  } catch (thrown) {
    if (!(thrown instanceof ApiError)) throw thrown
    const inner = thrown.param ?? ''
    const param = inner === '' ? path : inner.startsWith('[') ? path + inner : `${path}.${inner}`
    const message =
      inner === ''
        ? thrown.message.replace('request body', `'${param}'`)
        : thrown.message.replace(`'${inner}'`, `'${param}'`)
    throw thrown.with({ message, param })
  }
}

function invalid(param: string, reason: string): ApiError {
  return new ApiError('invalid_value', `Invalid value for '${param}': ${reason}.`, { param })
}

function unsupported(param: string, hint: string): ApiError {
  return new ApiError('unsupported_parameter', `'${param}' is not supported: ${hint}.`, { param })
}
