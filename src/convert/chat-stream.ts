// Responses events, ours or any server's, → Chat chunks. Reads deltas; where a server sends only `done` events, those.
import { ApiError, type ErrorBody, type ErrorCode } from '../errors.ts'
import type { NewId } from '../ids.ts'
import type { ChatChunk, ChatDelta } from '../protocol/chat.ts'
import { isObject } from '../protocol/check.ts'
import type { Logprob, ResponseUsage } from '../protocol/responses.ts'
import { normalizeChunk } from '../stream/normalize.ts'
import { paddingFor } from '../stream/padding.ts'
import { finishOf } from './finish-reason.ts'
import { inBandError } from './stream.ts'
import { usageFromResponses, usageToChat } from './usage.ts'

export interface ResponsesStreamOptions {
  /** `chatcmpl-…` */
  id: string
  /** The model that answers. */
  model: string
  /** Unix time in seconds. */
  createdAt: number
  /** `stream_options.include_usage`: a last chunk with no choices. */
  includeUsage: boolean
  /** False where the client asked for no reasoning. */
  includeReasoning: boolean
  /** Error code for a stream that is cut before its end. */
  lostCode: ErrorCode
  /** Set where chunks are padded, against guesses from their length. */
  padding?: NewId | undefined
}

/** What one item has put on the wire already. */
interface SentItem {
  text: boolean
  /** The family and part of its last reasoning delta: one family an item, parts on lines of their own. */
  reasoning: { summary: boolean; part: unknown } | undefined
  refusal: boolean
  arguments: boolean
  /** Index among tool calls; undefined for other items. */
  call: number | undefined
}

type Event = Record<string, unknown>

export class ResponsesToChatStream {
  readonly #options: ResponsesStreamOptions
  readonly #items = new Map<number, SentItem>()
  #calls = 0
  /** The role goes with the first delta. */
  #roleSent = false
  #textSent = false
  #reasoningSent = false
  /** An `error` event, which response.failed follows. */
  #pendingError: ApiError | undefined
  #error: ApiError | undefined
  #usage: ResponseUsage | undefined
  #status: 'completed' | 'incomplete' | 'failed' | undefined

  constructor(options: ResponsesStreamOptions) {
    this.#options = options
  }

  /** `completed`, `incomplete` or `failed` once the stream has ended. [DONE] follows all but `failed`. */
  get status(): 'completed' | 'incomplete' | 'failed' | undefined {
    return this.#status
  }

  get ended(): boolean {
    return this.#status !== undefined
  }

  get usage(): ResponseUsage | undefined {
    return this.#usage
  }

  get error(): ApiError | undefined {
    return this.#error
  }

  /** Takes one parsed event. */
  push(event: unknown): (ChatChunk | ErrorBody)[] {
    if (this.ended || !isObject(event) || typeof event.type !== 'string') return []
    switch (event.type) {
      case 'response.output_item.added':
        return this.#itemAdded(event)
      case 'response.output_text.delta':
        return this.#text(this.#sent(event), event.delta, event.logprobs)
      case 'response.reasoning_text.delta':
      case 'response.reasoning.delta':
        return this.#reasoning(this.#sent(event), event.delta, false, event.content_index)
      case 'response.reasoning_summary_text.delta':
        return this.#reasoning(this.#sent(event), event.delta, true, event.summary_index)
      case 'response.refusal.delta':
        return this.#refusal(this.#sent(event), event.delta)
      case 'response.function_call_arguments.delta':
        return this.#arguments(this.#sent(event), event.delta)
      case 'response.custom_tool_call_input.delta':
        return this.#input(this.#sent(event), event.delta)
      case 'response.output_item.done':
        return this.#itemDone(event)
      case 'response.completed':
      case 'response.incomplete':
        return this.#finish(event)
      case 'error':
        this.#pendingError = errorIn(event)
        return []
      case 'response.failed': {
        const response = isObject(event.response) ? event.response : {}
        return this.fail(this.#pendingError ?? errorIn(response))
      }
      default:
        return []
    }
  }

  /** The stream has ended; without a terminal event it was cut. */
  end(): (ChatChunk | ErrorBody)[] {
    if (this.ended) return []
    return this.fail(
      this.#pendingError ??
        new ApiError(
          this.#options.lostCode,
          'The upstream closed the stream before the answer was complete.',
        ),
    )
  }

  /** Ends with an error chunk; no finish_reason and no [DONE] follow, so that no client takes it for a success. */
  fail(error: ApiError): (ChatChunk | ErrorBody)[] {
    if (this.ended) return []
    this.#status = 'failed'
    this.#error = error
    return [error.toBody()]
  }

  #sent(event: Event): SentItem {
    const index = typeof event.output_index === 'number' ? event.output_index : 0
    let sent = this.#items.get(index)
    if (sent === undefined) {
      sent = {
        text: false,
        reasoning: undefined,
        refusal: false,
        arguments: false,
        call: undefined,
      }
      this.#items.set(index, sent)
    }
    return sent
  }

