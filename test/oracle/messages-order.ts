// The order oracle for Messages streams: checks any list of events against the rules of Anthropic's streaming documentation
// and what @anthropic-ai/sdk relies on. It knows no converter and no type of ours.

type Json = Record<string, unknown>

const stopReasons = [
  'end_turn',
  'max_tokens',
  'stop_sequence',
  'tool_use',
  'refusal',
  'model_context_window_exceeded',
]
const deltaOf: Record<string, readonly string[]> = {
  text: ['text_delta'],
  thinking: ['thinking_delta', 'signature_delta'],
  tool_use: ['input_json_delta'],
}
const counts = [
  'input_tokens',
  'output_tokens',
  'cache_read_input_tokens',
  'cache_creation_input_tokens',
]

/** Every breach of the rules, in words; an empty list is a stream in order. */
export function checkMessagesOrder(events: readonly unknown[]): string[] {
  return new Oracle().run(events)
}

class Oracle {
  readonly #complaints: string[] = []
  #at = ''
  #started = false
  #open: { type: string; signed: boolean; json: string } | undefined
  #blocks = 0
  #calls = 0
  #delta = false
  #ended: string | undefined
  readonly #ids = new Set<unknown>()

  run(events: readonly unknown[]): string[] {
    for (const [position, event] of events.entries()) {
      this.#at = `event ${position}`
      if (!isJson(event) || typeof event.type !== 'string') {
        this.#complain('is not an object with a type')
        continue
      }
      this.#at = `event ${position} (${event.type})`
      if (this.#ended !== undefined) this.#complain(`comes after ${this.#ended}`)
      if (!this.#started && event.type !== 'message_start' && event.type !== 'error') {
        this.#complain('comes before message_start')
      }
      this.#event(event.type, event)
    }
    this.#at = 'the stream'
    if (this.#ended === undefined) this.#complain('has no message_stop and no error')
    return this.#complaints
  }

  #event(type: string, event: Json): void {
    if (this.#delta && type !== 'message_stop' && type !== 'ping' && type !== 'error') {
      this.#complain('comes after message_delta')
    }
    switch (type) {
      case 'message_start':
        this.#start(event.message)
        return
      case 'content_block_start':
        this.#blockStart(event)
        return
      case 'content_block_delta':
        this.#blockDelta(event)
        return
      case 'content_block_stop':
        this.#blockStop(event)
        return
      case 'message_delta':
        this.#messageDelta(event)
        return
      case 'message_stop':
        if (!this.#delta) this.#complain('comes before message_delta')
        this.#ended = type
        return
      case 'error':
        this.#ended = type
        if (!isJson(event.error) || typeof event.error.message !== 'string') {
          this.#complain('has no error.message')
        } else if (!/_error$/.test(String(event.error.type))) this.#complain('has no error.type')
        return
      case 'ping':
        return
      default:
        this.#complain('is no event of this API')
    }
  }

  #start(message: unknown): void {
    if (this.#started) this.#complain('comes twice')
    this.#started = true
    if (!isJson(message)) {
      this.#complain('has no message')
      return
    }
    if (message.type !== 'message' || message.role !== 'assistant') this.#complain('is no message')
    if (!/^msg_/.test(String(message.id))) this.#complain('has no id')
    if (typeof message.model !== 'string' || message.model === '') this.#complain('has no model')
    if (!Array.isArray(message.content) || message.content.length > 0)
      this.#complain('is not empty')
    if (message.stop_reason !== null) this.#complain('has a stop_reason')
    this.#usage(message.usage)
  }

  #blockStart({ index, content_block: block }: Json): void {
    if (this.#open !== undefined) this.#complain('comes while a block is open')
    if (index !== this.#blocks) this.#complain(`has index ${index}, not ${this.#blocks}`)
    if (!isJson(block) || typeof block.type !== 'string' || !(block.type in deltaOf)) {
      this.#complain('has no block of this API')
      return
    }
    const { type } = block
    if (type === 'text' && block.text !== '') this.#complain('has text')
    if (type === 'thinking' && (block.thinking !== '' || block.signature !== '')) {
      this.#complain('has thinking')
    }
    if (type === 'tool_use') this.#call(block)
    this.#open = { type, signed: false, json: '' }
  }

  #call({ id, name, input }: Json): void {
    this.#calls++
    if (typeof id !== 'string' || id === '' || this.#ids.has(id)) this.#complain('has no own id')
    this.#ids.add(id)
    if (typeof name !== 'string' || name === '') this.#complain('has no name')
    if (!isJson(input) || Object.keys(input).length > 0) this.#complain('has input')
  }

  #blockDelta({ index, delta }: Json): void {
    const open = this.#open
    if (open === undefined) {
      this.#complain('comes while no block is open')
      return
    }
    if (index !== this.#blocks) this.#complain(`has index ${index}, not ${this.#blocks}`)
    if (!isJson(delta)) {
      this.#complain('has no delta')
      return
    }
    if (!deltaOf[open.type]?.includes(String(delta.type))) {
      this.#complain(`is a ${delta.type} in a ${open.type} block`)
    }
    if (open.signed) this.#complain('comes after the signature')
    const text = delta.text ?? delta.thinking ?? delta.signature ?? delta.partial_json
    if (typeof text !== 'string' || text === '') this.#complain('is empty')
    if (delta.type === 'signature_delta') open.signed = true
    if (delta.type === 'input_json_delta') open.json += delta.partial_json
  }

  #blockStop({ index }: Json): void {
    const open = this.#open
    if (open === undefined) {
      this.#complain('comes while no block is open')
      return
    }
    if (index !== this.#blocks) this.#complain(`has index ${index}, not ${this.#blocks}`)
    if (open.type === 'thinking' && !open.signed) this.#complain('ends thinking unsigned')
    this.#blocks++
    this.#open = undefined
  }

  #messageDelta({ delta, usage }: Json): void {
    if (this.#delta) this.#complain('comes twice')
    this.#delta = true
    if (this.#open !== undefined) this.#complain('comes while a block is open')
    if (!isJson(delta)) {
      this.#complain('has no delta')
      return
    }
    if (!stopReasons.includes(String(delta.stop_reason))) this.#complain('has no stop_reason')
    if (delta.stop_reason === 'tool_use' && this.#calls === 0) this.#complain('tells of no call')
    if ((delta.stop_reason === 'stop_sequence') !== (typeof delta.stop_sequence === 'string')) {
      this.#complain('has a stop_sequence that does not fit')
    }
    this.#usage(usage)
  }

  #usage(usage: unknown): void {
    if (!isJson(usage)) {
      this.#complain('has no usage')
      return
    }
    for (const name of counts) {
      const count = usage[name]
      if (!Number.isInteger(count) || Number(count) < 0) this.#complain(`has no usage.${name}`)
    }
  }

  #complain(problem: string): void {
    this.#complaints.push(`${this.#at} ${problem}`)
  }
}

function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
