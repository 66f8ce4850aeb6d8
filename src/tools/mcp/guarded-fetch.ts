// The only way from a connection to its server. The MCP client calls this in place of fetch(): each hop passes the egress
// gate, the caller's headers go to the server's own origin alone, answers are counted, and a call leaves once.
import type { EgressPolicy } from '../../egress/egress.ts'
import { isObject } from '../../protocol/check.ts'
import { faultCodes, McpFault } from './fault.ts'
import { mcpLimits } from './limits.ts'
import { refusalOfServer } from './server-spec.ts'

/** What a host gives for the way out. */
export interface McpHost {
  /**
   * Sends one request and follows no redirect. On Node to an address that was resolved and checked right before, as a name
   * is all that the gate sees.
   */
  fetch(url: string, init: RequestInit): Promise<Response>
  egress: EgressPolicy | undefined
  /** `resolve` where `fetch` checks addresses, so that any public name will do; `fetch` where only listed names may. */
  use: 'fetch' | 'resolve'
  /** Other limits than mcpLimits'. */
  limits?: { listMs?: number; callMs?: number; closeMs?: number }
}

export interface GuardEvents {
  /** The answer to this message has failed while it was read: what the MCP client would not tell. */
  failed(id: unknown, fault: McpFault): void
  /** The one stream of a legacy server has ended. */
  streamEnded(): void
}

/** Fetches for one connection. */
export class GuardedFetch {
  readonly #host: McpHost
  readonly #origin: string
  readonly #headers: Record<string, string>
  readonly #events: GuardEvents
  /** Where a URL was found after redirects: looked up once a connection. */
  readonly #moved = new Map<string, string>()
  /** Ids of the calls that have left. */
  readonly #called = new Set<unknown>()
  /** Set when the one stream of a legacy server was opened; undefined for Streamable HTTP. */
  #legacy: 'wanted' | 'open' | undefined
  /** How often the rest of an answer was asked for. */
  #resumed = 0

  constructor(
    { url, headers }: { url: string; headers: Record<string, string> },
    host: McpHost,
    events: GuardEvents,
    { legacy = false } = {},
  ) {
    this.#host = host
    this.#origin = new URL(url).origin
    this.#headers = headers
    this.#events = events
    this.#legacy = legacy ? 'wanted' : undefined
  }

  /** In the place of fetch(). */
  readonly fetch = async (input: string | URL, init: RequestInit = {}): Promise<Response> => {
    const method = (init.method ?? 'GET').toUpperCase()
    const headers = new Headers(init.headers)
    const message = method === 'POST' ? readMessage(init.body) : undefined
    const isStream = method === 'GET'
    if (isStream && !this.#mayOpen(headers)) {
      // What a server answers that has no such stream, or of which the client shall open none again.
      return new Response(null, { status: this.#legacy === undefined ? 405 : 204 })
    }
    if (message?.method === 'tools/call') this.#callOnce(message.id)
    const response = await this.#follow(String(input), { ...init, method }, headers, message)
    return this.#counted(response, message?.id, isStream)
  }

  /** A stream of a server's own news is of no use here; what may be opened is a lost answer's rest, and a legacy server's one. */
  #mayOpen(headers: Headers): boolean {
    if (this.#legacy === undefined) {
      return headers.has('last-event-id') && ++this.#resumed <= mcpLimits.resumptions
    }
    const isFirst = this.#legacy === 'wanted'
    this.#legacy = 'open'
    return isFirst
  }

  #callOnce(id: unknown): void {
    if (this.#called.has(id)) {
      const message = 'The call was not sent a second time.'
      throw new McpFault('mcp_protocol_error', faultCodes.connectionClosed, message, {
        outcome: 'unknown',
      })
    }
    this.#called.add(id)
  }

