// A request refused before its body was read costs its client the connection: it is cut while the client still writes, and
// the client sees a reset instead of the error. Reading the body off first lets the answer arrive.

/** What anyone may make us read for nothing. */
export const smallBody = 64 * 1024

/** What a caller with a key may: the largest body that Workers let in. */
export const largestBody = 100 * 1024 * 1024

const drainMs = 10_000

/** Reads and forgets a body that declares at most `maxBytes`; ends early when the client is slow or gone. */
export async function drain(request: Request, maxBytes: number): Promise<void> {
  const length = Number(request.headers.get('content-length') ?? Number.POSITIVE_INFINITY)
  if (request.bodyUsed || !request.body || length > maxBytes) return
  const reader = request.body.getReader()
  const timer = setTimeout(() => reader.cancel().catch(() => {}), drainMs)
  try {
    while (!(await reader.read()).done);
  } catch {
    // Gone: nobody is left to be told.
  } finally {
    clearTimeout(timer)
  }
}
