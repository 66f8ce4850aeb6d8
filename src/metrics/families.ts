// Numbers of this process for whoever watches it, as Prometheus reads them (text format 0.0.4). Names and labels are never
// made from what a client sent.

/** Prometheus' own kinds, of which these are kept here. */
type MetricType = 'counter' | 'gauge' | 'histogram'
export type Labels = Readonly<Record<string, string>>

export interface Sample {
  /** Appended to the family's name: `_bucket`, `_sum`, `_count`. */
  suffix?: string
  labels?: Labels
  value: number
}

/** Everything that goes by one name. */
export interface MetricFamily {
  name: string
  help: string
  type: MetricType
  samples: readonly Sample[]
}

/** A family of one value. */
export function single(
  type: 'counter' | 'gauge',
  name: string,
  help: string,
  value: number,
): MetricFamily {
  return { name, help, type, samples: [{ value }] }
}

/** Counts of what happened, by the values of some labels. */
export class Counter {
  readonly #family: Omit<MetricFamily, 'type' | 'samples'>
  readonly #samples = new Map<string, { labels: Labels; value: number }>()

  constructor(name: string, help: string) {
    this.#family = { name, help }
  }

  add(labels: Labels, by = 1): void {
    this.at(labels).value += by
  }

  /** The count of these labels, for who adds to it often. */
  at(labels: Labels): { value: number } {
    const key = JSON.stringify(labels)
    const known = this.#samples.get(key)
    if (known !== undefined) return known
    const sample = { labels, value: 0 }
    this.#samples.set(key, sample)
    return sample
  }

  family(): MetricFamily {
    return { ...this.#family, type: 'counter', samples: [...this.#samples.values()] }
  }
}

interface Spread {
  labels: Labels
  /** One more than bounds: what is above them all. */
  readonly counts: number[]
  sum: number
}

/** How values were spread, in buckets that are bounded from above. */
export class Histogram {
  readonly #family: Omit<MetricFamily, 'type' | 'samples'>
  readonly #bounds: readonly number[]
  readonly #spreads = new Map<string, Spread>()

  /** `bounds` ascend. One without labels tells its zeros before the first value; `hasLabels`: nobody knows which, yet. */
  constructor(name: string, help: string, bounds: readonly number[], hasLabels = false) {
    this.#family = { name, help }
    this.#bounds = bounds
    if (!hasLabels) this.#spreadOf(undefined)
  }

  observe(value: number): void {
    this.at()(value)
  }

  /** Takes values with these labels. */
  at(labels?: Labels): (value: number) => void {
    const spread = this.#spreadOf(labels)
    return (value) => this.#add(spread, value)
  }

  #add(spread: Spread, value: number): void {
    const above = this.#bounds.findIndex((bound) => value <= bound)
    const bucket = above < 0 ? this.#bounds.length : above
    spread.counts[bucket] = (spread.counts[bucket] ?? 0) + 1
    spread.sum += value
  }

  family(): MetricFamily {
    const samples = [...this.#spreads.values()].flatMap((spread) => this.#samplesOf(spread))
    return { ...this.#family, type: 'histogram', samples }
  }

  #spreadOf(labels: Labels | undefined): Spread {
    const key = labels === undefined ? '' : JSON.stringify(labels)
    const known = this.#spreads.get(key)
    if (known !== undefined) return known
    const counts = new Array<number>(this.#bounds.length + 1).fill(0)
    const spread = { labels: labels ?? {}, counts, sum: 0 }
    this.#spreads.set(key, spread)
    return spread
  }

  #samplesOf({ labels, counts, sum }: Spread): Sample[] {
    let count = 0
    const buckets = counts.map((of, index) => {
      count += of
      const le = numberText(this.#bounds[index] ?? Number.POSITIVE_INFINITY)
      return { suffix: '_bucket', labels: { ...labels, le }, value: count }
    })
    const totals = [
      { suffix: '_sum', labels, value: sum },
      { suffix: '_count', labels, value: count },
    ]
    return [...buckets, ...totals]
  }
}

export const metricsContentType = 'text/plain; version=0.0.4; charset=utf-8'

/** The page that Prometheus asks for. */
export function metricsText(families: readonly MetricFamily[]): string {
  return families.map(familyText).join('')
}

function familyText({ name, help, type, samples }: MetricFamily): string {
  const lines = samples.map(
    ({ suffix = '', labels = {}, value }) =>
      `${name}${suffix}${labelsText(labels)} ${numberText(value)}\n`,
  )
  const told = help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
  return `# HELP ${name} ${told}\n# TYPE ${name} ${type}\n${lines.join('')}`
}

function labelsText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}

function numberText(value: number): string {
  if (Number.isFinite(value)) return String(value)
  if (Number.isNaN(value)) return 'NaN'
  return value > 0 ? '+Inf' : '-Inf'
}
