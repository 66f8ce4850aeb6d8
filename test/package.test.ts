// The npm package, as `npm pack` makes it: unpacked below node_modules beside its dependencies and nothing else.
import { execFile, execFileSync, spawn } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { Client } from '@modelcontextprotocol/client'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { root } from './cli/run.ts'
import { freePort, startUp, until } from './e2e/up.ts'

const folder = mkdtempSync(join(tmpdir(), 'switchyard-package-'))
const modules = join(folder, 'project/node_modules')
const installed = join(modules, '@switchyard/switchyard')
const program = join(modules, '.bin/switchyard')
const manifest: Record<
  'dependencies' | 'optionalDependencies',
  Record<string, string>
> = JSON.parse(readFileSync(`${root}package.json`, 'utf8'))
const run = promisify(execFile)

/** A cache that holds the engine which this repository has built, so that nothing is compiled. */
const cache = join(folder, 'cache')
const env = { ...process.env, XDG_CACHE_HOME: cache, SWITCHYARD_BUILD: '' }

let before: string[]

beforeAll(async () => {
  await run('npm', ['pack', '--pack-destination', folder], {
    cwd: root,
    env: { ...env, npm_config_offline: 'true', npm_config_cache: join(folder, 'npm') },
  })
  const [tarball = ''] = readdirSync(folder).filter((name) => name.endsWith('.tgz'))
  mkdirSync(join(modules, '@switchyard'), { recursive: true })
  execFileSync('tar', ['-xzf', join(folder, tarball), '-C', join(modules, '@switchyard')])
  renameSync(join(modules, '@switchyard/package'), installed)
  // As npm links it.
  link('../@switchyard/switchyard/bin/switchyard', program)
  for (const name of Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies })) {
    const here = join(root, 'node_modules', name)
    if (existsSync(here)) link(here, join(modules, name))
  }
  const built = await builtFolder(cache)
  mkdirSync(built, { recursive: true })
  for (const name of ['switchyard.node', 'native.stamp'])
    copyFileSync(join(root, 'build', name), join(built, name))
  before = filesBelow(installed)
  // Packing builds the engine where it is not current.
}, 600_000)

afterAll(() => {
  const after = filesBelow(installed)
  rmSync(folder, { recursive: true, force: true })
  // Whoever has installed it may not be who runs it.
  expect(after).toEqual(before)
})

function link(target: string, path: string): void {
  mkdirSync(dirname(path), { recursive: true })
  symlinkSync(target, path)
}

const filesBelow = (path: string) =>
  readdirSync(path, { recursive: true, encoding: 'utf8' })
    .filter((name) => statSync(join(path, name)).isFile())
    .sort()

const bootstrap = (...words: string[]) => [
  join(installed, 'scripts/bootstrap.mjs'),
  'for',
  ...words,
]

/** Where the package keeps its engine, as it says itself. */
async function builtFolder(cacheHome: string): Promise<string> {
  const { stdout } = await run(process.execPath, bootstrap('--version'), {
    env: { ...env, XDG_CACHE_HOME: cacheHome },
  })
  return stdout.split('\n')[1] ?? ''
}

const ask = async (base: string) => {
  const response = await fetch(`${base}/v1/responses`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'switchyard/demo', temperature: 0, input: 'Who are you?' }),
  })
  return response.text()
}

