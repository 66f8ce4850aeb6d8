import { describe, expect, it } from 'vitest'
import { EventBytes } from '../../src/faces/event-bytes.ts'
import { doneMarker, encodeChunk, encodeEvent, SseDecoder } from '../../src/index.ts'

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

function decode(pieces: Uint8Array[]) {
  const sse = new SseDecoder()
  return [...pieces.flatMap((piece) => sse.push(piece)), ...sse.end()]
}

/** The bytes whole, one by one, and cut at each place. */
function* splits(bytes: Uint8Array): Generator<Uint8Array[]> {
  yield [bytes]
  yield Array.from(bytes, (byte) => Uint8Array.of(byte))
  for (let at = 1; at < bytes.length; at++) yield [bytes.subarray(0, at), bytes.subarray(at)]
}

const text =
  '\uFEFF: comment\n\nevent: a.b\nid: 7\ndata: {"x":"é漢😀"}\n\nretry: 5\ndata:first\ndata: second\n\ndata: [DONE]\n\n'

describe('SseDecoder', () => {
  it.each([
    ['LF', '\n'],
    ['CRLF', '\r\n'],
    ['CR', '\r'],
  ])(
    'reads %s lines, split anywhere, with BOM, comments, ids and data of several lines',
    (_name, newline) => {
      const bytes = encoder.encode(text.replaceAll('\n', newline))
      for (const pieces of splits(bytes)) {
        expect(decode(pieces)).toEqual([
          { event: 'a.b', data: '{"x":"é漢😀"}' },
          { event: undefined, data: 'first\nsecond' },
          { event: undefined, data: '[DONE]' },
        ])
      }
    },
  )

  it('gives a last event that lacks its blank line', () => {
    expect(decode([encoder.encode('data: [DONE]')])).toEqual([{ event: undefined, data: '[DONE]' }])
  })

  it('refuses an event that grows without end', () => {
    const sse = new SseDecoder()
    const piece = encoder.encode(`data: ${'x'.repeat(300_000)}`)
    expect(() => {
      for (let count = 0; count < 5; count++) sse.push(piece)
    }).toThrow(/too large/)
    expect(() => sse.push(piece)).toThrow(/too large/)
  })
})

describe('encoding', () => {
  it('round-trips through the decoder', () => {
    const event = { type: 'response.output_text.delta', delta: 'a\n\nb' }
    const bytes = encoder.encode(
      encodeEvent(event.type, event) + encodeChunk({ x: 1 }) + doneMarker,
    )
    expect(decode([bytes])).toEqual([
      { event: event.type, data: JSON.stringify(event) },
      { event: undefined, data: '{"x":1}' },
      { event: undefined, data: '[DONE]' },
    ])
  })
})

describe('EventBytes', () => {
  it.each([
    ['LF', '\n'],
    ['CRLF', '\r\n'],
    ['CR', '\r'],
  ])('gives %s bytes unchanged, only ever up to the end of an event', (_name, newline) => {
    const wire = text.replaceAll('\n', newline)
    for (const pieces of splits(encoder.encode(wire))) {
      const cutter = new EventBytes()
      let seen = ''
      for (const piece of pieces) {
        const whole = cutter.push(piece)
        if (whole === undefined) continue
        seen += decoder.decode(whole)
        expect(seen).toMatch(/(?:\r\n|\r|\n)(?:\r\n|\r|\n)$/)
      }
      expect(seen).toBe(wire)
    }
  })

  it.each([
    ['CR LF', '\r\n', '\r\n'],
    ['LF and CR', '\n', '\r'],
    ['LF and CR LF', '\n', '\r\n'],
    ['CR and CR LF', '\r', '\r\n'],
    ['CR LF and LF', '\r\n', '\n'],
    ['CR LF and CR', '\r\n', '\r'],
  ])('gives the bytes of every event that is read, also between %s', (_name, line, blank) => {
    const wire = `data: one${line}${blank}data: two${line}data: 2${line}${blank}`
    for (const pieces of splits(encoder.encode(wire))) {
      const cutter = new EventBytes()
      const reader = new SseDecoder()
      let seen = ''
      let events = 0
      for (const piece of pieces) {
        events += reader.push(piece).length
        seen += decoder.decode(cutter.push(piece))
        expect(decode([encoder.encode(seen)])).toHaveLength(events)
      }
      expect(events).toBe(2)
    }
  })

  it('keeps what has no end yet', () => {
    const cutter = new EventBytes()
    expect(cutter.push(encoder.encode('data: half'))).toBeUndefined()
    const whole = cutter.push(encoder.encode(' done\n\ndata: ne'))
    expect(decoder.decode(whole)).toBe('data: half done\n\n')
  })
})
