// How long a model takes to load, the weights packed anew and read from a file of packed weights, in turns.
import { mkdirSync, rmSync } from 'node:fs'
import type { NativeBenchOptions, NativeBenchReport } from '../../native-node/server/binding.ts'
import { median } from '../median.ts'
import { type Metric, wholeLayers } from './metric.ts'

export interface Loads {
  packed: NativeBenchReport[]
  cached: NativeBenchReport[]
}

/** Loads in processes of their own, the head's copy included; the first one writes the file and does not count. */
export function runLoads(
  run: (what: string, changes: Partial<NativeBenchOptions>) => NativeBenchReport,
  cacheDir: string,
  turns: number,
): Loads {
  const load = (what: string, weightsCache?: string) =>
    run(what, {
      cases: [{ tokens: 1 }],
      repetitions: 1,
      head: 'screened',
      ...(weightsCache === undefined ? {} : { weightsCache }),
    })
  const loads: Loads = { packed: [], cached: [] }
  mkdirSync(cacheDir, { recursive: true })
  try {
    load('load, writing the file of packed weights', cacheDir)
    for (let turn = 1; turn <= turns; turn++) {
      loads.packed.push(load(`load ${turn} of ${turns}`))
      loads.cached.push(load(`load ${turn} of ${turns}, packed weights read`, cacheDir))
    }
  } finally {
    rmSync(cacheDir, { recursive: true, force: true })
  }
  const missed = loads.cached.find(({ info }) => !info.weightsCache.startsWith('read from'))
  if (missed)
    throw new Error(`the file of packed weights did not serve: ${missed.info.weightsCache}`)
  return loads
}

/** What a whole model would take is computed by the bytes, the head's copy among them, which does not grow: a little too much. */
export function loadMetrics({ packed, cached }: Loads): Metric[] {
  const [first] = packed
  const weights = first?.weightBytes ?? 0
  const whole = first ? wholeBytes(first) / weights : 1
  const metric = (name: string, reports: NativeBenchReport[], must: number, stretch: number) => {
    const times = reports.map((report) => report.loadSeconds)
    const seconds = median(times)
    return {
      metric: `load from a warm page cache, ${name}, s for ${wholeLayers} layers`,
      value: seconds * whole,
      must,
      stretch,
      less: true,
      note: `${seconds.toFixed(2)} s for ${(weights / 1e9).toFixed(2)} GB (${times.map((time) => time.toFixed(2)).join(', ')})`,
    }
  }
  const resident = (reports: NativeBenchReport[]) =>
    median(reports.map(({ rssBytes, info }) => rssBytes - info.kvBytes - info.headBytes)) / weights
  const headGb = ((first?.info.headBytes ?? 0) / 1e9).toFixed(2)
  return [
    metric('weights packed', packed, 4.7, 2.4),
    metric('packed weights read', cached, 2, 1),
    {
      metric: 'peak resident ÷ weights',
      value: resident(packed),
      must: 1.05,
      stretch: 1.03,
      less: true,
      note: `${resident(cached).toFixed(3)} with packed weights read; without KV cache and the copy of the head (${headGb} GB)`,
    },
  ]
}

/** Bytes of the whole model: embedding and head stay, the rest grows with the layers. */
function wholeBytes({ info, weightBytes }: NativeBenchReport): number {
  const ends = info.vocabSize * info.hiddenSize * 4
  return ends + ((weightBytes - ends) * wholeLayers) / info.numHiddenLayers
}
