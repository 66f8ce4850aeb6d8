// `npm pack`, before it packs: the sources as JavaScript in dist/, file by file, and the Worker's bundle beside them. Only the
// package runs it; a clone runs its sources.
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
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

rmSync(dist, { recursive: true, force: true })
compile()
copyData()
copyWorker()
