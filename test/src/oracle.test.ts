// The oracle is only worth something if it sees every breach: each damage to a good stream must be noticed.
import { describe, expect, it } from 'vitest'
import { ResponseWriter } from '../../src/index.ts'
import { checkOrder } from '../oracle/order.ts'
import { streamOptions } from './support.ts'

type Json = Record<string, unknown>

function good(reasoningEvents: 'reasoning_text' | 'summary' = 'reasoning_text'): Json[] {
  const writer = new ResponseWriter(streamOptions({ reasoningEvents }))
  const events = [
    ...writer.start(),
    ...writer.reasoning('hm'),
    ...writer.text('Hel'),
    ...writer.text('lo'),
    ...writer.refusal('No.'),
    ...writer.openCall({ call_id: 'a', name: 'f' }),
    ...writer.callArguments('a', '{}'),
    ...writer.openCall({ call_id: 'b', name: 'f' }),
    ...writer.complete({ finish: 'stop' }),
  ]
  return JSON.parse(JSON.stringify(events))
}

const renumbered = (events: Json[]) =>
  events.map((event, index) => ({ ...event, sequence_number: index }))

describe.each(['reasoning_text', 'summary'] as const)('checkOrder (%s)', (family) => {
  it('has nothing to say about a good stream', () => {
    expect(checkOrder(good(family))).toEqual([])
  })

  it('notices every event that is missing, doubled or exchanged, though the numbers go on', () => {
    const events = good(family)
    for (let at = 0; at < events.length; at++) {
      const without = events.filter((_, index) => index !== at)
      expect(checkOrder(renumbered(without)), `without ${at}`).not.toEqual([])
      const doubled = events.flatMap((event, index) => (index === at ? [event, event] : [event]))
      expect(checkOrder(renumbered(doubled)), `doubled ${at}`).not.toEqual([])
      const [here, next] = [events[at], events[at + 1]]
      if (here === undefined || next === undefined || here.type === next.type) continue
      const exchanged = [...events.slice(0, at), next, here, ...events.slice(at + 2)]
      expect(checkOrder(renumbered(exchanged)), `exchanged ${at}`).not.toEqual([])
    }
  })

  it('notices every wrong number, index, id and text', () => {
    const fields = [
      'sequence_number',
      'output_index',
      'content_index',
      'summary_index',
      'item_id',
      'delta',
      'text',
    ]
    for (const [at, event] of good(family).entries()) {
      for (const field of [...fields, 'refusal', 'arguments', 'type']) {
        if (!(field in event)) continue
        const damaged = good(family)
        damaged[at] = { ...event, [field]: typeof event[field] === 'number' ? 77 : 'other' }
        expect(checkOrder(damaged), `${field} of ${at}`).not.toEqual([])
      }
    }
  })

  it('notices every key that a snapshot lacks', () => {
    const events = good(family)
    const response = events.at(-1)?.response as Json
    for (const key of Object.keys(response)) {
      const { [key]: _, ...rest } = response
      const damaged = [...events.slice(0, -1), { ...events.at(-1), response: rest }]
      expect(checkOrder(damaged), key).not.toEqual([])
    }
  })
})

it('wants a failed stream to say its error first, in both shapes', () => {
  const writer = new ResponseWriter(streamOptions())
  const events = [...writer.start(), ...writer.fail({ code: 'x', message: 'y' })]
  expect(checkOrder(events)).toEqual([])
  const { error: _, ...flat } = { ...events[2], error: undefined }
  expect(checkOrder([events[0], events[1], flat, events[3]])).not.toEqual([])
  const silent = [events[0], events[1], events[3]].map((event, index) => ({
    ...event,
    sequence_number: index,
  }))
  expect(checkOrder(silent)).not.toEqual([])
  expect(checkOrder(events.slice(0, -1))).not.toEqual([])
})

it.each([[[]], [[null]], [['x']], [[{ type: 5 }]]])(
  'takes nonsense for what it is: %j',
  (events) => {
    expect(checkOrder(events)).not.toEqual([])
  },
)
