// Calls that ran at the server that a Messages client calls, as its blocks, and the same blocks of a history as items again.
import { isObject } from '../protocol/check.ts'
import type { MessageContainer, ServerResultBlock, ServerUseBlock } from '../protocol/messages.ts'
import type { InputItem } from '../protocol/responses.ts'

type Json = Record<string, unknown>

export interface ServerCall {
  use: ServerUseBlock
  result: ServerResultBlock
}

/** A finished item as the two blocks of a call; undefined for items of another kind, and pages that were opened. */
export function serverCall(item: Json): ServerCall | undefined {
  switch (item.type) {
    case 'mcp_call':
      return mcpCall(item)
    case 'code_interpreter_call':
      return codeCall(item)
    case 'web_search_call':
      return isSearch(item) ? searchCall(item) : undefined
    default:
      return undefined
  }
}

/** True for a search of the web that was made: what Anthropic counts. */
export function isCountedSearch(item: Json): boolean {
  return isSearch(item) && item.status === 'completed'
}

function isSearch({ type, action }: Json): boolean {
  return type === 'web_search_call' && isObject(action) && action.type === 'search'
}

/** Anthropic tells its ids apart by these, and so do some clients. */
const prefixes = { mcp_: 'mcptoolu_', ci_: 'srvtoolu_', ws_: 'srvtoolu_' } as const

function idOf({ id }: Json): string {
  const text = String(id)
  const [own, theirs] = Object.entries(prefixes).find(([each]) => text.startsWith(each)) ?? []
  return own === undefined || theirs === undefined ? text : theirs + text.slice(own.length)
}

/** As long as nodes keep one that nobody uses. */
const containerMs = 20 * 60_000

/** Where an item's code has run; null for other items, and code that never ran. `now`: milliseconds since the epoch. */
export function containerOf(item: Json, now: number | undefined): MessageContainer | null {
  const { type, container_id: id } = item
  const hasRun = type === 'code_interpreter_call' && typeof id === 'string' && id.length > 5
  if (!hasRun || now === undefined) return null
  return { id, expires_at: new Date(now + containerMs).toISOString(), skills: null }
}

function mcpCall(item: Json): ServerCall {
  const id = idOf(item)
  const server_name = String(item.server_label)
  const input = parsed(item.arguments)
  const is_error = item.error != null
  const text = is_error ? faultText(item.error) : String(item.output ?? '')
  const content = [{ type: 'text' as const, text, citations: null }]
  return {
    use: { type: 'mcp_tool_use', id, name: String(item.name), server_name, input },
    result: { type: 'mcp_tool_result', tool_use_id: id, is_error, content },
  }
}

/** What the tool said, or what is known of a call that it could not answer. */
function faultText(error: unknown): string {
  if (!isObject(error)) return String(error)
  const parts = Array.isArray(error.content) ? error.content.filter(isObject) : []
  const said = parts.map(({ text }) => (typeof text === 'string' ? text : '')).join('\n')
  return said === '' ? String(error.message ?? error.type ?? '') : said
}

function codeCall(item: Json): ServerCall {
  const id = idOf(item)
  const outputs = Array.isArray(item.outputs) ? item.outputs.filter(isObject) : []
  const stdout = outputs.map(({ logs }) => (typeof logs === 'string' ? logs : '')).join('')
  const return_code = item.status === 'completed' ? 0 : 1
  const input = { code: String(item.code ?? '') }
  return {
    use: { type: 'server_tool_use', id, name: 'code_execution', input },
    result: {
      type: 'code_execution_tool_result',
      tool_use_id: id,
      content: { type: 'code_execution_result', stdout, stderr: '', return_code, content: [] },
    },
  }
}

function searchCall(item: Json): ServerCall {
  const id = idOf(item)
  const action = isObject(item.action) ? item.action : {}
  const sources = Array.isArray(action.sources) ? action.sources.filter(isObject) : []
  const content =
    item.status === 'failed'
      ? { type: 'web_search_tool_result_error', error_code: 'unavailable' }
      : sources.map(({ url }) => searchResult(String(url)))
  return {
    use: { type: 'server_tool_use', id, name: 'web_search', input: { query: action.query } },
    result: { type: 'web_search_tool_result', tool_use_id: id, content },
  }
}

/** The text of a page is the model's to read, here as there; what clients show is its address. */
function searchResult(url: string) {
  const title = URL.canParse(url) ? new URL(url).hostname : url
  return { type: 'web_search_result', url, title, encrypted_content: '', page_age: null }
}

function parsed(text: unknown): unknown {
  try {
    const value: unknown = JSON.parse(String(text))
    return isObject(value) ? value : {}
  } catch {
    return {}
  }
}

// ---- history

/** A block of a history with what answered it, as an item; undefined where the two are none that a model here could read. */
export function serverItem(use: Json, result: Json | undefined): InputItem | undefined {
  if (result === undefined) return undefined
  const id = String(use.id)
  if (use.type === 'mcp_tool_use') {
    const said = textOf(result.content)
    const output = result.is_error === true ? `Error: ${said}` : said
    const { name, server_name, input } = use
    const text = JSON.stringify(input ?? {})
    return item({ type: 'mcp_call', id, server_label: server_name, name, arguments: text, output })
  }
  const isCode = use.type === 'server_tool_use' && use.name === 'code_execution'
  if (!isCode || !isObject(result.content)) return undefined
  const { stdout, stderr } = result.content
  const logs = [stdout, stderr].filter((each) => typeof each === 'string' && each !== '').join('\n')
  const code = isObject(use.input) ? String(use.input.code ?? '') : ''
  const outputs = [{ type: 'logs', logs }]
  return item({ type: 'code_interpreter_call', id, code, container_id: '', outputs })
}

/** True for the answer to a call that ran at a server: a turn that ends with it goes on from there. */
export function isServerResult({ type }: { type: string }): boolean {
  return /^(?:mcp|web_search|code_execution)_tool_result$/.test(type)
}

function item(fields: Json): InputItem {
  return { status: 'completed', error: null, ...fields } as unknown as InputItem
}

function textOf(content: unknown): string {
  if (typeof content === 'string') return content
  const parts = Array.isArray(content) ? content.filter(isObject) : []
  return parts.map(({ text }) => (typeof text === 'string' ? text : '')).join('\n')
}
