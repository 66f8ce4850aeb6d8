// Where hosted tools run: in this process, or in the processes that a tool starts. Bounds what may run at once, how long,
// and how much comes of it. Whatever a tool does wrong is a result that the model reads; it never ends this process.
import { availableParallelism } from 'node:os'
import { ApiError } from '../../src/errors.ts'
import { containersFeature } from '../../src/tools/containers.ts'
import type {
  HostedCall,
  HostedResult,
  HostedToolName,
  HostedTools,
} from '../../src/tools/hosted.ts'
import { hostedActions, lostSessionNote, parseHostedCall } from '../../src/tools/hosted-wire.ts'
import { boundedResult } from './bounded-result.ts'
import { ContainerApi } from './containers-api.ts'
import { Gate } from './gate.ts'
import { type Session, Sessions } from './sessions.ts'
import type { NodeTool, ToolResult } from './tool.ts'

export interface ToolHostOptions {
  tools: readonly NodeTool[]
  /** Calls that run at once; the rest wait. */
  parallelCalls?: number
  /** Calls that may wait; more are refused. */
  waitingCalls?: number
  /** Milliseconds that a call may wait for its turn. */
  waitMs?: number
  /** Milliseconds that a call may run. */
  callMs?: number
  /** Milliseconds that a call which is told to stop may take for it. */
  stopMs?: number
  /** Milliseconds after which a session that nobody uses ends. */
  idleMs?: number
  /** A cause worth logging; what a model wrote never passes here. */
  onError?: (error: unknown) => void
}

export interface ToolHost extends HostedTools {
  /** What is offered, in a fixed order. */
  readonly tools: readonly HostedToolName[]
  /** The same as a node's HELLO has it: with what else of them can be asked for. */
  readonly features: readonly string[]
  containers(request: Request): Promise<Response>
  /** Ends every session and every call. */
  close(): Promise<void>
}

/** How long a model's program may run: what gpt-oss was told in training. */
export const defaultCallMs = 120_000
const defaultIdleMs = 20 * 60_000
const defaultWaitMs = 30_000

/** The host of these tools; nothing is loaded before the first call. */
export function createToolHost(options: ToolHostOptions): ToolHost {
  return new Host(options)
}

interface Hosted {
  tool: NodeTool
  sessions: Sessions
}

class Host implements ToolHost {
  readonly tools: readonly HostedToolName[]
  readonly features: readonly string[]
  readonly #options: ToolHostOptions
  readonly #hosted = new Map<HostedToolName, Hosted>()
  readonly #gate: Gate
  readonly #most: number
  /** Calls that run or wait. */
  #calls = 0
  readonly #closing = new AbortController()
  /** Undefined where no tool has files. */
  readonly #containers: ContainerApi | undefined

