import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { findModel } from '../../native-node/server/find-model.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'switchyard-find-'))
})
afterEach(() => rm(folder, { recursive: true }))

async function files(...names: string[]) {
  for (const name of names) await writeFile(join(folder, name), '')
}

it.each([
  [['config.json', 'model.safetensors'], undefined],
  [['config.json', 'model.safetensors.index.json', 'quantised.gguf'], undefined],
  [['config.json'], undefined],
  [['model.gguf'], 'model.gguf'],
  [['config.json', 'README.md', 'model.gguf'], 'model.gguf'],
  [
    ['m-00002-of-00003.gguf', 'm-00001-of-00003.gguf', 'm-00003-of-00003.gguf'],
    'm-00001-of-00003.gguf',
  ],
])('finds the model among %j', async (names, file) => {
  await files(...names)
  const kind = file === undefined ? 'safetensors' : 'gguf'
  expect(await findModel(folder)).toEqual({
    kind,
    path: join(folder, file ?? '').replace(/\/$/, ''),
  })
})

it('takes no folder for a file, whatever its name', async () => {
  await files('model.gguf')
  await mkdir(join(folder, 'another.gguf'))
  expect(await findModel(folder)).toEqual({ kind: 'gguf', path: join(folder, 'model.gguf') })
})

it('takes a file for what it is, whatever its name', async () => {
  await files('sha256-1234')
  const path = join(folder, 'sha256-1234')
  expect(await findModel(path)).toEqual({ kind: 'gguf', path })
})

it('says what it found instead of a model', async () => {
  const refused = (path: string) => findModel(path).then(String, (error: Error) => error.message)
  expect(await refused(folder)).toBe(
    `${folder} holds no model: neither config.json nor a .gguf file, but nothing.`,
  )
  await files('a.gguf', 'b.gguf', 'c-00001-of-00002.gguf', 'c-00002-of-00002.gguf')
  expect(await refused(folder)).toBe(
    `${folder} holds several GGUF files: a.gguf, b.gguf, c-00001-of-00002.gguf. Name one of them.`,
  )
  await mkdir(join(folder, 'folder.gguf'))
  expect(await refused(join(folder, 'folder.gguf'))).toContain('folder.gguf holds no model')
  const other = join(folder, 'other')
  await mkdir(other)
  for (let i = 0; i < 10; i++) await writeFile(join(other, `${i}.txt`), '')
  expect(await refused(other)).toContain(
    'but 0.txt, 1.txt, 2.txt, 3.txt, 4.txt, 5.txt, 6.txt, 7.txt and 2 more.',
  )
  expect(await refused(join(folder, 'none'))).toBe(
    `${join(folder, 'none')}: no such file or folder.`,
  )
  await symlink('/nowhere/blob', join(folder, 'link.gguf'))
  expect(await refused(join(folder, 'link.gguf'))).toContain('a link to /nowhere/blob')
  await symlink('round.gguf', join(folder, 'round.gguf'))
  expect(await refused(join(folder, 'round.gguf'))).toBe(
    `${join(folder, 'round.gguf')} can not be read: too many symbolic links encountered.`,
  )
  expect(await refused(join(folder, 'x'.repeat(300)))).toContain('can not be read: name too long.')
})
