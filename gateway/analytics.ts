// A record of a request as a point of data for Workers Analytics Engine, which adds up what all isolates write.
// https://developers.cloudflare.com/analytics/analytics-engine/limits/ The columns are described in docs/metrics.md.
import type { Outcome } from '../src/faces/deps.ts'
import type { RequestRecord } from '../src/faces/request-log.ts'
import { answererOf, faceOf, isRead } from '../src/metrics/request-metrics.ts'
import { version } from '../src/version.ts'

/** Of one point: an index has 96 bytes at most. All texts together have 16 KiB; ours are cut to a fourth of that. */
const maxIndexBytes = 96
const maxTextBytes = 256
/** In one invocation: each socket is one, however many responses it carries. */
const maxPoints = 250

/** What the platform's binding is used for. */
export interface Dataset {
  writeDataPoint(point: DataPoint): void
}

interface DataPoint {
  indexes: string[]
  blobs: string[]
  doubles: number[]
}

/** Writes the points of one invocation; what is over the platform's limit is left out. */
export function analyticsWriter(dataset: Dataset): (record: RequestRecord) => void {
  let left = maxPoints
  return (record) => {
    if (left-- > 0) dataset.writeDataPoint(dataPoint(record))
  }
}

/** The columns, in their order: whoever queries them goes by it, so that new ones come last. */
export function dataPoint(record: RequestRecord): DataPoint {
  const { requestId, tenant, over, path, status, refused, place } = record
  // What is made in the background has a point of its own, and is not counted twice.
  const outcome = record.outcome && isRead(record.outcome) ? undefined : record.outcome
  const { model, candidate, error, usage } = outcome ?? {}
  const calls = callsOf(outcome)
  return {
    indexes: [cut(tenant ?? '', maxIndexBytes)],
    blobs: [
      over === 'http' ? faceOf(path ?? '') : 'responses',
      model,
      candidate?.model,
      outcome && answererOf(outcome),
      candidate?.kind === 'node' ? place : undefined,
      outcome?.status,
      error ?? refused,
      status === undefined ? undefined : String(status),
      over === 'http' && record.isStream ? 'stream' : over,
      calls.tried,
      version,
      requestId,
    ].map((text) => cut(text ?? '', maxTextBytes)),
    doubles: [
      record.ms,
      firstOutputMs(outcome),
      record.firstMs ?? 0,
      usage?.input_tokens ?? 0,
      usage?.input_tokens_details?.cached_tokens ?? 0,
      usage?.output_tokens ?? 0,
      calls.made,
      calls.failed,
      outcome?.turns?.length ?? 0,
    ],
  }
}

function firstOutputMs({ firstOutputAt, startedAt = 0 }: Partial<Outcome> = {}): number {
  return firstOutputAt === undefined ? 0 : Math.max(0, firstOutputAt - startedAt)
}

/** Calls of places: those of the model's turns, where tools ran. */
function callsOf(outcome: Outcome | undefined): { made: number; failed: number; tried: string } {
  const turns = outcome === undefined ? [] : [outcome, ...(outcome.turns ?? [])]
  const failed = turns.flatMap(({ attempts }) =>
    attempts.filter(({ candidate }) => candidate?.kind !== 'tools'),
  )
  const answered = turns.filter(({ candidate }) => candidate && candidate.kind !== 'tools')
  const tried = failed.map(({ name, error }) => `${name}=${error}`).join(', ')
  const cutOff = answered.filter(({ status }) => status === 'failed').length
  return { made: failed.length + answered.length, failed: failed.length + cutOff, tried }
}

const encoder = new TextEncoder()

/** The beginning of a text that fits, without half a character. */
function cut(text: string, maxBytes: number): string {
  if (text.length * 3 <= maxBytes) return text
  const { read } = encoder.encodeInto(text, new Uint8Array(maxBytes))
  return read === text.length ? text : text.slice(0, read)
}