  constructor(options: ToolHostOptions) {
    this.#options = options
    const parallel = options.parallelCalls ?? Math.max(2, availableParallelism())
    this.#gate = new Gate(parallel)
    this.#most = parallel + (options.waitingCalls ?? 32)
    const { idleMs = defaultIdleMs, onError = () => {} } = options
    for (const tool of options.tools) {
      this.#hosted.set(tool.name, { tool, sessions: new Sessions(tool, idleMs, onError) })
    }
    this.tools = [...this.#hosted.keys()].sort()
    const { tool, sessions } = this.#hosted.get('code_interpreter') ?? {}
    if (tool?.files && sessions) {
      const { files, memoryMiB } = tool
      const { waitMs = defaultWaitMs } = options
      this.#containers = new ContainerApi({ files, sessions, memoryMiB, waitMs, onError })
    }
    this.features = this.#containers ? [...this.tools, containersFeature] : this.tools
  }

  async containers(request: Request): Promise<Response> {
    if (this.#containers && !this.#closing.signal.aborted) return this.#containers.answer(request)
    const { pathname } = new URL(request.url)
    const message = `Unknown request URL: ${request.method} ${pathname}.`
    return new ApiError('not_found', message).toResponse()
  }

  async offers(tool: HostedToolName): Promise<boolean> {
    return this.#hosted.has(tool) && !this.#closing.signal.aborted
  }

  async call(given: HostedCall, signal: AbortSignal): Promise<HostedResult> {
    signal.throwIfAborted()
    const call = parseHostedCall(given)
    const hosted = this.#hosted.get(call.tool)
    if (hosted === undefined || this.#closing.signal.aborted) {
      throw new ApiError('no_capacity', `${call.tool} does not run here.`)
    }
    if (this.#calls >= this.#most) {
      const message = `${this.#calls} calls of tools are under way here already.`
      throw new ApiError('no_capacity', message, { retryAfter: 5 })
    }
    this.#calls++
    try {
      return await this.#admitted(hosted, call, signal)
    } finally {
      this.#calls--
    }
  }

  async close(): Promise<void> {
    this.#closing.abort(new ApiError('node_lost', 'The node stopped while the tool ran.'))
    for (const { sessions } of this.#hosted.values()) sessions.forgetAll()
    const closed = [...this.#hosted.values()].map(({ tool }) => tool.close())
    const { stopMs = 5000 } = this.#options
    const patience = new Promise<never[]>((done) => setTimeout(() => done([]), stopMs).unref())
    const results = await Promise.race([Promise.allSettled(closed), patience])
    for (const { reason } of rejections(results)) this.#options.onError?.(reason)
  }

  /** Waits for the session and for a place, then runs the call. */
  async #admitted(hosted: Hosted, call: HostedCall, signal: AbortSignal): Promise<HostedResult> {
    const patience = new AbortController()
    const { waitMs = defaultWaitMs } = this.#options
    const tired = new ApiError('no_capacity', 'No place for the call became free.', {
      retryAfter: 5,
    })
    const timer = setTimeout(() => patience.abort(tired), waitMs)
    const called = AbortSignal.any([signal, this.#closing.signal])
    const waiting = AbortSignal.any([called, patience.signal])
    const session = await this.#enter(hosted.sessions, call.session, waiting).finally(() =>
      clearTimeout(timer),
    )
    try {
      const lost = call.session !== undefined && call.session !== session.id
      return await this.#run(hosted, { ...call, session: session.id }, session, lost, called)
    } finally {
      this.#gate.leave()
      session.gate.leave()
      hosted.sessions.rest(session)
    }
  }

  /** Holds the session and a place of the host when it resolves. */
  async #enter(
    sessions: Sessions,
    wanted: string | undefined,
    signal: AbortSignal,
  ): Promise<Session> {
    const known = wanted === undefined ? undefined : sessions.find(wanted)
    if (known !== undefined) await known.gate.enter(signal)
    // It may have ended while this call stood in line.
    if (known?.ended) known.gate.leave()
    const session = known === undefined || known.ended ? await sessions.create(signal) : known
    sessions.begin(session)
    try {
      await this.#gate.enter(signal)
    } catch (error) {
      session.gate.leave()
      if (session === known) sessions.rest(session)
      else await sessions.end(session)
      throw error
    }
    return session
  }

  async #run(
    { tool, sessions }: Hosted,
    call: HostedCall & { session: string },
    session: Session,
    lost: boolean,
    signal: AbortSignal,
  ): Promise<HostedResult> {
    if (!hostedActions[call.tool].includes(call.action)) {
      const text = `Error: ${call.tool} has no action '${call.action}'.`
      return boundedResult({ text, isError: true }, session.id)
    }
    const { callMs = defaultCallMs, stopMs = 5000 } = this.#options
    const stop = new AbortController()
    const late = failed(`The call was ended after ${callMs / 1000} seconds.`)
    const timer = setTimeout(() => stop.abort(new Error(late.text)), callMs)
    const both = AbortSignal.any([signal, stop.signal])
    const running = this.#settled(tool, call, both)
    let result: ToolResult | undefined
    try {
      result = await Promise.race([running, stopped(both, stopMs)])
    } finally {
      clearTimeout(timer)
    }
    if (result === undefined) await endSoon(sessions, session, stopMs)
    signal.throwIfAborted()
    const { text, ...rest } = result ?? late
    return boundedResult({ ...rest, text: lost ? lostSessionNote + text : text }, session.id)
  }

  /** Never rejects. */
  async #settled(
    tool: NodeTool,
    call: HostedCall & { session: string },
    signal: AbortSignal,
  ): Promise<ToolResult> {
    try {
      return await tool.call(call, signal)
    } catch (error) {
      if (!signal.aborted) this.#options.onError?.(error)
      return failed(error instanceof Error ? error.message : String(error))
    }
  }
}

function failed(why: string): ToolResult {
  return { text: `Error: ${why}`, isError: true }
}

/** Resolves when a tool that was told to stop has had its time for it. */
function stopped(signal: AbortSignal, stopMs: number): Promise<undefined> {
  return new Promise((resolve) => {
    const wait = () => void setTimeout(() => resolve(undefined), stopMs).unref()
    if (signal.aborted) wait()
    else signal.addEventListener('abort', wait, { once: true })
  })
}

/** A session whose call does not stop is of no more use; nor is waiting for its end. */
async function endSoon(sessions: Sessions, session: Session, stopMs: number): Promise<void> {
  const patience = new Promise((resolve) => setTimeout(resolve, stopMs).unref())
  await Promise.race([sessions.end(session), patience])
}

function rejections(results: readonly PromiseSettledResult<void>[]): PromiseRejectedResult[] {
  return results.filter((result) => result.status === 'rejected')
}
