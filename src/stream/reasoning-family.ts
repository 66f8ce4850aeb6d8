// A Responses stream of another server in the family of reasoning events that the client asked for. Our own writer writes
// the right one in the first place.
import { isObject } from '../protocol/check.ts'
import type { ReasoningEvents } from './writer.ts'

type Json = Record<string, unknown>

/** The names of the texts' events in each family; both are read, whichever a server sends. */
const textEvents = /^response\.(?:reasoning_text|reasoning)\.(delta|done)$/

/** An event as the family has it; the very object where nothing changes. */
export function inFamily(event: Json, family: ReasoningEvents): Json {
  const text = textEvents.exec(String(event.type))
  if (text !== null)
    return family === 'summary' ? summaryText(event, text[1]) : renamed(event, family, text[1])
  if (family !== 'summary') return event
  if (isObject(event.part) && event.part.type === 'reasoning_text') return summaryPart(event)
  if (isObject(event.item)) return { ...event, item: summaryItem(event.item) }
  return isObject(event.response)
    ? { ...event, response: responseInFamily(event.response, family) }
    : event
}

/** A response object as the family has it: in `summary`, reasoning stands in the summary. */
export function responseInFamily(response: Json, family: ReasoningEvents): Json {
  if (family !== 'summary' || !Array.isArray(response.output)) return response
  return {
    ...response,
    output: response.output.map((item) => (isObject(item) ? summaryItem(item) : item)),
  }
}

function renamed(event: Json, family: 'reasoning_text' | 'reasoning', kind = ''): Json {
  return { ...event, type: `response.${family}.${kind}` }
}

function summaryText({ content_index, ...event }: Json, kind = ''): Json {
  return { ...event, type: `response.reasoning_summary_text.${kind}`, summary_index: content_index }
}

function summaryPart({ content_index, part, ...event }: Json): Json {
  const kind = String(event.type).endsWith('.added') ? 'added' : 'done'
  return {
    ...event,
    type: `response.reasoning_summary_part.${kind}`,
    summary_index: content_index,
    part: { ...(isObject(part) ? part : {}), type: 'summary_text' },
  }
}

/** An upstream that has a summary of its own keeps it: its raw text would be a second one. */
function summaryItem(item: Json): Json {
  if (item.type !== 'reasoning' || !Array.isArray(item.content)) return item
  const { content, summary, ...rest } = item
  if (Array.isArray(summary) && summary.length > 0) return item
  const texts = content.map((part) => (isObject(part) ? { ...part, type: 'summary_text' } : part))
  return { ...rest, summary: texts }
}
