// `node bench/tools/python.ts`: what a session of code_interpreter costs: its first start, later starts, a call that does
// nothing, and memory. Medians; the JSON line is for machines.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { PythonStarter } from '../../native-node/tools/python/starter.ts'
import { median } from '../median.ts'

const { values } = parseArgs({
  options: {
    starts: { type: 'string', default: '7' },
    calls: { type: 'string', default: '300' },
  },
})
const signal = new AbortController().signal
const snapshotFolder = mkdtempSync(join(tmpdir(), 'switchyard-bench-'))
const starter = new PythonStarter({
  memoryMiB: 512,
  diskBytes: 128 * 1024 * 1024,
  graceMs: 2000,
  outputBytes: 256 * 1024,
  files: 16,
  fileBytes: 6 * 1024 * 1024,
  fileNames: 128,
  lastResortMs: 60_000,
  // Empty: the first start is one from nothing.
  snapshotFolder,
})

async function timed<Value>(work: () => Promise<Value>): Promise<{ ms: number; value: Value }> {
  const from = performance.now()
  const value = await work()
  return { ms: performance.now() - from, value }
}

/** Memory and processor time of a process, as Linux tells it; NaN elsewhere. */
function usage(pid: number | undefined): { megabytes: number; cpuMs: number } {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
    // Ticks of a hundredth of a second, in user and kernel mode.
    const cpuMs = (Number(fields[11]) + Number(fields[12])) * 10
    return { megabytes: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1000, cpuMs }
  } catch {
    return { megabytes: Number.NaN, cpuMs: Number.NaN }
  }
}

const first = await timed(() => starter.start(signal))
const firstUsage = usage(first.value.pid)
await first.value.kill()

const starts: number[] = []
const cpu: number[] = []
let python = (await timed(() => starter.start(signal))).value
for (let round = 0; round < Number(values.starts); round++) {
  await python.kill()
  const started = await timed(() => starter.start(signal))
  python = started.value
  starts.push(started.ms)
  cpu.push(usage(python.pid).cpuMs)
}
const { megabytes } = usage(python.pid)

const calls: number[] = []
for (let round = 0; round < Number(values.calls); round++) {
  calls.push((await timed(() => python.run({ code: '1 + 1', files: [] }, signal))).ms)
}
const loop =
  'import time\nt = time.perf_counter()\nfor i in range(10**6): pass\nprint(time.perf_counter() - t)'
const end = await python.run({ code: loop, files: [] }, signal)
await python.kill()
await starter.close()
rmSync(snapshotFolder, { recursive: true })

const result = {
  firstStartMs: first.ms,
  firstStartCpuMs: firstUsage.cpuMs,
  startMs: median(starts),
  startCpuMs: median(cpu),
  sessionMegabytes: megabytes,
  callMs: median(calls),
  millionLoopsMs: Number(end.output) * 1000,
}
const rows: [string, number, string][] = [
  ['first start', result.firstStartMs, 'ms'],
  ['  of it processor', result.firstStartCpuMs, 'ms'],
  ['later start (median)', result.startMs, 'ms'],
  ['  of it processor', result.startCpuMs, 'ms'],
  ['memory of a session', result.sessionMegabytes, 'MB'],
  ['a call of `1 + 1` (median)', result.callMs, 'ms'],
  ['a million empty loops', result.millionLoopsMs, 'ms'],
]
for (const [name, value, unit] of rows) {
  process.stdout.write(`${name.padEnd(28)} ${value.toFixed(1).padStart(8)} ${unit}\n`)
}
process.stdout.write(`${JSON.stringify(result)}\n`)
