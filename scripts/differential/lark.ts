// Our reading of Lark grammars against lark's: of texts that our grammar makes, and of texts close to those, it must take all
// that lark does, and none that could be read in no way at all.
// node scripts/differential/lark.ts PYTHON [--texts N] [--seed N] [--only GRAMMAR] [--fixture]
import { spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { freeformGrammar } from '../../native-node/server/grammar/freeform.ts'
import { deriver, matches } from '../../test/native-node/grammar-texts.ts'
import { Random } from './random.ts'

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    texts: { type: 'string', default: '200' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string' },
    fixture: { type: 'boolean', default: false },
  },
})
const [python = 'python3'] = positionals
const folder = new URL('../../test/fixtures/lark/', import.meta.url)
const oracle = spawn(python, [fileURLToPath(new URL('lark_verdicts.py', import.meta.url))], {
  stdio: ['pipe', 'pipe', 'inherit'],
})
const answers = createInterface({ input: oracle.stdout })[Symbol.asyncIterator]()
const random = new Random(Number(options.seed))
const mostText = 120

type Verdicts = Record<'earley' | 'greedy' | 'lalr', boolean | null>

async function verdicts(grammar: string, text: string): Promise<Verdicts> {
  oracle.stdin.write(`${JSON.stringify([grammar, text])}\n`)
  return JSON.parse((await answers.next()).value)
}

/** A text with a few characters changed, so that it may be one of the grammar's or not. */
function changed(text: string): string {
  const characters = Array.from(text)
  for (let count = random.below(3); count >= 0; count--) {
    const at = random.below(characters.length + 1)
    const other = random.of([...characters, ...' \n"\'()[],.+-*/x1'])
    const removed = random.chance(0.6) ? 1 : 0
    const added = random.chance(0.5) ? [other] : []
    characters.splice(at, removed, ...added)
  }
  return characters.join('')
}

interface Case {
  name: string
  accepts: string[]
  rejects: string[]
}

/** The grammar as lark reads it; beside it stands one of the same texts where that is another. */
function read(name: string): { ours: string; theirs: string } {
  const file = (suffix: string) =>
    readFileSync(new URL(`grammars/${name}${suffix}`, folder), 'utf8')
  const ours = file('.lark')
  const hasOther = readdirSync(new URL('grammars', folder)).includes(`${name}.oracle.lark`)
  return { ours, theirs: hasOther ? file('.oracle.lark') : ours }
}

async function compare(name: string, seeds: readonly string[]) {
  const { ours, theirs } = read(name)
  const grammar = freeformGrammar({ syntax: 'lark', definition: ours, path: name })
  if (grammar === undefined) throw new Error(`${name} is not held`)
  const derive = deriver(grammar, () => random.next())
  const found: Case = { name, accepts: [], rejects: [] }
  const tally = { texts: 0, ours: 0, greedy: 0, lalr: 0, none: 0, different: 0 }
  const judge = async (text: string) => {
    if (text.length > mostText) return
    const said = await verdicts(theirs, text)
    if (said.earley === null) {
      tally.none++
      return
    }
    const takes = matches(grammar, JSON.stringify({ input: text }))
    tally.texts++
    if (takes) tally.ours++
    if (said.greedy) tally.greedy++
    if (said.lalr) tally.lalr++
    const isShort = text.length < 60 || seeds.includes(text)
    if (isShort && said.greedy) found.accepts.push(text)
    if (isShort && !said.earley) found.rejects.push(text)
    if (takes ? said.earley : !said.greedy) return
    tally.different++
    const side = takes ? 'only ours takes' : 'only lark takes'
    process.stderr.write(`${name}: ${side} ${JSON.stringify(text)}\n`)
  }
  for (const seed of seeds) await judge(seed)
  for (let count = 0; count < Number(options.texts); count++) {
    const { input } = JSON.parse(derive())
    await judge(input)
    await judge(changed(seeds.length > 0 && random.chance(0.5) ? random.of(seeds) : input))
  }
  return { found, tally }
}

const seeds: Record<string, string[]> = JSON.parse(
  readFileSync(new URL('seeds.json', folder), 'utf8'),
)
const cases: Case[] = []
let different = 0
for (const name of Object.keys(seeds)) {
  if (options.only !== undefined && options.only !== name) continue
  const { found, tally } = await compare(name, seeds[name]!)
  different += tally.different
  cases.push(found)
  process.stderr.write(`${name} ${JSON.stringify(tally)}\n`)
}
oracle.stdin.end()
if (options.fixture) {
  const some = (list: readonly string[]) => [...new Set(list)].slice(0, 40)
  const rows = cases.map(({ name, accepts, rejects }) =>
    JSON.stringify({ name, accepts: some(accepts), rejects: some(rejects) }, null, 1),
  )
  process.stdout.write(`[\n${rows.join(',\n')}\n]\n`)
}
process.exitCode = different === 0 ? 0 : 1
