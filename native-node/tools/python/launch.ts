// The command line of a Python process: Node with its permissions taken away, behind whatever more this machine can do to
// hold a process (docs/code-interpreter.md says what each layer is for).
import { execFile } from 'node:child_process'
import { accessSync, constants, realpathSync } from 'node:fs'
import { createRequire } from 'node:module'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { programEnding } from '../../server/installation.ts'

export interface Launch {
  command: string
  args: readonly string[]
}

/** The folder of the npm package, without links: Node's permissions are about real paths. */
export function pyodideFolder(): string {
  const require = createRequire(import.meta.url)
  return realpathSync(dirname(require.resolve('pyodide/package.json')))
}

/**
 * Node's own part: it may read Pyodide and these files, and nothing else; no child process, worker, addon or WASI; no code
 * from strings; a bounded heap.
 */
export function nodeArguments(memoryMiB: number, pyodide: string): string[] {
  const here = realpathSync(dirname(fileURLToPath(import.meta.url)))
  const permission = process.allowedNodeEnvironmentFlags.has('--permission')
    ? '--permission'
    : '--experimental-permission'
  return [
    permission,
    `--allow-fs-read=${pyodide}`,
    `--allow-fs-read=${here}`,
    '--disallow-code-generation-from-strings',
    '--no-addons',
    '--no-warnings',
    `--wasm-max-mem-pages=${memoryMiB * 16}`,
    // What lies in JavaScript is the file system's tables and Pyodide's own code.
    '--max-old-space-size=192',
    // Little is collected: helpers would cost a start a tenth more.
    '--single-threaded-gc',
    join(here, `child${programEnding}`),
  ]
}

/** Layers that not every machine has, outermost first; each runs the rest of its command line in its place. */
function layers(memoryMiB: number): { tool: string; args: string[] }[] {
  // Node's heap, its code and the files come on top of Python's memory.
  const dataBytes = (memoryMiB + 1024) * 1024 * 1024
  return [
    // Namespaces of its own: no network device but a loopback that is down, and no rights of the user outside.
    { tool: 'unshare', args: ['--user', '--net', '--ipc', '--'] },
    // Ends with the node, whatever ends the node.
    { tool: 'setpriv', args: ['--pdeathsig', 'KILL', '--no-new-privs', '--'] },
    {
      tool: 'prlimit',
      args: [`--data=${dataBytes}`, '--fsize=0', '--nofile=64', '--core=0', '--'],
    },
  ]
}

/** The start of the command line from the layers that work here, all of them or each that does. */
export async function findLayers(memoryMiB: number): Promise<string[]> {
  const here = layers(memoryMiB).flatMap(({ tool, args }) => {
    const path = programPath(tool)
    return path === undefined ? [] : [[path, ...args]]
  })
  if (await works(here.flat())) return here.flat()
  const found: string[] = []
  for (const layer of here) if (await works([...found, ...layer])) found.push(...layer)
  return found
}

/** Tried with Node itself: some limits stop it and not a smaller program. */
function works(layers: readonly string[]): Promise<boolean> {
  const [command = process.execPath, ...args] = [...layers, process.execPath, '--version']
  const options = { timeout: 10_000, env: {}, killSignal: 'SIGKILL' } as const
  return new Promise((resolve) => {
    execFile(command, args, options, (error) => resolve(error === null))
  })
}

function programPath(name: string): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter)
  return ['/usr/bin', '/bin', '/usr/sbin', '/sbin', ...folders]
    .filter((folder) => folder.startsWith('/'))
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK)
        return true
      } catch {
        return false
      }
    })
}
