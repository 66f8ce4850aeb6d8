// What the tests of the core share: fixed ids and clock, and ways to feed a converter.
import { expect } from 'vitest'
import type { ChatStreamOptions } from '../../src/convert/stream.ts'
import { ChatToResponsesStream } from '../../src/convert/stream.ts'
import type { NewId } from '../../src/ids.ts'
import { type ResponsesEvent, responsesEventSchema } from '../../src/protocol/events.ts'
import { SseDecoder } from '../../src/sse/decode.ts'
import { checkEventSchema } from '../oracle/open-responses.ts'
import { checkOrder } from '../oracle/order.ts'

/** Ids that count up: equal runs give equal ids. */
export function countingIds(): NewId {
  let next = 0
  return (prefix) => `${prefix}${prefix === 'chatcmpl' ? '-' : '_'}${next++}`
}

export function streamOptions(overrides: Partial<ChatStreamOptions> = {}): ChatStreamOptions {
  return {
    request: { model: 'test/model', input: 'hello' },
    id: 'resp_test',
    model: 'test/model',
    createdAt: 1_700_000_000,
    newId: countingIds(),
    now: () => 1_700_000_005_000,
    reasoningEvents: 'reasoning_text',
    lostCode: 'upstream_error',
    ...overrides,
  }
}

/** A chunk with this delta. */
export function chunk(delta: object, finish_reason: string | null = null): object {
  return { id: 'c', object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason }] }
}

/** A delta of tool calls. */
export function callChunk(...tool_calls: object[]): object {
  return chunk({ tool_calls })
}

export const done = '[DONE]'

/** Runs chunks through the converter; every stream passes the oracle. A list without `done` is one that was cut. */
export function convert(
  chunks: readonly (object | typeof done)[],
  overrides: Partial<ChatStreamOptions> = {},
): ResponsesEvent[] {
  const stream = new ChatToResponsesStream(streamOptions(overrides))
  const events = stream.start()
  for (const each of chunks) {
    events.push(...(each === done ? stream.done() : stream.push(each)))
  }
  events.push(...stream.end())
  expectInOrder(events)
  return events
}

/** Fails with the oracle's words. */
export function expectInOrder(events: readonly { type: string }[]): void {
  expect(checkOrder(events)).toEqual([])
  expect(events.flatMap(checkEventSchema)).toEqual([])
  expect(events.flatMap(checkOwnSchema)).toEqual([])
}

/** Where an event breaks the schema of what we write. */
function checkOwnSchema(event: { type: string }): string[] {
  const { error } = responsesEventSchema.safeParse(event)
  return error === undefined ? [] : [`${event.type}: ${error.message}`]
}

/** Server-sent events of one text, parsed; [DONE] must be the last and is left out. */
export function eventsOf(text: string): { type: string; [key: string]: unknown }[] {
  const decoder = new SseDecoder()
  const messages = [...decoder.push(new TextEncoder().encode(text)), ...decoder.end()]
  expect(messages.pop()?.data).toBe('[DONE]')
  return messages.map(({ event, data }) => {
    const parsed = JSON.parse(data)
    expect(parsed.type).toBe(event)
    return parsed
  })
}

/** `data:` lines of chunks; strings go as they are. */
export function sse(chunks: readonly (object | string)[]): string {
  return chunks
    .map((each) => `data: ${typeof each === 'string' ? each : JSON.stringify(each)}\n\n`)
    .join('')
}

/** The last event's response. */
export function finalResponse(events: readonly ResponsesEvent[]) {
  const last = events.at(-1)
  if (last === undefined || !('response' in last)) throw new Error('no terminal event')
  return last.response
}

/** `[type, text]` of each output item: what an answer amounts to. */
export function outline(events: readonly ResponsesEvent[]): [string, string][] {
  return finalResponse(events).output.map((item) => {
    if (item.type === 'function_call') return [`call ${item.name}`, item.arguments]
    if (item.type === 'reasoning') {
      return [
        'reasoning',
        [...(item.content ?? []), ...item.summary].map(({ text }) => text).join('|'),
      ]
    }
    if (item.type === 'custom_tool_call') return [`call ${item.name}`, item.input]
    if (item.type !== 'message') return [item.type, '']
    const parts = item.content.map((part) => (part.type === 'refusal' ? part.refusal : part.text))
    return [item.content[0]?.type === 'refusal' ? 'refusal' : 'message', parts.join('|')]
  })
}
