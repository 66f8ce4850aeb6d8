// Our engine and llama.cpp (node-llama-cpp from npm, prebuilt) in turns, on the same weights, prompts and threads.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { median } from '../median.ts'
import { writeGguf } from './gguf.ts'

const version = '3.22.1'
const turnSchema = z.object({
  load: z.number(),
  prefill: z.array(z.number()),
  decode: z.array(z.number()),
  rss: z.number(),
})
type Turn = z.infer<typeof turnSchema>

export interface PeerOptions {
  /** Where the peer is kept, and the file of the converted weights. */
  cache: string
  gguf: string
  model: string
  threads: number
  rounds: number
  prompts: number[]
  batches: number[]
  generate: number
  note: (line: string) => void
}

export interface PeerRow {
  test: string
  own: number
  peer: number
  /** Median of the ratios of each round. */
  ratio: number
}

/** Rounds of one turn each, ours first in every second one; medians. */
export function comparePeer(options: PeerOptions): PeerRow[] {
  const folder = install(options)
  const { gguf } = options
  if (!existsSync(gguf)) {
    options.note(`writing ${gguf}`)
    writeGguf(options.model, gguf)
  }
  const own: Turn[] = []
  const peer: Turn[] = []
  for (let round = 0; round < options.rounds; round++) {
    const work = {
      threads: options.threads,
      // Other tokens every time: no cache may know them.
      prompts: options.prompts.map((length, place) => randomIds(length, 100 * round + place)),
      batches: options.batches,
      generate: options.generate,
    }
    const turns = [
      () => own.push(turn('./own-turn.ts', { model: options.model, ...work })),
      () => peer.push(turn('./peer-turn.mjs', { folder, model: gguf, ...work })),
    ]
    for (const run of round % 2 ? turns.reverse() : turns) run()
    options.note(`round ${round + 1} of ${options.rounds}`)
  }
  return rowsOf(options, own, peer)
}

function rowsOf({ prompts, batches }: PeerOptions, own: Turn[], peer: Turn[]): PeerRow[] {
  const row = (test: string, pick: (turn: Turn) => number, inverse = false): PeerRow => {
    const ours = own.map(pick)
    const theirs = peer.map(pick)
    const ratios = ours.map((value, round) => value / (theirs[round] ?? Number.NaN))
    const ratio = median(inverse ? ratios.map((value) => 1 / value) : ratios)
    return { test, own: median(ours), peer: median(theirs), ratio }
  }
  return [
    ...prompts.map((length, i) => row(`prefill ${length}, tokens/s`, (t) => t.prefill[i] ?? 0)),
    ...batches.map((batch, i) => row(`decode, batch ${batch}, tokens/s`, (t) => t.decode[i] ?? 0)),
    row('load, s', (t) => t.load, true),
    row('resident at the end, GB', (t) => t.rss / 1e9, true),
  ]
}

function install({ cache, note }: PeerOptions): string {
  const folder = join(cache, `node-llama-cpp-${version}`)
  if (existsSync(join(folder, 'node_modules/node-llama-cpp/package.json'))) return folder
  note(`fetching node-llama-cpp ${version} into ${folder}`)
  mkdirSync(folder, { recursive: true })
  const manifest = { private: true, dependencies: { 'node-llama-cpp': version } }
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest))
  execFileSync('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts'], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  return folder
}

function turn(script: string, work: object): Turn {
  const path = fileURLToPath(new URL(script, import.meta.url))
  const flags = ['--disable-warning=ExperimentalWarning', path, JSON.stringify(work)]
  const stdio = ['ignore', 'pipe', 'inherit'] as const
  const output = execFileSync(process.execPath, flags, { encoding: 'utf8', stdio: [...stdio] })
  return turnSchema.parse(JSON.parse(output.trim().split('\n').at(-1) ?? ''))
}

/** Ids of ordinary tokens, the same for the same seed. */
function randomIds(count: number, seed: number): number[] {
  let state = (seed * 2_654_435_761 + 1) >>> 0
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return 1000 + ((state >>> 8) % 190_000)
  })
}
