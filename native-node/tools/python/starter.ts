// Starts Python processes: the very first from nothing, in seconds; the others from a snapshot of the first one's memory,
// in a fraction of that.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildFolder, programEnding } from '../../server/installation.ts'
import { findLayers, nodeArguments, pyodideFolder } from './launch.ts'
import type { ChildSettings } from './messages.ts'
import { PythonProcess } from './process.ts'
import { SnapshotFile } from './snapshot-file.ts'

export interface StarterOptions
  extends Pick<
    ChildSettings,
    'outputBytes' | 'diskBytes' | 'files' | 'fileBytes' | 'fileNames' | 'lastResortMs'
  > {
  memoryMiB: number
  graceMs: number
  /** Where the snapshot is kept for the next run. */
  snapshotFolder?: string
}

/** A start from nothing takes some seconds of a busy machine's time. */
const startMs = 60_000

/** The snapshot of this Pyodide, started by this code. */
export function pythonSnapshot(folder: string): SnapshotFile {
  const sources = [
    join(pyodideFolder(), 'package.json'),
    join(import.meta.dirname, `interpreter${programEnding}`),
  ]
  return new SnapshotFile(folder, sources)
}

export class PythonStarter {
  readonly #options: StarterOptions
  #folder: Promise<string> | undefined
  #layers: Promise<string[]> | undefined
  /** Settles when the first start is over; the others wait for what it makes. */
  #first: Promise<unknown> | undefined
  readonly #snapshot: SnapshotFile
  /** True once a process has started from the snapshot. */
  #proven = false
  #closed = false

  constructor(options: StarterOptions) {
    this.#options = options
    this.#snapshot = pythonSnapshot(options.snapshotFolder ?? buildFolder)
  }

  /** A process that is ready for its first cell. Rejects with a reason that a model may read. */
  async start(signal: AbortSignal): Promise<PythonProcess> {
    while (this.#first !== undefined) await this.#first
    const snapshot = this.#snapshot.open()
    if (snapshot === undefined) return await this.#startFirst(signal)
    try {
      const started = await this.#spawn(signal, { snapshot })
      this.#proven = true
      return started
    } catch (error) {
      if (this.#proven || this.#closed || signal.aborted) throw error
      // A kept file may be broken; what else is wrong will show again.
      this.#snapshot.distrust()
      return await this.start(signal)
    }
  }

  async #startFirst(signal: AbortSignal): Promise<PythonProcess> {
    let saved: Promise<void> | undefined
    const started = this.#spawn(signal, {
      onSnapshot: (memory) => {
        // Without a snapshot every start is a first one: slower, and nothing else.
        saved = this.#save(memory).catch(() => {})
      },
    })
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
    this.#snapshot.close()
    if (this.#folder) await rm(await this.#folder, { recursive: true, force: true })
  }

  async #spawn(
    signal: AbortSignal,
    { snapshot, onSnapshot }: { snapshot?: number; onSnapshot?: (memory: Buffer) => void },
  ): Promise<PythonProcess> {
    const { memoryMiB, graceMs, snapshotFolder: _, ...limits } = this.#options
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
        snapshot,
        onSnapshot: onSnapshot ?? (() => {}),
        outputBytes: limits.outputBytes,
        startMs,
        graceMs,
      },
      signal,
    )
  }

  async #save(memory: Buffer): Promise<void> {
    await this.#snapshot.save(memory, await this.#folder!)
  }
}