  #itemAdded(event: Event): ChatChunk[] {
    const { item } = event
    if (!isObject(item) || !isCall(item)) return []
    const sent = this.#sent(event)
    sent.call = this.#calls++
    if (item.type === 'custom_tool_call') {
      const custom = { name: String(item.name), input: '' }
      const call = { index: sent.call, id: String(item.call_id), type: 'custom' as const, custom }
      return [this.#delta({ tool_calls: [call] })]
    }
    const definition = { name: String(item.name), arguments: '' }
    const call = { index: sent.call, id: String(item.call_id), type: 'function' as const }
    return [this.#delta({ tool_calls: [{ ...call, function: definition }] })]
  }

  #text(sent: SentItem, delta: unknown, logprobs?: unknown): ChatChunk[] {
    if (typeof delta !== 'string') return []
    const entries = Array.isArray(logprobs) ? (logprobs as Logprob[]) : []
    if (delta === '' && entries.length === 0) return []
    // A preamble and the answer are two messages there and one here.
    const content = !sent.text && this.#textSent ? `\n${delta}` : delta
    sent.text = true
    this.#textSent = true
    const chunk = this.#delta({ content })
    const choice = chunk.choices[0]
    if (choice !== undefined && entries.length > 0) {
      choice.logprobs = { content: entries, refusal: null }
    }
    return [chunk]
  }

  #reasoning(sent: SentItem, delta: unknown, summary: boolean, part: unknown): ChatChunk[] {
    if (typeof delta !== 'string' || delta === '' || !this.#options.includeReasoning) return []
    // A summary beside the text itself would say it twice.
    if (sent.reasoning !== undefined && sent.reasoning.summary !== summary) return []
    const goesOn = sent.reasoning !== undefined && sent.reasoning.part === part
    const reasoning = !goesOn && this.#reasoningSent ? `\n${delta}` : delta
    sent.reasoning = { summary, part }
    this.#reasoningSent = true
    return [this.#delta({ reasoning, reasoning_content: reasoning })]
  }

  #refusal(sent: SentItem, delta: unknown): ChatChunk[] {
    if (typeof delta !== 'string' || delta === '') return []
    sent.refusal = true
    return [this.#delta({ refusal: delta })]
  }

  #arguments(sent: SentItem, delta: unknown): ChatChunk[] {
    if (typeof delta !== 'string' || delta === '' || sent.call === undefined) return []
    sent.arguments = true
    return [this.#delta({ tool_calls: [{ index: sent.call, function: { arguments: delta } }] })]
  }

  #input(sent: SentItem, delta: unknown): ChatChunk[] {
    if (typeof delta !== 'string' || delta === '' || sent.call === undefined) return []
    sent.arguments = true
    return [this.#delta({ tool_calls: [{ index: sent.call, custom: { input: delta } }] })]
  }

  /** What a server said only in the finished item. */
  #itemDone(event: Event): ChatChunk[] {
    const { item } = event
    if (!isObject(item)) return []
    const isNew = isCall(item) && this.#sent(event).call === undefined
    const chunks = isNew ? this.#itemAdded(event) : []
    const sent = this.#sent(event)
    if (isCall(item)) {
      if (sent.arguments) return chunks
      const whole =
        item.type === 'function_call'
          ? this.#arguments(sent, item.arguments)
          : this.#input(sent, item.input)
      return [...chunks, ...whole]
    }
    const content = Array.isArray(item.content) ? item.content.filter(isObject) : []
    if (item.type === 'reasoning' && sent.reasoning === undefined) {
      const parts = content.length > 0 ? content : Array.isArray(item.summary) ? item.summary : []
      const texts = parts.flatMap((part) => (isObject(part) ? [String(part.text ?? '')] : []))
      return this.#reasoning(sent, texts.join('\n'), false, 0)
    }
    if (item.type !== 'message') return chunks
    const { text, refusal } = sent
    for (const part of content) {
      if (!text && part.type === 'output_text') {
        chunks.push(...this.#text(sent, part.text, part.logprobs))
      }
      if (!refusal && part.type === 'refusal') chunks.push(...this.#refusal(sent, part.refusal))
    }
    return chunks
  }

  #finish(event: Event): ChatChunk[] {
    const response = isObject(event.response) ? event.response : {}
    const details = isObject(response.incomplete_details) ? response.incomplete_details : {}
    this.#status = event.type === 'response.completed' ? 'completed' : 'incomplete'
    this.#usage = usageFromResponses(response.usage)
    const finish = finishOf(this.#status, details.reason, this.#calls > 0)
    const last = this.#chunk([{ index: 0, delta: this.#withRole({}), finish_reason: finish }])
    if (!this.#options.includeUsage || this.#usage === undefined) return [last]
    return [last, { ...this.#chunk([]), usage: usageToChat(this.#usage) }]
  }

  #delta(delta: ChatDelta): ChatChunk {
    const chunk = this.#chunk([{ index: 0, delta: this.#withRole(delta), finish_reason: null }])
    const { padding } = this.#options
    if (padding !== undefined) chunk.obfuscation = paddingFor(JSON.stringify(delta), padding)
    return chunk
  }

  #withRole(delta: ChatDelta): ChatDelta {
    if (this.#roleSent) return delta
    this.#roleSent = true
    return { role: 'assistant', ...delta }
  }

  #chunk(choices: ChatChunk['choices']): ChatChunk {
    const { id, createdAt, model } = this.#options
    return { id, object: 'chat.completion.chunk', created: createdAt, model, choices }
  }
}

/** The calls that Chat has words for. */
function isCall(item: Record<string, unknown>): boolean {
  return item.type === 'function_call' || item.type === 'custom_tool_call'
}

/** The error of an `error` event (flat or nested) or of a failed response. */
export function errorIn(source: Event): ApiError {
  const nested = isObject(source.error) ? source.error : source
  const error = normalizeChunk({ error: nested }).error
  return inBandError(
    error ?? { message: 'The upstream failed.', code: undefined, status: undefined },
  )
}
