// Logits of many prompts for models.py: a line of JSON {model, ids, mode, isa, prefill, out} in, one out, float32 in OUT.
import { writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { type EngineIsa, type EngineMode, loadAddon } from '../../native-node/server/binding.ts'

interface Ask {
  model: string
  ids: number[]
  mode: EngineMode
  isa: EngineIsa
  prefill: number
  out: string
}

for await (const line of createInterface({ input: process.stdin })) {
  const { model, ids, mode, isa, prefill, out } = JSON.parse(line) as Ask
  let answer: object
  try {
    const options = { modelPath: model, mode, isa, threads: 2 }
    const { rows, columns, data } = await loadAddon().logits(options, Int32Array.from(ids), prefill)
    writeFileSync(out, new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    answer = { rows, columns }
  } catch (error) {
    answer = { error: error instanceof Error ? error.message : String(error) }
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`)
}
