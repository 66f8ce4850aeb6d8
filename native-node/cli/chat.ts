// `switchyard chat`: a terminal chat with any OpenAI-compatible server.
import { readFileSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import {
  type Answer,
  type ChatMessage,
  chatTool,
  firstModel,
  streamAnswer,
  type ToolCall,
} from './chat-client.ts'
import { type Command, CommandError, note, parseChoice, UsageError } from './command.ts'

const efforts = ['none', 'minimal', 'low', 'medium', 'high', 'xhigh'] as const

const help = `/effort LEVEL  reasoning effort: ${efforts.join(', ')}
/tools FILE    tools from a JSON file (an array in the API's form); calls are shown, you type the result
/system TEXT   set the system message
/new           forget the conversation
/save FILE     write the conversation as JSON
/help          this list
/quit          leave (also Ctrl-D)
Ctrl-C stops an answer.`

const dim = (text: string) => (process.stdout.isTTY ? `\x1b[2m${text}\x1b[22m` : text)
const bold = (text: string) => (process.stdout.isTTY ? `\x1b[1m${text}\x1b[22m` : text)

export const chat: Command = {
  name: 'chat',
  summary:
    'Chats in the terminal: answers stream, reasoning is dimmed, Ctrl-C stops the answer and not the program.',
  usage: '[--base URL] [--model ID] [--effort LEVEL] [--system TEXT] [--key-env NAME]',
  details: `Commands in the chat:\n${help}`,
  options: {
    base: {
      type: 'string',
      value: 'URL',
      help: 'base URL of the API',
      default: 'http://127.0.0.1:8787/v1',
    },
    model: { type: 'string', value: 'ID', help: "model id (default: the server's first)" },
    effort: { type: 'string', value: 'LEVEL', help: `reasoning effort: ${efforts.join(', ')}` },
    system: { type: 'string', value: 'TEXT', help: 'system message' },
    'key-env': {
      type: 'string',
      value: 'NAME',
      help: 'environment variable that holds the API key',
      default: 'SWITCHYARD_API_KEY',
    },
  },
  async run(invocation) {
    const given = invocation.text('effort')
    const effort = given === undefined ? undefined : parseChoice(given, '--effort', efforts)
    const base = invocation.text('base') ?? 'http://127.0.0.1:8787/v1'
    if (!/^https?:\/\/./.test(base) || !URL.canParse(base))
      throw new UsageError(`--base '${base}' is not an http or https URL.`)
    const server = {
      base: apiBase(base),
      key: process.env[invocation.text('key-env') ?? 'SWITCHYARD_API_KEY'],
    }
    const model = invocation.text('model') ?? (await firstModel(server))
    const session = new Session(server, model)
    session.effort = effort
    session.system = invocation.text('system')
    await session.run()
    return 0
  },
}

/** People copy an address with and without `/v1`; a path of any other kind is the server's own. */
function apiBase(given: string): string {
  const base = given.replace(/\/+$/, '')
  return new URL(base).pathname === '/' ? `${base}/v1` : base
}

class Session {
  effort: string | undefined
  system: string | undefined
  readonly #server: { base: string; key: string | undefined }
  readonly #model: string
  #messages: ChatMessage[] = []
  #tools: unknown[] | undefined
  // Set while an answer streams, so that Ctrl-C has something to stop.
  #answering: AbortController | undefined
  // Lines that came before they were asked for (pasted or piped input), and the one who waits.
  #queue: (string | undefined)[] = []
  #waiting: ((line: string | undefined) => void) | undefined

  constructor(server: { base: string; key: string | undefined }, model: string) {
    this.#server = server
    this.#model = model
  }

  async run(): Promise<void> {
    note(`${bold(this.#model)} at ${this.#server.base}. /help lists the commands.`)
    const lines = createInterface({
      input: process.stdin,
      output: process.stdout,
      terminal: process.stdin.isTTY === true,
    })
    lines.on('SIGINT', () => {
      if (this.#answering) this.#answering.abort()
      else note('\n(Ctrl-D or /quit leaves)')
    })
    const deliver = (line: string | undefined) => {
      const waiting = this.#waiting
      this.#waiting = undefined
      if (waiting) waiting(line)
      else this.#queue.push(line)
    }
    lines.on('line', deliver)
    lines.on('close', () => deliver(undefined))
    for (;;) {
      const line = await this.#ask('> ')
      if (line === undefined || line.trim() === '/quit') break
      if (line.trim() === '') continue
      try {
        if (line.startsWith('/')) this.#command(line.trim())
        else await this.#say(line)
      } catch (error) {
        note(error instanceof Error ? error.message : String(error))
      }
    }
    lines.close()
  }

  #ask(prompt: string): Promise<string | undefined> {
    if (process.stdin.isTTY) process.stdout.write(prompt)
    if (this.#queue.length > 0) return Promise.resolve(this.#queue.shift())
    return new Promise((resolve) => {
      this.#waiting = resolve
    })
  }

  #command(line: string) {
    const [name = '', ...words] = line.split(/\s+/)
    const rest = words.join(' ')
    switch (name) {
      case '/help':
        note(help)
        return
      case '/new':
        this.#messages = []
        note('New conversation.')
        return
      case '/effort':
        this.effort = parseChoice(rest, '/effort', efforts)
        note(`Reasoning effort: ${this.effort}`)
        return
      case '/system':
        this.system = rest || undefined
        note(rest ? 'System message set.' : 'System message removed.')
        return
      case '/tools':
        this.#tools = rest ? readTools(rest) : undefined
        note(this.#tools ? `${this.#tools.length} tools.` : 'No tools.')
        return
      case '/save':
        if (!rest) throw new CommandError('/save needs a file name.')
        writeFileSync(
          rest,
          `${JSON.stringify({ model: this.#model, messages: this.#history(), tools: this.#tools }, null, 2)}\n`,
        )
        note(`Saved to ${rest}.`)
        return
      default:
        throw new CommandError(`Unknown command ${name}; /help lists them.`)
    }
  }

  #history(): ChatMessage[] {
    return this.system
      ? [{ role: 'system', content: this.system }, ...this.#messages]
      : this.#messages
  }

  /** One user message and all that follows until the model stops calling tools. */
  async #say(text: string): Promise<void> {
    const before = this.#messages.length
    this.#messages.push({ role: 'user', content: text })
    for (;;) {
      const answer = await this.#stream().catch((error: unknown) => {
        // A turn that failed is not part of the conversation: the next one would repeat it.
        this.#messages.length = before
        throw error
      })
      this.#messages.push(answer.message)
      if (answer.calls.length === 0 || answer.stopped) return
      for (const call of answer.calls) this.#messages.push(await this.#askToolResult(call))
    }
  }

  async #stream(): Promise<Answer> {
    const controller = new AbortController()
    this.#answering = controller
    // Without a terminal there is no readline to see Ctrl-C.
    const onSignal = () => controller.abort()
    process.on('SIGINT', onSignal)
    let shown: 'reasoning' | 'content' | undefined
    const show = (kind: 'reasoning' | 'content', piece: string) => {
      if (shown && shown !== kind) process.stdout.write('\n')
      shown = kind
      process.stdout.write(kind === 'reasoning' ? dim(piece) : piece)
    }
    try {
      const body = {
        model: this.#model,
        messages: this.#history(),
        ...(this.#tools ? { tools: this.#tools } : {}),
        ...(this.effort ? { reasoning_effort: this.effort } : {}),
      }
      const answer = await streamAnswer(this.#server, body, controller.signal, show)
      if (shown) process.stdout.write('\n')
      if (answer.stopped) note('(stopped)')
      else if (answer.finish === 'length') note('(cut: the token limit was reached)')
      return answer
    } finally {
      process.off('SIGINT', onSignal)
      this.#answering = undefined
    }
  }

  async #askToolResult(call: ToolCall): Promise<ChatMessage> {
    note(`${bold(call.function.name)}(${call.function.arguments})`)
    const result = await this.#ask('result> ')
    if (result === undefined) throw new CommandError('No result was given.')
    return { role: 'tool', tool_call_id: call.id, content: result }
  }
}

/** Tools of either API's form as Chat tools; throws CommandError naming the file and the entry. */
function readTools(path: string): unknown[] {
  let value: unknown
  try {
    value = JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    throw new CommandError(`${path}: ${error instanceof Error ? error.message : error}`)
  }
  if (!Array.isArray(value)) throw new CommandError(`${path}: an array of tools is expected.`)
  return value.map((tool: unknown, place) => {
    const mapped = chatTool(tool)
    if (!mapped) throw new CommandError(`${path}: entry ${place} is not a function tool.`)
    return mapped
  })
}
