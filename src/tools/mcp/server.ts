// One server of tools for the time of one request: opened by the first use, listed, called, closed.
import type { Client } from '@modelcontextprotocol/client'
import { redact } from '../../errors.ts'
import { connect, faultOf, type Link } from './connect.ts'
import { faultCodes, McpFault } from './fault.ts'
import type { McpHost } from './guarded-fetch.ts'
import { mcpLimits } from './limits.ts'
import { type McpResult, resultOf } from './result.ts'
import type { McpSpec } from './server-spec.ts'
import { type McpTool, ToolListReader } from './tool-list.ts'
import { type Exchange, exchangeHeader } from './watched-transport.ts'
import { within } from './within.ts'

export type { McpHost } from './guarded-fetch.ts'
export type { McpResult } from './result.ts'

export interface McpServer {
  /** The tools that the request allows. Throws McpFault. */
  list(signal: AbortSignal): Promise<McpTool[]>
  /** Sends the call once, whatever comes of it. A tool's own failure is a result; all else throws McpFault. */
  call(tool: McpTool, args: Record<string, unknown>, signal: AbortSignal): Promise<McpResult>
  /** Ends the connection; never throws. */
  close(): Promise<void>
}

/** Opens nothing yet: the first use does. */
export function openMcpServer(spec: McpSpec, host: McpHost): McpServer {
  return new Connection(spec, host)
}

class Connection implements McpServer {
  readonly #spec: McpSpec
  readonly #host: McpHost
  /** Set by the first use, and kept when it fails: a server that is away is asked once. */
  #link: Promise<Link> | undefined
  #isClosed = false
  #calls = 0

  constructor(spec: McpSpec, host: McpHost) {
    this.#spec = spec
    this.#host = host
  }

  async list(signal: AbortSignal): Promise<McpTool[]> {
    const ms = this.#host.limits?.listMs ?? mcpLimits.listMs
    return await this.#told(signal, () =>
      within(ms, signal, timedOut('list its tools', ms), async (own) => {
        const { client } = await this.#open(own)
        const tools = await readPages(client, { signal: own, timeout: ms + 1000 })
        return tools.filter((tool) => this.#spec.allows(tool))
      }),
    )
  }

  async call(
    tool: McpTool,
    args: Record<string, unknown>,
    signal: AbortSignal,
  ): Promise<McpResult> {
    const ms = this.#host.limits?.callMs ?? mcpLimits.callMs
    const link = await this.#ready(signal)
    const exchange: Exchange = { sent: false, signal }
    try {
      return await within(ms, signal, timedOut('answer a call', ms), (own) => {
        exchange.signal = own
        return this.#send(link, exchange, tool, args, ms)
      })
    } catch (thrown) {
      if (signal.aborted) throw thrown
      const fault = hideSecrets(exchange.fault ?? (await faultOf(thrown, 'unknown')), this.#spec)
      throw exchange.sent ? fault : fault.with('not_sent')
    }
  }

  async #send(
    { client, transport }: Link,
    exchange: Exchange,
    tool: McpTool,
    args: Record<string, unknown>,
    timeout: number,
  ): Promise<McpResult> {
    const key = String(this.#calls++)
    transport.allow(key, exchange)
    const result = await client.callTool(
      { name: tool.name, arguments: args },
      {
        signal: exchange.signal,
        timeout: timeout + 1000,
        headers: { [exchangeHeader]: key },
        // Given, so that the client neither lists nor calls a second time where it misses something.
        toolDefinition: { name: tool.name, inputSchema: { ...tool.input_schema, type: 'object' } },
      },
    )
    const { output, isError } = resultOf({ ...result })
    const keys = Object.entries(this.#spec.headers).filter(([name]) => keyHeader.test(name))
    return { output: withoutSecrets(output, Object.fromEntries(keys)), isError }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    const link = await this.#link?.catch(() => undefined)
    await link?.close(this.#host.limits?.closeMs ?? mcpLimits.closeMs)
  }

  async #ready(signal: AbortSignal): Promise<Link> {
    const ms = this.#host.limits?.listMs ?? mcpLimits.listMs
    return await this.#told(signal, () =>
      within(ms, signal, timedOut('answer', ms), (own) => this.#open(own)),
    )
  }

  #open(signal: AbortSignal): Promise<Link> {
    if (this.#isClosed) throw new Error('The connection was closed.')
    this.#link ??= connect(this.#spec, this.#host, signal)
    return this.#link
  }

  async #told<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (thrown) {
      if (signal.aborted) throw thrown
      throw hideSecrets((await faultOf(thrown, 'not_sent')).with('not_sent'), this.#spec)
    }
  }
}

async function readPages(
  client: Client,
  options: { signal: AbortSignal; timeout: number },
): Promise<McpTool[]> {
  const reader = new ToolListReader()
  let cursor: string | undefined
  for (let page = 0; page < mcpLimits.pages; page++) {
    // An empty cursor reads one page and keeps nothing; without one the client would read them all.
    const params = cursor === undefined ? undefined : { cursor }
    const result = await client.request(
      { method: 'tools/list', ...(params && { params }) },
      options,
    )
    const tools: unknown = result.tools
    reader.push(Array.isArray(tools) ? tools : [])
    cursor = typeof result.nextCursor === 'string' ? result.nextCursor : undefined
    if (cursor === undefined) return reader.tools
  }
  const message = `The server's list of tools has more than ${mcpLimits.pages} pages.`
  throw new McpFault('mcp_protocol_error', faultCodes.tooLarge, message)
}

function timedOut(what: string, ms: number): McpFault {
  const message = `The server did not ${what} within ${ms / 1000} s.`
  return new McpFault('mcp_protocol_error', faultCodes.timeout, message, { outcome: 'unknown' })
}

/** Some servers repeat what they were sent. */
function hideSecrets(fault: McpFault, spec: McpSpec): McpFault {
  const message = withoutSecrets(redact(fault.message), spec.headers)
  if (message === fault.message) return fault
  const { outcome, cause } = fault
  return new McpFault(fault.kind, fault.code, message, { outcome, cause })
}

/** Headers whose values no result has a reason to hold; a region or a version may well be part of one. */
const keyHeader = /auth|key|token|secret|password|cookie|session/

/** Text of the server's, without what the caller has sent to it and to nobody else. */
function withoutSecrets(text: string, headers: McpSpec['headers']): string {
  let clean = text
  for (const value of Object.values(headers)) {
    for (const secret of [value, value.replace(/^\w+ /, '')]) {
      if (secret.length >= 6) clean = clean.replaceAll(secret, '[redacted]')
    }
  }
  return clean
}
