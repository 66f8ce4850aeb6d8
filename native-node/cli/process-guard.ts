// One launcher a folder, and nothing left behind by one that was killed.
import { spawn } from 'node:child_process'
import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeFolder } from '../server/make-folder.ts'
import { CommandError } from './command.ts'

/**
 * Takes this folder's state for this process; throws CommandError while another launcher has it. Two gateways over one
 * storage would each forget the other's nodes. Returns how to give it back.
 */
export function lockFolder(folder: string): () => void {
  const path = join(folder, 'up.pid')
  use(folder, () => {
    makeFolder(folder)
    // Conversations lie in it, in files that workerd makes readable for everybody.
    chmodSync(folder, 0o700)
  })
  const owner = Number(read(path))
  // A number alone proves nothing: it may have gone to another program since.
  if (
    owner > 0 &&
    owner !== process.pid &&
    /cli\/index\.[jt]s/.test(read(`/proc/${owner}/cmdline`))
  ) {
    throw new CommandError(
      `Another \`switchyard up\` runs in this folder (process ${owner}). Start this one in a folder of its own.`,
    )
  }
  use(folder, () => writeFileSync(path, String(process.pid)))
  return () => {
    if (Number(read(path)) === process.pid) rmSync(path, { force: true })
  }
}

function use(folder: string, work: () => void): void {
  try {
    work()
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new CommandError(`State is kept in ${folder}, which cannot be used: ${why}`)
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

/** The children of this process whose command line holds `word`. Linux only: elsewhere none are found. */
export function childrenNamed(word: string): number[] {
  const children = read(`/proc/self/task/${process.pid}/children`)
  return children
    .split(' ')
    .map(Number)
    .filter((pid) => pid > 0 && read(`/proc/${pid}/cmdline`).includes(word))
}

/**
 * Ends `pids` when this process is gone, however it went: after a SIGKILL no handler of ours runs, and workerd has no eye on
 * its parent. Returns how to call the guard off.
 */
export function endWithThisProcess(pids: number[]): () => void {
  if (pids.length === 0) return () => {}
  const script =
    'parent=$1; shift; while kill -0 "$parent" 2>/dev/null; do sleep 1; done; kill -9 "$@" 2>/dev/null'
  const guard = spawn('sh', ['-c', script, 'guard', String(process.pid), ...pids.map(String)], {
    detached: true,
    stdio: 'ignore',
  })
  guard.on('error', () => {})
  guard.unref()
  return () => {
    guard.kill('SIGKILL')
  }
}
