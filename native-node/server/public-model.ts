// A server knows its model by an id of its own (often a file's path); whoever asked for it by another reads that one in
// the answer. Only used where the two differ: all other answers pass byte for byte.
import { ApiError } from '../../src/errors.ts'
import { isObject } from '../../src/protocol/check.ts'
import { SseDecoder, type SseMessage } from '../../src/sse/decode.ts'
import { pingComment } from '../../src/sse/encode.ts'

/** Bytes in, text out; what is held back is not complete. */
interface Rewriter {
  push(bytes: Uint8Array): string
  end(): string
}

/** Largest JSON answer that is held to be rewritten, in characters. */
const maxJsonLength = 32 * 1024 * 1024

/** The same answer, as JSON or as a stream, from the model `id`. */
export function withPublicModel(response: Response, id: string): Response {
  const { body, headers, status } = response
  if (body === null) return response
  const isStream = headers.get('content-type')?.includes('text/event-stream') === true
  const rewriter = isStream ? new EventModel(id) : new JsonModel(id)
  return new Response(rewritten(body, rewriter), { headers, status })
}

function rewritten(body: ReadableStream<Uint8Array>, rewriter: Rewriter) {
  const reader = body.getReader()
  const encoder = new TextEncoder()
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        for (;;) {
          const { value, done } = await reader.read()
          const text = done ? rewriter.end() : rewriter.push(value)
          if (text !== '') controller.enqueue(encoder.encode(text))
          if (done) controller.close()
          if (done || text !== '') return
        }
      } catch (error) {
        reader.cancel(error).catch(() => {})
        throw error
      }
    },
    cancel: (reason) => reader.cancel(reason),
  })
}

/** Events are written anew: `event:` and `data:` are all that OpenAI's streams have. */
class EventModel implements Rewriter {
  readonly #id: string
  readonly #decoder = new SseDecoder()

  constructor(id: string) {
    this.#id = id
  }

  push(bytes: Uint8Array): string {
    const messages = this.#decoder.push(bytes)
    // A comment, or a part of an event: that the server lives shall be heard behind us.
    return messages.length > 0 ? this.#encode(messages) : pingComment
  }

  end(): string {
    return this.#encode(this.#decoder.end())
  }

  #encode(messages: readonly SseMessage[]): string {
    let text = ''
    for (const { event, data } of messages) {
      if (event !== undefined) text += `event: ${event}\n`
      for (const line of renamed(data, this.#id).split('\n')) text += `data: ${line}\n`
      text += '\n'
    }
    return text
  }
}

class JsonModel implements Rewriter {
  readonly #id: string
  readonly #decoder = new TextDecoder()
  #text = ''

  constructor(id: string) {
    this.#id = id
  }

  push(bytes: Uint8Array): string {
    this.#text += this.#decoder.decode(bytes, { stream: true })
    if (this.#text.length <= maxJsonLength) return ''
    this.#text = ''
    throw new ApiError('upstream_error', "The node's engine sent an answer that is too large.")
  }

  end(): string {
    return renamed(this.#text + this.#decoder.decode(), this.#id)
  }
}

/** The same JSON with another model in it: a completion's, a chunk's, a response's, or that of an event with a response. */
function renamed(text: string, id: string): string {
  if (!text.includes('"model"')) return text
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    // What it is, the reader will say.
    return text
  }
  if (!isObject(value)) return text
  const found = [value, value.response].filter(isObject).filter(hasModel)
  for (const holder of found) holder.model = id
  return found.length > 0 ? JSON.stringify(value) : text
}

function hasModel(holder: Record<string, unknown>): boolean {
  return typeof holder.model === 'string'
}
