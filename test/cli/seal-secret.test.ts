import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { sealSecret } from '../../native-node/cli/seal-secret.ts'

let folder: string
const given = process.env.SWITCHYARD_SEAL_KEY

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'seal-'))
  delete process.env.SWITCHYARD_SEAL_KEY
})
afterEach(() => {
  chmodSync(folder, 0o700)
  rmSync(folder, { recursive: true, force: true })
  if (given === undefined) delete process.env.SWITCHYARD_SEAL_KEY
  else process.env.SWITCHYARD_SEAL_KEY = given
})

describe('the secret behind sealed reasoning', () => {
  it('is made once and kept where only its owner reads it', () => {
    const state = join(folder, 'state')
    const secret = sealSecret(state)
    expect(secret).toMatch(/^[\w-]{43}$/)
    expect(sealSecret(state)).toBe(secret)
    const path = join(state, 'seal-key')
    expect(readFileSync(path, 'utf8')).toBe(secret)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(sealSecret(join(folder, 'other'))).not.toBe(secret)
  })

  it('is the one from the environment, which is not written down', () => {
    process.env.SWITCHYARD_SEAL_KEY = 'from the environment'
    expect(sealSecret(folder)).toBe('from the environment')
    expect(() => statSync(join(folder, 'seal-key'))).toThrow()
  })

  it('lasts for this run where it cannot be kept', () => {
    const file = join(folder, 'a-file')
    writeFileSync(file, '')
    expect(sealSecret(file)).toMatch(/^[\w-]{43}$/)
  })
})
