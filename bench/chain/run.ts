// `npm run bench:chain -- --model DIR`: what gateway and tunnel cost a node's answers.
//   first token  client → gateway (raw workerd) → tunnel → node, beside the same node's API without a gateway (`serve`)
//   tokens/s     the same chain beside the engine alone, in this process: (long − short answer), so that prompts cancel out
// Requests take turns; medians.
import { type ChildProcess, spawn } from 'node:child_process'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { loadNodeEngine } from '../../native-node/server/index.ts'
import { freePort, startWorkerd } from '../gateway/workerd.ts'
import { median } from '../median.ts'

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'models/demo' },
    rounds: { type: 'string', default: '40' },
    tokens: { type: 'string', default: '64' },
    'speed-rounds': { type: 'string', default: '7' },
  },
})
const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))
const model = resolve(values.model)
const id = 'bench/model'
const token = 'bench-token'
const children: ChildProcess[] = []

const gateway = await startWorkerd(
  here('../../build/worker/index.js'),
  { SWITCHYARD_OPEN: 'loopback', SWITCHYARD_NODE_TOKEN: token, SWITCHYARD_EXPECT_NODE: '1' },
  { NODE_HUB: 'NodeHub' },
)
const servePort = await freePort()

function command(...words: string[]) {
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', here('../../native-node/cli/index.ts'), ...words],
    {
      stdio: ['ignore', 'ignore', 'ignore'],
      env: { ...process.env, SWITCHYARD_NODE_TOKEN: token },
    },
  )
  children.push(child)
}
command(
  'node',
  '--gateway',
  `http://127.0.0.1:${gateway.port}`,
  '--model',
  model,
  '--as',
  id,
  '--name',
  'bench',
)
command('serve', '--model', model, '--as', id, '--port', String(servePort))

async function ready(base: string) {
  for (let attempt = 0; attempt < 1200; attempt++) {
    const response = await fetch(`${base}/health`).catch(() => undefined)
    await response?.body?.cancel()
    if (response?.ok) return
    await new Promise((done) => setTimeout(done, 100))
  }
  throw new Error(`${base} did not become ready`)
}
const chain = `http://127.0.0.1:${gateway.port}`
const direct = `http://127.0.0.1:${servePort}`
await Promise.all([ready(chain), ready(direct)])
const engine = await loadNodeEngine({ modelDir: model })

const question = 'Tell me something about the way that trains are signalled.'

/** Milliseconds to the first and to the last byte of events after response.in_progress, and the tokens of the answer. */
async function ask(
  base: string,
  maxTokens: number,
): Promise<{ first: number; total: number; tokens: number }> {
  const started = performance.now()
  const response = await fetch(`${base}/v1/responses`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: id,
      input: question,
      stream: true,
      max_output_tokens: maxTokens,
      temperature: 1,
      seed: 7,
    }),
  })
  if (!response.ok || !response.body)
    throw new Error(`${base}: ${response.status} ${await response.text()}`)
  const decoder = new TextDecoder()
  let text = ''
  let first = 0
  for await (const bytes of response.body) {
    text += decoder.decode(bytes, { stream: true })
    if (!first && /"response\.(output_item\.added|incomplete|completed)"/.test(text))
      first = performance.now() - started
  }
  const tokens = Number(/"output_tokens":(\d+)/.exec(text)?.[1] ?? 0)
  return { first, total: performance.now() - started, tokens }
}

const prompt = Array.from({ length: 90 }, (_, place) => 100 + place)

/** The same number of tokens from the engine in this process. */
async function engineAlone(maxTokens: number): Promise<{ total: number; tokens: number }> {
  const started = performance.now()
  let tokens = 0
  for await (const step of engine.generate(prompt, { maxTokens, temperature: 1, seed: 7n }))
    tokens += step.ids.length
  return { total: performance.now() - started, tokens }
}

// First token
for (const base of [chain, direct]) for (let i = 0; i < 5; i++) await ask(base, 16)
const viaChain: number[] = []
const viaServe: number[] = []
for (let round = 0; round < Number(values.rounds); round++) {
  viaServe.push((await ask(direct, 16)).first)
  viaChain.push((await ask(chain, 16)).first)
}
const added = viaChain.map((value, round) => value - (viaServe[round] ?? 0))

// Tokens per second: the difference of a long and a short answer
const long = Number(values.tokens) + 16
const perSecond = (
  longRun: { total: number; tokens: number },
  shortRun: { total: number; tokens: number },
) => ((longRun.tokens - shortRun.tokens) * 1000) / (longRun.total - shortRun.total)
const speeds: { chain: number[]; alone: number[] } = { chain: [], alone: [] }
await engineAlone(8)
for (let round = 0; round < Number(values['speed-rounds']); round++) {
  speeds.alone.push(perSecond(await engineAlone(long), await engineAlone(16)))
  speeds.chain.push(perSecond(await ask(chain, long), await ask(chain, 16)))
}
const ratios = speeds.chain.map((value, round) => value / (speeds.alone[round] ?? 1))

const round = (value: number, digits = 2) => Number(value.toFixed(digits))
const report = {
  model,
  first_token_ms: {
    serve_p50: round(median(viaServe)),
    chain_p50: round(median(viaChain)),
    added_p50: round(median(added)),
  },
  tokens_per_s: {
    engine_alone: round(median(speeds.alone)),
    chain: round(median(speeds.chain)),
    ratio: round(median(ratios), 3),
  },
}
process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
for (const child of children) child.kill('SIGKILL')
gateway.stop()
await engine.close()
