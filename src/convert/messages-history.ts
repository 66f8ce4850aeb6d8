// The messages of a Messages request as canonical items. One message becomes several: reasoning, text, calls and their
// outputs are items of their own there. Each item remembers what it was made of.
import type {
  Block,
  MessagesTool,
  SystemMessage,
  ToolResultBlock,
  Turn,
} from '../protocol/messages.ts'
import type { InputItem, InputPart } from '../protocol/responses.ts'
import { partsOf } from './messages-content.ts'
import { isServerResult, serverItem } from './messages-server-blocks.ts'
import { thinkingText } from './messages-thinking.ts'
import type { ToolChanges } from './messages-tools.ts'

/** Where an item came from, in the client's words. */
export interface Origin {
  path: string
  /** Paths of its parts. */
  parts: readonly string[]
  /** The client's name for `call_id`. */
  callId?: string
}

/** A part and the block that it was made of. */
interface PlacedPart {
  part: InputPart
  path: string
}

export class MessagesHistory {
  readonly items: InputItem[] = []
  readonly origins: Origin[] = []
  /** Paths of blocks that were left out: what Anthropic's servers ran, which no other model can read. */
  readonly dropped: string[] = []
  /**
   * Texts of system messages before the model's first turn. They join the instructions, since many chat templates take a
   * system message in the first place only, and some drop later ones without a word.
   */
  readonly leadingInstructions: string[] = []
  /** The last effort that a system message asked for. */
  effort: string | undefined
  /** The model has had a turn. */
  #began = false
  readonly #referenced = new Set<string>()
  readonly #removed = new Set<string>()
  readonly #defined: { tool: MessagesTool; path: string }[] = []

  constructor(messages: readonly (Turn | SystemMessage)[]) {
    const lastUser = messages.map((message) => message.role).lastIndexOf('user')
    for (const [index, message] of messages.entries()) {
      const path = `messages[${index}]`
      if (message.role === 'system') this.#system(message, path, index < lastUser)
      else if (typeof message.content === 'string') this.#text(message.role, message.content, path)
      else if (message.role === 'user') this.#user(message.content, path)
      else this.#assistant(message.content, path)
    }
  }

  /** `chosen`: tools that the request itself refers to. */
  toolChanges(chosen: readonly string[]): ToolChanges {
    const referenced = new Set([...this.#referenced, ...chosen])
    return { referenced, removed: this.#removed, defined: this.#defined }
  }

  #push(item: InputItem, origin: Origin): void {
    this.items.push(item)
    this.origins.push(origin)
    this.#began ||= item.type === 'function_call' || ('role' in item && item.role === 'assistant')
  }

  #text(role: 'user' | 'assistant' | 'system', content: string, path: string): void {
    if (content === '') return
    this.#push({ type: 'message', role, content }, { path, parts: [`${path}.content`] })
  }

  #system(message: SystemMessage, path: string, followed: boolean): void {
    this.effort = message.output_config?.effort ?? this.effort
    const { content } = message
    const blocks = typeof content === 'string' ? [] : (content ?? [])
    const texts = typeof content === 'string' ? [content] : []
    for (const [at, block] of blocks.entries()) {
      if (block.type === 'text') texts.push(block.text)
      else this.#toolChange(block, `${path}.content[${at}]`)
    }
    // Such a message is shown with the user turn that it follows, and no longer.
    if (message.clear_at === 'next_user_message' && followed) return
    const text = texts.filter((each) => each !== '').join('\n')
    if (this.#began) this.#text('system', text, path)
    else if (text !== '') this.leadingInstructions.push(text)
  }

  #toolChange(block: Block, path: string): void {
    if (block.type !== 'tool_addition' && block.type !== 'tool_removal') {
      this.dropped.push(path)
      return
    }
    const { definition } = block.tool
    const name = block.tool.name ?? definition?.name
    if (name === undefined) this.dropped.push(path)
    else if (block.type === 'tool_removal') this.#removed.add(name)
    else {
      this.#removed.delete(name)
      this.#referenced.add(name)
      if (definition !== undefined) {
        this.#defined.push({ tool: definition, path: `${path}.tool.definition` })
      }
    }
  }

  /** Results first, whatever the order: a model reads the answer to its call before what the user adds. */
  #user(blocks: readonly Block[], path: string): void {
    const said: PlacedPart[] = []
    for (const [at, block] of blocks.entries()) {
      const place = `${path}.content[${at}]`
      if (block.type === 'tool_result') this.#result(block, place)
      else said.push(...this.#placed(block, place))
    }
    this.#message('user', said, path)
  }

