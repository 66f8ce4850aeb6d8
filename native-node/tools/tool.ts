// The inner seam of hosted tools: what a tool is to the host that runs it (host.ts). The host checks, bounds and journals
// nothing of a tool's meaning; it owns session ids, how many calls run at once, deadlines and sizes.
import type { HostedCall, HostedResult, HostedToolName } from '../../src/tools/hosted.ts'

/** A call as a tool gets it: the host has filled the session in. */
export interface ToolCall extends HostedCall {
  /** The host's own id, unguessable: the tool's state is kept by it. One the tool does not know is a new one. */
  session: string
}

/** `session` is the host's: a tool need not repeat it. */
export type ToolResult = Omit<HostedResult, 'session'> & { session?: string }

export interface ToolFile {
  /** Relative to the session's own folder. */
  path: string
  bytes: number
  /** Milliseconds since the epoch. */
  modified: number
  /** As it was put there from outside; else the tool has made or changed it. */
  given: boolean
}

/** The files of a tool's sessions, between calls: the host lets nothing else of the session run meanwhile. */
export interface ToolFiles {
  /** Of a session that has not begun: none. */
  list(session: string): Promise<ToolFile[]>
  /** Its bytes, which nobody else holds; undefined where there is no such file. */
  read(session: string, path: string): Promise<Uint8Array | undefined>
  /** Puts one in, whole or not at all; begins the session if need be. Throws ApiError for what cannot be put there. */
  write(session: string, path: string, bytes: Uint8Array, signal: AbortSignal): Promise<void>
  /** False where there is no such file. */
  remove(session: string, path: string): Promise<boolean>
}

/** One tool on this machine. Loads whatever is slow at its first call, never when it is made. */
export interface NodeTool {
  readonly name: HostedToolName
  /** How many sessions the host may keep here before it ends the one used longest ago. */
  readonly maxSessions: number
  /** Where its sessions have files that others may put in and take out. */
  readonly files?: ToolFiles
  /** What a session's code has, in MiB, where that is limited. */
  readonly memoryMiB?: number
  /**
   * Runs one call. What the model or the world does wrong is a result with `isError`; a throw is taken as one too, with
   * its message. Calls of one session come one after another. `signal` aborts at the host's deadline or when nobody
   * waits any more; the tool must settle soon after it, and its session may be lost by that.
   */
  call(call: ToolCall, signal: AbortSignal): Promise<ToolResult>
  /** Forgets a session and frees what it holds. An unknown one is no error. */
  end(session: string): Promise<void>
  /** Ends everything: no process, file or socket stays. */
  close(): Promise<void>
}
