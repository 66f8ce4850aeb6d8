// The npm that runs this command (`npm start`, `npx switchyard`) and waits for it. npm passes SIGTERM on to its shell, which
// dies of it and tells nobody; SIGHUP and SIGKILL it passes on to nobody. So whoever started the command through npm could
// end npm only, and the command would live on with its port.
// Linux only: elsewhere no npm is found.
import { readFileSync } from 'node:fs'

/** How soon its end is noticed. */
const intervalMilliseconds = 500

/** Calls `onGone` once when npm is gone, or the shell between. Returns how to stop watching; starts nothing without npm. */
export function watchNpm(onGone: () => void): () => void {
  if (chain === undefined) return () => {}
  const timer = setInterval(() => {
    if (stands(chain)) return
    clearInterval(timer)
    onGone()
  }, intervalMilliseconds)
  timer.unref()
  return () => clearInterval(timer)
}

/** Looked at when the program starts: a model takes minutes to load, and npm may be gone by then. */
const chain = chainNow()

/** The shell's number and npm's, or npm's alone; undefined where this command is not npm's. */
function chainNow(): number[] | undefined {
  const parent = processOf(process.ppid)
  if (parent === undefined) return undefined
  if (isNpm(parent)) return [process.ppid]
  if (!waits(parent)) return undefined
  const above = processOf(parent.parent)
  return above && isNpm(above) ? [process.ppid, parent.parent] : undefined
}

/** What cannot be read (a process may have as many files open as it can) is not gone: only other parents tell that. */
function stands([parent, above]: readonly number[]): boolean {
  if (process.ppid !== parent) return false
  const now = above === undefined ? undefined : processOf(parent)?.parent
  return now === undefined || now === above
}

interface Process {
  parent: number
  /** The command line. */
  words: string[]
}

function processOf(pid: number): Process | undefined {
  try {
    // "pid (name) state ppid …", and a name may hold anything.
    const [, parent] = /\) \S (\d+) [^)]*$/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? []
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
    return { parent: Number(parent), words }
  } catch {
    return undefined
  }
}

/** npm calls its process `npm start`, `npm exec …`. */
function isNpm({ words }: Process): boolean {
  return /^npm /.test(words[0] ?? '')
}

/** A shell with this command in the foreground: one that puts it into the background is meant to go before it. */
function waits({ words: [name = '', ...rest] }: Process): boolean {
  const script = rest.find((word) => !word.startsWith('-')) ?? ''
  return /sh$/.test(name) && rest.includes('-c') && !/(?<![&>])&(?![&>])/.test(script)
}
