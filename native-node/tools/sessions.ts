// The sessions of one tool: their ids, who may use them one after the other, and when they end. Their state is the tool's.
import { randomUUID } from 'node:crypto'
import { ApiError } from '../../src/errors.ts'
import { Gate } from './gate.ts'
import type { NodeTool } from './tool.ts'

/** What whoever made a session wants of it. */
export interface SessionWishes {
  name: string
  /** Shorter than the host's own. */
  idleMs?: number
  /** As the Containers API has it. */
  memoryLimit?: string
}

export interface Session {
  readonly id: string
  /** One call at a time. */
  readonly gate: Gate
  readonly wishes: SessionWishes
  /** Milliseconds since the epoch. */
  readonly createdAt: number
  lastActiveAt: number
  ended: boolean
}

/** Of a session that a call has begun. */
const unnamed: SessionWishes = { name: 'auto' }

export class Sessions {
  readonly #tool: NodeTool
  readonly #idleMs: number
  readonly #onError: (error: unknown) => void
  /** By id; the one used longest ago stands first. */
  readonly #open = new Map<string, { session: Session; timer: NodeJS.Timeout | undefined }>()

  constructor(tool: NodeTool, idleMs: number, onError: (error: unknown) => void) {
    this.#tool = tool
    this.#idleMs = idleMs
    this.#onError = onError
  }

  /** Those that have not ended. */
  all(): Session[] {
    return [...this.#open.values()].map(({ session }) => session)
  }

  /** Milliseconds that a session stays without being used. */
  idleMs({ wishes }: Session): number {
    return Math.min(wishes.idleMs ?? this.#idleMs, this.#idleMs)
  }

  find(id: string): Session | undefined {
    return this.#open.get(id)?.session
  }

  /**
   * A new one, already entered, in the place of the idle one used longest ago where all are taken; throws ApiError if all
   * are at work.
   */
  async create(signal: AbortSignal, wishes: SessionWishes = unnamed): Promise<Session> {
    const now = Date.now()
    const session: Session = {
      id: randomUUID(),
      gate: new Gate(1),
      wishes,
      createdAt: now,
      lastActiveAt: now,
      ended: false,
    }
    await session.gate.enter(signal)
    let oldest: Session | undefined
    if (this.#open.size >= this.#tool.maxSessions) {
      oldest = [...this.#open.values()].find((each) => each.session.gate.idle(1))?.session
      if (oldest === undefined) {
        const message = `All ${this.#tool.maxSessions} sessions of ${this.#tool.name} are at work.`
        throw new ApiError('no_capacity', message, { retryAfter: 5 })
      }
    }
    this.#open.set(session.id, { session, timer: undefined })
    if (oldest !== undefined) await this.end(oldest)
    return session
  }

  /** A call begins: the session does not end for being idle. */
  begin({ id }: Session): void {
    clearTimeout(this.#open.get(id)?.timer)
  }

  /** A call is over: the session is the one used last. */
  rest(session: Session): void {
    const entry = this.#open.get(session.id)
    if (entry === undefined) return
    session.lastActiveAt = Date.now()
    this.#open.delete(session.id)
    clearTimeout(entry.timer)
    const timer = setTimeout(() => void this.end(session), this.idleMs(session)).unref()
    this.#open.set(session.id, { session, timer })
  }

  /** Never rejects: a tool that cannot let go of a session is its own fault. */
  async end(session: Session): Promise<void> {
    session.ended = true
    clearTimeout(this.#open.get(session.id)?.timer)
    if (!this.#open.delete(session.id)) return
    try {
      await this.#tool.end(session.id)
    } catch (error) {
      this.#onError(error)
    }
  }

  /** Forgets all of them, telling nobody: the tool itself closes. */
  forgetAll(): void {
    for (const { session, timer } of this.#open.values()) {
      session.ended = true
      clearTimeout(timer)
    }
    this.#open.clear()
  }
}
