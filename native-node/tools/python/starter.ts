// Starts Python processes: the first from nothing, in seconds; the others from a snapshot of the first one's memory, taken
// before any code of a user ran, in a fraction of that.
import { closeSync, openSync } from 'node:fs'
import { mkdtemp, open, rm, unlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findLayers, nodeArguments, pyodideFolder } from './launch.ts'
import type { ChildSettings } from './messages.ts'
import { PythonProcess } from './process.ts'

export interface StarterOptions
  extends Pick<
    ChildSettings,
    'outputBytes' | 'diskBytes' | 'files' | 'fileBytes' | 'lastResortMs'
  > {
  memoryMiB: number
  graceMs: number
}

/** A start from nothing takes some seconds of a busy machine's time. */
const startMs = 60_000

export class PythonStarter {
  readonly #options: StarterOptions
  #folder: Promise<string> | undefined
  #layers: Promise<string[]> | undefined
  /** Settles when the first start is over; the others wait for what it makes. */
  #first: Promise<unknown> | undefined
  /** Of an unnamed file, for as long as this lives. */
  #snapshot: number | undefined
  #closed = false

  constructor(options: StarterOptions) {
    this.#options = options
  }

  /** A process that is ready for its first cell. Rejects with a reason that a model may read. */
  async start(signal: AbortSignal): Promise<PythonProcess> {
    while (this.#first !== undefined) await this.#first
    if (this.#snapshot !== undefined) return await this.#spawn(signal, undefined)
    let saved: Promise<void> | undefined
    const started = this.#spawn(signal, (memory) => {
      saved = this.#save(memory).catch(() => {})
    })
    // Without a snapshot every start is a first one: slower, and nothing else.
    this.#first = started.catch(() => {}).then(() => saved)
    try {
      await this.#first
    } finally {
      this.#first = undefined
    }
    return await started
  }

  /** Every process must have been ended. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#first
    if (this.#snapshot !== undefined) closeSync(this.#snapshot)
    this.#snapshot = undefined
    if (this.#folder) await rm(await this.#folder, { recursive: true, force: true })
  }

  async #spawn(
    signal: AbortSignal,
    onSnapshot: ((memory: Buffer) => void) | undefined,
  ): Promise<PythonProcess> {
    const { memoryMiB, graceMs, ...limits } = this.#options
    this.#folder ??= mkdtemp(join(tmpdir(), 'switchyard-python-'))
    this.#layers ??= findLayers(memoryMiB)
    const [folder, layers] = await Promise.all([this.#folder, this.#layers])
    if (this.#closed) throw new Error('The node stops.')
    const pyodide = pyodideFolder()
    const makeSnapshot = onSnapshot !== undefined
    const settings: ChildSettings = { pyodideFolder: pyodide, makeSnapshot, ...limits }
    const [command = process.execPath, ...args] = [
      ...layers,
      process.execPath,
      ...nodeArguments(memoryMiB, pyodide),
      JSON.stringify(settings),
    ]
    return await PythonProcess.start(
      {
        launch: { command, args },
        folder,
        snapshot: this.#snapshot,
        onSnapshot: onSnapshot ?? (() => {}),
        outputBytes: limits.outputBytes,
        startMs,
        graceMs,
      },
      signal,
    )
  }

  async #save(memory: Buffer): Promise<void> {
    const path = join(await this.#folder!, 'snapshot')
    const file = await open(path, 'wx', 0o600)
    try {
      await file.writeFile(memory)
    } finally {
      await file.close()
    }
    // Not a FileHandle: it would be closed when it is collected.
    this.#snapshot = openSync(path, 'r')
    await unlink(path)
  }
}
