// Opens a connection with the official client: the wire of 2026-07-28 where the server speaks it, else that of 2025-11-25
// and before over Streamable HTTP, else over the older pair of a stream and posts.
// https://modelcontextprotocol.io/specification
import type { Client, SSEClientTransport } from '@modelcontextprotocol/client'
import { version } from '../../version.ts'
import { faultCodes, McpFault } from './fault.ts'
import { GuardedFetch, type McpHost } from './guarded-fetch.ts'
import { mcpLimits } from './limits.ts'
import type { McpSpec } from './server-spec.ts'
import { WatchedTransport } from './watched-transport.ts'

/** Loaded by the first use alone: most requests, and most isolates, need none of it. */
export const loadSdk = () => import('@modelcontextprotocol/client')
type Sdk = Awaited<ReturnType<typeof loadSdk>>

export interface Link {
  client: Client
  transport: WatchedTransport
  /** Ends the session, for at most so long, and the connection; never throws. */
  close(ms: number): Promise<void>
}

type Way = 'newest' | 'initialize' | 'sse'

/** Answers to a first post after which a server may be one of the older kind. */
const olderKind: ReadonlySet<number | undefined> = new Set([400, 404, 405, 406, 410, 415])

/** Connects; the signal ends the attempt. */
export async function connect(spec: McpSpec, host: McpHost, signal: AbortSignal): Promise<Link> {
  const sdk = await loadSdk()
  const open = (way: Way) => attempt(sdk, way, spec, host, signal)
  try {
    return await open('newest').catch((error) => {
      // Servers from before the newest wire may fall over its first question.
      if (signal.aborted || !((statusOf(sdk, error) ?? 0) >= 500)) throw error
      return open('initialize')
    })
  } catch (error) {
    if (signal.aborted || !olderKind.has(statusOf(sdk, error))) throw error
    // Where this does not work either, the first error says more.
    return await open('sse').catch(() => Promise.reject(error))
  }
}

async function attempt(
  sdk: Sdk,
  way: Way,
  spec: McpSpec,
  host: McpHost,
  signal: AbortSignal,
): Promise<Link> {
  const guard = new GuardedFetch(
    spec,
    host,
    {
      failed: (id, fault) => transport.fail(id, fault),
      streamEnded: () => transport.failAll(streamLost()),
    },
    { legacy: way === 'sse' },
  )
  const inner = innerTransport(sdk, way, spec, guard)
  const transport = new WatchedTransport(inner)
  const client = new sdk.Client(
    { name: 'switchyard', version },
    {
      capabilities: {},
      versionNegotiation: { mode: way === 'newest' ? 'auto' : 'legacy' },
      // It would send the call again, with answers that nobody has given.
      inputRequired: { autoFulfill: false },
      // Results are text for a model: no schema of a server's is compiled, no regular expression of its is run.
      jsonSchemaValidator: {
        getValidator: () => (input) => ({
          valid: true,
          data: input as never,
          errorMessage: undefined,
        }),
      },
    },
  )
  // What goes wrong beside a request; what it means for one, the transport tells.
  client.onerror = () => {}
  const close = async () => {
    await client.close().catch(() => {})
    // Before the wire is known the client does not have it yet.
    await transport.close().catch(() => {})
  }
  signal.addEventListener('abort', close, { once: true })
  try {
    const timeout = (host.limits?.listMs ?? mcpLimits.listMs) + 1000
    await client.connect(transport, { signal, timeout })
  } catch (error) {
    await close()
    throw error
  } finally {
    signal.removeEventListener('abort', close)
  }
  return {
    client,
    transport,
    close: async (ms) => {
      if ('terminateSession' in inner) await atMost(ms, inner.terminateSession())
      await close()
    },
  }
}

function innerTransport(sdk: Sdk, way: Way, { url }: McpSpec, guard: GuardedFetch) {
  const options = { fetch: guard.fetch, redirectPolicy: 'follow' } as const
  if (way === 'sse') {
    const transport: SSEClientTransport = new sdk.SSEClientTransport(new URL(url), options)
    return transport
  }
  return new sdk.StreamableHTTPClientTransport(new URL(url), {
    ...options,
    // To ask for the rest of an answer is no second call: the client sends a GET with the last event's id. Servers say when;
    // not that it be at once, again and again.
    reconnectionScheduler: (reconnect, delay) => {
      const timer = setTimeout(reconnect, Math.min(Math.max(delay, 250), 10_000))
      return () => clearTimeout(timer)
    },
    onInsufficientScope: 'throw',
  })
}

