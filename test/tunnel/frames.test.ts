// Frames against the vectors of docs/tunnel.md, and against bytes that are no frames.
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  closeCodes,
  decodeCredit,
  decodeFrame,
  decodeJson,
  decodeRequestData,
  encodeCredit,
  encodeFrame,
  encodeJson,
  encodeRequestData,
  FrameError,
  type FrameName,
  frameTypes,
  headerBytes,
  maxFrameBytes,
} from '../../src/tunnel/frames.ts'
import {
  errorSchema,
  headSchema,
  helloSchema,
  requestSchema,
  statusSchema,
  welcomeSchema,
} from '../../src/tunnel/messages.ts'

const page = readFileSync(new URL('../../docs/tunnel.md', import.meta.url), 'utf8')
const bytes = (text: string) => new TextEncoder().encode(text)
const hex = (data: Uint8Array) => Buffer.from(data).toString('hex')

describe('the page docs/tunnel.md', () => {
  const vectors = new Map(
    [...page.matchAll(/^\| (.+?) \| `(01 [0-9a-f ]+)` \|$/gm)].map(([, name, data]) => [
      name ?? '',
      (data ?? '').replaceAll(' ', ''),
    ]),
  )
  const head = { status: 200, headers: [['content-type', 'text/plain']] }
  const welcome = { version: 1, limits: { frame_bytes: 1_048_576, window: 262_144 } }
  const made: Record<string, Uint8Array> = {
    'CREDIT stream 7, 65,536 bytes': encodeCredit(7, 65_536),
    'DATA stream 1, "hi"': encodeFrame('DATA', 1, bytes('hi')),
    'END stream 4,294,967,295': encodeFrame('END', 4_294_967_295),
    'CANCEL stream 2': encodeFrame('CANCEL', 2),
    'REQUEST_DATA stream 3, "{}", last': encodeRequestData(3, [bytes('{'), bytes('}')], true),
    'REQUEST_DATA stream 3, "a", more follows': encodeRequestData(3, [bytes('a')], false),
    [`HEAD stream 1, \`${JSON.stringify(head)}\``]: encodeJson('HEAD', 1, head),
    [`WELCOME stream 0, \`${JSON.stringify(welcome)}\``]: encodeJson('WELCOME', 0, welcome),
    'DRAIN stream 0, `{}`': encodeJson('DRAIN', 0, {}),
  }

  it('has a vector for each that is made here, and none besides', () => {
    expect([...vectors.keys()].sort()).toEqual(Object.keys(made).sort())
  })

  it.each(Object.keys(made))('%s', (name) => {
    expect(hex(made[name]!)).toBe(vectors.get(name))
  })

  it('lists every type and every close code with its number', () => {
    const types = [...page.matchAll(/^\| ([A-Z_]+) \| (\d+) \|/gm)].map(([, name, n]) => [
      name,
      +n!,
    ])
    expect(Object.fromEntries(types)).toEqual(frameTypes)
    const codes = [...page.matchAll(/^\| ([14]\d{3}) \|/gm)].map(([, code]) => Number(code))
    expect(codes).toEqual(Object.values(closeCodes).sort((a, b) => a - b))
  })
})

describe('frames', () => {
  const names = Object.keys(frameTypes) as FrameName[]

  it('come back as they went', () => {
    const stream = fc.integer({ min: 0, max: 0xffff_ffff })
    const payload = fc.uint8Array({ maxLength: 2000 })
    fc.assert(
      fc.property(fc.constantFrom(...names), stream, payload, (name, id, data) => {
        const frame = decodeFrame(encodeFrame(name, id, data))
        expect(frame).toMatchObject({ version: 1, type: name, stream: id })
        expect(hex(frame.payload)).toBe(hex(data))
      }),
    )
  })

  it('are read from the middle of a buffer too', () => {
    const buffer = new Uint8Array(20)
    buffer.set(encodeCredit(9, 77), 5)
    const frame = decodeFrame(buffer.subarray(5, 15))
    expect([frame.stream, decodeCredit(frame)]).toEqual([9, 77])
  })

  it('may be as big as the limit and no bigger, both ways', () => {
    const room = maxFrameBytes - headerBytes
    expect(decodeFrame(encodeFrame('DATA', 1, new Uint8Array(room))).payload.length).toBe(room)
    expect(() => encodeFrame('DATA', 1, new Uint8Array(room + 1))).toThrow(FrameError)
    expect(() => decodeFrame(new Uint8Array(maxFrameBytes + 1))).toThrow(FrameError)
  })

  it('of an unknown type have a number and no name', () => {
    const frame = decodeFrame(Uint8Array.of(1, 250, 0, 0, 0, 1))
    expect(frame).toMatchObject({ type: undefined, typeNumber: 250 })
  })

  it.each([0, 3, 5])('of %i bytes are none', (length) => {
    expect(() => decodeFrame(new Uint8Array(length))).toThrow(FrameError)
  })

  it('give FrameError and nothing else for any bytes', () => {
    const readers = [
      decodeCredit,
      decodeRequestData,
      ...[helloSchema, welcomeSchema, statusSchema, requestSchema, headSchema, errorSchema].map(
        (schema) => (frame: ReturnType<typeof decodeFrame>) => decodeJson(frame, schema),
      ),
    ]
    const arbitraryBytes = fc.oneof(
      fc.uint8Array({ maxLength: 64 }),
      fc.json().map((text) => encodeFrame('HEAD', 1, bytes(text))),
      fc
        .record({ versions: fc.anything(), node: fc.anything(), models: fc.anything() })
        .map((hello) => encodeJson('HELLO', 0, JSON.parse(JSON.stringify(hello) ?? '0'))),
    )
    fc.assert(
      fc.property(arbitraryBytes, fc.constantFrom(...readers), (data, read) => {
        try {
          read(decodeFrame(data))
        } catch (error) {
          expect(error).toBeInstanceOf(FrameError)
        }
      }),
      { numRuns: 2000 },
    )
  })

  it('with JSON name the field that is wrong', () => {
    const frame = decodeFrame(encodeJson('HELLO', 0, { versions: [1], node: 'n', slots: 'many' }))
    expect(() => decodeJson(frame, helloSchema)).toThrow(/^HELLO\.models/)
    const head = decodeFrame(encodeJson('HEAD', 0, { status: 200, headers: [['a']] }))
    expect(() => decodeJson(head, headSchema)).toThrow(/^HEAD\.headers\.0/)
  })

  it('keep keys of a newer peer', () => {
    const frame = decodeFrame(encodeJson('STATUS', 0, { running: 1, waiting: 0, gpu: 'hot' }))
    expect(decodeJson(frame, statusSchema)).toEqual({ running: 1, waiting: 0, gpu: 'hot' })
  })

  it.each([
    ['CREDIT of zero bytes', encodeFrame('CREDIT', 1, new Uint8Array(4))],
    ['CREDIT of five bytes', encodeFrame('CREDIT', 1, new Uint8Array(5))],
  ])('%s are refused', (_, data) => {
    expect(() => decodeCredit(decodeFrame(data))).toThrow(FrameError)
  })

  it('with invalid UTF-8 are refused, not repaired', () => {
    const frame = decodeFrame(encodeFrame('STATUS', 0, Uint8Array.of(0x7b, 0xff, 0x7d)))
    expect(() => decodeJson(frame, statusSchema)).toThrow(/no JSON/)
  })
})
