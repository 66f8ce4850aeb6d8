import type { Handler } from 'hono'
import { ConfigError } from '../../src/config/index.ts'
import { version } from '../../src/version.ts'
import { type GatewayEnv, secret } from '../env.ts'
import { knownNodes } from '../known-nodes.ts'
import { localTenant } from '../middleware/auth.ts'
import { runtimeOf } from '../runtime.ts'

/**
 * `GET /health`, open to everyone. It waits for a node only where a launcher expects one, and names nodes only where that
 * launcher listens for this machine alone; a deployed gateway tells nothing and wakes no hub.
 */
export const health: Handler<GatewayEnv> = async (c) => {
  let tokens: string | undefined
  try {
    tokens = secret(c.env, runtimeOf(c.env).config.nodes.tokenEnv)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return c.json({ status: 'misconfigured', version, nodes: [] }, 503)
  }
  const expected = c.env.SWITCHYARD_EXPECT_NODE
  if (expected !== '1' && expected !== 'unnamed')
    return c.json({ status: 'ok', version, nodes: [] })
  const lists = await Promise.all(
    nodeTenants(tokens).map((tenant) =>
      knownNodes(c.env, tenant, { fresh: true, requestId: c.get('requestId') }),
    ),
  )
  const joined = lists.flatMap((list) => list.nodes)
  const ready = joined.length > 0
  const nodes = (expected === '1' ? joined : []).map(({ name, models, pid }) => ({
    name,
    models: models.map((model) => model.id),
    ...(pid === undefined ? {} : { pid }),
  }))
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
