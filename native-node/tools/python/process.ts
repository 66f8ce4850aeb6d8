// One Python process as the node sees it: started, given cells, interrupted, killed. Whatever the process does, each promise
// here settles and no buffer grows past its limit.
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, unlinkSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { encodeFrame, type Frame, FrameReader, frameKind } from './frames.ts'
import { interruptSignal } from './interrupt-switch.ts'
import type { Launch } from './launch.ts'
import {
  type Answer,
  answerSchema,
  type ChildMessage,
  type DoneAnswer,
  type FileMessage,
  type RunMessage,
} from './messages.ts'

export interface ProcessOptions {
  launch: Launch
  /** Empty; the process's own working folder. */
  folder: string
  /** File descriptor with the memory to start from. */
  snapshot: number | undefined
  /** The memory that the process sends, where it was asked to. */
  onSnapshot: (memory: Buffer) => void
  outputBytes: number
  /** Milliseconds that a start may take. */
  startMs: number
  /** Milliseconds between an interrupt and the kill. */
  graceMs: number
}

/** How a cell ended. */
export type CellEnd = { output: string; cutOutput: boolean } & (
  | ({ type: 'done'; interrupted: boolean } & Pick<
      DoneAnswer,
      'ok' | 'dropped' | 'files' | 'leftOut'
    >)
  /** The process is gone. */
  | { type: 'lost'; reason: string }
)

/** What came of something done with files, and the bytes of the one that was read. */
export interface FileAnswer {
  answer: Answer
  bytes: Buffer | undefined
}

/** The reason of a process that had to be killed. */
export const stuck = 'the code did not stop when it was interrupted'

/** Milliseconds that anything with files may take: no code of a user runs meanwhile. */
const fileMs = 20_000

/** What Node writes as it dies is for people who look for a fault; this much of it is kept. */
const diagnosticsChars = 2000

export class PythonProcess {
  /** True until the process is gone or of no more use. */
  alive = true
  readonly #options: ProcessOptions
  readonly #child: ChildProcess
  readonly #reader = new FrameReader()
  readonly #control: number
  #diagnostics = ''
  #output: Buffer[] = []
  #outputBytes = 0
  /** Set while a start or a cell waits for its answer. */
  #waiter: { resolve: (answer: Answer) => void; reject: (reason: Error) => void } | undefined
  /** Set while a file is read, once it has come. */
  #file: Buffer | undefined
  #ended: Promise<void>

