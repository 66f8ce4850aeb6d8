import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { lockFolder } from '../../native-node/cli/process-guard.ts'

let parent: string
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'guard-'))
})
afterEach(() => rmSync(parent, { recursive: true, force: true }))

it.each(['new', 'there before'])('keeps state where only its owner reads it: %s', (kind) => {
  const folder = join(parent, '.switchyard')
  if (kind !== 'new') mkdirSync(folder, { mode: 0o755 })
  const unlock = lockFolder(folder)
  expect(statSync(folder).mode & 0o777).toBe(0o700)
  unlock()
  expect(() => statSync(join(folder, 'up.pid'))).toThrow()
})

it('says which folder cannot be used', () => {
  writeFileSync(join(parent, 'file'), '')
  const folder = join(parent, 'file', '.switchyard')
  expect(() => lockFolder(folder)).toThrow(`State is kept in ${folder}, which cannot be used`)
})

it('says so, too, where the folder is there and takes no file', () => {
  const folder = join(parent, '.switchyard')
  mkdirSync(join(folder, 'up.pid'), { recursive: true })
  expect(() => lockFolder(folder)).toThrow(`State is kept in ${folder}, which cannot be used`)
})
