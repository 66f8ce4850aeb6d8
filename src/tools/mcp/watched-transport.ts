// Between the MCP client and its transport: knows what was asked and not yet answered, so that an answer that can no longer
// come fails at once and not at the end of a timeout, and lets no call pass that nobody has asked for.
import type { JSONRPCMessage, Transport, TransportSendOptions } from '@modelcontextprotocol/client'
import { faultCodes, McpFault } from './fault.ts'

/** One `tools/call`, from the moment that it may leave. */
export interface Exchange {
  /** Set when it was handed to the transport. */
  sent: boolean
  /** Set when what became of it is known to us before the MCP client says so. */
  fault?: McpFault
  signal: AbortSignal
}

/** A header that never leaves: it tells which exchange a message belongs to. */
export const exchangeHeader = 'x-switchyard-exchange'

/** Of a server, for one connection: those beyond go unheard. */
const maxHeard = 1000
/** Each is read before it can be dropped: who sends more is hung up on. Progress ten times a second is a fifth of that. */
const maxUnasked = 5000

type Id = string | number
type Handler = NonNullable<Transport['onmessage']>

export class WatchedTransport implements Transport {
  onclose: Transport['onclose']
  onerror: Transport['onerror']
  onmessage: Transport['onmessage']
  readonly #inner: Transport
  /** Calls that may be sent, by the value of their header. */
  readonly #allowed = new Map<string, Exchange>()
  /** Requests without an answer. */
  readonly #pending = new Map<Id, Exchange | undefined>()
  readonly #asked = new Set<Id>()
  /** Messages that the server sent of its own accord. */
  #unasked = 0

  constructor(inner: Transport) {
    this.#inner = inner
  }

  get hasPerRequestStream(): boolean {
    return this.#inner.hasPerRequestStream === true
  }

  get sessionId(): string | undefined {
    return this.#inner.sessionId
  }

  setProtocolVersion(version: string): void {
    this.#inner.setProtocolVersion?.(version)
  }

  async start(): Promise<void> {
    const deliver: Handler = (message, extra) => {
      if (this.#isExpected(message)) this.onmessage?.(message, extra)
    }
    this.#inner.onmessage = deliver
    this.#inner.onclose = () => this.onclose?.()
    this.#inner.onerror = (error) => this.onerror?.(error)
    await this.#inner.start()
  }

  async close(): Promise<void> {
    await this.#inner.close()
  }

  /** Lets one call pass that carries this key. */
  allow(key: string, exchange: Exchange): void {
    this.#allowed.set(key, exchange)
  }

  async send(message: JSONRPCMessage, options: TransportSendOptions = {}): Promise<void> {
    if (!('method' in message && 'id' in message)) return await this.#inner.send(message, options)
    const { [exchangeHeader]: key, ...headers } = options.headers ?? {}
    const exchange = message.method === 'tools/call' ? this.#take(key) : undefined
    const { id } = message
    this.#pending.set(id, exchange)
    this.#asked.add(id)
    const signals = [options.requestSignal, exchange?.signal].filter((each) => each !== undefined)
    try {
      await this.#inner.send(message, {
        ...options,
        headers,
        ...(signals.length === 0 ? {} : { requestSignal: AbortSignal.any(signals) }),
        onRequestStreamEnd: () => {
          this.fail(id, dropped())
          options.onRequestStreamEnd?.()
        },
      })
    } catch (error) {
      this.#pending.delete(id)
      throw error
    }
  }

  /** Ends a request, if it is still waited for, as if the server had answered with an error. */
  fail(id: unknown, fault: McpFault): void {
    if (typeof id !== 'string' && typeof id !== 'number') return
    if (!this.#pending.has(id)) return
    const exchange = this.#pending.get(id)
    if (exchange !== undefined) exchange.fault = fault
    this.#pending.delete(id)
    const error = { code: fault.code, message: fault.message }
    this.onmessage?.({ jsonrpc: '2.0', id, error })
  }

  /** Ends all that is waited for. */
  failAll(fault: McpFault): void {
    for (const id of [...this.#pending.keys()]) this.fail(id, fault)
  }

  #take(key: string | undefined): Exchange {
    const exchange = key === undefined ? undefined : this.#allowed.get(key)
    if (key === undefined || exchange === undefined) {
      const message = 'The call was not sent a second time.'
      throw new McpFault('mcp_protocol_error', faultCodes.connectionClosed, message, {
        outcome: 'unknown',
      })
    }
    this.#allowed.delete(key)
    exchange.sent = true
    return exchange
  }

  #hangUp(): void {
    const text = `The server has sent ${maxUnasked} messages that nobody asked for.`
    const options = { outcome: 'unknown' } as const
    this.failAll(new McpFault('mcp_protocol_error', faultCodes.tooLarge, text, options))
    void this.#inner.close().catch(() => {})
  }

  /** False for an answer to nothing. One to what was never asked means that what was will not be answered. */
  #isExpected(message: JSONRPCMessage): boolean {
    // A ping is answered; who sends them without end is not.
    if ('method' in message) {
      if (++this.#unasked === maxUnasked) this.#hangUp()
      return this.#unasked <= maxHeard
    }
    const { id } = message
    if (id !== undefined && this.#pending.delete(id)) return true
    if (id !== undefined && this.#asked.has(id)) return false
    const text = 'The server answered with an id that it was not asked with.'
    const options = { outcome: 'unknown' } as const
    this.failAll(new McpFault('mcp_protocol_error', faultCodes.invalidAnswer, text, options))
    return false
  }
}

function dropped(): McpFault {
  const message = 'The server ended its answer before the result.'
  return new McpFault('mcp_protocol_error', faultCodes.connectionClosed, message, {
    outcome: 'unknown',
  })
}
