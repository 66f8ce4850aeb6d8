// The snapshot that starts Python fast: made once, kept, and never in the way.
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { SnapshotFile } from '../../../native-node/tools/python/snapshot-file.ts'
import { PythonStarter } from '../../../native-node/tools/python/starter.ts'

const folder = mkdtempSync(join(tmpdir(), 'switchyard-test-'))
afterAll(() => rmSync(folder, { recursive: true }))
const { signal } = new AbortController()

function starterIn(snapshotFolder: string): PythonStarter {
  return new PythonStarter({
    memoryMiB: 128,
    graceMs: 500,
    outputBytes: 1000,
    diskBytes: 1_000_000,
    files: 1,
    fileBytes: 1000,
    lastResortMs: 60_000,
    snapshotFolder,
  })
}

describe('a kept snapshot', () => {
  it('that is broken is made anew, and the next node starts from it', async () => {
    const kept = join(folder, 'kept')
    const first = starterIn(kept)
    const other = join(kept, 'old.python-snapshot')
    const started = first.start(signal)
    const [python, second] = await Promise.all([started, first.start(signal)])
    expect((await python.run({ code: '6 * 7', files: [] }, signal)).output).toBe('42\n')
    expect((await second.run({ code: '6 * 7', files: [] }, signal)).output).toBe('42\n')
    await Promise.all([python.kill(), second.kill()])
    await first.close()
    const [name = ''] = readdirSync(kept)
    expect(name).toMatch(/^[0-9a-f]{16}\.python-snapshot$/)
    expect(statSync(join(kept, name)).size).toBeGreaterThan(1_000_000)
    expect(statSync(join(kept, name)).mode & 0o077).toBe(0)

    writeFileSync(join(kept, name), 'no memory')
    writeFileSync(other, '')
    const next = starterIn(kept)
    const mended = await next.start(signal)
    expect((await mended.run({ code: "'alive'", files: [] }, signal)).output).toBe("'alive'\n")
    await mended.kill()
    await next.close()
    expect(readdirSync(kept)).toEqual([name])
    expect(statSync(join(kept, name)).size).toBeGreaterThan(1_000_000)
  })
})

describe('the file of a snapshot', () => {
  const source = join(folder, 'source')
  writeFileSync(source, '1')

  it('is found again by the same sources, and by no others', async () => {
    const made = new SnapshotFile(folder, [source])
    expect(made.open()).toBeUndefined()
    await made.save(Buffer.from('memory'), folder)
    expect(made.open()).toBeTypeOf('number')
    const again = new SnapshotFile(folder, [source])
    expect(again.open()).toBeTypeOf('number')
    writeFileSync(source, '2')
    expect(new SnapshotFile(folder, [source]).open()).toBeUndefined()
    made.close()
    again.distrust()
    expect(again.open()).toBeUndefined()
  })

  it('has no name where it cannot be kept', async () => {
    const blocked = join(folder, 'a-file')
    writeFileSync(blocked, '')
    const spare = mkdtempSync(join(folder, 'spare-'))
    const made = new SnapshotFile(join(blocked, 'below'), [source])
    await made.save(Buffer.from('memory'), spare)
    expect(made.open()).toBeTypeOf('number')
    expect(readdirSync(spare)).toEqual([])
    made.close()
  })
})
