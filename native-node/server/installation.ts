// Where the parts of this installation lie. A clone runs these sources; the npm package runs the JavaScript that was compiled
// from them into dist/, file by file. scripts/installation.mjs says the same for what runs before.
import { dirname, extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = fileURLToPath(import.meta.url)

/** `.ts` in a clone, `.js` in the package: how a program of ours ends that is started by its path. */
export const programEnding = extname(here)

const isPackage = programEnding === '.js'

/** The folder that holds native-node/. */
const base = dirname(dirname(dirname(here)))

const root = isPackage ? dirname(base) : base

/** What is built on this machine: the addon, and the memory of a Python that has started. `bin/switchyard` names it. */
export const buildFolder = process.env.SWITCHYARD_BUILD || join(root, 'build')

/** The gateway as one module. */
export const workerBundle = join(base, isPackage ? 'worker/index.js' : 'build/worker/index.js')

export const demoModel = join(root, 'models/demo')
