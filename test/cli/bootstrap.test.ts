// The set-up that `bin/switchyard` begins with: what it asks of a machine, and how it mends what others have left.
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
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { root } from './run.ts'

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

  const runtime = `node_modules/node-${process.platform}-${process.arch}`
  it.each([
    ['what npm says that it has is there', ['node_modules/a'], ['node_modules/a'], '24.2.0', false],
    ['it has been swept away', ['node_modules/a'], [], '24.2.0', true],
    ['npm could not fetch the Node that is needed', ['node_modules/a'], null, '20.0.0', true],
    ['that Node is left out and not needed', ['node_modules/a'], null, '24.2.0', false],
  ])('dependencies are installed anew or not: %s', (_, listed, there, version, anew) => {
    const folder = mkdtempSync(join(tmpdir(), 'switchyard-dependencies-'))
    for (const name of ['scripts', 'native-node/cli/index.ts'])
      cpSync(`${root}${name}`, join(folder, name), { recursive: true })
    const write = (name: string, content: unknown) => {
      mkdirSync(dirname(join(folder, name)), { recursive: true })
      writeFileSync(join(folder, name), JSON.stringify(content))
    }
    const packages = Object.fromEntries(listed.map((path) => [path, { version: '1.0.0' }]))
    const wanted = there === null ? { [runtime]: { version: '24.21.0', optional: true } } : {}
    write('package.json', {})
    write('package-lock.json', { packages: { ...packages, ...wanted } })
    write('node_modules/.package-lock.json', { packages })
    for (const path of there ?? listed) write(`${path}/package.json`, {})
    writeFileSync(join(folder, 'npm'), `#!/bin/sh\n: > '${folder}/asked'\n`, { mode: 0o755 })
    const preload = join(folder, 'version.cjs')
    const versions = `{ value: { ...process.versions, node: '${version}' } }`
    writeFileSync(preload, `Object.defineProperty(process, 'versions', ${versions})`)
    // It ends in a fault either way: there is nothing to bundle.
    const words = ['--require', preload, join(folder, 'scripts/bootstrap.mjs'), 'for', '--version']
    spawnSync(process.execPath, words, { env: { PATH: `${folder}:${process.env.PATH}` } })
    expect(exists(join(folder, 'asked'))).toBe(anew)
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
