// The npm package, as `npm pack` makes it: unpacked below node_modules beside its dependencies and nothing else.
import { execFile, execFileSync, spawn } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  copyFileSync,
  cpSync,
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

  it('tells the terms of all whose code is in the bundle', () => {
    const bundle = readFileSync(join(installed, 'dist/worker/index.js'), 'utf8')
    const terms = readFileSync(join(installed, 'dist/worker/LICENSES.txt'), 'utf8')
    // As esbuild says which files it took.
    const names = bundle.matchAll(/^\/\/ .*node_modules\/((?:@[^/]+\/)?[^/]+)\//gm)
    const bundled = new Set(['@cfworker/json-schema', ...[...names].map(([, name]) => name)])
    expect(bundled.size).toBeGreaterThan(4)
    for (const name of bundled) expect(terms).toContain(`${name} (`)
    expect(terms.match(/Permission is hereby granted/g)?.length).toBeGreaterThan(4)
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

describe('its Node', () => {
  it('is the pinned one only where that can start', async () => {
    const other = join(folder, 'other')
    // Not linked: what it depends on is found from where it lies.
    cpSync(installed, join(other, 'node_modules/switchyard'), { recursive: true })
    const name = `node-${process.platform}-${process.arch}`
    const pinned = join(other, 'node_modules', name)
    mkdirSync(join(pinned, 'bin'), { recursive: true })
    writeFileSync(join(pinned, 'package.json'), '{}')
    const runtime = async (loader: string) => {
      writeFileSync(join(pinned, 'bin/node'), `\u007fELF\0${loader}\0`)
      const script = join(other, 'node_modules/switchyard/scripts/bootstrap.mjs')
      const { stdout } = await run(process.execPath, [script, 'for', '--help'], { env })
      return stdout.split('\n')[0]
    }
    writeFileSync(join(other, 'ld-here.so.2'), '')
    expect(await runtime(join(other, 'ld-here.so.2'))).toBe(join(pinned, 'bin/node'))
    expect(await runtime(join(other, 'ld-of-another.so.2'))).toBe(process.execPath)
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
    ['tokenise'],
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

  const failure = (started: Promise<unknown>) =>
    started.then(
      () => '',
      ({ stderr }: { stderr: string }) => stderr,
    )

  it.each([
    ['which everybody may write to', (path: string) => chmodSync(path, 0o777), 'everybody may'],
    ...(process.getuid?.() === 0
      ? [['of another user', (path: string) => chownSync(path, 12345, 12345), 'another user']]
      : []),
  ] as [string, (path: string) => void, string][])(
    'is not taken from a folder %s',
    async (_, spoil, said) => {
      const home = mkdtempSync(join(folder, 'cache-'))
      const built = await builtFolder(home)
      for (const path of [built, dirname(built)]) {
        cpSync(join(cache, 'switchyard'), join(home, 'switchyard'), { recursive: true })
        expect(await failure(start(home, toolFolder('exit 1')))).toBe('')
        spoil(path)
        expect(await failure(start(home, toolFolder('exit 1')))).toContain(`${said}`)
        rmSync(join(home, 'switchyard'), { recursive: true })
      }
    },
  )

  it('goes to the temporary folder where there is no home', async () => {
    const tmp = mkdtempSync(join(folder, 'tmp-'))
    const { stdout } = await run(process.execPath, bootstrap('--version'), {
      cwd: folder,
      env: { ...env, XDG_CACHE_HOME: 'relative', HOME: '', TMPDIR: tmp },
    })
    expect(stdout.split('\n')[1]).toContain(`${tmp}/switchyard-${process.getuid?.()}/engine-`)
  })

  it('is not waited for where nothing can be made: below /proc', async () => {
    const said = await failure(start('/proc/cache', toolFolder('exit 0')))
    expect(said).toContain('kept in /proc/cache/switchyard/')
  })

  it('removes what a build that was killed has left', async () => {
    const home = mkdtempSync(join(folder, 'cache-'))
    const script = '[ "$1" = --build ] || exit 0; echo addon > "$2/switchyard.node"'
    const built = await builtFolder(home)
    const killed = start(home, toolFolder('[ "$1" = --version ] || kill -9 $PPID'))
    expect(await failure(killed)).toContain('building')
    expect(readdirSync(built).some((name) => name.startsWith('building-'))).toBe(true)
    await start(home, toolFolder(script))
    expect(readdirSync(built).sort()).toEqual(['native.log', 'native.stamp', 'switchyard.node'])
  })

  it('that finds no room is told in a line', async () => {
    const home = mkdtempSync(join(folder, 'cache-'))
    const words = [process.execPath, ...bootstrap('tokenize')]
    await run('sh', ['-c', 'ulimit -f 0; exec "$@"', 'sh', ...words], {
      env: { ...env, XDG_CACHE_HOME: home, PATH: `${toolFolder('exit 0')}:${process.env.PATH}` },
    }).catch(({ stderr }: { stderr: string }) => {
      expect(stderr).toMatch(/^switchyard: E\w+: [^\n]*\n$/)
    })
    expect(readdirSync(await builtFolder(home))).toEqual([])
    expect.assertions(2)
  })

  it('is looked for by those commands alone that compute, of all that there are', async () => {
    const { stdout: help } = await run(program, ['--help'], { env })
    const names = [...help.matchAll(/^ {2}(\w+) /gm)].map(([, name = '']) => name)
    const script = `const { needsEngine } = await import('${bootstrap()[0]}')
      for (const name of process.argv.slice(1)) console.log(name, needsEngine([name, '--model', 'm']))`
    const words = ['--input-type=module', '-e', script, ...names]
    const { stdout } = await run(process.execPath, words, { env })
    const computing = 'up serve node bench logits tokenize render parse'
    const others = 'tools chat explain synth'
    expect(stdout.trim().split('\n').sort()).toEqual(
      [
        ...computing.split(' ').map((name) => `${name} true`),
        ...others.split(' ').map((name) => `${name} false`),
      ].sort(),
    )
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
