// Reads a Responses stream to its end and checks its framing.
import { expect } from 'vitest'
import type { ResponsesEvent } from '../../src/protocol/events.ts'

/** The events of a stream that ended with [DONE]. */
export async function readEvents(response: Response): Promise<ResponsesEvent[]> {
  expect(response.headers.get('content-type')).toContain('text/event-stream')
  const blocks = (await response.text()).split('\n\n')
  expect(blocks.splice(-2)).toEqual(['data: [DONE]', ''])
  return blocks.map((block) => {
    const [, type, data] = block.match(/^event: (.*)\ndata: (.*)$/)!
    const event = JSON.parse(data!) as ResponsesEvent
    expect(event.type).toBe(type)
    return event
  })
}
