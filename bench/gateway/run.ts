// `npm run bench:gateway`: CPU per request and added latency of the gateway in raw workerd, beside a bare pass-through
// Worker, in rounds that take turns. Ratios within one run are what counts; absolute times are this machine's.
import { fork } from 'node:child_process'
import { Agent, request as httpRequest } from 'node:http'
import { fileURLToPath } from 'node:url'
import { median } from '../median.ts'
import { type RunningWorker, startWorkerd } from './workerd.ts'

const rounds = Number(process.env.ROUNDS ?? 7)
const perRound = Number(process.env.REQUESTS ?? 3000)
const concurrency = Number(process.env.CONCURRENCY ?? 16)
const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))

const upstream = fork(here('./upstream.ts'), {
  execArgv: ['--disable-warning=ExperimentalWarning'],
})
const upstreamPort = await new Promise<number>((resolve) =>
  upstream.once('message', (port) => resolve(Number(port))),
)
const upstreamUrl = `http://127.0.0.1:${upstreamPort}`

const config = {
  providers: { bench: { baseUrl: `${upstreamUrl}/v1`, dialects: ['chat'], models: '*' } },
}
const gateway = await startWorkerd(
  here('../../build/worker/index.js'),
  {
    SWITCHYARD_OPEN: 'loopback',
    SWITCHYARD_CONFIG: JSON.stringify(config),
    BENCH_API_KEY: 'bench',
  },
  { NODE_HUB: 'NodeHub' },
)
const bare = await startWorkerd(here('./pass-through.js'), { UPSTREAM: upstreamUrl })

const question = 'Tell me about the history of railway signalling in two paragraphs.'
const chatBody = (stream: boolean) =>
  JSON.stringify({ model: 'bench:bench', messages: [{ role: 'user', content: question }], stream })
const responsesBody = (stream: boolean) =>
  JSON.stringify({ model: 'bench:bench', input: question, stream })

interface Target {
  name: string
  worker: RunningWorker
  path: string
  body: string
  requests: number
}
const streamed = Math.ceil(perRound / 10)
const groups: Target[][] = [
  [
    {
      name: 'pass-through, chat',
      worker: bare,
      path: '/v1/chat/completions',
      body: chatBody(false),
      requests: perRound,
    },
    {
      name: 'gateway, chat → chat',
      worker: gateway,
      path: '/v1/chat/completions',
      body: chatBody(false),
      requests: perRound,
    },
    {
      name: 'gateway, responses → chat',
      worker: gateway,
      path: '/v1/responses',
      body: responsesBody(false),
      requests: perRound,
    },
  ],
  [
    {
      name: 'pass-through, chat stream (300)',
      worker: bare,
      path: '/v1/chat/completions',
      body: chatBody(true),
      requests: streamed,
    },
    {
      name: 'gateway, chat → chat stream',
      worker: gateway,
      path: '/v1/chat/completions',
      body: chatBody(true),
      requests: streamed,
    },
    {
      name: 'gateway, responses → chat stream',
      worker: gateway,
      path: '/v1/responses',
      body: responsesBody(true),
      requests: streamed,
    },
  ],
]

const agent = new Agent({ keepAlive: true, maxSockets: concurrency })

/** One request; resolves with its time in microseconds once the whole answer is read. */
function once(target: Target): Promise<number> {
  return new Promise((resolve, reject) => {
    const started = performance.now()
    const request = httpRequest(
      {
        agent,
        host: '127.0.0.1',
        port: target.worker.port,
        path: target.path,
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(target.body),
        },
      },
      (response) => {
        let size = 0
        response.on('data', (piece: Buffer) => {
          size += piece.length
        })
        response.on('end', () => {
          if (response.statusCode !== 200 || size < 500)
            reject(new Error(`${target.name}: status ${response.statusCode}, ${size} bytes`))
          else resolve((performance.now() - started) * 1000)
        })
        response.on('error', reject)
      },
    )
    request.on('error', reject)
    request.end(target.body)
  })
}

async function load(target: Target, requests: number, parallel: number): Promise<number[]> {
  const times: number[] = []
  let left = requests
  const worker = async () => {
    while (left-- > 0) times.push(await once(target))
  }
  await Promise.all(Array.from({ length: parallel }, worker))
  return times
}

const report: Record<string, unknown>[] = []
for (const group of groups) {
  for (const target of group) await load(target, Math.ceil(target.requests / 2), concurrency)
  const cpu = new Map<string, number[]>(group.map(({ name }) => [name, []]))
  const latency = new Map<string, number[]>(group.map(({ name }) => [name, []]))
  for (let round = 0; round < rounds; round++) {
    for (const target of group) {
      const before = target.worker.cpuMicroseconds()
      await load(target, target.requests, concurrency)
      cpu.get(target.name)?.push((target.worker.cpuMicroseconds() - before) / target.requests)
      latency.get(target.name)?.push(median(await load(target, Math.ceil(target.requests / 10), 1)))
    }
  }
  const floor = cpu.get(group[0]?.name ?? '') ?? []
  const floorLatency = latency.get(group[0]?.name ?? '') ?? []
  for (const { name } of group) {
    const own = cpu.get(name) ?? []
    const ownLatency = latency.get(name) ?? []
    report.push({
      name,
      cpu_us_per_request: Math.round(median(own)),
      cpu_ratio: Number(median(own.map((value, round) => value / (floor[round] ?? 1))).toFixed(2)),
      latency_p50_us: Math.round(median(ownLatency)),
      added_latency_us: Math.round(
        median(ownLatency.map((value, round) => value - (floorLatency[round] ?? 0))),
      ),
    })
  }
}

const summary = {
  rounds,
  requests: perRound,
  concurrency,
  gateway_rss_mb: Math.round(gateway.residentBytes() / 1e6),
  results: report,
}
process.stdout.write(`${JSON.stringify(summary, null, 2)}\n`)
agent.destroy()
gateway.stop()
bare.stop()
upstream.kill()
