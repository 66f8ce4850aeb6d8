import { execFileSync } from 'node:child_process'
import { existsSync as exists, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { switchyard } from './run.ts'

const commands = [
  'up',
  'serve',
  'node',
  'tools',
  'chat',
  'bench',
  'explain',
  'logits',
  'tokenize',
  'render',
  'parse',
  'synth',
]

describe('usage', () => {
  it.each(commands)('%s --help exits 0 and names its options on stdout', async (command) => {
    const { code, stdout } = await switchyard([command, '--help'])
    expect(code).toBe(0)
    expect(stdout.toString()).toContain(`Usage: switchyard ${command}`)
    expect(stdout.toString()).toContain('--help')
  })

  it.each([
    [['nonsense'], "unknown command 'nonsense'"],
    [['__proto__'], 'unknown command'],
    [['logits', '--bogus'], "'--bogus'"],
    [['logits', '--ids', '1', '--out', 'x.npy'], '--model is required'],
    [['logits', '--model', 'x', '--ids', '1,two', '--out', 'x.npy'], "'two'"],
    [
      ['logits', '--model', 'x', '--ids', '1', '--out', 'x.npy', '--mode', 'quick'],
      '--mode must be one of',
    ],
    [['synth', '--shape', '1,2,3', '--out', 'x'], 'nine numbers'],
    [['synth', '--shape', '65,96,3,8,2,4,2,32,320', '--out', 'x'], 'multiples of 32'],
    [['tokenize', '--model', 'o200k', 'surplus'], "'surplus'"],
  ])('%j is wrong usage: exit 2, nothing on stdout', async (words, message) => {
    const { code, stdout, stderr } = await switchyard(words)
    expect(code).toBe(2)
    expect(stderr).toContain(message)
    expect(stdout.length).toBe(0)
  })

  it('a model that is not there is a failure: exit 1 and its path', async () => {
    const { code, stderr } = await switchyard([
      'logits',
      '--model',
      '/nowhere/model',
      '--ids',
      '1',
      '--out',
      join(tmpdir(), 'x.npy'),
    ])
    expect(code).toBe(1)
    expect(stderr).toContain('/nowhere/model')
    expect(stderr).not.toContain('    at ')
  })
})

describe('bootstrap', () => {
  it('says what to install when cmake is missing', async () => {
    // A copy of PATH without cmake: only node, and the shell's own tools, from a folder of links.
    const folder = mkdtempSync(join(tmpdir(), 'switchyard-path-'))
    for (const tool of ['sh', 'dirname', 'readlink', 'g++', 'make', 'env']) {
      const path = (process.env.PATH ?? '')
        .split(':')
        .map((entry) => join(entry, tool))
        .find((candidate) => exists(candidate))
      if (path) symlinkSync(path, join(folder, tool))
    }
    symlinkSync(process.execPath, join(folder, 'node'))
    const script = join(folder, 'check.mjs')
    const bootstrap = new URL('../../scripts/bootstrap.mjs', import.meta.url).href
    writeFileSync(
      script,
      `import { buildNative } from ${JSON.stringify(bootstrap)}
try { buildNative(${JSON.stringify(join(folder, 'build'))}, ['-DX=1'], 'building'); console.log('built') } catch (error) { console.log(error.message) }`,
    )
    const output = execFileSync(process.execPath, [script], {
      env: { PATH: folder },
      encoding: 'utf8',
    })
    expect(output).toContain('needs cmake')
    expect(output).toContain('apt-get install -y cmake')
  })
})
