// Responses events, ours or any server's, → Messages stream events. Blocks open and close one after the other: what a server
// says about a later item while one is open waits for its turn.
// https://docs.anthropic.com/en/docs/build-with-claude/streaming
import { ApiError, type ErrorCode } from '../errors.ts'
import { isObject } from '../protocol/check.ts'
import type {
  BlockDelta,
  MessageContainer,
  MessagesEvent,
  OutputBlock,
} from '../protocol/messages.ts'
import type { ResponseUsage } from '../protocol/responses.ts'
import { errorIn } from './chat-stream.ts'
import { messagesErrorBody } from './messages-error.ts'
import {
  emptyCall,
  emptyMessage,
  endOf,
  type MessageOptions,
  objects,
  reasoningText,
  signatureOf,
  usageToMessages,
} from './messages-response.ts'
import { containerOf, isCountedSearch, serverCall } from './messages-server-blocks.ts'
import { usageFromResponses } from './usage.ts'

export interface MessagesStreamOptions extends MessageOptions {
  /** Named in an `error` event. */
  requestId?: string | undefined
  /** Error code for a stream that is cut before its end. */
  lostCode: ErrorCode
}

interface OpenBlock {
  kind: 'text' | 'thinking' | 'tool_use' | 'server'
  /** The item that it belongs to. */
  item: number
  /** Index of its part within the item. */
  part: unknown
  /** Reasoning so far, where only the signature will tell it. */
  text: string
}

/** What of an item is on the wire already. */
interface SentItem {
  /** Indexes of its text and refusal parts. */
  parts: Set<unknown>
  /** The family of its reasoning events: one an item, as a summary beside the text would say it twice. */
  reasoning: 'text' | 'summary' | undefined
  call: boolean
  arguments: boolean
  done: boolean
}

type Event = Record<string, unknown>

export class MessagesStream {
  readonly #options: MessagesStreamOptions
  readonly #sent = new Map<number, SentItem>()
  /** Set by the first event: message_start is written once. */
  #started = false
  #open: OpenBlock | undefined
  /** Blocks closed so far: the index of the open or next one. */
  #blocks = 0
  /** Events about other items than the open one. */
  #waiting: Event[] = []
  #hasCalls = false
  #refused = false
  /** How often the web was searched. */
  #searches = 0
  /** Where code has run. */
  #container: MessageContainer | null = null
  /** An `error` event, which response.failed follows. */
  #pendingError: ApiError | undefined
  #usage: ResponseUsage | undefined
  #status: 'completed' | 'incomplete' | 'failed' | undefined
  /** Events of the method that runs. */
  #events: MessagesEvent[] = []

  constructor(options: MessagesStreamOptions) {
    this.#options = options
  }

  /** Set once the stream has ended. */
  get status(): 'completed' | 'incomplete' | 'failed' | undefined {
    return this.#status
  }

  get usage(): ResponseUsage | undefined {
    return this.#usage
  }

  /** Takes one parsed event. */
  push(event: unknown): MessagesEvent[] {
    if (this.#status !== undefined || !isObject(event) || typeof event.type !== 'string') return []
    if (event.type === 'error') this.#pendingError = errorIn(event)
    else if (event.type === 'response.failed') {
      const response = isObject(event.response) ? event.response : {}
      return this.fail(this.#pendingError ?? errorIn(response))
    } else {
      this.#start()
      if (event.type === 'response.completed' || event.type === 'response.incomplete') {
        this.#finish(event)
      } else if (typeof event.output_index === 'number') this.#inTurn(event, event.output_index)
    }
    return this.#flush()
  }

  /** The stream has ended; without a terminal event it was cut. */
  end(): MessagesEvent[] {
    if (this.#status !== undefined) return []
    const message = 'The upstream closed the stream before the answer was complete.'
    return this.fail(this.#pendingError ?? new ApiError(this.#options.lostCode, message))
  }

  /** Ends with an `error` event; no message_stop follows, so that no client takes it for a success. */
  fail(error: ApiError): MessagesEvent[] {
    if (this.#status !== undefined) return []
    this.#status = 'failed'
    this.#events.push(messagesErrorBody(error, this.#options.requestId))
    return this.#flush()
  }

  #flush(): MessagesEvent[] {
    const events = this.#events
    this.#events = []
    return events
  }

  #start(): void {
    if (this.#started) return
    this.#started = true
    this.#events.push(
      { type: 'message_start', message: emptyMessage(this.#options) },
      { type: 'ping' },
    )
  }

  /** Reads an event of the open item, or of any while none is open; others wait. */
  #inTurn(event: Event, item: number): void {
    const open = this.#open
    if (open !== undefined && open.item !== item) {
      this.#waiting.push(event)
      return
    }
    if (!this.#sentOf(item).done) this.#read(event, item)
    if (this.#open === undefined) this.#replay()
  }

  #replay(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const event of waiting) this.#inTurn(event, Number(event.output_index))
  }

  #read(event: Event, item: number): void {
    const { delta } = event
    switch (event.type) {
      case 'response.output_item.added':
        if (isObject(event.item) && event.item.type === 'function_call')
          this.#call(event.item, item)
        return
      case 'response.output_text.delta':
        this.#text(delta, item, event.content_index)
        return
      case 'response.refusal.delta':
        this.#refused = true
        this.#text(delta, item, event.content_index)
        return
      case 'response.reasoning_text.delta':
      case 'response.reasoning.delta':
        this.#reasoning(delta, item, 'text', event.content_index)
        return
      case 'response.reasoning_summary_text.delta':
        this.#reasoning(delta, item, 'summary', event.summary_index)
        return
      case 'response.function_call_arguments.delta':
        this.#arguments(delta, item)
        return
      case 'response.output_item.done':
        if (isObject(event.item)) this.#done(event.item, item)
        return
    }
  }

  #sentOf(item: number): SentItem {
    let sent = this.#sent.get(item)
    if (sent === undefined) {
      const nothing = { reasoning: undefined, call: false, arguments: false, done: false }
      sent = { parts: new Set(), ...nothing }
      this.#sent.set(item, sent)
    }
    return sent
  }

  #text(delta: unknown, item: number, part: unknown): void {
    if (typeof delta !== 'string' || delta === '') return
    const open = this.#open
    if (open?.kind !== 'text' || open.item !== item || open.part !== part) {
      this.#begin(
        { kind: 'text', item, part, text: '' },
        { type: 'text', text: '', citations: null },
      )
      this.#sentOf(item).parts.add(part)
    }
    this.#delta({ type: 'text_delta', text: delta })
  }

  #reasoning(delta: unknown, item: number, family: 'text' | 'summary', part: unknown): void {
    const { display } = this.#options
    if (typeof delta !== 'string' || delta === '' || display === 'none') return
    const sent = this.#sentOf(item)
    if (sent.reasoning !== undefined && sent.reasoning !== family) return
    sent.reasoning = family
    let open = this.#open
    if (open?.kind !== 'thinking' || open.item !== item) {
      open = { kind: 'thinking', item, part, text: '' }
      this.#begin(open, { type: 'thinking', thinking: '', signature: '' })
    }
    const thinking = open.part === part ? delta : `\n${delta}`
    open.part = part
    open.text += thinking
    if (display === 'shown') this.#delta({ type: 'thinking_delta', thinking })
  }

