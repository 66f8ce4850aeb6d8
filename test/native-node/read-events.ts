// Reads a Responses stream to its end; its framing and the order of its events are checked on the way.
import { expect } from 'vitest'
import type { ResponsesEvent } from '../../src/protocol/events.ts'
import { checkOrder } from '../oracle/order.ts'

/** The events of a stream that ended with [DONE]. */
export async function readEvents(response: Response): Promise<ResponsesEvent[]> {
  expect(response.headers.get('content-type')).toContain('text/event-stream')
  const blocks = (await response.text()).split('\n\n')
  expect(blocks.splice(-2)).toEqual(['data: [DONE]', ''])
  const events = blocks.map((block) => {
    expect(block).toMatch(/^event: [^\n]*\ndata: [^\n]*$/)
    const [type, data] = block.split('\n').map((line) => line.slice(line.indexOf(' ') + 1))
    const event = JSON.parse(data!) as ResponsesEvent
    expect(event.type).toBe(type)
    return event
  })
  expect(checkOrder(events)).toEqual([])
  return events
}
