// One JSON line per fault, for `wrangler tail` and the local launcher. Prompt text, keys and headers never pass here.
import { ApiError, redact } from '../src/errors.ts'

export interface LogContext {
  requestId: string
  /** Provider or node at fault. */
  place?: string | undefined
}

/** Writes why something failed; a cause that clients are not told is told here. */
export function logFault(error: unknown, { requestId, place }: LogContext): void {
  const line = {
    level: 'error',
    request_id: requestId,
    ...(place === undefined ? {} : { place }),
    ...describe(error),
  }
  // biome-ignore lint/suspicious/noConsole: the one way out of a Worker for a log line
  console.error(JSON.stringify(line))
}

function describe(error: unknown): Record<string, unknown> {
  if (error instanceof ApiError) {
    const cause = error.cause === undefined ? {} : { cause: redact(causeText(error.cause)) }
    return { code: error.code, status: error.status, message: error.message, ...cause }
  }
  if (error instanceof Error)
    return { message: redact(error.message), stack: redact(error.stack ?? '') }
  return { message: redact(String(error)) }
}

function causeText(cause: unknown): string {
  return cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)
}
