// Run by addon.test.ts as a process of its own: `node addon-child.ts HOW MODEL`.
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { loadAddon, type NativeGenerateRequest } from '../../native-node/server/binding.ts'

const [how, model] = isMainThread ? process.argv.slice(2) : workerData

const request: NativeGenerateRequest = {
  prompt: Int32Array.of(1),
  stopIds: new Int32Array(),
  maxTokens: how === 'finish' ? 40 : 0,
  temperature: 1,
  topP: 1,
  topK: 0,
  minP: 0,
  seed: 1n,
  frequencyPenalty: 0,
  presencePenalty: 0,
  repetitionPenalty: 1,
  logitBias: [],
  topLogprobs: -1,
}

if (isMainThread && (how === 'terminate' || how === 'worker-exit')) {
  const worker = new Worker(new URL(import.meta.url), { workerData: [how, model] })
  worker.on('message', () => worker.terminate())
  worker.on('exit', (code) => process.stdout.write(`worker ended with ${code}\n`))
} else {
  const engine = await loadAddon().loadEngine({ modelPath: model, mode: 'exact', isa: 'scalar' })
  let tokens = 0
  engine.start((events) => {
    for (const event of events) tokens += event.ids.length
    if (tokens < 20) return
    if (how === 'exit') process.exit(7)
    if (how === 'worker-exit') process.exit(3)
    if (how === 'terminate') parentPort?.postMessage('running')
    if (how === 'throw') throw new Error('thrown by the callback')
    if (how === 'finish' && tokens === 40) process.stdout.write('40 tokens\n')
  })
  if (how === 'idle') process.stdout.write('done\n')
  else engine.submit(request)
  if (how === 'exit') engine.submit(request)
}