describe('what is packed', () => {
  it('is what runs: no sources in TypeScript, no tests, no training', () => {
    const tops = new Set(before.map((path) => path.split('/')[0]))
    expect([...tops].sort()).toEqual(
      'CMakeLists.txt LICENSE README.md bin dist models native-node package.json scripts'.split(
        ' ',
      ),
    )
    expect(before.filter((path) => path.endsWith('.ts'))).toEqual([])
    const bytes = before.reduce((sum, path) => sum + statSync(join(installed, path)).size, 0)
    expect(bytes).toBeLessThan(12_000_000)
  })

  it('depends on what it imports, on what its engine is built with, and on Python', () => {
    const imported = before
      .filter((path) => path.startsWith('dist/') && !path.startsWith('dist/worker/'))
      .flatMap((path) => {
        const text = readFileSync(join(installed, path), 'utf8')
        const names = text.matchAll(/(?:\bfrom |\bimport\(|^import )'([^'.\s][^'\s]*)'/gm)
        return [...names].map(([, name = '']) => name)
      })
      .filter((name) => !name.startsWith('node:'))
      .map((name) => /^(@[^/]+\/)?[^/]+/.exec(name)?.[0] ?? '')
    const others = ['node-addon-api', 'node-api-headers', 'pyodide']
    expect([...new Set([...imported, ...others])].sort()).toEqual(
      Object.keys(manifest.dependencies).sort(),
    )
  })
})

describe('where it is installed', () => {
  it('tells its commands', async () => {
    const { stdout } = await run(program, ['--help'], { env })
    expect(stdout).toContain('Usage: switchyard COMMAND')
  })

  it('serves a model', async () => {
    const port = await freePort()
    const model = join(installed, 'models/demo')
    const child = spawn(
      program,
      ['serve', '--model', model, '--as', 'switchyard/demo', '--port', String(port)],
      { cwd: folder, env, stdio: ['ignore', 'ignore', 'pipe'] },
    )
    let log = ''
    child.stderr.on('data', (piece: Buffer) => {
      log += piece.toString()
    })
    const ended = new Promise((resolve) => child.once('exit', resolve))
    try {
      await until(async () => {
        if (child.exitCode !== null) throw new Error(log)
        return log.includes('ready') ? true : undefined
      })
      expect(await ask(`http://127.0.0.1:${port}`)).toContain('I am the small demo model')
    } finally {
      child.kill('SIGTERM')
      expect(await ended).toBe(0)
    }
  })

  it('starts a gateway and a node', async () => {
    const up = await startUp({ program, env: { XDG_CACHE_HOME: cache, SWITCHYARD_BUILD: '' } })
    try {
      expect(await ask(up.base)).toContain('I am the small demo model')
    } finally {
      expect(await up.stop()).toBe(0)
    }
  })

  it('starts Python', async () => {
    const client = new Client({ name: 'test', version: '1' })
    const words = ['tools', '--mcp']
    await client.connect(
      new StdioClientTransport({
        command: program,
        args: words,
        cwd: folder,
        env,
        stderr: 'ignore',
      }),
    )
    const call = { name: 'python', arguments: { code: 'print(6 * 7)' } }
    const { content } = await client.callTool(call, { timeout: 100_000 })
    await client.close()
    expect(content).toEqual([{ type: 'text', text: '42\n' }])
  })
})

describe('its engine', () => {
  /** Programs that stand for a compiler: each build takes a moment, is counted, and makes a file. */
  function toolFolder(cmake: string): string {
    const path = mkdtempSync(join(folder, 'tools-'))
    const write = (name: string, script: string) => {
      writeFileSync(join(path, name), `#!/bin/sh\n${script}\n`)
      chmodSync(join(path, name), 0o755)
    }
    write('cmake', cmake)
    for (const name of ['g++', 'make']) write(name, 'exit 0')
    return path
  }

  const start = (cacheHome: string, tools: string, ...words: string[]) =>
    run(process.execPath, bootstrap(...(words.length > 0 ? words : ['tokenize'])), {
      env: { ...env, XDG_CACHE_HOME: cacheHome, PATH: `${tools}:${process.env.PATH}` },
    })

  it.each([
    ['not there', undefined],
    ['of one that was killed', '4194999 1'],
    ['of one that was killed and had the number of another', `${process.pid} 1`],
    ['of one that was killed before it could say who it is', ''],
  ])('is built once by two that start together, in the cache; a lock is %s', async (_, lock) => {
    const home = mkdtempSync(join(folder, 'cache-'))
    const tools = toolFolder(
      `[ "$1" = --build ] || exit 0\nsleep 0.5\necho built >> "${home}/count"\necho addon > "$2/switchyard.node"`,
    )
    const built = await builtFolder(home)
    mkdirSync(built, { recursive: true })
    if (lock !== undefined) writeFileSync(join(built, 'bootstrap.lock'), lock)
    await Promise.all([start(home, tools), start(home, tools)])
    expect(readFileSync(join(home, 'count'), 'utf8')).toBe('built\n')
    expect(readFileSync(join(built, 'switchyard.node'), 'utf8')).toBe('addon\n')
    expect(readdirSync(built).sort()).toEqual(['native.log', 'native.stamp', 'switchyard.node'])
  })

  it('that does not compile is told with what the compiler said, and not kept', async () => {
    const home = mkdtempSync(join(folder, 'cache-'))
    const tools = toolFolder('[ "$1" = --version ] && exit 0\necho "no member named x"; exit 1')
    const { stderr } = await start(home, tools).catch((error: { stderr: string }) => error)
    expect(stderr).toContain('no member named x')
    expect(readdirSync(await builtFolder(home))).toEqual(['native.log'])
  })

  it.each([
    ['chat'],
    ['serve', '--help'],
    ['up', '--no-node'],
    ['node', '--upstream=http://127.0.0.1:1'],
    ['node', '--tools', 'code_interpreter'],
  ])('is not waited for by what computes nothing: %s %s', async (...words) => {
    const home = mkdtempSync(join(folder, 'cache-'))
    await start(home, toolFolder('exit 1'), ...words)
    expect(readdirSync(home)).toEqual([])
    expect(existsSync(await builtFolder(home))).toBe(false)
  })

  it('says which folder it cannot be kept in', async () => {
    const home = join(folder, 'no-folder')
    writeFileSync(home, '')
    const { stderr } = await start(home, toolFolder('exit 0')).catch(
      (error: { stderr: string }) => error,
    )
    expect(stderr).toContain(`kept in ${home}/switchyard/`)
    expect(stderr).toContain('Set XDG_CACHE_HOME')
  })
})
