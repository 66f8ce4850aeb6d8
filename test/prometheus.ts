// Reads a page of metrics as strictly as its format can be read: whatever Prometheus might stumble over throws.
// https://prometheus.io/docs/instrumenting/exposition_formats/#text-format-details

export interface ParsedSample {
  name: string
  labels: Record<string, string>
  value: number
}

export interface ParsedFamily {
  name: string
  help: string
  type: string
  samples: ParsedSample[]
}

/** Families by name; throws at what is not in the format. */
export function parseMetrics(page: string): Map<string, ParsedFamily> {
  if (!page.endsWith('\n')) throw new Error('The last line has no end.')
  const families = new Map<string, ParsedFamily>()
  let family: ParsedFamily | undefined
  for (const line of page.slice(0, -1).split('\n')) {
    const [, help, text = ''] = /^# HELP ([a-zA-Z_:][\w:]*) (.+)$/.exec(line) ?? []
    if (help !== undefined) {
      if (families.has(help)) throw new Error(`${help} comes twice.`)
      family = { name: help, help: unescaped(text, /\\[\\n]/g), type: '', samples: [] }
      families.set(help, family)
      continue
    }
    if (family === undefined) throw new Error(`Before any help: ${line}`)
    if (line.startsWith('#')) {
      const [, name, type = ''] = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line) ?? []
      if (name !== family.name || family.type !== '') throw new Error(`Not in its place: ${line}`)
      family.type = type
    } else family.samples.push(parseSample(line, family))
  }
  for (const each of families.values()) check(each)
  return families
}

/** The value of the one sample with these labels and no other; undefined where there is none. */
export function sampleOf(
  families: ReadonlyMap<string, ParsedFamily>,
  name: string,
  labels: Record<string, string> = {},
): number | undefined {
  const family = families.get(name.replace(/_(?:bucket|sum|count)$/, '')) ?? families.get(name)
  const wanted = keyOf({ name, labels })
  return family?.samples.find((sample) => keyOf(sample) === wanted)?.value
}

function parseSample(line: string, { name: of, type }: ParsedFamily): ParsedSample {
  const [, name = '', inner, number = ''] =
    /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line) ?? []
  const suffixes = type === 'histogram' ? ['_bucket', '_sum', '_count'] : ['']
  if (!suffixes.some((suffix) => name === of + suffix)) throw new Error(`Not of ${of}: ${line}`)
  const value = number === '+Inf' ? Number.POSITIVE_INFINITY : Number(number)
  if (Number.isNaN(value)) throw new Error(`Not a number: ${line}`)
  return { name, labels: inner === undefined ? {} : parseLabels(inner), value }
}

function parseLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = {}
  let rest = text
  while (rest !== '') {
    const found = /^([a-zA-Z_]\w*)="((?:[^"\\]|\\["\\n])*)"(?:,(?=.)|$)/s.exec(rest)
    const [whole, name, value] = found ?? []
    if (whole === undefined || name === undefined || value === undefined || name in labels) {
      throw new Error(`No labels: ${text}`)
    }
    labels[name] = unescaped(value, /\\["\\n]/g)
    rest = rest.slice(whole.length)
  }
  return labels
}

function unescaped(text: string, escapes: RegExp): string {
  return text.replace(escapes, ([, which]) => (which === 'n' ? '\n' : (which ?? '')))
}

function keyOf({ name, labels }: Pick<ParsedSample, 'name' | 'labels'>): string {
  return JSON.stringify([name, Object.entries(labels).sort()])
}

function check({ name, type, samples }: ParsedFamily): void {
  if (type === '') throw new Error(`${name} has no type.`)
  if (new Set(samples.map(keyOf)).size !== samples.length) throw new Error(`${name}: twice`)
  if (type === 'counter' && samples.some(({ value }) => value < 0)) throw new Error(`${name} < 0`)
  if (type !== 'histogram') return
  const buckets = samples.filter((sample) => sample.name === `${name}_bucket`)
  for (const { labels, value } of samples.filter((sample) => sample.name === `${name}_count`)) {
    const own = buckets.filter(({ labels: { le: _, ...rest } }) => same(rest, labels))
    const bounds = own.map(({ labels: { le } }) => (le === '+Inf' ? 1 / 0 : Number(le)))
    const counts = own.map((bucket) => bucket.value)
    if (!ascends(bounds) || !ascends(counts)) throw new Error(`${name}: buckets out of order`)
    if (bounds.at(-1) !== 1 / 0 || counts.at(-1) !== value) throw new Error(`${name}: no +Inf`)
  }
}

function same(one: Record<string, string>, other: Record<string, string>): boolean {
  return keyOf({ name: '', labels: one }) === keyOf({ name: '', labels: other })
}

function ascends(numbers: readonly number[]): boolean {
  return numbers.every((number, at) => number >= (numbers[at - 1] ?? Number.NEGATIVE_INFINITY))
}
