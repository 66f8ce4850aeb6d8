// Starts raw workerd (no miniflare in front of it: that costs three times what is measured here) with one Worker.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { compatibility } from '../../native-node/cli/gateway-process.ts'

const require = createRequire(import.meta.url)
const binary = (require('workerd') as { default: string }).default

export interface RunningWorker {
  port: number
  /** CPU time of the process so far, all threads, in microseconds. */
  cpuMicroseconds(): number
  residentBytes(): number
  stop(): void
}

export async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address()
      probe.close(() =>
        address && typeof address === 'object'
          ? resolve(address.port)
          : reject(new Error('no port')),
      )
    })
  })
}

const text = (value: string) => JSON.stringify(value)

/** None outlives a run that is stopped or fails. */
const children: ChildProcess[] = []
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL')
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1))

/** `durableObjects`: binding name → class name; their storage is a fresh folder (workerd has no SQL in memory). */
export async function startWorkerd(
  script: string,
  bindings: Record<string, string>,
  durableObjects: Record<string, string> = {},
): Promise<RunningWorker> {
  const port = await freePort()
  const folder = mkdtempSync(join(tmpdir(), 'switchyard-bench-'))
  mkdirSync(join(folder, 'storage'))
  writeFileSync(join(folder, 'worker.js'), readFileSync(script))
  const objects = Object.entries(durableObjects)
  const config = `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .worker),
    (name = "internet", network = (allow = ["public", "private", "local"])),
    (name = "storage", disk = (path = ${text(join(folder, 'storage'))}, writable = true)),
  ],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
);
const worker :Workerd.Worker = (
  modules = [(name = "worker.js", esModule = embed "worker.js")],
  compatibilityDate = ${text(compatibility.date)},
  compatibilityFlags = [${compatibility.flags.map(text).join(', ')}],
  bindings = [
    ${Object.entries(bindings)
      .map(([name, value]) => `(name = ${text(name)}, text = ${text(value)}),`)
      .join('\n    ')}
    ${objects.map(([name, type]) => `(name = ${text(name)}, durableObjectNamespace = (className = ${text(type)})),`).join('\n    ')}
  ],
  ${
    objects.length === 0
      ? ''
      : `durableObjectNamespaces = [${objects.map(([, type]) => `(className = ${text(type)}, uniqueKey = ${text(type)}, enableSql = true)`).join(', ')}],
  durableObjectStorage = (localDisk = "storage"),`
  }
);
`
  writeFileSync(join(folder, 'config.capnp'), config)
  const child = spawn(binary, ['serve', '--experimental', join(folder, 'config.capnp')], {
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  children.push(child)
  await listening(child, port)
  const pid = child.pid ?? 0
  return {
    port,
    cpuMicroseconds: () => cpuOf(pid),
    residentBytes: () =>
      Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024,
    stop: () => child.kill('SIGKILL'),
  }
}

/** Sum of the threads' run times (nanosecond counters; /proc/PID/stat only knows ticks of 10 ms). */
export function cpuOf(pid: number): number {
  let nanoseconds = 0
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    nanoseconds += Number(
      readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0],
    )
  }
  return nanoseconds / 1000
}

/** Resolves once the process answers on its port, whatever it says. */
export async function listening(
  child: ChildProcess,
  port: number,
  path = '/health',
): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    if (child.exitCode !== null) throw new Error(`it ended with exit code ${child.exitCode}`)
    const up = await fetch(`http://127.0.0.1:${port}${path}`).then(
      async (response) => {
        await response.body?.cancel()
        return true
      },
      () => false,
    )
    if (up) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error('it did not listen within 10 s')
}
