// The sessions of code_interpreter as containers: made by name, and their files taken out and put in while no call runs in
// them. Bounds what waits and what lies in this process's memory.
import { ApiError } from '../../src/errors.ts'
import { containerFileNotFound, containerNotFound, sessionOf } from '../../src/tools/containers.ts'
import { fileId } from './file-id.ts'
import type { Session, Sessions, SessionWishes } from './sessions.ts'
import type { ToolFile, ToolFiles } from './tool.ts'

export interface ContainersOptions {
  files: ToolFiles
  sessions: Sessions
  /** Milliseconds that anything may wait for the call that runs in a container. */
  waitMs: number
}

/** Requests that may stand in line before all containers together. */
const mostWaiting = 64
/** Files on their way out, all together. */
const mostOutgoing = 256 * 1024 * 1024

export interface OutgoingFile {
  file: ToolFile
  bytes: Uint8Array
  /** To be called once, when nothing holds the bytes any more. */
  release(): void
}

export class Containers {
  readonly #files: ToolFiles
  readonly #sessions: Sessions
  readonly #waitMs: number
  #waiting = 0
  #outgoing = 0

  constructor({ files, sessions, waitMs }: ContainersOptions) {
    this.#files = files
    this.#sessions = sessions
    this.#waitMs = waitMs
  }

  /** A new one; Python starts with the first thing that needs it. */
  async create(wishes: SessionWishes, signal: AbortSignal): Promise<Session> {
    const session = await this.#sessions.create(signal, wishes)
    session.gate.leave()
    this.#sessions.rest(session)
    return session
  }

  all(): Session[] {
    return this.#sessions.all()
  }

  /** Milliseconds that it stays without being used. */
  idleMs(session: Session): number {
    return this.#sessions.idleMs(session)
  }

  /** Looking counts as using it. Throws ApiError where it has ended. */
  get(id: string): Session {
    const session = this.#find(id)
    // While a call runs it is in use anyway, and its time is not yet counted.
    if (session.gate.idle(1)) this.#sessions.rest(session)
    return session
  }

  /** Ends it, whatever runs there. */
  async remove(id: string): Promise<void> {
    await this.#sessions.end(this.#find(id))
  }

  list(id: string, signal: AbortSignal): Promise<ToolFile[]> {
    return this.#use(id, signal, (session) => this.#files.list(session))
  }

  file(id: string, file: string, signal: AbortSignal): Promise<ToolFile> {
    return this.#use(id, signal, (session) => this.#fileOf(session, file))
  }

  read(id: string, file: string, signal: AbortSignal): Promise<OutgoingFile> {
    return this.#use(id, signal, async (session) => {
      const found = await this.#fileOf(session, file)
      const release = this.#reserve(found.bytes)
      try {
        const bytes = await this.#files.read(session, found.path)
        if (bytes === undefined) throw containerFileNotFound(file)
        return { file: found, bytes, release }
      } catch (error) {
        release()
        throw error
      }
    })
  }

  write(id: string, path: string, bytes: Uint8Array, signal: AbortSignal): Promise<ToolFile> {
    return this.#use(id, signal, async (session) => {
      await this.#files.write(session, path, bytes, signal)
      return await this.#fileOf(session, fileId(path))
    })
  }

  removeFile(id: string, file: string, signal: AbortSignal): Promise<void> {
    return this.#use(id, signal, async (session) => {
      const { path } = await this.#fileOf(session, file)
      if (!(await this.#files.remove(session, path))) throw containerFileNotFound(file)
    })
  }

  #find(id: string): Session {
    const session = this.#sessions.find(sessionOf(id) ?? '')
    if (session === undefined) throw containerNotFound(id)
    return session
  }

  async #fileOf(session: string, id: string): Promise<ToolFile> {
    const files = await this.#files.list(session)
    const file = files.find(({ path }) => fileId(path) === id)
    if (file === undefined) throw containerFileNotFound(id)
    return file
  }

  #reserve(bytes: number): () => void {
    if (this.#outgoing + bytes > mostOutgoing) {
      const message = 'Too many files are being fetched from this node at once.'
      throw new ApiError('no_capacity', message, { retryAfter: 2 })
    }
    this.#outgoing += bytes
    return () => {
      this.#outgoing -= bytes
    }
  }

  /** Lets work go on in a container while nothing else does. */
  async #use<Result>(
    id: string,
    signal: AbortSignal,
    work: (session: string) => Promise<Result>,
  ): Promise<Result> {
    const session = this.#find(id)
    await this.#enter(session, signal)
    try {
      if (session.ended) throw containerNotFound(id)
      this.#sessions.begin(session)
      return await work(session.id)
    } catch (error) {
      // Ended by another request meanwhile: whatever went wrong, that is why.
      throw session.ended ? containerNotFound(id) : error
    } finally {
      session.gate.leave()
      this.#sessions.rest(session)
    }
  }

  async #enter(session: Session, signal: AbortSignal): Promise<void> {
    if (this.#waiting >= mostWaiting) throw busy(`${mostWaiting} requests wait for containers here`)
    const patience = new AbortController()
    const late = busy('a call runs in the container')
    const timer = setTimeout(() => patience.abort(late), this.#waitMs)
    this.#waiting++
    try {
      await session.gate.enter(AbortSignal.any([signal, patience.signal]))
    } finally {
      this.#waiting--
      clearTimeout(timer)
    }
  }
}

function busy(why: string): ApiError {
  return new ApiError('no_capacity', `It cannot be done now: ${why}.`, { retryAfter: 5 })
}
