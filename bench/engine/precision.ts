// How far the logits of the engine's modes are off those of `exact`: rms and largest difference over all rows, the spread of the
// logits themselves, how often the likeliest token is another one, and the divergence of the two distributions.
//   node bench/engine/precision.ts --model DIR [--prompts 3] [--tokens 32] [--threads N]
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { loadAddon, type NativeEngineOptions } from '../../native-node/server/binding.ts'

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'models/demo' },
    prompts: { type: 'string', default: '3' },
    tokens: { type: 'string', default: '32' },
    vocabulary: { type: 'string', default: '2000' },
    threads: { type: 'string', default: '0' },
  },
})
const addon = loadAddon()
const modelPath = resolve(values.model)
const kinds: [string, Partial<NativeEngineOptions>][] = [
  ['bf16', { mode: 'bf16' }],
  ['fast', { mode: 'fast' }],
  ['fast, --dense int8', { mode: 'fast', dense: 'int8' }],
]

/** Token ids that are the same in every run. */
function promptOf(seed: number): Int32Array {
  let state = seed + 1
  return Int32Array.from({ length: Number(values.tokens) }, () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return (state >>> 8) % Number(values.vocabulary)
  })
}

async function logitsOf(options: Partial<NativeEngineOptions>, ids: Int32Array) {
  return addon.logits({ modelPath, threads: Number(values.threads), ...options }, ids, 0)
}

/** Sums over all rows that were compared. */
interface Difference {
  count: number
  squares: number
  most: number
  rows: number
  otherTop: number
  divergence: number
}

function topOf(row: Float32Array): number {
  let top = 0
  for (let i = 1; i < row.length; i++) if (row[i]! > row[top]!) top = i
  return top
}

function compareRow(sum: Difference, exact: Float32Array, other: Float32Array): void {
  const tops = [topOf(exact), topOf(other)] as const
  let [exactSum, otherSum, weighted] = [0, 0, 0]
  for (let i = 0; i < exact.length; i++) {
    const difference = Math.abs(other[i]! - exact[i]!)
    sum.squares += difference * difference
    if (!(difference <= sum.most)) sum.most = difference
    const share = Math.exp(exact[i]! - exact[tops[0]]!)
    exactSum += share
    otherSum += Math.exp(other[i]! - other[tops[1]]!)
    weighted += share * (exact[i]! - exact[tops[0]]! - (other[i]! - other[tops[1]]!))
  }
  sum.count += exact.length
  sum.rows++
  if (tops[0] !== tops[1]) sum.otherTop++
  sum.divergence += weighted / exactSum - Math.log(exactSum) + Math.log(otherSum)
}

const sums = kinds.map(
  (): Difference => ({ count: 0, squares: 0, most: 0, rows: 0, otherTop: 0, divergence: 0 }),
)
let [spread, count] = [0, 0]
for (let prompt = 0; prompt < Number(values.prompts); prompt++) {
  const ids = promptOf(prompt)
  const exact = await logitsOf({ mode: 'exact' }, ids)
  for (const value of exact.data) spread += value * value
  count += exact.data.length
  for (const [kind, [, options]] of kinds.entries()) {
    const other = await logitsOf(options, ids)
    for (let row = 0; row < exact.rows; row++) {
      const [begin, end] = [row * exact.columns, (row + 1) * exact.columns]
      compareRow(sums[kind]!, exact.data.subarray(begin, end), other.data.subarray(begin, end))
    }
    process.stderr.write(`prompt ${prompt + 1}: ${kinds[kind]?.[0]}\n`)
  }
}
process.stdout.write(
  `logits of ${values.prompts} prompts of ${values.tokens} tokens, rms ${Math.sqrt(spread / count).toFixed(2)}\n`,
)
process.stdout.write(
  '| | rms off | ÷ rms of the logits | most | other token first | divergence |\n',
)
process.stdout.write('|---|---|---|---|---|---|\n')
for (const [kind, sum] of sums.entries()) {
  const rms = Math.sqrt(sum.squares / sum.count)
  const cells = [
    kinds[kind]?.[0],
    rms.toFixed(4),
    (rms / Math.sqrt(spread / count)).toFixed(4),
    sum.most.toFixed(3),
    `${sum.otherTop} of ${sum.rows}`,
    (sum.divergence / sum.rows).toFixed(5),
  ]
  process.stdout.write(`| ${cells.join(' | ')} |\n`)
}
