// Where the records of requests go: the log (`wrangler tail`, or the launcher's stderr), Workers Analytics Engine, and the
// counts of `GET /metrics`, each where the gateway's owner wants it.
import { lineOf, type RequestLog, type RequestRecord } from '../src/faces/request-log.ts'
import { analyticsWriter } from './analytics.ts'
import type { Env } from './env.ts'
import { placeOf } from './face-deps.ts'
import { logFault } from './log.ts'
import { runtimeOf } from './runtime.ts'

/** For one request and what is made beside it; undefined where nobody wants a record. Throws ConfigError. */
export function requestLogOf(env: Env): RequestLog | undefined {
  const { config, metrics } = runtimeOf(env)
  const { ANALYTICS } = env
  if (!config.requestLog && metrics === undefined && ANALYTICS === undefined) return undefined
  const takers: ((record: RequestRecord) => void)[] = []
  if (config.requestLog) takers.push(writeLine)
  if (metrics !== undefined) takers.push((record) => metrics.take(record))
  if (ANALYTICS !== undefined) takers.push(analyticsWriter(ANALYTICS))
  return {
    now: () => Date.now(),
    begin: () => metrics?.begin(),
    take(record) {
      for (const taker of takers) {
        try {
          taker(record)
        } catch (error) {
          // An answer is none the poorer.
          logFault(error, { requestId: record.requestId })
        }
      }
    },
    placeOf,
  }
}

function writeLine(record: RequestRecord): void {
  // biome-ignore lint/suspicious/noConsole: the one way out of a Worker for a log line
  console.log(lineOf(record, Date.now()))
}
