// Reading an upstream's body under limits of time and size.
import { ApiError, toApiError } from '../src/errors.ts'

/** The abort of one upstream call, for either reason: the client is gone, or the upstream is too slow. */
export class Deadline {
  readonly place: string
  readonly #controller = new AbortController()
  readonly #client: AbortSignal
  readonly #onClientGone: () => void

  constructor(client: AbortSignal, place: string) {
    this.place = place
    this.#client = client
    this.#onClientGone = () => this.#controller.abort(client.reason)
    if (client.aborted) this.#onClientGone()
    else client.addEventListener('abort', this.#onClientGone, { once: true })
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Runs one step; after `limitMs` everything is aborted and `upstream_timeout` thrown. Other failures become `upstream_error`. */
  async within<T>(limitMs: number, what: string, step: () => Promise<T>): Promise<T> {
    let late: ApiError | undefined
    const timer = setTimeout(() => {
      late = this.timeout(what, limitMs)
      this.#controller.abort(late)
    }, limitMs)
    try {
      return await step()
    } catch (error) {
      throw late ?? this.fault(error)
    } finally {
      clearTimeout(timer)
    }
  }

  /** What a failed read or fetch means; the client's own abort stays what it is. */
  fault(error: unknown): unknown {
    if (this.#client.aborted || error instanceof ApiError) return error
    return new ApiError('upstream_error', `${this.place} failed: the connection was lost.`, {
      cause: error,
      retryable: true,
    })
  }

  timeout(what: string, limitMs: number): ApiError {
    return new ApiError('upstream_timeout', `${this.place}: ${what} within ${limitMs} ms.`, {
      retryable: true,
    })
  }

  abort(reason: unknown): void {
    this.#controller.abort(reason)
    this.end()
  }

  /** The call is over: the client's signal outlives it and must not hold it. */
  end(): void {
    this.#client.removeEventListener('abort', this.#onClientGone)
  }
}

/** Reads a whole body as text. Beyond `maxBytes` the rest is left unread (`cut`) or the body refused (`refuse`). */
export async function readText(
  body: ReadableStream<Uint8Array> | null,
  maxBytes: number,
  beyond: 'cut' | 'refuse',
): Promise<string> {
  if (!body) return ''
  const reader = body.getReader()
  const decoder = new TextDecoder()
  let text = ''
  let bytes = 0
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return text + decoder.decode()
    bytes += value.byteLength
    text += decoder.decode(value, { stream: true })
    if (bytes <= maxBytes) continue
    await reader.cancel().catch(() => {})
    if (beyond === 'refuse') {
      throw new ApiError(
        'upstream_error',
        `The upstream's answer is larger than ${maxBytes} bytes.`,
      )
    }
    return text
  }
}

/**
 * A stream of what `reader` gives, first chunk already read. One timer watches it, armed only while a read waits:
 * a slow client must not look like a silent upstream.
 */
export function guardStream(
  first: Uint8Array,
  reader: ReadableStreamDefaultReader<Uint8Array>,
  deadline: Deadline,
  { idleMs, maxBytes }: { idleMs: number; maxBytes: number },
): ReadableStream<Uint8Array> {
  let pending: Uint8Array | undefined = first
  let bytes = 0
  /** When the read that is under way began; undefined between reads. */
  let waitingSince: number | undefined
  let timer: ReturnType<typeof setTimeout> | undefined
  let late: ApiError | undefined

  const check = () => {
    timer = undefined
    if (waitingSince === undefined) return
    const left = waitingSince + idleMs - Date.now()
    if (left > 0) {
      timer = setTimeout(check, left)
      return
    }
    late = deadline.timeout('nothing more came', idleMs)
    deadline.abort(late)
  }
  const close = () => {
    clearTimeout(timer ?? null)
    deadline.end()
  }
  const next = async (): Promise<Uint8Array | undefined> => {
    if (pending) {
      const chunk = pending
      pending = undefined
      return chunk
    }
    waitingSince = Date.now()
    timer ??= setTimeout(check, idleMs)
    const { done, value } = await reader.read()
    waitingSince = undefined
    return done ? undefined : value
  }

  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const chunk = await next()
          if (chunk === undefined) {
            close()
            controller.close()
            return
          }
          bytes += chunk.byteLength
          if (bytes > maxBytes) {
            throw new ApiError(
              'upstream_error',
              `${deadline.place}: the stream is larger than ${maxBytes} bytes.`,
            )
          }
          controller.enqueue(chunk)
        } catch (error) {
          close()
          const fault = late ?? deadline.fault(error)
          deadline.abort(fault)
          controller.error(fault instanceof ApiError ? fault : toApiError(fault))
        }
      },
      async cancel(reason) {
        close()
        deadline.abort(reason)
        await reader.cancel(reason).catch(() => {})
      },
    },
    { highWaterMark: 0 },
  )
}
