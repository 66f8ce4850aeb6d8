// `npm run bench:engine`: the native engine on random weights of gpt-oss-20b's shapes, metric by metric with its goal.
//   --layers N      of the random model (6; 24 is the whole one: 13.8 GB of disk and memory)
//   --model DIR     a checkpoint of one's own instead
//   --dir DIR       where the random model and the peer are kept (switchyard-bench in the temporary folder)
//   --threads N     of either engine (the cores of this process)
//   --rounds N      repetitions, medians (5)
//   --peer          llama.cpp through node-llama-cpp, fetched from npm, on the same weights as GGUF, in turns
//   --only own|peer, --quick, --json
//   --loads         nothing but how long a load takes, with a file of packed weights and without
// Written once and kept: the model (5.2 GB with 6 layers), the GGUF, the peer. A file of packed weights is removed again. Quiet machine or not, the table says how busy.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { measureOwn } from './measure.ts'
import type { Metric } from './metric.ts'
import { comparePeer, type PeerRow } from './peer.ts'

const { values } = parseArgs({
  options: {
    layers: { type: 'string', default: '6' },
    model: { type: 'string' },
    dir: { type: 'string', default: join(tmpdir(), 'switchyard-bench') },
    threads: { type: 'string', default: String(availableParallelism()) },
    rounds: { type: 'string', default: '5' },
    peer: { type: 'boolean', default: false },
    loads: { type: 'boolean', default: false },
    only: { type: 'string' },
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
})
const note = (line: string) => process.stderr.write(`bench:engine: ${line}\n`)
const count = (name: 'layers' | 'threads' | 'rounds', most: number) => {
  const value = Number(values[name])
  if (Number.isInteger(value) && value >= 1 && value <= most) return value
  throw new Error(`--${name} is a number from 1 to ${most}, not '${values[name]}'`)
}
const layers = count('layers', 24)
const threads = count('threads', 1024)
const rounds = count('rounds', 1000)

/** The random model of so many layers, written once. */
function syntheticModel(): string {
  const folder = join(resolve(values.dir), `20b-${layers}-layers`)
  if (existsSync(folder)) return folder
  note(`writing ${folder}`)
  mkdirSync(resolve(values.dir), { recursive: true })
  const partial = `${folder}.part`
  rmSync(partial, { recursive: true, force: true })
  const cli = fileURLToPath(new URL('../../native-node/cli/index.ts', import.meta.url))
  const words = ['synth', '--shape', '20b', '--layers', String(layers), '--out', partial]
  execFileSync(process.execPath, ['--disable-warning=ExperimentalWarning', cli, ...words], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  renameSync(partial, folder)
  return folder
}

const model = values.model === undefined ? syntheticModel() : resolve(values.model)
const busyBefore = loadavg()[0] ?? 0
const own =
  values.only === 'peer'
    ? undefined
    : measureOwn({
        model,
        threads,
        repetitions: rounds,
        cacheDir: join(resolve(values.dir), `packed-${process.pid}`),
        quick: values.quick,
        loadsOnly: values.loads,
        note,
      })
// The converted weights of one model must not pass for another's.
const key = model.replaceAll(/[^A-Za-z0-9.-]+/g, '_').slice(-100)
const peer =
  values.peer || values.only === 'peer'
    ? comparePeer({
        cache: resolve(values.dir),
        gguf: join(resolve(values.dir), `${key}.gguf`),
        model,
        threads,
        rounds,
        prompts: values.quick ? [64] : [512],
        batches: values.quick ? [1] : [1, 4, 8],
        generate: values.quick ? 4 : 32,
        note,
      })
    : undefined

const machine = {
  cpu: cpus()[0]?.model ?? 'unknown',
  cores: cpus().length,
  threads,
  load_before: Number(busyBefore.toFixed(2)),
}
const result = { machine, model, metrics: own?.metrics, reports: own?.reports, peer }
process.stdout.write(values.json ? `${JSON.stringify(result, null, 2)}\n` : tables())

function tables(): string {
  return [
    `${machine.cpu}, ${machine.cores} cores, ${threads} threads; load ${machine.load_before} before (0 is a quiet machine)`,
    `${model}, medians of ${rounds}`,
    ...(own ? ['', ...ownTable(own.metrics)] : []),
    ...(peer ? ['', ...peerTable(peer)] : []),
    '',
  ].join('\n')
}

function ownTable(metrics: Metric[]): string[] {
  const short = (value: number | undefined) =>
    value === undefined ? '' : String(Number(value.toPrecision(3)))
  const verdict = ({ value, must, stretch, less }: Metric) => {
    const reaches = (goal: number) => (less ? value <= goal : value >= goal)
    if (must === undefined) return ''
    if (stretch !== undefined && reaches(stretch)) return 'stretch'
    return reaches(must) ? 'met' : 'not met'
  }
  return [
    '| metric | value | must | stretch | | |',
    '|---|---|---|---|---|---|',
    ...metrics.map(
      (row) =>
        `| ${row.metric} | ${short(row.value)} | ${row.less ? '≤ ' : ''}${short(row.must)} | ${short(row.stretch)} | ${verdict(row)} | ${row.note ?? ''} |`,
    ),
  ]
}

function peerTable(rows: PeerRow[]): string[] {
  return [
    '| test | ours | llama.cpp | times better |',
    '|---|---|---|---|',
    ...rows.map(
      ({ test, own, peer, ratio }) =>
        `| ${test} | ${own.toFixed(1)} | ${peer.toFixed(1)} | ${ratio.toFixed(2)} |`,
    ),
  ]
}
