import type { Handler } from 'hono'
import { ApiError } from '../../src/errors.ts'
import { reservedSuffixes, routeNames } from '../../src/routing/names.ts'
import { type GatewayEnv, secret } from '../env.ts'
import { admitsCallers } from '../middleware/auth.ts'
import { connectNode } from '../nodes.ts'
import { runtimeOf } from '../runtime.ts'

/** `GET /nodes/connect`: a node dials in. It shows its own token; callers' keys mean nothing here. */
export const nodesConnect: Handler<GatewayEnv> = async (c) => {
  const runtime = runtimeOf(c.env)
  const { config } = runtime
  if (!(await admitsCallers(c.env, runtime))) {
    throw new ApiError(
      'auth_not_configured',
      'This gateway has no API keys yet, so no node may join.',
    )
  }
  const response = await connectNode(c.req.raw, c.env, {
    tokens: secret(c.env, config.nodes.tokenEnv),
    refusedNames: [...reservedSuffixes, ...routeNames, ...config.providers.keys()],
  })
  // What a Durable Object answers cannot be changed, and every answer gets a request id.
  return response.status === 101 ? response : new Response(response.body, response)
}
