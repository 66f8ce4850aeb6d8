import { execFileSync, spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync as exists,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { version } from '../../src/version.ts'
import { root, switchyard } from './run.ts'

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

const joining = (...more: string[]) => ['node', '--gateway', 'http://127.0.0.1:1', ...more]

/** A port that somebody listens on. */
async function takenPort(): Promise<[port: number, free: () => void]> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return [port, () => server.close()]
}

describe('usage', () => {
  it('--version tells it', async () => {
    const { code, stdout } = await switchyard(['--version'])
    expect(code).toBe(0)
    expect(stdout.toString()).toBe(`switchyard ${version}\n`)
  })

  it('serve says before it loads a model that it could not listen', async () => {
    const [port, free] = await takenPort()
    const ran = await switchyard(['serve', '--model', '/nowhere', '--port', String(port)])
    free()
    expect(ran.code).toBe(1)
    expect(ran.stderr).toContain(`127.0.0.1:${port} is already in use. Choose another one`)
    const open = await switchyard(['serve', '--model', '/nowhere', '--host', '0.0.0.0'])
    expect(open.code).toBe(1)
    expect(open.stderr).toContain('--key-env')
  })

  it.each([
    ['192.0.2.1', 'is no address of this machine (EADDRNOTAVAIL)'],
    ['nowhere.invalid', 'has no such host'],
  ])('says of an address that is not here what would be: %s', async (host, why) => {
    const words = ['up', '--port', '1', '--host', host]
    const ran = await switchyard(words, { env: { SWITCHYARD_KEYS: '{"acme":"sy_key"}' } })
    expect(ran.code).toBe(1)
    expect(ran.stderr).toContain(`${host}:1 ${why}`)
    expect(ran.stderr).toContain('Listen on an address of this machine')
    expect(ran.stderr).not.toContain('another port')
  })

  it.each([
    ['', '/v1/models'],
    ['/', '/v1/models'],
    ['/v1', '/v1/models'],
    ['/compatible/v4/', '/compatible/v4/models'],
  ])('chat takes the address with and without /v1: %j', async (path, asked) => {
    const seen: (string | undefined)[] = []
    const server = createHttpServer((request, response) => {
      seen.push(request.url)
      response.end('{"data":[]}')
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    await switchyard(['chat', '--base', `http://127.0.0.1:${port}${path}`])
    server.close()
    expect(seen).toEqual([asked])
  })

  it('names the server that cannot be reached', async () => {
    const ran = await switchyard(['serve', '--upstream', 'http://127.0.0.1:1/v1', '--port', '0'])
    expect(ran.code).toBe(1)
    expect(ran.stderr).toContain('--upstream http://127.0.0.1:1: ')
    expect(ran.stderr).toContain('ECONNREFUSED')
  })

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
    [['chat', '--url', 'x'], "There is no option '--url'; there are --base, --model,"],
    [['chat', '-x'], "There is no option '-x'; "],
    [['logits', '--ids', '1', '--out', 'x.npy'], '--model is required'],
    [['logits', '--model', 'x', '--ids', '1,two', '--out', 'x.npy'], "'two'"],
    [
      ['logits', '--model', 'x', '--ids', '1', '--out', 'x.npy', '--mode', 'quick'],
      '--mode must be one of',
    ],
    [['serve', '--model', 'x', '--dense', 'int4'], '--dense must be one of'],
    [['serve', '--model', 'x', '--speculate', 'lookahead'], "not 'lookahead'"],
    [['bench', '--model', 'x', '--speculate', 'ngram:16'], '--speculate ngram:N'],
    [
      ['node', '--gateway', 'http://x', '--token', 't', '--model', 'x', '--speculate', 'ngram:'],
      "''",
    ],
    [
      ['serve', '--model', 'x', '--weights-cache', ''],
      '--weights-cache must be off, auto or a folder',
    ],
    [['synth', '--shape', '1,2,3', '--out', 'x'], 'nine numbers'],
    [['synth', '--shape', '65,96,3,8,2,4,2,32,320', '--out', 'x'], 'multiples of 32'],
    [['tokenize', '--model', 'o200k', 'surplus'], "'surplus'"],
    [['up', '--port', 'abc'], '--port must be'],
    [['serve', '--upstream', 'here'], "--upstream 'here' is not an http"],
    [['serve', '--model', 'x', '--slots', '0'], '--slots must be'],
    [['chat', '--effort', 'huge'], '--effort must be one of'],
    [['chat', '--base', 'here'], "--base 'here' is not an http"],
    [['explain', 'x', '--base', 'here'], "--base 'here' is not an http"],
    [joining('--token', '{"acme":"token"}'), "gateway's table of tokens"],
    [joining('--token', 'token', '--name', 'my node'), "--name 'my node'"],
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
  it('says which Node is needed before an older one could stumble over what it cannot read', () => {
    // This Node by the name of an old one, and a script that it cannot read.
    const folder = mkdtempSync(join(tmpdir(), 'switchyard-old-node-'))
    for (const name of ['bin/switchyard', 'scripts/node-version.cjs'])
      cpSync(`${root}${name}`, join(folder, name))
    writeFileSync(join(folder, 'scripts/bootstrap.mjs'), 'words of a later language')
    const older = join(folder, 'older.cjs')
    const versions = "{ value: { ...process.versions, node: '12.22.12' } }"
    writeFileSync(older, `Object.defineProperty(process, 'versions', ${versions})`)
    const node = `#!/bin/sh\nexec '${process.execPath}' --require '${older}' "$@"\n`
    writeFileSync(join(folder, 'node'), node, { mode: 0o755 })
    const env = { PATH: `${folder}:${process.env.PATH}` }
    const ran = spawnSync(join(folder, 'bin/switchyard'), ['--version'], { env })
    expect(ran.stderr.toString()).toBe(
      'switchyard: Node 20 or newer is needed; this is 12.22.12.\n',
    )
    expect(ran.status).toBe(1)
  })

  it('configures anew where CMake remembers what no longer works', () => {
    const folder = mkdtempSync(join(tmpdir(), 'switchyard-cmake-'))
    // Fails with the memory of a failure, as CMake does with that of a compiler.
    const cmake = `case $1 in --version | --build) exit 0 ;; esac
      grep broken "$4/CMakeCache.txt" && exit 1
      echo works > "$4/CMakeCache.txt"`
    writeFileSync(join(folder, 'cmake'), `#!/bin/sh\n${cmake}\n`, { mode: 0o755 })
    const build = join(folder, 'build')
    mkdirSync(build)
    writeFileSync(join(build, 'CMakeCache.txt'), 'broken')
    const script = join(folder, 'build.mjs')
    const builder = new URL('../../scripts/build-native.mjs', import.meta.url).href
    const call = `buildNative('${build}', ['-DX=1'], 'building')`
    writeFileSync(script, `import { buildNative } from '${builder}'\n${call}`)
    const env = { PATH: `${folder}:${process.env.PATH}` }
    const ran = spawnSync(process.execPath, [script], { env })
    expect(ran.stderr.toString()).toBe(
      'switchyard: building (cmake, about a minute the first time) …\n',
    )
    expect(readFileSync(join(build, 'CMakeCache.txt'), 'utf8')).toBe('works\n')
  })

  it('says what to do about a clone that this user cannot set up', () => {
    const folder = mkdtempSync(join(tmpdir(), 'switchyard-clone-'))
    for (const name of ['scripts', 'package.json', 'native-node/cli/index.ts'])
      cpSync(`${root}${name}`, join(folder, name), { recursive: true })
    symlinkSync('/nowhere/at/all', join(folder, 'build'))
    const words = [join(folder, 'scripts/bootstrap.mjs'), 'for', '--version']
    const ran = spawnSync(process.execPath, words)
    expect(ran.status).toBe(1)
    expect(ran.stderr.toString()).toContain(`set up in ${folder}/build, which cannot be used:`)
    expect(ran.stderr.toString()).toContain('as its owner')
  })

  it('names a program that is not there', () => {
    const script = join(mkdtempSync(join(tmpdir(), 'switchyard-run-')), 'run.mjs')
    const builder = new URL('../../scripts/build-native.mjs', import.meta.url).href
    writeFileSync(script, `import { run } from '${builder}'\nrun('npm', ['ci'], 'run-test.log')`)
    const ran = spawnSync(process.execPath, [script], { env: { PATH: '/nowhere' } })
    expect(ran.status).toBe(1)
    expect(ran.stderr.toString()).toContain('npm is needed and was not found on this machine')
  })

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
