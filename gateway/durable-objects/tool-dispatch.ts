// Which node runs a call of a hosted tool, and what is said when none does. A call is sent once: only a node that says it
// has no room, and so has not begun, may be followed by another.
import { hostedPath } from '../../src/tools/hosted-wire.ts'
import { hubErrorHeader, hubRefusal, nodeHeader, refusalSeconds } from './hub-wire.ts'
import type { NodeConnection } from './node-connection.ts'

export interface ToolDispatch {
  tool: string
  /** The node that has the call's session; null: any that offers the tool. */
  node: string | null
  /** Told of each node that the call is sent to. */
  use: (node: NodeConnection) => void
}

/** The node's answer with its name on it, or a refusal of the hub. */
export async function callTool(
  connections: Iterable<NodeConnection>,
  request: Request,
  { tool, node, use }: ToolDispatch,
): Promise<Response> {
  const offering = [...connections].filter(
    (each) => !each.draining && each.offers(tool) && (node === null || each.hello?.node === node),
  )
  if (offering.length === 0) return nobody(tool, node)
  const body = new Uint8Array(await request.arrayBuffer())
  const { signal } = request
  const headers: [string, string][] = [['content-type', 'application/json']]
  // In this order once and for all: each is asked at most once.
  for (const chosen of offering.sort(byLoad)) {
    use(chosen)
    try {
      const path = hostedPath
      const response = await chosen.openTool({ method: 'POST', path, headers, body, signal })
      if (response.status === 503) {
        await response.body?.cancel().catch(() => {})
        continue
      }
      response.headers.delete(hubErrorHeader)
      response.headers.set(nodeHeader, chosen.hello?.node ?? '')
      return response
    } catch {
      // The Worker that asked is gone: nobody reads this.
      if (signal.aborted) return new Response(null, { status: 499 })
      return lost(tool, chosen.hello?.node ?? '')
    }
  }
  const message = `Every node with ${tool} is at work on as many calls as it takes.`
  return hubRefusal({ code: 'no_capacity', message, retryAfter: refusalSeconds })
}

/** Fewest calls first, then the one asked longest ago. */
export function byLoad(a: NodeConnection, b: NodeConnection): number {
  return a.toolCalls - b.toolCalls || a.lastUsed - b.lastUsed
}

function nobody(tool: string, node: string | null): Response {
  return node === null
    ? hubRefusal({ code: 'no_capacity', message: `No node offers ${tool} now.` })
    : hubRefusal({ code: 'node_not_here', message: `The node '${node}' is not connected.` })
}

function lost(tool: string, node: string): Response {
  const message = `The node '${node}' was lost while it ran ${tool}: whether the call has done its work is unknown, and it is not repeated.`
  return hubRefusal({ code: 'node_lost', message })
}
