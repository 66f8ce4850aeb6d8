// A real tool that is a function of the test: state by session, calls that end, hang or fail as the function likes.
import type { NodeTool, ToolCall, ToolResult } from '../../../native-node/tools/tool.ts'
import type { HostedToolName } from '../../../src/tools/hosted.ts'

export interface FunctionToolOptions {
  name?: HostedToolName
  maxSessions?: number
  call: (call: ToolCall, signal: AbortSignal, memory: Map<string, string>) => Promise<ToolResult>
  end?: (session: string) => Promise<void>
}

export class FunctionTool implements NodeTool {
  readonly name: HostedToolName
  readonly maxSessions: number
  readonly calls: ToolCall[] = []
  readonly ended: string[] = []
  closed = false
  readonly #options: FunctionToolOptions
  readonly #memories = new Map<string, Map<string, string>>()

  constructor(options: FunctionToolOptions) {
    this.name = options.name ?? 'code_interpreter'
    this.maxSessions = options.maxSessions ?? 4
    this.#options = options
  }

  /** Sessions that hold something. */
  get sessions(): string[] {
    return [...this.#memories.keys()]
  }

  call(call: ToolCall, signal: AbortSignal): Promise<ToolResult> {
    this.calls.push(call)
    const memory = this.#memories.get(call.session) ?? new Map<string, string>()
    this.#memories.set(call.session, memory)
    return this.#options.call(call, signal, memory)
  }

  async end(session: string): Promise<void> {
    this.ended.push(session)
    this.#memories.delete(session)
    await this.#options.end?.(session)
  }

  async close(): Promise<void> {
    this.closed = true
    this.#memories.clear()
  }
}

/** Code of one line: `x = word` keeps a word, `x` gives it back. */
export function memoryTool(options: Partial<FunctionToolOptions> = {}): FunctionTool {
  return new FunctionTool({
    async call({ arguments: { code } }, _signal, memory) {
      const [name = '', word] = String(code).split(' = ')
      if (word !== undefined) memory.set(name, word)
      const text = memory.get(name)
      return text === undefined
        ? { text: `NameError: ${name}`, isError: true }
        : { text, isError: false }
    },
    ...options,
  })
}