  async #follow(
    input: string,
    init: RequestInit,
    headers: Headers,
    message: Message | undefined,
  ): Promise<Response> {
    let url = this.#moved.get(input) ?? input
    for (let hop = 0; hop <= mcpLimits.redirects; hop++) {
      this.#check(url)
      const { method, body, signal } = init
      const sent = {
        ...(method === undefined ? {} : { method }),
        ...(body === undefined ? {} : { body }),
        ...(signal === undefined ? {} : { signal }),
        headers: this.#headersFor(url, headers),
        redirect: 'manual' as const,
      }
      const response = await this.#host.fetch(url, sent).catch((error: unknown) => {
        throw signal?.aborted || error instanceof McpFault ? error : unreached(error)
      })
      const location = redirectOf(response, init.method)
      if (location === undefined) {
        if (url !== input) this.#moved.set(input, url)
        return response
      }
      await response.body?.cancel()
      if (message?.method === 'tools/call') {
        throw redirected(response, 'The server redirected a call; it was not sent on.')
      }
      if (!URL.canParse(location, url)) throw redirected(response, 'It redirects to no URL.')
      url = new URL(location, url).href
    }
    throw new McpFault(
      'http_error',
      310,
      `The server redirects more than ${mcpLimits.redirects} times.`,
    )
  }

  #check(url: string): void {
    const refusal = refusalOfServer(url, this.#host.egress, this.#host.use)
    if (refusal === undefined) return
    throw new McpFault('http_error', 403, `The server's URL is refused: ${refusal}.`)
  }

  #headersFor(url: string, given: Headers): Headers {
    const headers = new Headers(given)
    headers.set('accept-encoding', 'identity')
    if (new URL(url).origin !== this.#origin) {
      headers.delete('authorization')
      return headers
    }
    for (const [name, value] of Object.entries(this.#headers)) headers.set(name, value)
    return headers
  }

  /** The same answer, given up once it is larger than any should be. */
  #counted(response: Response, id: unknown, isStream: boolean): Response {
    const { body } = response
    const isLegacyStream = isStream && this.#legacy !== undefined
    if (body === null) return response
    let left: number = mcpLimits.answerBytes * (isLegacyStream ? 8 : 1)
    const reader = body.getReader()
    const ended = () => {
      if (isLegacyStream) this.#events.streamEnded()
    }
    const counted = new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        try {
          const { value, done } = await reader.read()
          if (done) {
            controller.close()
            return ended()
          }
          left -= value.byteLength
          if (left < 0) throw tooLarge()
          controller.enqueue(value)
        } catch (thrown) {
          const fault = thrown instanceof McpFault ? thrown : lost(thrown)
          this.#events.failed(id, fault)
          controller.error(fault)
          ended()
          reader.cancel(fault).catch(() => {})
        }
      },
      cancel: (reason) => reader.cancel(reason),
    })
    const { status, statusText } = response
    const headers = new Headers(response.headers)
    // They tell of the bytes on the wire, which are no longer these.
    headers.delete('content-encoding')
    headers.delete('content-length')
    return new Response(counted, { status, statusText, headers })
  }
}

interface Message {
  id: unknown
  method: unknown
}

/** The bodies are the MCP client's own. */
function readMessage(body: RequestInit['body']): Message | undefined {
  const value: unknown = typeof body === 'string' ? JSON.parse(body) : undefined
  return isObject(value) ? { id: value.id, method: value.method } : undefined
}

/** Where a redirect leads; undefined for any other answer. */
function redirectOf(response: Response, method: string | undefined): string | undefined {
  if (![301, 302, 303, 307, 308].includes(response.status)) return undefined
  // To be asked for with GET, so that nothing of ours could be answered.
  if (method === 'POST' && response.status === 303) {
    throw redirected(response, 'The server answers elsewhere (status 303).')
  }
  const location = response.headers.get('location')
  if (location === null) throw redirected(response, 'The server redirects to nowhere.')
  return location
}

/** Before these a connection stood that could carry the call; after them, none ever did. */
const noConnection = /^(?:ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH)$/

function unreached(cause: unknown): McpFault {
  const error = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause
  const code: unknown = isObject(error) ? error.code : undefined
  const outcome = noConnection.test(String(code)) ? 'not_sent' : 'unknown'
  const message = 'The server could not be reached.'
  return new McpFault('mcp_protocol_error', faultCodes.connectionClosed, message, {
    outcome,
    cause,
  })
}

function redirected(response: Response, message: string): McpFault {
  return new McpFault('http_error', response.status, message, { outcome: 'answered' })
}

function tooLarge(): McpFault {
  const message = `The server's answer is larger than ${mcpLimits.answerBytes} bytes.`
  return new McpFault('mcp_protocol_error', faultCodes.tooLarge, message, { outcome: 'unknown' })
}

function lost(cause: unknown): McpFault {
  const message = 'The connection to the server was lost before its answer was complete.'
  const options = { outcome: 'unknown', cause } as const
  return new McpFault('mcp_protocol_error', faultCodes.connectionClosed, message, options)
}
