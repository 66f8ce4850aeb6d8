// Brings a fresh clone to a runnable state, one line a step, and does nothing when all is current:
//   1. dependencies by `npm ci`   2. the pinned Node   3. the native addon by CMake   4. the Worker's bundle
// Plain JavaScript on Node 20 without dependencies: it runs before anything is installed.
// Prints the path of the Node to use on stdout, all else on stderr.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = dirname(dirname(fileURLToPath(import.meta.url)))
export const buildDir = join(root, 'build')

const say = (line) => process.stderr.write(`switchyard: ${line}\n`)

/** A failure that the user can mend; printed without a stack. */
export class SetupError extends Error {}

/** Files below `paths` (relative to the root) with one of `endings`, sorted. */
function filesOf(paths, endings) {
  const found = []
  const walk = (path) => {
    const full = join(root, path)
    if (!existsSync(full)) return
    if (statSync(full).isDirectory()) {
      for (const name of readdirSync(full)) walk(join(path, name))
    } else if (endings.some((ending) => path.endsWith(ending))) found.push(path)
  }
  for (const path of paths) walk(path)
  return found.sort()
}

function hashOf(files, salt) {
  const hash = createHash('sha256').update(salt)
  for (const file of files) hash.update(`\0${file}\0`).update(readFileSync(join(root, file)))
  return hash.digest('hex')
}

const readText = (path) => (existsSync(path) ? readFileSync(path, 'utf8') : '')

/** Runs a step's command; its output goes to a log that is shown when it fails. */
function run(command, args, log) {
  mkdirSync(buildDir, { recursive: true })
  const out = openSync(join(buildDir, log), 'a')
  const result = spawnSync(command, args, { cwd: root, stdio: ['ignore', out, out] })
  closeSync(out)
  if (result.status === 0) return
  const tail = readText(join(buildDir, log)).split('\n').slice(-40).join('\n')
  throw new SetupError(
    `\`${command} ${args.join(' ')}\` failed${result.error ? `: ${result.error.message}` : ''}. The end of build/${log}:\n${tail}`,
  )
}

/** True when node_modules holds exactly what package-lock.json asks for (optional packages of other platforms aside). */
function dependenciesCurrent() {
  const installedPath = join(root, 'node_modules/.package-lock.json')
  if (!existsSync(installedPath)) return false
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages
  const installed = JSON.parse(readFileSync(installedPath, 'utf8')).packages
  return Object.entries(wanted).every(
    ([path, entry]) =>
      path === '' ||
      entry.optional ||
      entry.devOptional ||
      installed[path]?.version === entry.version,
  )
}

function installDependencies() {
  if (dependenciesCurrent()) return
  say('installing dependencies (npm ci) …')
  rmSync(join(buildDir, 'npm.log'), { force: true })
  run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], 'npm.log')
}

/** The Node that runs the TypeScript sources: the pinned package, else this one when it is new enough. */
export function runtimeNode() {
  const pinned = join(root, `node_modules/node-${process.platform}-${process.arch}/bin/node`)
  if (existsSync(pinned)) return pinned
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  if (major > 24 || (major === 24 && minor >= 2)) return process.execPath
  throw new SetupError(
    `Node 24.2 or newer is needed on ${process.platform}-${process.arch} (no pinned Node package for it); this is ${process.versions.node}.`,
  )
}

const found = (command) => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0

function requireBuildTools() {
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
      `  macOS          xcode-select --install && brew install cmake`,
  )
}

/** Identifies a build: every native source, the flags and the machine. */
function nativeHash(defines, extraSources) {
  const folders = [
    'native-node/include',
    'native-node/engine',
    'native-node/addon',
    ...extraSources,
  ]
  const salt = JSON.stringify([
    process.platform,
    process.arch,
    defines,
    readText(join(root, 'CMakeLists.txt')),
  ])
  return hashOf(filesOf(folders, ['.cpp', '.h', '.inc']), salt)
}

const nativeCurrent = (directory, hash) => readText(join(directory, 'native.stamp')) === hash

/** Configures and builds with CMake into `directory` when the native sources changed. */
export function buildNative(directory, defines, what, extraSources = []) {
  const hash = nativeHash(defines, extraSources)
  if (nativeCurrent(directory, hash)) return
  requireBuildTools()
  say(`${what} (cmake, about a minute the first time) …`)
  mkdirSync(directory, { recursive: true })
  rmSync(join(buildDir, 'native.log'), { force: true })
  run(
    'cmake',
    ['-S', root, '-B', directory, '-DCMAKE_BUILD_TYPE=Release', ...defines],
    'native.log',
  )
  run('cmake', ['--build', directory, '-j', String(availableParallelism())], 'native.log')
  writeFileSync(join(directory, 'native.stamp'), hash)
}

const workerStamp = join(buildDir, 'worker/worker.stamp')
const workerHash = () =>
  hashOf([...filesOf(['src', 'gateway'], ['.ts', '.json']), 'package-lock.json'], 'worker-1')

async function bundleWorker() {
  const hash = workerHash()
  if (readText(workerStamp) === hash) return
  say('bundling the gateway (esbuild) …')
  const { build } = await import('esbuild')
  await build({
    entryPoints: [join(root, 'gateway/index.ts')],
    outfile: join(buildDir, 'worker/index.js'),
    bundle: true,
    format: 'esm',
    target: 'es2022',
    conditions: ['workerd', 'worker', 'browser'],
    external: ['cloudflare:*'],
    sourcemap: true,
    logLevel: 'silent',
    absWorkingDir: root,
  })
  writeFileSync(workerStamp, hash)
}

/** True when no step has anything to do: looked at without the lock, so that commands do not wait for one another. */
function allCurrent() {
  return (
    dependenciesCurrent() &&
    nativeCurrent(buildDir, nativeHash([], [])) &&
    readText(workerStamp) === workerHash()
  )
}

/** One bootstrap at a time: two that start together (a test and a server) must not build into one folder. */
async function withLock(work) {
  mkdirSync(buildDir, { recursive: true })
  const lock = join(buildDir, 'bootstrap.lock')
  for (let waited = 0; ; waited += 100) {
    try {
      const file = openSync(lock, 'wx')
      writeSync(file, String(process.pid))
      closeSync(file)
      break
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
      const owner = Number(readText(lock))
      // An owner that is gone (killed) leaves its lock behind; one that has not written its number yet is given a second.
      const alive = owner > 0 ? isAlive(owner) : waited < 1000
      if (!alive) rmSync(lock, { force: true })
      else if (waited === 1000) say('waiting for another set-up in this folder …')
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
  try {
    return await work()
  } finally {
    rmSync(lock, { force: true })
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

/** Everything that the command line needs; returns the Node to run on. */
export async function bootstrap() {
  const [major = 0] = process.versions.node.split('.').map(Number)
  if (major < 20)
    throw new SetupError(`Node 20 or newer is needed; this is ${process.versions.node}.`)
  if (allCurrent()) return runtimeNode()
  return withLock(async () => {
    installDependencies()
    const runtime = runtimeNode()
    buildNative(buildDir, [], 'building the native engine')
    await bundleWorker()
    return runtime
  })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    process.stdout.write(`${await bootstrap()}\n`)
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    say(error.message)
    process.exit(1)
  }
}
