// Where this installation stands. A clone runs its TypeScript sources and builds into build/. The npm package runs dist/, which
// scripts/prepack.mjs compiled from them (Node strips no types below node_modules), and builds into the user's cache: its own
// folder may be root's, and does not outlive an update.
// Plain JavaScript on Node 20 without dependencies, as everything that runs before the runtime is found.
import { createHash } from 'node:crypto'
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { homedir, tmpdir } from 'node:os'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = dirname(dirname(fileURLToPath(import.meta.url)))

const source = join(root, 'native-node/cli/index.ts')

/** False in a clone, also where somebody packed it: its sources are what counts. */
export const isPackage = !existsSync(source)

/** The program of the command line. */
export const entry = isPackage ? join(root, 'dist/native-node/cli/index.js') : source

/** A failure that the user can mend; printed without a stack. */
export class SetupError extends Error {}

export const say = (line) => process.stderr.write(`switchyard: ${line}\n`)

export const readText = (path) => (existsSync(path) ? readFileSync(path, 'utf8') : '')

/** Files below `paths` (relative to the root) with one of `endings`, sorted. */
export function filesOf(paths, endings) {
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

export function hashOf(files, salt) {
  const hash = createHash('sha256').update(salt)
  for (const file of files) hash.update(`\0${file}\0`).update(readFileSync(join(root, file)))
  return hash.digest('hex')
}

/** Identifies a build: every native source, the flags and the machine. */
export function nativeHash(defines = [], extraSources = []) {
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

/** Where this user's caches are (https://specifications.freedesktop.org/basedir-spec/); a relative path there counts for nothing. */
function cacheFolder() {
  const { XDG_CACHE_HOME: given = '' } = process.env
  if (isAbsolute(given)) return join(given, 'switchyard')
  const home = homeFolder()
  if (isAbsolute(home)) return join(home, '.cache/switchyard')
  return join(resolve(tmpdir()), `switchyard-${process.getuid()}`)
}

/** Empty where HOME is, or where neither it nor an entry for this user exists, as in a container with a number for a user. */
function homeFolder() {
  try {
    return homedir()
  } catch {
    return ''
  }
}

/** One folder a build in the cache: versions do not share it, and an update that changes no native source builds nothing. */
export const buildDir = isPackage
  ? join(cacheFolder(), `engine-${nativeHash().slice(0, 16)}`)
  : join(root, 'build')

const requireHere = createRequire(join(root, 'package.json'))

/** The folder of an installed package, wherever npm has put it: beside this one, below it or above. */
export const packageFolder = (name) => dirname(requireHere.resolve(`${name}/package.json`))

/** The Node that runs everything: the pinned package, else this one when it is new enough. */
export function runtimeNode() {
  const machine = `${process.platform}-${process.arch}`
  try {
    const pinned = join(packageFolder(`node-${machine}`), 'bin/node')
    if (canStart(pinned)) return pinned
  } catch {
    // None for this machine, or left out by `npm install --omit=optional`.
  }
  // Sources need a Node that strips types; miniflare, SQLite and --permission are what dist/ needs it for.
  const needed = isPackage ? [22, 13] : [24, 2]
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  if (major > needed[0] || (major === needed[0] && minor >= needed[1])) return process.execPath
  throw new SetupError(
    `Node ${needed.join('.')} or newer is needed on ${machine} (the package node-${machine} is not installed, or does not run here); this is ${process.versions.node}.`,
  )
}

/** Whether the system has the loader that a program names: one made for glibc starts on no Alpine. Throws where there is no program. */
function canStart(program) {
  const head = Buffer.alloc(4096)
  const file = openSync(program)
  try {
    readSync(file, head)
  } finally {
    closeSync(file)
  }
  const [loader] = /\/[\w./+-]*\/ld-[\w.+-]+(?=\0)/.exec(head.toString('latin1')) ?? []
  return loader === undefined || existsSync(loader)
}
