// What speculation brings on prompts that repeat themselves and on some that do not: tokens a step, how many guesses came
// true, and the time beside the same engine without guesses, in turns. The answers of both must be the same.
//   node bench/engine/speculation.ts --model models/demo [--speculate 7] [--rounds 5] [--mode fast] [--threads N] [--show]
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { EngineBackend, loadNodeEngine } from '../../native-node/server/index.ts'
import { median } from '../median.ts'

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'models/demo' },
    speculate: { type: 'string', default: '7' },
    rounds: { type: 'string', default: '5' },
    threads: { type: 'string', default: '0' },
    tokens: { type: 'string', default: '256' },
    show: { type: 'boolean', default: false },
  },
})

const list = `[{"id": 17, "name": "Ada", "city": "London", "active": true},
{"id": 18, "name": "Grace", "city": "New York", "active": true},
{"id": 19, "name": "Alan", "city": "Manchester", "active": false}]`
const code = `function total(items) {
  let sum = 0
  for (const item of items) {
    sum += item.price * item.count
  }
  return sum
}`
const tasks: [string, string][] = [
  [
    'repeat',
    'Repeat this sentence word for word: The quick brown fox jumps over the lazy dog and runs home.',
  ],
  ['copy JSON', `Copy this JSON and set "active" of Alan to true:\n${list}`],
  ['edit code', `Rename the variable sum to result and give me the whole function:\n${code}`],
  ['list', 'Count from 1 to 40, one number a line.'],
  ['free text', 'Who are you, and what can you do?'],
  ['free text', 'Tell me a short story about a lighthouse.'],
]

function fail(error: unknown): never {
  throw error
}

async function open(speculate: number) {
  const engine = await loadNodeEngine({
    modelDir: resolve(values.model),
    threads: Number(values.threads),
    maxSequences: 1,
    speculate,
  })
  const options = {
    engine,
    model: 'local/model',
    now: Date.now,
    newId: (prefix: string) => `${prefix}_1`,
  }
  return { engine, backend: new EngineBackend({ ...options, onError: fail }) }
}

async function ask({ engine, backend }: Awaited<ReturnType<typeof open>>, input: string) {
  const before = engine.load()
  const begin = performance.now()
  const body = {
    model: 'local/model',
    input,
    temperature: 0,
    max_output_tokens: Number(values.tokens),
  }
  const signal = new AbortController().signal
  const response = await backend.send(backend.models[0]!, {
    body,
    dialect: 'responses',
    stream: false,
    signal,
  })
  const answer = JSON.parse(await response.text())
  const { drafted, accepted } = engine.load()
  return {
    ms: performance.now() - begin,
    text: JSON.stringify(answer.output.map((item: { content: unknown }) => item.content)),
    tokens: answer.usage.output_tokens as number,
    drafted: drafted - before.drafted,
    accepted: accepted - before.accepted,
  }
}

const plain = await open(0)
const guessing = await open(Number(values.speculate))
process.stdout.write(
  '| task | tokens | guessed | came true | tokens a step | speed-up |\n|---|---|---|---|---|---|\n',
)
for (const [name, input] of tasks) {
  const ratios: number[] = []
  let last = await ask(guessing, input)
  for (let round = 0; round < Number(values.rounds); round++) {
    const without = await ask(plain, input)
    last = await ask(guessing, input)
    if (last.text !== without.text) throw new Error(`'${name}': the answers differ`)
    ratios.push(without.ms / last.ms)
  }
  const perStep = last.tokens / (last.tokens - last.accepted)
  const cells = [
    name,
    last.tokens,
    last.drafted,
    last.accepted,
    perStep.toFixed(2),
    median(ratios).toFixed(2),
  ]
  process.stdout.write(`| ${cells.join(' | ')} |\n`)
  if (values.show) process.stdout.write(`${last.text}\n`)
}
await plain.engine.close()
await guessing.engine.close()