  #placed(block: Block, path: string): PlacedPart[] {
    switch (block.type) {
      case 'text':
      case 'image':
      case 'document':
      case 'search_result':
      case 'tool_reference':
        return partsOf(block, path).map((part) => ({ part, path }))
      case 'compaction':
        return block.content
          ? [{ part: { type: 'input_text', text: block.content }, path: `${path}.content` }]
          : []
      case 'tool_addition':
      case 'tool_removal':
        this.#toolChange(block, path)
        return []
      default:
        this.dropped.push(path)
        return []
    }
  }

  #message(role: 'user' | 'assistant', said: readonly PlacedPart[], path: string): void {
    if (said.length === 0) return
    const content = said.map(({ part }) => part)
    this.#push({ type: 'message', role, content }, { path, parts: said.map((each) => each.path) })
  }

  #result(block: ToolResultBlock, path: string): void {
    const { tool_use_id, content, is_error } = block
    const placed: PlacedPart[] = []
    const blocks = typeof content === 'string' ? [] : (content ?? [])
    for (const [at, each] of blocks.entries()) {
      if (each.type === 'tool_reference') this.#referenced.add(each.tool_name)
      placed.push(...this.#placed(each, `${path}.content[${at}]`))
    }
    const isText = placed.every(({ part }) => part.type === 'input_text')
    if (!isText && is_error === true) {
      placed.unshift({ part: { type: 'input_text', text: 'Error:' }, path })
    }
    const texts = placed.flatMap(({ part }) => (part.type === 'input_text' ? [part.text] : []))
    const whole = typeof content === 'string' ? content : texts.join('\n')
    const output = isText ? markedError(whole, is_error === true) : placed.map(({ part }) => part)
    this.#push(
      { type: 'function_call_output', call_id: tool_use_id, output },
      { path, parts: placed.map((each) => each.path), callId: 'tool_use_id' },
    )
  }

  #assistant(blocks: readonly Block[], path: string): void {
    const uses = firstBy(blocks, 'id')
    const results = firstBy(blocks, 'tool_use_id')
    let said: PlacedPart[] = []
    const flush = () => {
      this.#message('assistant', said, path)
      said = []
    }
    for (const [at, block] of blocks.entries()) {
      const place = `${path}.content[${at}]`
      if (block.type === 'text') {
        const { text } = block
        const part = { type: 'output_text' as const, text, annotations: [] }
        if (text !== '') said.push({ part, path: place })
        continue
      }
      flush()
      if (block.type === 'tool_use') {
        const { id, name, input } = block
        const args = JSON.stringify(input ?? {})
        this.#push(
          { type: 'function_call', call_id: id, name, arguments: args },
          { path: place, parts: [], callId: 'id' },
        )
      } else if (block.type === 'thinking') {
        const text = thinkingText(block)
        const id = `rs_${this.items.length}`
        const content = [{ type: 'reasoning_text', text }]
        // The Responses schema wants an id; a stable one keeps prefix caches warm.
        if (text !== '') {
          this.#push({ type: 'reasoning', id, summary: [], content }, { path: place, parts: [] })
        }
        // Redacted thinking belongs to whoever made it: there is nothing in it that another model could read.
      } else if (block.type !== 'redacted_thinking') this.#server(block, uses, results, place)
    }
    flush()
  }

  /** What ran at the server that answered then: told with its result, where a model can read both. */
  #server(block: Block, uses: BlocksById, results: BlocksById, path: string): void {
    const { type, id, tool_use_id }: Record<string, unknown> & { type: string } = block
    const isResult = isServerResult({ type })
    const wanted = isResult ? tool_use_id : id
    const use = uses.get(wanted)
    const item = use && serverItem(use, results.get(wanted))
    if (item === undefined) this.dropped.push(path)
    else if (!isResult) this.#push(item, { path, parts: [], callId: 'id' })
  }
}

type BlocksById = ReadonlyMap<unknown, Block>

/** The first block with each value of a field. */
function firstBy(blocks: readonly Block[], field: 'id' | 'tool_use_id'): BlocksById {
  const first = new Map<unknown, Block>()
  for (const block of blocks) {
    const value: unknown = Reflect.get(block, field)
    if (!first.has(value)) first.set(value, block)
  }
  return first
}

/** The canonical output has no flag for an error; most clients also say it in the text. */
function markedError(text: string, isError: boolean): string {
  return isError && !/^\W*(?:\w+_)?error/i.test(text) ? `Error: ${text}` : text
}
