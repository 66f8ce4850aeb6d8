// Builds the native engine with CMake, when its sources have changed.
import { spawnSync } from 'node:child_process'
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { availableParallelism, hostname } from 'node:os'
import { join } from 'node:path'
import {
  buildDir,
  isPackage,
  nativeHash,
  packageFolder,
  readText,
  root,
  SetupError,
  say,
} from './installation.mjs'

/** Runs a step's command; its output goes to a log that is shown when it fails. */
export function run(command, args, log) {
  const path = join(buildDir, log)
  mkdirSync(buildDir, { recursive: true })
  const out = openSync(path, 'a')
  const result = spawnSync(command, args, { cwd: root, stdio: ['ignore', out, out] })
  closeSync(out)
  if (result.status === 0) return
  if (result.error?.code === 'ENOENT')
    throw new SetupError(`${command} is needed and was not found on this machine (PATH).`)
  const tail = readText(path).split('\n').slice(-40).join('\n')
  throw new SetupError(
    `\`${command} ${args.join(' ')}\` failed${result.error ? `: ${result.error.message}` : ''}. The end of ${path}:\n${tail}`,
  )
}

const found = (command) => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0

/** Throws SetupError that says how to get what is not there. */
export function requireBuildTools() {
  const missing = []
  if (!found('cmake')) missing.push('cmake')
  if (![process.env.CXX, 'c++', 'g++', 'clang++'].some((name) => name && found(name)))
    missing.push('g++')
  if (!['make', 'ninja', 'gmake'].some(found)) missing.push('make')
  if (missing.length === 0) return
  throw new SetupError(
    `the native engine needs ${missing.join(' and ')}, not found on this machine. Install with\n` +
      `  Debian/Ubuntu  sudo apt-get install -y ${missing.join(' ')}\n` +
      `  Fedora         sudo dnf install -y ${missing.join(' ').replace('g++', 'gcc-c++')}\n` +
      `  Alpine         sudo apk add ${missing.join(' ')}\n` +
      '  macOS          xcode-select --install && brew install cmake',
  )
}

const isCurrent = (directory, hash) => readText(join(directory, 'native.stamp')) === hash

/** Whether the addon is there and made of these sources. */
export const engineCurrent = () => isCurrent(buildDir, nativeHash())

/** Configures and builds with CMake into `directory` when the native sources changed. */
export function buildNative(directory, defines, what, extraSources = []) {
  const hash = nativeHash(defines, extraSources)
  if (isCurrent(directory, hash)) return
  requireBuildTools()
  say(`${what} (cmake, about a minute the first time) …`)
  mkdirSync(directory, { recursive: true })
  rmSync(join(buildDir, 'native.log'), { force: true })
  const settings = [
    '-DCMAKE_BUILD_TYPE=Release',
    `-DSWITCHYARD_NODE_API_HEADERS=${join(packageFolder('node-api-headers'), 'include')}`,
    `-DSWITCHYARD_NODE_ADDON_API=${packageFolder('node-addon-api')}`,
  ]
  configure(directory, [...settings, ...defines])
  run('cmake', ['--build', directory, '-j', String(availableParallelism())], 'native.log')
  writeFileSync(join(directory, 'native.stamp'), hash)
}

/** What CMake remembers of a compiler that did not work or is gone, or of where this folder was before, must not outlive it. */
function configure(directory, settings) {
  const memory = ['CMakeCache.txt', 'CMakeFiles'].map((name) => join(directory, name))
  const forget = () => {
    for (const path of memory) rmSync(path, { recursive: true, force: true })
  }
  const remembers = existsSync(memory[0])
  try {
    run('cmake', ['-S', root, '-B', directory, ...settings], 'native.log')
  } catch (error) {
    forget()
    if (!remembers) throw error
    configure(directory, settings)
  }
}

/** The addon. In a clone step by step into build/; in a cache, which others may be reading, beside it and then in one move. */
export function buildEngine() {
  const what = 'building the native engine'
  if (!isPackage) return buildNative(buildDir, [], what)
  removeAbandoned()
  const work = mkdtempSync(join(buildDir, `${workPrefix}${hostname()}-`))
  try {
    buildNative(work, [], what)
    for (const name of ['switchyard.node', 'native.stamp'])
      renameSync(join(work, name), join(buildDir, name))
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

const workPrefix = 'building-'

/** What builds that were killed have left. On this machine the lock is ours; another that shares this home may be at work. */
function removeAbandoned() {
  for (const name of readdirSync(buildDir)) {
    if (!name.startsWith(workPrefix)) continue
    const path = join(buildDir, name)
    try {
      const old = statSync(path).mtimeMs < Date.now() - 3_600_000
      if (old || name.startsWith(`${workPrefix}${hostname()}-`)) rmSync(path, { recursive: true })
    } catch {
      // Removed by another, or its compiler lives on and writes still: the next build will try.
    }
  }
}
