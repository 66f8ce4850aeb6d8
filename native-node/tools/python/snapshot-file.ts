// The memory of an interpreter that has just started, in a file: made once an installation, by a process that had not yet run
// anything of a user, and read by every later one. It belongs to the code that made it and is of no use to any other.
import { createHash } from 'node:crypto'
import { closeSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

const ending = '.python-snapshot'

export class SnapshotFile {
  readonly #folder: string
  readonly #path: string
  /** Open for reading, as long as this lives. */
  #descriptor: number | undefined
  /** True once the kept file has started nothing: it is not looked at again. */
  #distrusted = false

  /** Kept in `folder` for as long as `sources` stay as they are. */
  constructor(folder: string, sources: readonly string[]) {
    this.#folder = folder
    const hash = createHash('sha256').update(process.versions.v8)
    for (const source of sources) hash.update('\0').update(readFileSync(source))
    this.#path = join(folder, hash.digest('hex').slice(0, 16) + ending)
  }

  /** A descriptor to read it by; undefined where there is none yet. */
  open(): number | undefined {
    if (this.#descriptor === undefined && !this.#distrusted) {
      try {
        this.#descriptor = openSync(this.#path, 'r')
      } catch {
        // Not made yet.
      }
    }
    return this.#descriptor
  }

  /** Keeps the memory; where that cannot be, in a file without a name in `spare`. Rejects where neither can be. */
  async save(memory: Buffer, spare: string): Promise<void> {
    // Not a FileHandle: it would be closed when it is collected.
    try {
      // The engine is kept there, too: for this user alone.
      await mkdir(this.#folder, { recursive: true, mode: 0o700 })
      const made = await written(this.#folder, memory)
      await rename(made, this.#path)
      this.#descriptor = openSync(this.#path, 'r')
      this.#removeOthers()
    } catch {
      const made = await written(spare, memory)
      this.#descriptor = openSync(made, 'r')
      await rm(made)
    }
  }

  /** The file is of no use. */
  distrust(): void {
    this.#distrusted = true
    this.close()
  }

  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor)
    this.#descriptor = undefined
  }

  /** Those of earlier versions. */
  #removeOthers(): void {
    for (const name of readdirSync(this.#folder)) {
      const path = join(this.#folder, name)
      if (name.endsWith(ending) && path !== this.#path) rmSync(path, { force: true })
    }
  }
}

async function written(folder: string, memory: Buffer): Promise<string> {
  const path = join(folder, `${process.pid}-${process.hrtime.bigint()}.tmp`)
  try {
    await writeFile(path, memory, { flag: 'wx', mode: 0o600, flush: true })
  } catch (error) {
    await rm(path, { force: true })
    throw error
  }
  return path
}
