// A request answered before its body was read costs its client the connection: it is cut while the client still writes, and
// the client sees a reset instead of the answer. Reading the body off first lets the answer arrive.

/** What a caller with a key may make us read for nothing: the largest body that Workers let in. */
export const largestBody = 100 * 1024 * 1024

const drainMs = 10_000

/**
 * Reads and forgets a body of at most `maxBytes`; ends early when the client is slow or gone. One that asks before it sends
 * (`Expect: 100-continue`) is owed the answer in place of its body.
 */
export async function drain(request: Request, maxBytes: number): Promise<void> {
  if (request.headers.has('expect')) return
  const declared = Number(request.headers.get('content-length') ?? 0)
  const { body, bodyUsed } = request
  if (bodyUsed || body === null || body.locked || declared > maxBytes) return
  const reader = body.getReader()
  const cancel = () => reader.cancel().catch(() => {})
  const timer = setTimeout(cancel, drainMs)
  try {
    let bytes = 0
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      bytes += read.value.byteLength
      if (bytes > maxBytes) await cancel()
    }
  } catch {
    // Gone: nobody is left to be told.
  } finally {
    clearTimeout(timer)
  }
}
