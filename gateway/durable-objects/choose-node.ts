// Which of a tenant's nodes gets the next request. Pure, so that its rules can be read and tested alone.

export interface NodeLoad {
  slots: number
  /** Requests that this hub has sent there and that have not ended. */
  inFlight: number
  /** The node's own last word; undefined until its first STATUS. */
  status: { running: number; waiting: number; queue_limit?: number | undefined } | undefined
  /** This hub's requests there when that word came. */
  inFlightThen: number
  /** Grows with every dispatch; 0: never used. */
  lastUsed: number
}

/** Work at a node: ours, counted exactly, plus what its STATUS said beyond ours (local clients, another hub). */
export function workAt(node: NodeLoad): number {
  const { status, inFlight, inFlightThen } = node
  const others = status ? Math.max(0, status.running + status.waiting - inFlightThen) : 0
  return inFlight + others
}

/** True when the node would refuse one more: its slots and its queue are full. */
export function isFull(node: NodeLoad): boolean {
  const limit = node.status?.queue_limit
  return limit !== undefined && workAt(node) >= node.slots + limit
}

/** Most free slots first (none free: shortest queue), then least recently used. Undefined: none has room. */
export function chooseNode<Node extends NodeLoad>(nodes: Iterable<Node>): Node | undefined {
  let best: Node | undefined
  let bestFree = 0
  for (const node of nodes) {
    if (isFull(node)) continue
    const free = node.slots - workAt(node)
    if (!best || free > bestFree || (free === bestFree && node.lastUsed < best.lastUsed)) {
      best = node
      bestFree = free
    }
  }
  return best
}
