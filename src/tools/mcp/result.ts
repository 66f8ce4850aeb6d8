// What a tool gave back, as text for a model. It is data: nothing in it is followed, fetched or executed.
import { isObject } from '../../protocol/check.ts'
import { mcpLimits } from './limits.ts'

export interface McpResult {
  /** What the model reads; at most 256 KiB, with a note where it was cut. */
  output: string
  /** The tool itself says that it has failed. */
  isError: boolean
}

/** Reads `content` and `structuredContent` of a result of tools/call. */
export function resultOf(result: Record<string, unknown>): McpResult {
  const content = Array.isArray(result.content) ? result.content : []
  const texts = content.map(textOf).filter((text) => text !== '')
  const { structuredContent } = result
  // Servers repeat structured content as text for readers like ours; where one does not, it is all that there is.
  if (texts.length === 0 && structuredContent !== undefined) {
    texts.push(JSON.stringify(structuredContent))
  }
  return { output: cutText(texts.join('\n')), isError: result.isError === true }
}

function textOf(part: unknown): string {
  if (!isObject(part)) return ''
  switch (part.type) {
    case 'text':
      return stringOf(part.text)
    case 'image':
    case 'audio':
      return `[${part.type}, ${stringOf(part.mimeType)}: not shown]`
    case 'resource':
      return resourceText(part.resource)
    case 'resource_link':
      return `[${stringOf(part.name)}: ${stringOf(part.uri)}]`
    default:
      return `[${stringOf(part.type)}: not shown]`
  }
}

function resourceText(resource: unknown): string {
  if (!isObject(resource)) return ''
  if (typeof resource.text === 'string') return resource.text
  return `[${stringOf(resource.uri)}, ${stringOf(resource.mimeType)}: not shown]`
}

function stringOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

/** At most `limit` bytes of UTF-8, never half a character, with a note that says what is missing. */
export function cutText(text: string, limit: number = mcpLimits.outputBytes): string {
  // A character is at most three bytes a unit: most results need no counting.
  if (text.length * 3 <= limit) return text
  const bytes = new TextEncoder().encode(text)
  if (bytes.length <= limit) return text
  let end = limit
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--
  const shown = new TextDecoder().decode(bytes.subarray(0, end))
  return `${shown}\n[The result was cut here: ${end} of ${bytes.length} bytes are shown.]`
}
