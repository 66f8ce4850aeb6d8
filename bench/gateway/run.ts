// `npm run bench:gateway`: what the gateway costs in raw workerd, beside a Worker that only passes bodies through natively, in
// rounds that take turns. CPU is the process's own, all threads. Ratios within one run are what counts; absolute times are
// this machine's.
//   --rounds N --requests N   of each case: rounds, and requests a round (fewer for streams)
//   --warm N                  requests before the first round (half of a round's): V8 compiles what runs often as it goes
//   --only TEXT               groups with that text in their name (`held`, `step by step`, …: cases.ts)
//   --peer                    Portkey's gateway as well, fetched from npm
//   --json                    in place of the table
import { fork } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { median } from '../median.ts'
import { type Case, type Group, groups, held } from './cases.ts'
import { hold, load, type Target } from './load.ts'
import { type Peer, startPeer } from './peer.ts'
import { type RunningWorker, startWorkerd } from './workerd.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '7' },
    requests: { type: 'string', default: '3000' },
    warm: { type: 'string' },
    only: { type: 'string', default: '' },
    peer: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
})
const rounds = Number(values.rounds)
const concurrency = 16
const heldStreams = 1000
const warmAnswers = 3000
const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))

const upstream = fork(here('./upstream.ts'), {
  execArgv: ['--disable-warning=ExperimentalWarning'],
})
const upstreamPort = await new Promise<number>((resolve) =>
  upstream.once('message', (port) => resolve(Number(port))),
)
const upstreamUrl = `http://127.0.0.1:${upstreamPort}`

function startGateway(): Promise<RunningWorker> {
  const provider = { baseUrl: `${upstreamUrl}/v1`, apiKeyEnv: 'BENCH_API_KEY', models: '*' }
  const providers = {
    'chat-api': { ...provider, dialects: ['chat'] },
    'folded-api': { ...provider, dialects: ['chat'], streamWhole: true },
    'responses-api': { ...provider, dialects: ['responses'] },
  }
  return startWorkerd(
    here('../../build/worker/index.js'),
    {
      SWITCHYARD_OPEN: 'loopback',
      SWITCHYARD_CONFIG: JSON.stringify({ providers }),
      BENCH_API_KEY: 'bench',
    },
    { NODE_HUB: 'NodeHub', RESPONSE_STORE: 'ResponseStore' },
  )
}

async function startFor({ server, steps }: Case): Promise<RunningWorker> {
  if (server === 'gateway') return startGateway()
  const scripts = { pass: 'pass-through', 'one-write': 'one-write', least: 'least', peer: '' }
  const bindings = { UPSTREAM: upstreamUrl, KEY: 'bench', STEPS: String(steps ?? 0) }
  return startWorkerd(here(`./${scripts[server]}.js`), bindings)
}

/** One Worker for all cases of a kind. */
const running = new Map<string, RunningWorker>()

async function runningFor(each: Case): Promise<RunningWorker> {
  const key = `${each.server} ${each.steps ?? ''}`
  const worker = running.get(key) ?? (await startFor(each))
  running.set(key, worker)
  return worker
}

const peer: Peer | undefined = values.peer ? await startPeer(`${upstreamUrl}/v1`) : undefined

async function targetOf(each: Case, own?: RunningWorker): Promise<Target | undefined> {
  const text = JSON.stringify(each.body)
  if (each.server === 'peer') return peer?.target(each.name, text)
  const { port, cpuMicroseconds } = own ?? (await runningFor(each))
  const target = { name: each.name, port, path: each.path, body: text, cpu: cpuMicroseconds }
  if (!each.keyed) return target
  return { ...target, headers: () => ({ 'idempotency-key': randomUUID() }) }
}

interface Row {
  group: string
  name: string
  cpu_us_per_request: number
  cpu_ratio: number
  cpu_us_per_chunk: number | undefined
  latency_p50_us: number
  added_latency_us: number
}

