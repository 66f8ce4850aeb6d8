// Moves one streamed answer to the client: pull-based, so that a slow client slows the upstream; a comment in long silences,
// as proxies cut quiet connections after 100 s; an end on every path.
import { ApiError, toApiError } from '../errors.ts'
import { pingComment } from '../sse/encode.ts'
import type { AnswerStream } from './answer-stream.ts'
import { concat } from './event-bytes.ts'
import type { Rescue } from './rescue.ts'
import type { Turn, TurnReader } from './turn-reader.ts'

const silenceMs = 15_000
const blankLine: Turn = { chunks: [Uint8Array.of(10, 10)], done: false, failure: undefined }

export interface PumpOptions {
  reader: TurnReader
  answer: AnswerStream
  /** Makes the error of a read that failed. */
  lost: (cause: unknown) => ApiError
  /** Written before anything else. */
  initial: readonly (Uint8Array | string)[]
  /** Takes out of an error what no client may read. */
  clean?: ((bytes: Uint8Array) => Uint8Array) | undefined
  /** Looks for another upstream that goes on with a stream that was cut. */
  rescue?: ((cause: unknown) => Promise<Rescue | undefined>) | undefined
  /** Told once: the client has all of it, or has gone. */
  onEnd: (how: 'ended' | 'cancelled') => void
}

/** The body of the response, and how to stop it where only the request's signal tells of a client that left. */
export function pump(options: PumpOptions): {
  body: ReadableStream<Uint8Array>
  cancel: () => void
} {
  const { answer, lost, clean, rescue, onEnd } = options
  let { reader, initial } = options
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
    const joined = concat(pieces)
    const bytes = answer.status === 'failed' && clean !== undefined ? clean(joined) : joined
    if (bytes.length > 0) controller.enqueue(bytes)
    if (answer.status !== undefined) {
      controller.close()
      end('ended')
      return true
    }
    return bytes.length > 0
  }
  /** Hands on what the last turn of a cut stream brought, and goes on elsewhere; false where nobody can. */
  const goOn = async (
    controller: ReadableStreamDefaultController<Uint8Array>,
    turn: Turn,
  ): Promise<boolean> => {
    const pieces = take(answer, { ...turn, done: false, failure: undefined }, lost, reader)
    turn.chunks = []
    // An event that lacks only its blank line may be the one that says how the answer ended.
    if (turn.failure === undefined && answer.status === undefined && answer.finished !== true) {
      pieces.push(...take(answer, blankLine, lost, reader))
    }
    await settle(answer, pieces)
    if (ended) return true
    if (write(controller, pieces) && answer.status !== undefined) return true
    const rescued = await rescue?.(turn.failure?.cause)
    if (ended) rescued?.reader.cancel()
    if (ended || rescued === undefined) return ended
    reader = rescued.reader
    controller.enqueue(concat([rescued.seam]))
    return true
  }
  const body = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        write(controller, initial)
        // A chunk is a view of a buffer of 4 KiB, which would be held as long as the stream.
        initial = []
      },
      async pull(controller) {
        for (;;) {
          const turn = await reader.turn(silenceMs)
          if (ended) return
          if (turn === undefined) {
            controller.enqueue(concat([answer.ping ?? pingComment]))
            return
          }
          if (rescue !== undefined && turn.done && (await goOn(controller, turn))) return
          const pieces = take(answer, turn, lost, reader)
          const settling = settle(answer, pieces)
          if (settling !== undefined) {
            await settling
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
  reader: TurnReader,
): (Uint8Array | string)[] {
  const pieces: (Uint8Array | string)[] = []
  try {
    // Joined: in workerd, decoding a piece of its own costs more than what is done with its text.
    const bytes = chunks.length > 1 ? concat(chunks) : chunks[0]
    if (bytes !== undefined && answer.status === undefined) pieces.push(answer.push(bytes))
    if (answer.begun) reader.begins()
    if (answer.status === undefined && failure !== undefined && answer.finished !== true) {
      pieces.push(answer.fail(lost(failure.cause)))
    } else if (answer.status === undefined && done) pieces.push(answer.end())
  } catch (thrown) {
    pieces.push(answer.fail(thrown instanceof ApiError ? thrown : toApiError(thrown)))
  }
  return pieces
}

/**
 * Waits for what an answer holds back: a text that is being made, and the last bytes until they are kept. Undefined where
 * nothing waits, so that no other stream pays for it.
 */
export function settle(
  answer: AnswerStream,
  pieces: (Uint8Array | string)[],
): Promise<void> | undefined {
  const held = answer.held?.()
  const ends = () => answer.status !== undefined && answer.last !== undefined
  if (held === undefined && !ends()) return undefined
  return (async () => {
    if (held !== undefined) pieces.push(await held)
    if (ends()) pieces.push((await answer.last?.()) ?? '')
  })()
}
