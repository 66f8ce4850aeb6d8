// The issue's metrics from reports of our engine, each with its goal. Ratios are of pairs that ran next to each other in one
// process; what a whole model would do is computed from the layers that there are, and says so.
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type {
  NativeBenchCase,
  NativeBenchOptions,
  NativeBenchReport,
  NativeBenchRun,
} from '../../native-node/server/binding.ts'
import { median } from '../median.ts'
import { loadMetrics, runLoads } from './load.ts'
import { type Metric, wholeLayers } from './metric.ts'

export interface MeasureOptions {
  model: string
  threads: number
  repetitions: number
  /** For the file of packed weights, as large as they are; removed at the end. */
  cacheDir: string
  /** Prompt lengths, batches and depths are cut down: to see that everything runs. */
  quick: boolean
  /** Nothing but how long a load takes. */
  loadsOnly: boolean
  note: (line: string) => void
}

export interface Measured {
  metrics: Metric[]
  reports: NativeBenchReport[]
}

/** Runs every case; several processes, one after the other. */
export function measureOwn(options: MeasureOptions): Measured {
  const { quick, repetitions } = options
  const gen = quick ? 4 : 16
  const [short, long] = quick ? [64, 128] : [512, 2048]
  const depth = quick ? 1024 : 16_384
  const batches = quick ? [4] : [4, 8, 16]
  const run = (what: string, changes: Partial<NativeBenchOptions>) => {
    options.note(what)
    return ownReport(options, changes)
  }

  if (options.loadsOnly) {
    const loads = runLoads(run, options.cacheDir, repetitions)
    return { reports: [...loads.packed, ...loads.cached], metrics: loadMetrics(loads) }
  }
  const prompts: NativeBenchCase[] = [short, long].map((tokens) => ({ prefill: true, tokens }))
  const fast = run('prefill, fast', { cases: prompts })
  const bf16 = run('prefill, bf16', { cases: prompts, mode: 'bf16' })
  const decode = run('decode: head, depth, busy core', {
    head: 'screened',
    cases: [
      { tokens: gen, exactHead: true },
      { tokens: gen },
      { tokens: gen, depth },
      { tokens: gen, busyNeighbour: true },
    ],
  })
  const batched = run('decode, batched', {
    head: 'screened',
    cases: batches.map((batch) => ({ tokens: gen, batch })),
  })
  const loads = runLoads(run, options.cacheDir, repetitions)
  return {
    reports: [fast, bf16, decode, batched, ...loads.packed, ...loads.cached],
    metrics: [
      ...prefillMetrics(fast, 'fast', 195, 242),
      ...prefillMetrics(bf16, 'bf16', 145, 163),
      ...decodeMetrics(decode, depth),
      ...batchedMetrics(batched),
      ...loadMetrics(loads),
    ],
  }
}

function ownReport(
  options: MeasureOptions,
  changes: Partial<NativeBenchOptions>,
): NativeBenchReport {
  const words = {
    modelPath: options.model,
    mode: 'fast',
    head: 'exact',
    threads: options.threads,
    repetitions: options.repetitions,
    ...changes,
  }
  const script = fileURLToPath(new URL('./own-cases.ts', import.meta.url))
  const output = execFileSync(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', script, JSON.stringify(words)],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] },
  )
  return JSON.parse(output)
}

function prefillMetrics(
  report: NativeBenchReport,
  mode: string,
  must: number,
  stretch: number,
): Metric[] {
  const layers = report.info.numHiddenLayers
  return report.runs.map((run) => ({
    metric: `prefill ${run.test.slice(2)}, ${mode}, tokens/s of ${wholeLayers} layers`,
    value: (run.tokensPerSecond * layers) / wholeLayers,
    must,
    stretch,
    note: `${run.tokensPerSecond.toFixed(1)} on ${layers} layers; the head's one row is left in`,
  }))
}

function decodeMetrics(report: NativeBenchReport, depth: number): Metric[] {
  const [exact, screened, deep, busy] = report.runs as [
    NativeBenchRun,
    NativeBenchRun,
    NativeBenchRun,
    NativeBenchRun,
  ]
  const pairs = (over: NativeBenchRun, under: NativeBenchRun) =>
    median(over.samples.map((value, i) => value / (under.samples[i] ?? Number.NaN)))
  const layers = report.info.numHiddenLayers
  const ofFewer = (how: string) => (layers < wholeLayers ? `; ${how}` : '')
  const screening = pairs(screened, exact)
  // Seconds of a token on all layers: those of the layers grow with them, those of the head do not.
  const step = 1 / exact.tokensPerSecond
  const headShare = (report.info.vocabSize * report.info.hiddenSize * 2) / exact.bytesPerToken
  const saved = step * (1 - 1 / screening)
  const whole = step * headShare + (step * (1 - headShare) * wholeLayers) / layers
  return [
    {
      metric: 'decode batch 1 ÷ stream read of the same weights',
      value: exact.ratio,
      must: 0.95,
      stretch: 0.98,
      note: `${exact.tokensPerSecond.toFixed(1)} tokens/s, ${exact.gbPerSecond.toFixed(1)} GB/s; with the head screened ${screened.tokensPerSecond.toFixed(1)} tokens/s`,
    },
    {
      metric: 'that stream read ÷ best read of huge pages',
      value: exact.streamGbPerSecond / report.bestGbPerSecond,
      note: `${exact.streamGbPerSecond.toFixed(1)} and ${report.bestGbPerSecond.toFixed(1)} GB/s`,
    },
    {
      metric: `screened ÷ whole head, tokens/s of ${wholeLayers} layers`,
      value: whole / (whole - saved),
      must: 1.13,
      stretch: 1.17,
      note: `${screening.toFixed(2)} measured on ${layers} layers${ofFewer("the head's time taken by its share of the bytes")}`,
    },
    {
      metric: `decode at depth ${depth} ÷ depth 0`,
      value: pairs(deep, screened),
      must: 0.8,
      stretch: 0.87,
      note: `on ${layers} layers, head screened${ofFewer(`the head's share makes it better than ${wholeLayers} would be`)}`,
    },
    {
      metric: 'times slower with one foreign busy core',
      value: pairs(screened, busy),
      must: 2.2,
      stretch: 1.7,
      less: true,
    },
  ]
}

function batchedMetrics(report: NativeBenchReport): Metric[] {
  return report.runs.map((run) => ({
    metric: `decode batch ${run.batch} ÷ stream read, distinct experts`,
    value: run.ratio,
    must: 0.75,
    stretch: 0.85,
    note: `${run.tokensPerSecond.toFixed(1)} tokens/s, head ${run.head}`,
  }))
}