async function atMost(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const over = new Promise((resolve) => {
    timer = setTimeout(resolve, ms)
  })
  await Promise.race([work.catch(() => {}), over])
  if (timer !== undefined) clearTimeout(timer)
}

function streamLost(): McpFault {
  const message = 'The server closed its stream.'
  return new McpFault('mcp_protocol_error', faultCodes.connectionClosed, message, {
    outcome: 'unknown',
  })
}

// ---- errors of the client as faults

/** The HTTP status that an error of the client is about. */
function statusOf(sdk: Sdk, error: unknown): number | undefined {
  for (
    let each = error, depth = 0;
    each instanceof Error && depth < 5;
    each = each.cause, depth++
  ) {
    if (each instanceof McpFault) return each.kind === 'http_error' ? each.code : undefined
    if (each instanceof sdk.SdkHttpError) return each.status
    if (each instanceof sdk.InsufficientScopeError) return 403
    // The transport of legacy servers says it in words alone.
    const told = /^Error POSTing to endpoint \(HTTP (\d{3})\)/.exec(each.message)?.[1]
    if (told !== undefined) return Number(told)
    if (each instanceof sdk.SseError && each.code !== undefined) return each.code
  }
  return undefined
}

/** Anything that the client throws, as a fault. `outcome`: what is known of the call where the error does not tell. */
export async function faultOf(thrown: unknown, outcome: 'not_sent' | 'unknown'): Promise<McpFault> {
  const sdk = await loadSdk()
  for (
    let each = thrown, depth = 0;
    each instanceof Error && depth < 5;
    each = each.cause, depth++
  ) {
    if (each instanceof McpFault) return each
  }
  const cause = { cause: thrown }
  const status = statusOf(sdk, thrown)
  if (status !== undefined) {
    const known = status < 500 ? 'answered' : outcome
    const message = `The server answered with status ${status}${hintOf(status)}.`
    return new McpFault('http_error', status, message, { outcome: known, ...cause })
  }
  if (thrown instanceof sdk.ProtocolError) {
    const message = thrown.message || 'The server answered with an error.'
    return new McpFault('mcp_protocol_error', thrown.code, message, {
      outcome: 'answered',
      ...cause,
    })
  }
  if (thrown instanceof sdk.SdkError && thrown.code === sdk.SdkErrorCode.UnsupportedResultType) {
    const message = 'The server asks for input in the middle of a call, which nobody could give.'
    const code = faultCodes.invalidAnswer
    return new McpFault('mcp_protocol_error', code, message, { outcome: 'answered', ...cause })
  }
  const [code, message] = readError(sdk, thrown)
  return new McpFault('mcp_protocol_error', code, message, { outcome, ...cause })
}

function hintOf(status: number): string {
  if (status === 401 || status === 403) return ' (its `authorization` is missing or refused)'
  if (status === 404) return ' (no such server, or its session has ended)'
  return ''
}

function readError(sdk: Sdk, thrown: unknown): [code: number, message: string] {
  const { SdkErrorCode } = sdk
  const code = thrown instanceof sdk.SdkError ? thrown.code : undefined
  if (code === SdkErrorCode.RequestTimeout) {
    return [faultCodes.timeout, 'The server did not answer in time.']
  }
  if (code === SdkErrorCode.ConnectionClosed || code === SdkErrorCode.NotConnected) {
    return [faultCodes.connectionClosed, 'The connection to the server was closed.']
  }
  if (code === SdkErrorCode.ClientHttpUnexpectedContent) {
    return [
      faultCodes.invalidAnswer,
      'The server answered with something other than JSON or events.',
    ]
  }
  if (thrown instanceof sdk.SdkError) return [faultCodes.invalidAnswer, inWords(thrown.message)]
  if (thrown instanceof TypeError) {
    return [faultCodes.connectionClosed, 'The server could not be reached.']
  }
  return [faultCodes.invalidAnswer, 'The server did not answer as the Model Context Protocol asks.']
}

/** The client's complaint about an answer ends with the whole list of what its schema found: the first of it will do. */
function inWords(message: string): string {
  const [, what = '', found = ''] = /^Invalid result for ([\w/]+): (\[[\s\S]*)$/.exec(message) ?? []
  try {
    const [issue]: { path: (string | number)[]; message: string }[] = JSON.parse(found)
    if (issue === undefined) return message
    const at = issue.path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${key}`)).join('')
    return `The server's answer to ${what} is not as the protocol has it: ${at.slice(1)}: ${issue.message}.`
  } catch {
    return message
  }
}
