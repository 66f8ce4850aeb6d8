// What a client's `prediction` brings, by how much of it is right: tokens a second beside the same answer without one, in turns,
// on one loaded engine. Tokens are drawn at temperature 1, so that a model with random weights does not repeat itself; the answers
// must be the same.
//   node bench/engine/prediction.ts --model DIR [--tokens 128] [--rounds 3] [--threads N]
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { loadNodeEngine } from '../../native-node/server/index.ts'
import { median } from '../median.ts'

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'models/demo' },
    tokens: { type: 'string', default: '128' },
    rounds: { type: 'string', default: '3' },
    threads: { type: 'string', default: '0' },
  },
})

const engine = await loadNodeEngine({
  modelDir: resolve(values.model),
  threads: Number(values.threads),
  maxSequences: 1,
})
const prompt = engine.vocabulary.encode('Rename one variable and give me the whole file.')

async function ask(predicted: number[]) {
  const begin = performance.now()
  const ids: number[] = []
  let drafted = 0
  let accepted = 0
  const params = { temperature: 1, topP: 1, seed: 7n, maxTokens: Number(values.tokens), predicted }
  for await (const step of engine.generate(prompt, params)) {
    ids.push(...Array.from(step.ids))
    drafted = step.predictedDrafted ?? 0
    accepted = step.predictedAccepted ?? 0
  }
  return { seconds: (performance.now() - begin) / 1000, ids, drafted, accepted }
}

/** The answer, behind what it follows, with every `period`-th token changed. */
function predictionOf(ids: number[], period: number): number[] {
  const wrong = ids.map((id, at) => (at % period === period - 1 ? (id ^ 1) + 2 : id))
  return [...prompt.slice(-2), ...wrong]
}

const { ids: answer } = await ask([])
const cases: [string, number[]][] = [
  ['all', predictionOf(answer, answer.length + 1)],
  ...[32, 16, 8, 4].map((period): [string, number[]] => [
    `all but one of ${period}`,
    predictionOf(answer, period),
  ]),
  ['none', prompt.slice(-2).concat(answer.map((id) => (id ^ 1) + 2))],
]
const times = new Map(cases.map(([name]) => [name, [] as { plain: number; seconds: number }[]]))
const last = new Map<string, Awaited<ReturnType<typeof ask>>>()
for (let round = 0; round < Number(values.rounds); round++) {
  for (const [name, predicted] of cases) {
    const plain = (await ask([])).seconds
    const ran = await ask(predicted)
    if (ran.ids.join() !== answer.join()) throw new Error(`'${name}': the answers differ`)
    times.get(name)?.push({ plain, seconds: ran.seconds })
    last.set(name, ran)
  }
}
process.stdout.write(
  '| right of the prediction | guessed | came true | tokens/s | speed-up |\n|---|---|---|---|---|\n',
)
for (const [name] of cases) {
  const runs = times.get(name) ?? []
  const rate = answer.length / median(runs.map(({ seconds }) => seconds))
  const speedUp = median(runs.map(({ plain, seconds }) => plain / seconds))
  const { drafted = 0, accepted = 0 } = last.get(name) ?? {}
  process.stdout.write(
    `| ${[name, drafted, accepted, rate.toFixed(1), speedUp.toFixed(2)].join(' | ')} |\n`,
  )
}
const plain = median([...times.values()].flat().map((run) => answer.length / run.plain))
process.stdout.write(`without a prediction ${plain.toFixed(1)} tokens/s\n`)
await engine.close()