async function measure({ name: group, chunks, share, cases }: Group): Promise<Row[]> {
  const requests = Math.max(concurrency, Math.ceil(Number(values.requests) * share))
  const targets: Target[] = []
  for (const each of cases) {
    const target = await targetOf(each)
    if (target !== undefined) targets.push(target)
  }
  const warm = values.warm === undefined ? Math.ceil(requests / 2) : Number(values.warm) * share
  for (const target of targets) await load(target, Math.ceil(warm), concurrency)
  const cpu = targets.map((): number[] => [])
  const latency = targets.map((): number[] => [])
  for (let round = 0; round < rounds; round++) {
    for (const [at, target] of targets.entries()) {
      const before = target.cpu()
      await load(target, requests, concurrency)
      cpu[at]?.push((target.cpu() - before) / requests)
      latency[at]?.push(median(await load(target, Math.ceil(requests / 10), 1)))
    }
  }
  return targets.map(({ name }, at) => {
    const own = cpu[at] ?? []
    const times = latency[at] ?? []
    const ratios = own.map((value, round) => value / (cpu[0]?.[round] ?? 1))
    const added = times.map((value, round) => value - (latency[0]?.[round] ?? 0))
    return {
      group,
      name,
      cpu_us_per_request: Math.round(median(own)),
      cpu_ratio: Number(median(ratios).toFixed(2)),
      cpu_us_per_chunk: chunks === 0 ? undefined : Number((median(own) / chunks).toFixed(1)),
      latency_p50_us: Math.round(median(times)),
      added_latency_us: Math.round(median(added)),
    }
  })
}

/**
 * Memory of each stream while all are open, beside the same worker before them. `warm`: it has answered others, so that V8's
 * young generation, which is the isolate's and no stream's, has its size already.
 */
async function measureHeld(each: Case, warm: boolean): Promise<Memory> {
  const worker = await startFor(each)
  const target = await targetOf(each, worker)
  if (target === undefined) throw new Error('No target.')
  await hold(target, concurrency, () => {})
  if (warm) {
    const short = { ...target, body: target.body.replace('paced-8-500', 'burst-50') }
    await load(short, warmAnswers, concurrency)
  }
  const before = worker.residentBytes()
  let most = 0
  const look = () => {
    most = Math.max(most, worker.residentBytes())
  }
  const timer = setInterval(look, 100)
  await hold(target, heldStreams, look)
  clearInterval(timer)
  worker.stop()
  const name = `${each.name}${warm ? `, after ${warmAnswers} answers` : ''}`
  return { name, kib_per_stream: Math.round((most - before) / heldStreams / 1024) }
}

interface Memory {
  name: string
  kib_per_stream: number
}

function table(rows: Row[]): string {
  const lines = [
    '| | CPU a request | ÷ floor | a chunk | p50, one at a time | added |',
    '|---|---|---|---|---|---|',
  ]
  let group = ''
  for (const row of rows) {
    if (row.group !== group) lines.push(`| **${row.group}** | | | | | |`)
    group = row.group
    const chunk = row.cpu_us_per_chunk === undefined ? '' : `${row.cpu_us_per_chunk} µs`
    const times = [row.latency_p50_us, row.added_latency_us].map(
      (us) => `${(us / 1000).toFixed(2)} ms`,
    )
    const cells = [row.name, `${row.cpu_us_per_request} µs`, row.cpu_ratio, chunk, ...times]
    lines.push(`| ${cells.join(' | ')} |`)
  }
  return lines.join('\n')
}

const rows: Row[] = []
for (const group of groups) {
  if (!group.name.includes(values.only)) continue
  process.stderr.write(`${group.name} …\n`)
  rows.push(...(await measure(group)))
}
const memory: Memory[] = []
if ('held'.includes(values.only)) {
  process.stderr.write(`${heldStreams} held …\n`)
  for (const warm of [false, true]) {
    for (const each of held) memory.push(await measureHeld(each, warm))
  }
}

if (values.json) {
  const report = { rounds, requests: Number(values.requests), concurrency, rows, held: memory }
  process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
} else {
  if (rows.length > 0) process.stdout.write(`${table(rows)}\n`)
  for (const { name, kib_per_stream } of memory) {
    process.stdout.write(`\n${heldStreams} held, ${name}: ${kib_per_stream} KiB a stream`)
  }
  process.stdout.write('\n')
}
for (const worker of running.values()) worker.stop()
peer?.stop()
upstream.kill()
