// Brings an installation to a runnable state, one line a step, and does nothing when all is current.
// A clone:      1. dependencies by `npm ci`   2. the pinned Node   3. the native addon by CMake   4. the Worker's bundle
// The package:  npm has installed the dependencies and dist/ holds the bundle, so 2 and 3.
// Plain JavaScript on Node 20 without dependencies: it runs before anything is installed.
// Prints three lines on stdout, all else on stderr: the Node to use, the folder of what was built, the program to run.
import './node-version.cjs'
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildEngine, engineCurrent, requireBuildTools, run } from './build-native.mjs'
import {
  buildDir,
  entry,
  filesOf,
  hashOf,
  isPackage,
  readText,
  root,
  runtimeNode,
  SetupError,
  say,
} from './installation.mjs'
import { withLock } from './setup-lock.mjs'

export { buildNative } from './build-native.mjs'
export { buildDir, root, SetupError } from './installation.mjs'

/**
 * True when node_modules holds exactly what package-lock.json asks for (optional packages of other platforms aside). What npm
 * says that it holds is looked for: an npm that was left behind by a start that was killed may have swept it away.
 */
function dependenciesCurrent() {
  const installedPath = join(root, 'node_modules/.package-lock.json')
  if (!existsSync(installedPath)) return false
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages
  const installed = JSON.parse(readFileSync(installedPath, 'utf8')).packages
  const isCurrent = ([path, { version, optional, devOptional }]) =>
    installed[path]?.version === version
      ? existsSync(join(root, path, 'package.json'))
      : path === '' || optional || devOptional
  return Object.entries(wanted).every(isCurrent) && !lacksRuntime(wanted, installed)
}

/** npm passes over an optional package that it could not fetch: the Node that all depends on is one of them. */
function lacksRuntime(wanted, installed) {
  const path = `node_modules/node-${process.platform}-${process.arch}`
  if (!wanted[path] || installed[path]) return false
  try {
    runtimeNode()
    return false
  } catch {
    return true
  }
}

function installDependencies() {
  if (dependenciesCurrent()) return
  say('installing dependencies (npm ci) …')
  rmSync(join(buildDir, 'npm.log'), { force: true })
  run('npm', ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'], 'npm.log')
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

/**
 * False for commands that compute nothing: in front of another engine, or as a client, one must not have to wait for a
 * compiler, and nobody to be told of a slip of the pen.
 */
export function needsEngine([command, ...options]) {
  const given = (name) => options.some((word) => word === name || word.startsWith(`${name}=`))
  if (command === undefined || given('--help') || given('-h')) return false
  if (command === 'node' || command === 'serve') return given('--model')
  if (command === 'up') return !given('--no-node')
  return ['bench', 'logits', 'tokenize', 'render', 'parse'].includes(command)
}

/** True when no step has anything to do: looked at without the lock, so that commands do not wait for one another. */
function allCurrent(engine) {
  if (engine && !engineCurrent()) return false
  return isPackage || (dependenciesCurrent() && readText(workerStamp) === workerHash())
}

function makeBuildDir() {
  try {
    make(buildDir)
    accessSync(buildDir, constants.W_OK)
  } catch (error) {
    if (isPackage) throw unusable(error.message)
    throw new SetupError(
      `this clone is set up in ${buildDir}, which cannot be used: ${error.message}. Run \`npm run build\` as its owner, or make a clone of your own.`,
    )
  }
}

/** One by one: Node's `recursive` spins for ever below /proc. */
function make(folder) {
  if (existsSync(folder)) return
  make(dirname(folder))
  try {
    mkdirSync(folder, isPackage ? 0o700 : 0o777)
  } catch (error) {
    // Another start was quicker.
    if (error.code !== 'EEXIST') throw error
  }
}

const unusable = (why) =>
  new SetupError(
    `the native engine is built once and kept in ${buildDir}, which cannot be used: ${why}. Set XDG_CACHE_HOME to a folder that this user may write.`,
  )

/** What is kept in the cache is run: where another user can put something, it could be theirs. */
function refuseForeign() {
  for (const folder of [dirname(buildDir), buildDir]) {
    const { uid, mode } = look(folder)
    if (uid !== 0 && uid !== process.getuid()) throw unusable(`${folder} belongs to another user`)
    if (mode & 0o002) throw unusable(`everybody may write to ${folder}`)
  }
}

function look(folder) {
  try {
    return statSync(folder, { throwIfNoEntry: false }) ?? { uid: 0, mode: 0 }
  } catch (error) {
    throw unusable(error.message)
  }
}

/** Everything that the words of a command line need, all that there is without any; returns the Node to run on. */
export async function bootstrap(words) {
  const engine = words === undefined || needsEngine(words)
  if (isPackage && engine) refuseForeign()
  if (allCurrent(engine)) return runtimeNode()
  makeBuildDir()
  if (isPackage) refuseForeign()
  return withLock(buildDir, async () => {
    // Before minutes of download.
    if (engine && !engineCurrent()) requireBuildTools()
    if (!isPackage) installDependencies()
    const runtime = runtimeNode()
    if (engine && !engineCurrent()) buildEngine()
    if (!isPackage) await bundleWorker()
    return runtime
  })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [mode, ...words] = process.argv.slice(2)
  // Who asked may be gone before a build is done; the next one to ask finds it.
  process.stdout.on('error', () => {})
  try {
    const runtime = await bootstrap(mode === 'for' ? words : undefined)
    process.stdout.write(`${[runtime, buildDir, entry].join('\n')}\n`)
  } catch (error) {
    // A full disk is nobody's mistake here: what the system says is enough.
    if (!(error instanceof SetupError || error.syscall)) throw error
    say(error.message)
    process.exit(1)
  }
}
