import type { Context, Handler } from 'hono'
import { ConfigError } from '../../src/config/index.ts'
import { version } from '../../src/version.ts'
import type { Env, GatewayEnv } from '../env.ts'
import { knownNodes, nodeTenants } from '../known-nodes.ts'
import { admitsCallers } from '../middleware/auth.ts'
import { type Runtime, runtimeOf } from '../runtime.ts'

/**
 * `GET /health`, open to everyone: 200 while the gateway lives, though it may not be of use yet, as `status` says; with
 * `?ready` 503 until it is. It waits for a node only where a launcher expects one, and names nodes only where that launcher
 * listens for this machine alone; a deployed gateway tells nothing and wakes no hub.
 */
export const health: Handler<GatewayEnv> = async (c) => {
  const { status, nodes = [] } = await stateOf(c)
  // An owner that has yet to set keys must see that the Worker is there; no restart would help.
  const isAlive = status === 'auth_not_configured' && !expectsNode(c.env)
  const isFine = status === 'ok' || (isAlive && c.req.query('ready') === undefined)
  return c.json({ status, version, nodes }, isFine ? 200 : 503)
}

function expectsNode({ SWITCHYARD_EXPECT_NODE: expected }: Env): boolean {
  return expected === '1' || expected === 'unnamed'
}

type Status = 'ok' | 'misconfigured' | 'auth_not_configured' | 'waiting_for_node'

interface State {
  status: Status
  nodes?: { name: string; models: string[]; pid?: number }[]
}

async function stateOf(c: Context<GatewayEnv>): Promise<State> {
  let runtime: Runtime
  try {
    runtime = runtimeOf(c.env)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return { status: 'misconfigured' }
  }
  if (!(await admitsCallers(c.env, runtime))) return { status: 'auth_not_configured' }
  if (!expectsNode(c.env)) return { status: 'ok' }
  const lists = await Promise.all(
    nodeTenants(c.env).map((tenant) =>
      knownNodes(c.env, tenant, { fresh: true, requestId: c.get('requestId') }),
    ),
  )
  const joined = lists.flatMap((list) => list.nodes)
  const nodes = (c.env.SWITCHYARD_EXPECT_NODE === '1' ? joined : []).map(
    ({ name, models, pid }) => ({
      name,
      models: models.map((model) => model.id),
      ...(pid === undefined ? {} : { pid }),
    }),
  )
  return { status: joined.length > 0 ? 'ok' : 'waiting_for_node', nodes }
}
