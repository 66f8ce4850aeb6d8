// The snapshot that starts Python fast: made once, kept, and never in the way.
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { SnapshotFile } from '../../../native-node/tools/python/snapshot-file.ts'
import { PythonStarter, pythonSnapshot } from '../../../native-node/tools/python/starter.ts'

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
    fileNames: 1,
    lastResortMs: 60_000,
    snapshotFolder,
  })
}

describe('a kept snapshot', () => {
  // A start from nothing, on a machine that may do much else.
  it('that is broken is made anew, and the next node starts from it', {
    timeout: 180_000,
  }, async () => {
    const kept = join(folder, 'kept')
    const broken = pythonSnapshot(kept)
    await broken.save(Buffer.from('no memory'), folder)
    broken.close()
    const [name = ''] = readdirSync(kept)
    writeFileSync(join(kept, 'old.python-snapshot'), '')

    const first = starterIn(kept)
    const python = await first.start(signal)
    expect((await python.run({ code: '6 * 7', files: [] }, signal)).output).toBe('42\n')
    await python.kill()
    await first.close()
    expect(readdirSync(kept)).toEqual([name])
    const { size, mode, mtimeMs } = statSync(join(kept, name))
    expect(size).toBeGreaterThan(1_000_000)
    expect(mode & 0o077).toBe(0)

    const next = starterIn(kept)
    const again = await next.start(signal)
    expect((await again.run({ code: "'alive'", files: [] }, signal)).output).toBe("'alive'\n")
    await again.kill()
    await next.close()
    expect(statSync(join(kept, name)).mtimeMs).toBe(mtimeMs)
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
