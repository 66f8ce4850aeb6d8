// Bytes → server-sent events. eventsource-parser knows the format; here are UTF-8 across chunks, and a bound.
import { createParser, type EventSourceMessage, type EventSourceParser } from 'eventsource-parser'
import { ApiError } from '../errors.ts'

/** Longest line and longest event of an upstream that are kept: more is its fault. */
const maxUpstreamEvent = 1024 * 1024

export interface SseMessage {
  /** The `event:` field; undefined where the event has none. */
  event: string | undefined
  data: string
}

export class SseDecoder {
  // Streaming: a character may be split between two chunks. A byte order mark is dropped by the decoder.
  readonly #text = new TextDecoder()
  readonly #parser: EventSourceParser
  #messages: SseMessage[] = []
  #overflow = false

  constructor(maxBufferSize = maxUpstreamEvent) {
    this.#parser = createParser({
      maxBufferSize,
      onEvent: ({ event, data }: EventSourceMessage) => this.#messages.push({ event, data }),
      onError: (error) => {
        if (error.type === 'max-buffer-size-exceeded') this.#overflow = true
      },
    })
  }

  /** Gives the events that these bytes complete; throws ApiError for one that grows without end, after those before it. */
  push(bytes: Uint8Array): SseMessage[] {
    return this.#feed(this.#text.decode(bytes, { stream: true }))
  }

  /** The stream has ended: gives an event that lacks only its blank line, as servers that are cut there send. */
  end(): SseMessage[] {
    return this.#feed(`${this.#text.decode()}\n\n`)
  }

  #feed(text: string): SseMessage[] {
    if (!this.#overflow) this.#parser.feed(text)
    const messages = this.#messages
    // What was whole before the fault is given first: the fault is told by the next call.
    if (this.#overflow && messages.length === 0) {
      throw new ApiError('upstream_error', 'The upstream sent an event that is too large.')
    }
    this.#messages = []
    return messages
  }
}