  private constructor(options: ProcessOptions) {
    this.#options = options
    const { launch, folder, snapshot } = options
    const { write, read } = controlFile(folder)
    this.#control = write
    try {
      this.#child = spawn(launch.command, launch.args, {
        cwd: folder,
        env: {},
        stdio: ['pipe', 'ignore', 'pipe', read, 'pipe', snapshot ?? 'ignore'],
      })
    } catch (error) {
      closeSync(write)
      throw error
    } finally {
      closeSync(read)
    }
    this.#ended = new Promise((resolve) => {
      this.#child.once('close', () => resolve())
      this.#child.once('error', () => resolve())
    })
    this.#reader.over.add(frameKind.file)
    this.#listen()
  }

  /** Resolves when Python is ready for cells; rejects with the reason where it does not get there. */
  static async start(options: ProcessOptions, signal: AbortSignal): Promise<PythonProcess> {
    signal.throwIfAborted()
    const started = new PythonProcess(options)
    const timer = setTimeout(() => started.#lose('Python took too long to start'), options.startMs)
    const abort = () => started.#lose('The start was given up')
    signal.addEventListener('abort', abort, { once: true })
    try {
      await started.#answer()
      // Later ones would come from behind a user's code.
      started.#reader.over.add(frameKind.snapshot)
      return started
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', abort)
    }
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  /** Runs one cell; never rejects. On `signal` the code is interrupted, and after the grace the process is killed. */
  async run(message: RunMessage, signal: AbortSignal): Promise<CellEnd> {
    this.#output = []
    this.#outputBytes = 0
    let interrupted = false
    let kill: NodeJS.Timeout | undefined
    const interrupt = () => {
      interrupted = true
      this.#interrupt(true)
      kill = setTimeout(() => this.#lose(stuck), this.#options.graceMs)
    }
    try {
      this.#interrupt(false)
      const answer = this.#answer()
      this.#send({ type: 'run', ...message })
      if (signal.aborted) interrupt()
      else signal.addEventListener('abort', interrupt, { once: true })
      const done = await answer
      if (done.type !== 'done') throw new Error('the interpreter answered out of turn')
      return { ...done, interrupted, ...this.#takenOutput() }
    } catch (error) {
      this.kill()
      const reason = error instanceof Error ? error.message : String(error)
      return { type: 'lost', reason, ...this.#takenOutput() }
    } finally {
      clearTimeout(kill)
      signal.removeEventListener('abort', interrupt)
    }
  }

  /** Does something with its files, between cells; `body`: what is written. Rejects where the process was lost. */
  async file(message: FileMessage, body?: Uint8Array): Promise<FileAnswer> {
    const timer = setTimeout(() => this.#lose('the interpreter does not answer'), fileMs)
    if (message.type === 'read') this.#reader.over.delete(frameKind.file)
    try {
      const answered = this.#answer()
      this.#send(message, body)
      const answer = await answered
      if (answer.type !== message.type) throw new Error('the interpreter answered out of turn')
      return { answer, bytes: this.#file }
    } catch (error) {
      this.kill()
      throw error
    } finally {
      clearTimeout(timer)
      this.#file = undefined
      this.#reader.over.add(frameKind.file)
    }
  }

  /** Ends the process at once; resolves when it is gone. */
  async kill(): Promise<void> {
    this.#lose('the session was ended')
    await this.#ended
  }

  #listen(): void {
    const [requests, , diagnostics, , answers] = this.#child.stdio as unknown as [
      Writable,
      null,
      Readable,
      null,
      Readable,
    ]
    // A child that is gone breaks the pipe; that it is gone is told by its end.
    requests.on('error', () => {})
    for (const stream of [diagnostics, answers]) stream.on('error', () => {})
    diagnostics.setEncoding('utf8').on('data', (text: string) => {
      this.#diagnostics = (this.#diagnostics + text).slice(-diagnosticsChars)
    })
    answers.on('data', (chunk: Buffer) => this.#take(chunk))
    this.#child.once('error', (error) =>
      this.#lose(`Python could not be started: ${error.message}`),
    )
    this.#child.once('close', (code, signal) => {
      closeSync(this.#control)
      this.#lose(endOf(code, signal, this.#diagnostics))
    })
  }

  #take(chunk: Buffer): void {
    if (!this.alive) return
    try {
      for (const frame of this.#reader.push(chunk)) this.#takeFrame(frame)
    } catch {
      this.#lose('the interpreter broke the protocol')
    }
  }

  #takeFrame({ kind, payload }: Frame): void {
    if (kind === frameKind.output) {
      const kept = payload.subarray(0, this.#options.outputBytes - this.#outputBytes)
      this.#outputBytes += kept.byteLength
      // A copy: the frame may be part of something larger.
      if (kept.byteLength > 0) this.#output.push(Buffer.from(kept))
    } else if (kind === frameKind.snapshot) {
      this.#options.onSnapshot(payload)
    } else if (kind === frameKind.file) {
      this.#file = payload
      this.#reader.over.add(frameKind.file)
    } else this.#takeAnswer(payload)
  }

  #takeAnswer(payload: Buffer): void {
    const answer = answerSchema.parse(JSON.parse(payload.toString()))
    if (answer.type === 'end') {
      this.#lose(answer.reason)
      return
    }
    this.#waiter?.resolve(answer)
    this.#waiter = undefined
  }

  #answer(): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (!this.alive) reject(new Error('the session was ended'))
      else this.#waiter = { resolve, reject }
    })
  }

  #send(message: ChildMessage, body?: Uint8Array): void {
    const requests = this.#child.stdin!
    const frames = [
      encodeFrame(frameKind.message, Buffer.from(JSON.stringify(message))),
      body === undefined ? [] : encodeFrame(frameKind.file, body),
    ]
    for (const part of frames.flat()) requests.write(part)
  }

  #interrupt(on: boolean): void {
    if (!this.alive) return
    writeSync(this.#control, Uint8Array.of(on ? interruptSignal : 0), 0, 1, 0)
  }

  #lose(reason: string): void {
    if (!this.alive) return
    this.alive = false
    this.#child.kill('SIGKILL')
    const said = Buffer.concat(this.#output).toString() + this.#diagnostics
    // For whoever runs the node; the model reads the reason alone.
    this.#waiter?.reject(new Error(reason, { cause: said.slice(-diagnosticsChars) }))
    this.#waiter = undefined
  }

  #takenOutput(): { output: string; cutOutput: boolean } {
    const cutOutput = this.#outputBytes >= this.#options.outputBytes
    const output = Buffer.concat(this.#output).toString()
    this.#output = []
    return { output, cutOutput }
  }
}

/** A file without a name, open twice: to write here, and to read there. */
function controlFile(folder: string): { write: number; read: number } {
  const path = join(folder, `interrupt-${process.hrtime.bigint()}`)
  const write = openSync(path, 'wx', 0o600)
  try {
    writeSync(write, Uint8Array.of(0))
    return { write, read: openSync(path, 'r') }
  } catch (error) {
    closeSync(write)
    throw error
  } finally {
    unlinkSync(path)
  }
}

function endOf(code: number | null, signal: NodeJS.Signals | null, diagnostics: string): string {
  if (/heap out of memory|Allocation failed|bad_alloc/i.test(diagnostics)) {
    return 'the interpreter ran out of memory'
  }
  return `the interpreter ended unexpectedly (${signal ?? `status ${code}`})`
}
