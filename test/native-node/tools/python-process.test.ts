// The node's end of the pipe to Python, against processes that do everything wrong.
import { closeSync, mkdtempSync, openSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { encodeFrame, FrameReader, frameKind } from '../../../native-node/tools/python/frames.ts'
import { PythonProcess } from '../../../native-node/tools/python/process.ts'

const folder = mkdtempSync(join(tmpdir(), 'switchyard-test-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** What the scripts below have at hand: the child's end, by hand. */
const prelude = `
const fs = require('node:fs')
const frame = (kind, payload) => {
  const bytes = Buffer.from(payload), header = Buffer.alloc(5)
  header.writeUInt8(kind, 0); header.writeUInt32BE(bytes.length, 1)
  fs.writeSync(4, Buffer.concat([header, bytes]))
}
const say = (value) => frame(1, JSON.stringify(value))
const wait = () => fs.readSync(0, Buffer.alloc(65536))
const done = { type: 'done', ok: true, dropped: 0, files: [], leftOut: [] }
const interrupted = () => { const byte = Buffer.alloc(1); fs.readSync(3, byte, 0, 1, 0); return byte[0] === 2 }
`

function start(script: string, signal = new AbortController().signal): Promise<PythonProcess> {
  return PythonProcess.start(
    {
      launch: { command: process.execPath, args: ['-e', prelude + script] },
      folder,
      snapshot: undefined,
      onSnapshot: () => {},
      outputBytes: 100,
      startMs: 20_000,
      graceMs: 200,
    },
    signal,
  )
}

async function cell(script: string, signal = new AbortController().signal) {
  const python = await start(`say({ type: 'ready' }); ${script}`)
  const end = await python.run({ code: '1', files: [] }, signal)
  const { alive } = python
  await python.kill()
  return { end, alive }
}

describe('a process that starts badly', () => {
  it.each([
    ['ends at once', 'process.exit(7)', /ended unexpectedly \(status 7\)/],
    ['is no process', "process.kill(process.pid, 'SIGSEGV')", /ended unexpectedly \(SIGSEGV\)/],
    ['says why', "say({ type: 'end', reason: 'no wasm' }); wait()", /^no wasm$/],
    ['speaks another language', "fs.writeSync(4, 'HTTP/1.1 200 OK'); wait()", /broke the protocol/],
    ['sends no JSON', "frame(1, '{'); wait()", /broke the protocol/],
    ['sends what it must not', "say({ type: 'done' }); wait()", /broke the protocol/],
    [
      'claims a frame of 4 GB',
      'fs.writeSync(4, Buffer.from([1, 255, 255, 255, 255])); wait()',
      /protocol/,
    ],
  ])('%s: the start rejects', async (_, script, reason) => {
    await expect(start(script)).rejects.toThrow(reason)
  })

  it('never: the start is given up by its signal', async () => {
    await expect(start('wait()', AbortSignal.timeout(300))).rejects.toThrow(/given up/)
  })

  it('of a program that is not there rejects', async () => {
    const options = {
      folder,
      snapshot: undefined,
      onSnapshot: () => {},
      outputBytes: 1,
      startMs: 5000,
      graceMs: 1,
    }
    const launch = { command: join(folder, 'nothing'), args: [] }
    const { signal } = new AbortController()
    await expect(PythonProcess.start({ ...options, launch }, signal)).rejects.toThrow(/ENOENT/)
  })
})

describe('a process that answers badly', () => {
  it.each([
    ['ends', 'process.exit(0)', /ended unexpectedly \(status 0\)/],
    [
      'runs out of memory',
      "fs.writeSync(2, 'JavaScript heap out of memory'); process.abort()",
      /ran out of memory/,
    ],
    ['sends a snapshot again', "frame(3, 'x'); wait()", /broke the protocol/],
    ['is ready twice', "say({ type: 'ready' }); wait()", /out of turn/],
    [
      'answers with other fields',
      'say({ ...done, files: [{ path: 1 }] }); wait()',
      /broke the protocol/,
    ],
    ['says why it ends', "say({ type: 'end', reason: 'r' }); wait()", /^r$/],
  ])('%s: the cell is lost, with what was printed', async (_, script, reason) => {
    const { end, alive } = await cell(`wait(); frame(2, 'printed'); ${script}`)
    const lost = { type: 'lost', output: 'printed', reason: expect.stringMatching(reason) }
    expect(end).toMatchObject(lost)
    expect(alive).toBe(false)
  })

  it('floods: no more than the limit is kept', async () => {
    const { end } = await cell(
      "wait(); for (let i = 0; i < 50; i++) frame(2, 'x'.repeat(60)); say(done); wait()",
    )
    expect(end).toMatchObject({ type: 'done', ok: true, output: 'x'.repeat(100) })
  })

  it('sees the interrupt, and goes on', async () => {
    const script = 'wait(); while (!interrupted()); say({ ...done, ok: false }); wait()'
    const { end, alive } = await cell(script, AbortSignal.timeout(50))
    expect(end).toMatchObject({ type: 'done', ok: false, interrupted: true })
    expect(alive).toBe(true)
  })

  it('ignores the interrupt: it is killed', async () => {
    const { end, alive } = await cell('for (;;);', AbortSignal.timeout(50))
    expect(end).toMatchObject({ type: 'lost', reason: expect.stringMatching(/did not stop/) })
    expect(alive).toBe(false)
  })

  it('leaves nothing in its folder', () => {
    expect(readdirSync(folder)).toEqual([])
    // No descriptor of the many processes above stays open: the next one is a small number.
    const descriptor = openSync(folder, 'r')
    closeSync(descriptor)
    expect(descriptor).toBeLessThan(100)
  })
})

describe('frames', () => {
  it('come out as they went in, however the bytes are cut', () => {
    const frames = fc.array(fc.tuple(fc.constantFrom(1, 2, 3), fc.uint8Array({ maxLength: 40 })), {
      maxLength: 6,
    })
    fc.assert(
      fc.property(frames, fc.integer({ min: 1, max: 50 }), (given, size) => {
        const bytes = Buffer.concat(given.flatMap(([kind, payload]) => encodeFrame(kind, payload)))
        const reader = new FrameReader()
        const read = []
        for (let at = 0; at < bytes.byteLength; at += size) {
          read.push(...reader.push(bytes.subarray(at, at + size)))
        }
        expect(read.map(({ kind, payload }) => [kind, [...payload]])).toEqual(
          given.map(([kind, payload]) => [kind, [...payload]]),
        )
      }),
    )
  })

  it('of no known kind or too long are refused at both ends', () => {
    expect(() => [...new FrameReader().push(Buffer.from([9, 0, 0, 0, 0]))]).toThrow(RangeError)
    expect(() => encodeFrame(frameKind.output, new Uint8Array(2_000_000))).toThrow(RangeError)
  })
})
