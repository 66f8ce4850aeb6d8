// What the hub and the Worker say to each other beside a node's own answer.
import type { NodeModel } from '../../src/tunnel/messages.ts'

/** Header by which the hub tells the Worker that a refusal is its own, and which. Never taken from a node. */
export const hubErrorHeader = 'x-switchyard-hub-error'
/** Header that names the node which answered, or failed to. */
export const nodeHeader = 'x-switchyard-node'

/** Names that no node may take, joined by commas. */
export const refusedNamesHeader = 'x-switchyard-refused-names'

/** A connected node, as the hub lists it. */
export interface NodeInfo {
  name: string
  models: NodeModel[]
  slots: number
  running: number
  waiting: number
  draining: boolean
  /** Milliseconds since the epoch. */
  connectedAt: number
  /** Hosted tools that run there. */
  tools?: string[]
  pid?: number
  agent?: string
}

export interface HubError {
  /**
   * `node_not_here`: the one node that was asked for is not connected, and nothing was sent. `node_outdated`: it is, and its
   * version cannot do it.
   */
  code:
    | 'no_capacity'
    | 'node_lost'
    | 'model_not_here'
    | 'node_not_here'
    | 'node_outdated'
    | 'upstream_error'
  message: string
  retryAfter?: number
}

/** After so long a full queue may have room. */
export const refusalSeconds = 2

/** `node`: whose fault it was, where it was one node's. */
export function hubRefusal(error: HubError, node?: string): Response {
  const headers: Record<string, string> = { [hubErrorHeader]: error.code }
  if (node !== undefined) headers[nodeHeader] = node
  return Response.json(error, { status: 503, headers })
}
