// Starts `bin/switchyard up` as `npm start` does, in a folder of its own, and waits until it is ready.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from '../cli/run.ts'

export interface Up {
  /** `http://127.0.0.1:PORT` */
  base: string
  /** Where it runs: configuration and state. */
  folder: string
  process: ChildProcess
  log(): string
  health(): Promise<{ status: number; body: Health }>
  stop(): Promise<number | null>
}

export interface Health {
  status: string
  version: string
  nodes: { name: string; models: string[]; pid?: number }[]
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address()
      const port = address && typeof address === 'object' ? address.port : 0
      probe.close(() => resolve(port))
    })
  })
}

export async function startUp(
  options: {
    config?: unknown
    words?: string[]
    env?: Record<string, string>
    /** What an earlier one left; a new folder unless given. */
    folder?: string
    /** Another installation's; this repository's unless given. */
    program?: string
  } = {},
): Promise<Up> {
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'switchyard-up-'))
  if (options.config !== undefined)
    writeFileSync(join(folder, 'switchyard.json'), JSON.stringify(options.config))
  const port = await freePort()
  const base = `http://127.0.0.1:${port}`
  const child = spawn(
    options.program ?? join(root, 'bin/switchyard'),
    ['up', ...(options.words ?? [])],
    {
      cwd: folder,
      env: { ...process.env, PORT: String(port), HOST: '127.0.0.1', ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  let log = ''
  child.stderr.on('data', (piece: Buffer) => {
    log += piece.toString()
  })
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
  const deadline = Date.now() + 60_000
  while (!log.includes('switchyard: ready')) {
    if (child.exitCode !== null || Date.now() > deadline) {
      // It must not outlive its test: nobody else knows of it.
      child.kill('SIGTERM')
      throw new Error(`up did not become ready:\n${log}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
  return {
    base,
    folder,
    process: child,
    log: () => log,
    async health() {
      const response = await fetch(`${base}/health`)
      return { status: response.status, body: (await response.json()) as Health }
    },
    async stop() {
      child.kill('SIGTERM')
      return ended
    },
  }
}

export async function until<T>(
  probe: () => Promise<T | undefined>,
  milliseconds = 20_000,
): Promise<T> {
  const deadline = Date.now() + milliseconds
  for (;;) {
    const value = await probe().catch(() => undefined)
    if (value !== undefined) return value
    if (Date.now() > deadline) throw new Error('waited in vain')
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}
