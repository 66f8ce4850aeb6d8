// What goes wrong between us and a server of tools, in the form that `mcp_call.error` has.
// https://platform.openai.com/docs/api-reference/responses/object

/**
 * What is known of a `tools/call` that has failed. `not_sent`: the tool did not run. `answered`: the server said what came of
 * it. `unknown`: it was sent and no answer came; the tool may have run, and nobody may send it again for us.
 */
export type CallOutcome = 'not_sent' | 'answered' | 'unknown'

export type McpCallError =
  | { type: 'http_error'; code: number; message: string }
  | { type: 'mcp_protocol_error'; code: number; message: string }
  | { type: 'mcp_tool_execution_error'; content: { type: 'text'; text: string }[] }

/** JSON-RPC codes for what has none of its own. https://www.jsonrpc.org/specification#error_object */
export const faultCodes = {
  connectionClosed: -32000,
  timeout: -32001,
  invalidAnswer: -32603,
  tooLarge: -32010,
} as const

export interface McpFaultOptions {
  outcome?: CallOutcome
  cause?: unknown
}

const maxMessage = 1000

export class McpFault extends Error {
  readonly kind: 'http_error' | 'mcp_protocol_error'
  /** The HTTP status, or a code of JSON-RPC. */
  readonly code: number
  readonly outcome: CallOutcome

  constructor(
    kind: 'http_error' | 'mcp_protocol_error',
    code: number,
    message: string,
    { outcome = 'not_sent', cause }: McpFaultOptions = {},
  ) {
    super(plain(message), cause === undefined ? undefined : { cause })
    this.name = 'McpFault'
    this.kind = kind
    this.code = code
    this.outcome = outcome
  }

  /** The same fault, with what is known of the call that met it. */
  with(outcome: CallOutcome): McpFault {
    if (outcome === this.outcome) return this
    return new McpFault(this.kind, this.code, this.message, { outcome, cause: this.cause })
  }

  /** For `mcp_call.error`. */
  toItemError(): McpCallError {
    return { type: this.kind, code: this.code, message: this.toText() }
  }

  /** For `mcp_list_tools.error` and for the model. */
  toText(): string {
    if (this.outcome !== 'unknown') return this.message
    return `${this.message} Whether the tool ran is unknown; it was not called again.`
  }
}

/** Servers write what they like into their errors: no control characters, no pages. */
function plain(message: string): string {
  const line = message.replace(/\p{Cc}+/gu, ' ').trim()
  return line.length > maxMessage ? `${line.slice(0, maxMessage)}…` : line
}
