// A limit of time around work that may not listen to its signal.

/**
 * Runs the work with a signal of its own, which ends with the caller's or when the time is over. Rejects with the caller's
 * reason or with the fault, even where the work goes on.
 */
export async function within<T>(
  ms: number,
  signal: AbortSignal,
  fault: Error,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted()
  const own = new AbortController()
  const onAbort = () => own.abort(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  const timer = setTimeout(() => own.abort(fault), ms)
  const ended = new Promise<never>((_, reject) => {
    own.signal.addEventListener('abort', () => reject(own.signal.reason), { once: true })
  })
  try {
    return await Promise.race([work(own.signal), ended])
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
  }
}
