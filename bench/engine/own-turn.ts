// One turn of our engine, through the same JavaScript that `serve` uses, in a process of its own: what peer-turn.mjs does.
//   own-turn.ts '{"model", "threads", "prompts": [[ids]], "batches": [n], "generate"}'
import { z } from 'zod'
import { loadNodeEngine } from '../../native-node/server/index.ts'

const { model, threads, prompts, batches, generate } = z
  .object({
    model: z.string(),
    threads: z.number(),
    prompts: z.array(z.array(z.number())),
    batches: z.array(z.number()),
    generate: z.number(),
  })
  .parse(JSON.parse(process.argv[2] ?? ''))

const started = performance.now()
const longest = Math.max(...prompts.map((prompt) => prompt.length))
const engine = await loadNodeEngine({
  modelDir: model,
  threads,
  maxContext: longest + 64,
  maxSequences: Math.max(1, ...batches),
  // As much at once as the other engine is given.
  prefillChunk: 512,
})
const load = (performance.now() - started) / 1000

/** Milliseconds at which each token came. */
async function run(prompt: number[], tokens: number): Promise<number[]> {
  const times: number[] = []
  for await (const step of engine.generate(prompt, { maxTokens: tokens, temperature: 0 }))
    for (let i = 0; i < step.ids.length; i++) times.push(performance.now())
  return times
}

const prefill: number[] = []
for (const prompt of prompts) {
  const begin = performance.now()
  const [first = begin] = await run(prompt, 1)
  prefill.push((prompt.length * 1000) / (first - begin))
}
const decode: number[] = []
for (const batch of batches) {
  const all = await Promise.all(
    Array.from({ length: batch }, (_, place) => run([1000 + 777 * place], generate + 1)),
  )
  const begin = Math.max(...all.map(([first = 0]) => first))
  const end = Math.max(...all.map((times) => times.at(-1) ?? 0))
  const tokens = all.reduce((sum, times) => sum + times.length - 1, 0)
  decode.push((tokens * 1000) / (end - begin))
}
process.stdout.write(
  `${JSON.stringify({ load, prefill, decode, rss: process.memoryUsage.rss() })}\n`,
)
await engine.close()
