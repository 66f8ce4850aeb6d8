// code_interpreter: Python for models, stateful from call to call. This file owns the sessions; the process behind one is
// process.ts, what runs in it child.ts, and docs/code-interpreter.md says what it holds back and what not.
import { hostedLimits } from '../../../src/tools/hosted-wire.ts'
import type { NodeTool, ToolCall, ToolFiles, ToolResult } from '../tool.ts'
import { cellResult, failure, seconds } from './cell-result.ts'
import { filesOf } from './files.ts'
import type { RunMessage } from './messages.ts'
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
  readonly memoryMiB: number
  readonly files: ToolFiles
  readonly #timeoutMs: number
  readonly #starter: PythonStarter
  readonly #processes = new Map<string, PythonProcess>()
  /** Sessions with something under way; aborted when they are ended. */
  readonly #busy = new Map<string, AbortController>()
  /** Sessions that were begun anew for a file: the next call tells what was lost. */
  readonly #untold = new Set<string>()
  readonly #closing = new AbortController()

  constructor(options: PythonToolOptions) {
    const { timeoutMs = defaultTimeoutMs, memoryMiB = 512, diskMiB = 128, graceMs = 2000 } = options
    this.maxSessions = options.maxSessions ?? 8
    this.memoryMiB = memoryMiB
    this.files = filesOf({
      open: (session) => {
        const process = this.#processes.get(session)
        return process?.alive ? process : undefined
      },
      begin: (session, signal, work) =>
        this.#exclusive(session, signal, async (stop) => {
          const process = this.#processes.get(session)
          if (process !== undefined && !process.alive) this.#untold.add(session)
          const open = process?.alive ? process : await this.#start(session, stop)
          return open && work(open)
        }),
      diskMiB,
    })
    this.#timeoutMs = timeoutMs
    this.#starter = new PythonStarter({
      memoryMiB,
      diskBytes: diskMiB * 1024 * 1024,
      graceMs,
      // Room for the notes that come with it.
      outputBytes: hostedLimits.textBytes - 4096,
      files: hostedLimits.files,
      fileBytes: hostedLimits.fileBytes,
      fileNames: hostedLimits.fileIds,
      lastResortMs: timeoutMs + graceMs + 10_000,
    })
  }

  async call(
    { arguments: given, session, files, fileData }: ToolCall,
    signal: AbortSignal,
  ): Promise<ToolResult> {
    const { code } = given
    if (typeof code !== 'string') return failure("the argument 'code' must be a string.")
    if (Buffer.byteLength(code) > maxCodeBytes) {
      return failure(`the code is too long: ${maxCodeBytes} bytes are the limit.`)
    }
    const result = await this.#exclusive(session, signal, (stop) =>
      this.#run(session, { code, files: files ?? [], fileData }, stop),
    )
    return result ?? failure('the session still runs an earlier call.')
  }

  async end(session: string): Promise<void> {
    this.#untold.delete(session)
    // It may still be starting.
    this.#busy.get(session)?.abort(new Error('the session was ended'))
    const process = this.#processes.get(session)
    this.#processes.delete(session)
    await process?.kill()
  }

  async close(): Promise<void> {
    this.#closing.abort(new Error('The node stops.'))
    await Promise.all([...this.#processes.keys()].map((session) => this.end(session)))
    await this.#starter.close()
  }

  /** Undefined where something is under way in the session. */
  async #exclusive<Result>(
    session: string,
    signal: AbortSignal,
    work: (stop: AbortSignal) => Promise<Result>,
  ): Promise<Result | undefined> {
    if (this.#busy.has(session)) return undefined
    const ended = new AbortController()
    this.#busy.set(session, ended)
    try {
      return await work(AbortSignal.any([signal, ended.signal]))
    } finally {
      this.#busy.delete(session)
    }
  }

  async #run(session: string, message: RunMessage, signal: AbortSignal): Promise<ToolResult> {
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
    const replaced = this.#untold.delete(session) || (open !== undefined && open !== process)
    return cellResult(end, { stopped, replaced })
  }

  /** Undefined where there is no place for one more. */
  async #start(session: string, signal: AbortSignal): Promise<PythonProcess | undefined> {
    this.#processes.delete(session)
    const starting = [...this.#busy.keys()].filter((each) => !this.#processes.has(each)).length
    if (this.#processes.size + starting > this.maxSessions) return undefined
    const process = await this.#starter.start(AbortSignal.any([signal, this.#closing.signal]))
    this.#processes.set(session, process)
    return process
  }
}
