// Bytes of several chunks at once: a fault in them costs nothing of what came before it.
import { describe, expect, it } from 'vitest'
import { EventReader } from '../../src/faces/answer-stream.ts'

const bytes = (text: string) => new TextEncoder().encode(text)
const good = 'data: {"a":1}\n\ndata: {"a":2}\n\n'
const bad = 'data: {oops\n\n'.repeat(4)

describe('EventReader', () => {
  it('gives the events before one malformed event too many, then throws', () => {
    const reader = new EventReader()
    const events = reader.push(bytes(`${good}${bad}${good}`))
    expect(events.map(({ json }) => json)).toEqual([
      { a: 1 },
      { a: 2 },
      undefined,
      undefined,
      undefined,
    ])
    expect(() => reader.push(bytes(good))).toThrow('not JSON')
    expect(() => reader.end()).toThrow('not JSON')
  })

  it('gives the events before one that grows without end, then throws', () => {
    const reader = new EventReader()
    const events = reader.push(bytes(`${good}data: "${'x'.repeat(2_000_000)}`))
    expect(events.map(({ json }) => json)).toEqual([{ a: 1 }, { a: 2 }])
    expect(() => reader.push(bytes('x'))).toThrow('too large')
  })

  it('knows the marker of the end in any spacing, and nothing else as one', () => {
    const reader = new EventReader()
    const events = reader.push(bytes('data:  [DONE] \n\ndata: {"x":"[DONE]"}\n\n'))
    expect(events.map(({ isDone }) => isDone)).toEqual([true, false])
  })
})
