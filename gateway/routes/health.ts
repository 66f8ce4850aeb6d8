import type { Handler } from 'hono'
import { ConfigError } from '../../src/config/index.ts'
import { version } from '../../src/version.ts'
import type { GatewayEnv } from '../env.ts'
import { knownNodes } from '../known-nodes.ts'
import { localTenant } from '../middleware/auth.ts'
import { runtimeOf } from '../runtime.ts'

/**
 * `GET /health`, open to everyone. Nodes are named only where a launcher on this machine expects one; a public gateway
 * tells nothing and wakes no hub.
 */
export const health: Handler<GatewayEnv> = async (c) => {
  try {
    runtimeOf(c.env)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return c.json({ status: 'misconfigured', version, nodes: [] }, 503)
  }
  if (c.env.SWITCHYARD_EXPECT_NODE !== '1') return c.json({ status: 'ok', version, nodes: [] })
  const lists = await Promise.all(
    nodeTenants(c.env.SWITCHYARD_NODE_TOKEN).map((tenant) =>
      knownNodes(c.env, tenant, { fresh: true, requestId: c.get('requestId') }),
    ),
  )
  const nodes = lists
    .flatMap((list) => list.nodes)
    .map(({ name, models, pid }) => ({
      name,
      models: models.map((model) => model.id),
      ...(pid === undefined ? {} : { pid }),
    }))
  const ready = nodes.length > 0
  return c.json({ status: ready ? 'ok' : 'waiting_for_node', version, nodes }, ready ? 200 : 503)
}

/** Tenants that nodes may join. */
function nodeTenants(tokens: string | undefined): string[] {
  if (!tokens?.trimStart().startsWith('{')) return [localTenant]
  try {
    const parsed: unknown = JSON.parse(tokens)
    return typeof parsed === 'object' && parsed !== null ? Object.keys(parsed) : []
  } catch {
    return []
  }
}
