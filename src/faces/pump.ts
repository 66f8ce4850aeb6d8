// Moves one streamed answer to the client: pull-based, so that a slow client slows the upstream; a comment in long silences,
// as proxies cut quiet connections after 100 s; an end on every path.
import { ApiError, toApiError } from '../errors.ts'
import { pingComment } from '../sse/encode.ts'
import type { AnswerStream } from './answer-stream.ts'
import { concat } from './event-bytes.ts'
import type { Turn, TurnReader } from './turn-reader.ts'

const silenceMs = 15_000

export interface PumpOptions {
  reader: TurnReader
  answer: AnswerStream
  /** Makes the error of a read that failed. */
  lost: (cause: unknown) => ApiError
  /** Written before anything else. */
  initial: readonly (Uint8Array | string)[]
  /** Told once: the client has all of it, or has gone. */
  onEnd: (how: 'ended' | 'cancelled') => void
}

/** The body of the response, and how to stop it where only the request's signal tells of a client that left. */
export function pump({ reader, answer, lost, initial, onEnd }: PumpOptions): {
  body: ReadableStream<Uint8Array>
  cancel: () => void
} {
  let ended = false
  const end = (how: 'ended' | 'cancelled') => {
    if (ended) return
    ended = true
    reader.cancel()
    if (how === 'cancelled') answer.cancel?.()
    onEnd(how)
  }
  const write = (
    controller: ReadableStreamDefaultController<Uint8Array>,
    pieces: readonly (Uint8Array | string)[],
  ): boolean => {
    const bytes = concat(pieces)
    if (bytes.length > 0) controller.enqueue(bytes)
    if (answer.status !== undefined) {
      controller.close()
      end('ended')
      return true
    }
    return bytes.length > 0
  }
  const body = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        write(controller, initial)
      },
      async pull(controller) {
        for (;;) {
          const turn = await reader.turn(silenceMs)
          if (ended) return
          if (turn === undefined) {
            controller.enqueue(concat([answer.ping ?? pingComment]))
            return
          }
          const pieces = take(answer, turn, lost)
          if (answer.status !== undefined && answer.last !== undefined) {
            pieces.push(await answer.last())
            if (ended) return
          }
          if (write(controller, pieces)) return
        }
      },
      cancel() {
        end('cancelled')
      },
    },
    { highWaterMark: 0 },
  )
  return { body, cancel: () => end('cancelled') }
}

/** Gives an answer what one turn brought; a fault becomes the answer's own failure. */
export function take(
  answer: AnswerStream,
  { chunks, done, failure }: Turn,
  lost: (cause: unknown) => ApiError,
): (Uint8Array | string)[] {
  const pieces: (Uint8Array | string)[] = []
  try {
    for (const chunk of chunks) {
      if (answer.status === undefined) pieces.push(answer.push(chunk))
    }
    if (answer.status === undefined && failure !== undefined) {
      pieces.push(answer.fail(lost(failure.cause)))
    } else if (answer.status === undefined && done) pieces.push(answer.end())
  } catch (thrown) {
    pieces.push(answer.fail(thrown instanceof ApiError ? thrown : toApiError(thrown)))
  }
  return pieces
}
