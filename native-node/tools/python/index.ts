// code_interpreter: Python for models, stateful from call to call. This file owns the sessions; the process behind one is
// process.ts, what runs in it child.ts, and docs/code-interpreter.md says what it holds back and what not.
import { hostedLimits } from '../../../src/tools/hosted-wire.ts'
import type { NodeTool, ToolCall, ToolResult } from '../tool.ts'
import { cellResult, failure, seconds } from './cell-result.ts'
import type { CellEnd, PythonProcess } from './process.ts'
import { PythonStarter } from './starter.ts'

export interface PythonToolOptions {
  /** Sessions at once; each is a process of about 200 MB. */
  maxSessions?: number
  /** Milliseconds that a call's code may run. */
  timeoutMs?: number
  /** Python's memory: what it gets is a MemoryError, what it never gets is more. */
  memoryMiB?: number
  /** All files of a session together. */
  diskMiB?: number
  /** Milliseconds that interrupted code has to stop by itself before its session is ended. */
  graceMs?: number
}

/** Python for `code_interpreter`. Nothing is started or loaded before the first call. */
export function createPythonTool(options: PythonToolOptions = {}): NodeTool {
  return new PythonTool(options)
}

/** Longer code is no code of a model. */
const maxCodeBytes = 1024 * 1024
const defaultTimeoutMs = 120_000

class PythonTool implements NodeTool {
  readonly name = 'code_interpreter'
  readonly maxSessions: number
  readonly #timeoutMs: number
  readonly #starter: PythonStarter
  readonly #processes = new Map<string, PythonProcess>()
  /** Sessions with a call under way. */
  readonly #busy = new Set<string>()
  readonly #closing = new AbortController()

  constructor(options: PythonToolOptions) {
    const { timeoutMs = defaultTimeoutMs, memoryMiB = 512, diskMiB = 128, graceMs = 2000 } = options
    this.maxSessions = options.maxSessions ?? 8
    this.#timeoutMs = timeoutMs
    this.#starter = new PythonStarter({
      memoryMiB,
      diskBytes: diskMiB * 1024 * 1024,
      graceMs,
      // Room for the notes that come with it.
      outputBytes: hostedLimits.textBytes - 4096,
      files: hostedLimits.files,
      fileBytes: hostedLimits.fileBytes,
      lastResortMs: timeoutMs + graceMs + 10_000,
    })
  }

  async call(
    { arguments: given, session, files }: ToolCall,
    signal: AbortSignal,
  ): Promise<ToolResult> {
    const { code } = given
    if (typeof code !== 'string') return failure("the argument 'code' must be a string.")
    if (Buffer.byteLength(code) > maxCodeBytes) {
      return failure(`the code is too long: ${maxCodeBytes} bytes are the limit.`)
    }
    if (this.#busy.has(session)) return failure('the session still runs an earlier call.')
    this.#busy.add(session)
    try {
      return await this.#run(session, { code, files: files ?? [] }, signal)
    } finally {
      this.#busy.delete(session)
    }
  }

  async end(session: string): Promise<void> {
    const process = this.#processes.get(session)
    this.#processes.delete(session)
    await process?.kill()
  }

  async close(): Promise<void> {
    this.#closing.abort(new Error('The node stops.'))
    await Promise.all([...this.#processes.keys()].map((session) => this.end(session)))
    await this.#starter.close()
  }

  async #run(
    session: string,
    message: { code: string; files: { path: string; data: string }[] },
    signal: AbortSignal,
  ): Promise<ToolResult> {
    const open = this.#processes.get(session)
    const process = open?.alive ? open : await this.#start(session, signal)
    if (process === undefined) return failure(`all ${this.maxSessions} sessions are in use.`)
    const files = process === open ? [] : message.files
    const timeout = AbortSignal.timeout(this.#timeoutMs)
    const stop = AbortSignal.any([signal, timeout, this.#closing.signal])
    const end: CellEnd = await process.run({ ...message, files }, stop)
    if (!process.alive && this.#processes.get(session) === process) this.#processes.delete(session)
    const stopped = timeout.aborted
      ? `it ran for longer than ${seconds(this.#timeoutMs)}`
      : 'the call was given up'
    // One that was lost during a call was told of by that call.
    return cellResult(end, { stopped, replaced: open !== undefined && open !== process })
  }

  /** Undefined where there is no place for one more. */
  async #start(session: string, signal: AbortSignal): Promise<PythonProcess | undefined> {
    this.#processes.delete(session)
    const starting = [...this.#busy].filter((each) => !this.#processes.has(each)).length
    if (this.#processes.size + starting > this.maxSessions) return undefined
    const process = await this.#starter.start(AbortSignal.any([signal, this.#closing.signal]))
    this.#processes.set(session, process)
    return process
  }
}