  #call(call: Event, item: number): void {
    this.#sentOf(item).call = true
    this.#hasCalls = true
    this.#begin({ kind: 'tool_use', item, part: undefined, text: '' }, emptyCall(call))
  }

  #arguments(delta: unknown, item: number): void {
    const isOpen = this.#open?.kind === 'tool_use' && this.#open.item === item
    if (typeof delta !== 'string' || delta === '' || !isOpen) return
    this.#sentOf(item).arguments = true
    this.#delta({ type: 'input_json_delta', partial_json: delta })
  }

  /** What a server said only in the finished item, and the end of its block. */
  #done(finished: Event, item: number): void {
    const sent = this.#sentOf(item)
    if (finished.type === 'function_call') {
      if (!sent.call) this.#call(finished, item)
      if (!sent.arguments) this.#arguments(finished.arguments, item)
    } else if (finished.type === 'reasoning' && sent.reasoning === undefined) {
      this.#reasoning(reasoningText(finished), item, 'text', 0)
    } else if (finished.type === 'message') {
      for (const [index, part] of objects(finished.content).entries()) {
        if (part.type === 'refusal') this.#refused = true
        if (sent.parts.has(index)) continue
        this.#text(part.type === 'refusal' ? part.refusal : part.text, item, index)
      }
    } else this.#server(finished, item)
    sent.done = true
    if (this.#open?.item === item) this.#close()
  }

  /** A call that ran at the server is told when it is over: its input, and what came of it. */
  #server(finished: Event, item: number): void {
    if (isCountedSearch(finished)) this.#searches++
    this.#container = containerOf(finished, this.#options.now?.()) ?? this.#container
    const call = serverCall(finished)
    if (call === undefined) return
    const open: OpenBlock = { kind: 'server', item, part: undefined, text: '' }
    const { input } = call.use
    this.#begin(open, { ...call.use, input: {} })
    this.#delta({ type: 'input_json_delta', partial_json: JSON.stringify(input) })
    this.#begin(open, call.result)
  }

  #begin(open: OpenBlock, content_block: OutputBlock): void {
    this.#close()
    this.#open = open
    this.#events.push({ type: 'content_block_start', index: this.#blocks, content_block })
  }

  #delta(delta: BlockDelta): void {
    this.#events.push({ type: 'content_block_delta', index: this.#blocks, delta })
  }

  #close(): void {
    const open = this.#open
    if (open === undefined) return
    if (open.kind === 'thinking') {
      const signature = signatureOf(open.text, this.#options.display)
      this.#delta({ type: 'signature_delta', signature })
    }
    this.#events.push({ type: 'content_block_stop', index: this.#blocks++ })
    this.#open = undefined
  }

  #finish(event: Event): void {
    // An item that never said that it was done is done now.
    while (this.#open !== undefined || this.#waiting.length > 0) {
      if (this.#open !== undefined) this.#sentOf(this.#open.item).done = true
      this.#close()
      this.#replay()
    }
    const response = isObject(event.response) ? event.response : {}
    const status = event.type === 'response.completed' ? 'completed' : 'incomplete'
    const usage = usageFromResponses(response.usage)
    const seen = { hasCalls: this.#hasCalls, refused: this.#refused, usage, options: this.#options }
    const end = endOf({ ...response, status }, seen)
    this.#status = status
    this.#usage = usage
    this.#events.push(
      {
        type: 'message_delta',
        delta: { ...end, stop_details: null, container: this.#container },
        usage: usageToMessages(usage, this.#searches),
      },
      { type: 'message_stop' },
    )
  }
}
