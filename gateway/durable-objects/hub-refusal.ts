// What the hub says to the Worker beside a node's own answer.

/** Header by which the hub tells the Worker that a refusal is its own, and which. Never taken from a node. */
export const hubErrorHeader = 'x-switchyard-hub-error'
/** Header that names the node which answered. */
export const nodeHeader = 'x-switchyard-node'

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

export function hubRefusal(error: HubError): Response {
  return Response.json(error, { status: 503, headers: { [hubErrorHeader]: error.code } })
}
