// One turn of llama.cpp, through node-llama-cpp, in a process of its own: prints {prefill, decode} in tokens per second.
//   peer-turn.mjs '{"folder", "model", "threads", "prompts": [[ids]], "batches": [n], "generate"}'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const {
  folder,
  model: modelPath,
  threads,
  prompts,
  batches,
  generate,
} = JSON.parse(process.argv[2])
const entry = join(folder, 'node_modules/node-llama-cpp/dist/index.js')
const { getLlama } = await import(pathToFileURL(entry).href)

const started = performance.now()
const llama = await getLlama({
  gpu: false,
  build: 'never',
  maxThreads: threads,
  logLevel: 'error',
  progressLogs: false,
})
const model = await llama.loadModel({ modelPath, gpuLayers: 0 })
const longest = Math.max(...prompts.map((prompt) => prompt.length))
const context = await model.createContext({
  contextSize: longest + 64,
  batchSize: 512,
  threads,
  sequences: Math.max(1, ...batches),
})
const load = (performance.now() - started) / 1000
const sequences =
  batches.length > 0
    ? Array.from({ length: Math.max(...batches) }, () => context.getSequence())
    : []

const prefill = []
for (const prompt of prompts) {
  await sequences[0].clearHistory()
  const begin = performance.now()
  await sequences[0].evaluateWithoutGeneratingNewTokens(prompt)
  prefill.push((prompt.length * 1000) / (performance.now() - begin))
}

/** Tokens of one sequence after its first, in the time from everybody's first to everybody's last. */
async function run(sequence, first) {
  await sequence.clearHistory()
  const times = []
  for await (const _ of sequence.evaluate([first], { temperature: 0, yieldEogToken: true })) {
    times.push(performance.now())
    if (times.length > generate) break
  }
  return times
}
const decode = []
for (const batch of batches) {
  const all = await Promise.all(
    sequences.slice(0, batch).map((sequence, place) => run(sequence, 1000 + 777 * place)),
  )
  const begin = Math.max(...all.map((times) => times[0]))
  const end = Math.max(...all.map((times) => times.at(-1)))
  decode.push((generate * batch * 1000) / (end - begin))
}
process.stdout.write(
  `${JSON.stringify({ load, prefill, decode, rss: process.memoryUsage.rss() })}\n`,
)
process.exit(0)
