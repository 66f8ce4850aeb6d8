// Connected nodes as routing sees them, and those that were connected a short while ago: while a node restarts, its models
// are out of capacity, not unknown. The memory is this isolate's own, best effort.
import type { NodeWithModels } from '../src/routing/world.ts'
import type { NodeInfo } from './durable-objects/hub-wire.ts'
import { type Env, secret } from './env.ts'
import { logFault } from './log.ts'
import { localTenant } from './middleware/auth.ts'
import { listNodes } from './nodes.ts'
import { runtimeOf } from './runtime.ts'

const rememberMs = 10 * 60_000
const maxRemembered = 256

interface Remembered {
  node: NodeWithModels
  seenAt: number
}

/** Tenant and node name → node. */
const remembered = new Map<string, Remembered>()

export interface KnownNodes {
  nodes: NodeInfo[]
  recent: NodeWithModels[]
}

/** The tenant's nodes. A hub that does not answer costs its nodes, not the request: providers still serve. */
export function knownNodes(
  env: Env,
  tenant: string,
  options: { fresh: boolean; requestId: string },
): KnownNodes | Promise<KnownNodes> {
  // Without a token for them none can have joined.
  const mayJoin = secret(env, runtimeOf(env).config.nodes.tokenEnv) !== undefined
  if (env.NODE_HUB === undefined || !mayJoin) return { nodes: [], recent: [] }
  return askHub(env, tenant, options)
}

/** Tenants that nodes may join. */
export function nodeTenants(env: Env): string[] {
  const tokens = secret(env, runtimeOf(env).config.nodes.tokenEnv)
  if (!tokens?.trimStart().startsWith('{')) return [localTenant]
  try {
    const parsed: unknown = JSON.parse(tokens)
    return typeof parsed === 'object' && parsed !== null ? Object.keys(parsed) : []
  } catch {
    return []
  }
}

async function askHub(
  env: Env,
  tenant: string,
  options: { fresh: boolean; requestId: string },
): Promise<KnownNodes> {
  let nodes: NodeInfo[] = []
  try {
    nodes = await listNodes(env, tenant, { fresh: options.fresh })
  } catch (error) {
    logFault(error, { requestId: options.requestId, place: 'hub' })
  }
  const now = Date.now()
  for (const node of nodes) {
    const key = JSON.stringify([tenant, node.name])
    // Deleted first, so that the order of the map is the order of the last sight.
    remembered.delete(key)
    remembered.set(key, { node, seenAt: now })
  }
  return { nodes, recent: recall(tenant, now) }
}

function recall(tenant: string, now: number): NodeWithModels[] {
  const recent: NodeWithModels[] = []
  for (const [key, { node, seenAt }] of remembered) {
    if (now - seenAt > rememberMs || remembered.size > maxRemembered) remembered.delete(key)
    else if (key.startsWith(`[${JSON.stringify(tenant)},`)) recent.push(node)
  }
  return recent
}
