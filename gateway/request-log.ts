// Where the gateway's log of requests goes: `wrangler tail`, or the launcher's stderr.
import type { RequestLog } from '../src/faces/request-log.ts'
import { placeOf } from './face-deps.ts'

export const gatewayLog: RequestLog = {
  now: () => Date.now(),
  // biome-ignore lint/suspicious/noConsole: the one way out of a Worker for a log line
  write: (line) => console.log(line),
  placeOf,
}
