// Our tokenizer against tiktoken: ids, the way back, and the text of a stream that is cut at every token.
// node scripts/differential/tokenizer.ts PYTHON [--points | --long | --texts N --seed N] [--hf TOKENIZER.json]
import { spawn } from 'node:child_process'
import { dirname } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { loadTokenizer } from '../../native-node/cli/vocabulary.ts'

const [python = 'python3', ...options] = process.argv.slice(2)
const script = fileURLToPath(new URL('tokenizer.py', import.meta.url))
const file = options[options.indexOf('--hf') + 1]
const tokenizer = await loadTokenizer(options.includes('--hf') && file ? dirname(file) : 'o200k')
const oracle = spawn(python, [script, ...options], { stdio: ['ignore', 'pipe', 'inherit'] })
const mostShown = 40

let texts = 0
let wrong = 0
const one = new Int32Array(1)

/** The text as a stream gives it: what is whole after each token. */
function streamed(ids: Int32Array): string {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  let text = ''
  for (const id of ids) {
    one[0] = id
    text += decoder.decode(tokenizer.decode(one), { stream: true })
  }
  return text + decoder.decode()
}

for await (const line of createInterface({ input: oracle.stdout })) {
  const [text, expected] = JSON.parse(line) as [string, number[]]
  texts++
  const ids = tokenizer.encode(text)
  const same = ids.length === expected.length && ids.every((id, index) => id === expected[index])
  if (same && streamed(ids) === text.toWellFormed()) continue
  wrong++
  if (wrong > mostShown) continue
  const shown = text.length > 200 ? `${text.slice(0, 200)}…` : text
  process.stdout.write(
    `${JSON.stringify(shown)}\n  expected ${expected.slice(0, 60)}\n  ours     ${ids.slice(0, 60)}\n`,
  )
}
process.stdout.write(`${texts} texts, ${wrong} different\n`)
process.exitCode = wrong === 0 && texts > 0 ? 0 : 1
