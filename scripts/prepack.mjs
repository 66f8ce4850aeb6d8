// `npm pack`, before it packs: the sources as JavaScript in dist/, file by file, and the Worker's bundle beside them. Only the
// package runs it; a clone runs its sources.
import { spawnSync } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { buildDir, filesOf, packageFolder, root } from './installation.mjs'

const dist = join(root, 'dist')

/** What the node's half reaches; `npm run check` has judged the types. Comments are for who has the sources. */
function compile() {
  const tsc = join(packageFolder('typescript'), 'bin/tsc')
  const words = ['-p', 'native-node', '--rootDir', '.', '--outDir', 'dist', '--noEmit', 'false']
  const options = ['--noCheck', '--rewriteRelativeImportExtensions', '--removeComments']
  const { status } = spawnSync(process.execPath, [tsc, ...words, ...options], {
    cwd: root,
    // stdout is npm's: with --json it is read by programs.
    stdio: ['ignore', 2, 2],
  })
  if (status !== 0) process.exit(1)
}

/** What is read at run time and is no module. */
function copyData() {
  for (const path of filesOf(['native-node/tools'], ['.py'])) {
    mkdirSync(dirname(join(dist, path)), { recursive: true })
    copyFileSync(join(root, path), join(dist, path))
  }
}

/** The bundle that the tests ran, without the map that stays here. */
function copyWorker() {
  const bundle = readFileSync(join(buildDir, 'worker/index.js'), 'utf8')
  mkdirSync(join(dist, 'worker'))
  writeFileSync(
    join(dist, 'worker/index.js'),
    bundle.replace(/\n\/\/# sourceMappingURL=.*\s*$/, '\n'),
  )
}

/** Packages whose code is in the bundle want their terms to go with it. */
function copyLicenses() {
  const { sources } = JSON.parse(readFileSync(join(buildDir, 'worker/index.js.map'), 'utf8'))
  const names = sources.flatMap(
    (path) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? [],
  )
  const texts = [...new Set(names)].sort().flatMap((name) => {
    const folder = join(root, 'node_modules', name)
    // A package may hold a part of another, which is not installed.
    if (!existsSync(join(folder, 'package.json'))) return []
    const { license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
    const files = readdirSync(folder).filter((file) => /^(licen[cs]e|notice|copying)/i.test(file))
    const terms = files.map((file) => readFileSync(join(folder, file), 'utf8').trim())
    return [[`${name} (${license})`, ...terms].join('\n\n')]
  })
  writeFileSync(join(dist, 'worker/LICENSES.txt'), `${texts.join(`\n\n${'-'.repeat(80)}\n\n`)}\n`)
}

rmSync(dist, { recursive: true, force: true })
compile()
copyData()
copyWorker()
copyLicenses()
