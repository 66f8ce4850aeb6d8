import type { Handler } from 'hono'
import { TenantContainers } from '../containers.ts'
import type { GatewayEnv } from '../env.ts'

/** `/v1/containers` and what is below it. */
export const containers: Handler<GatewayEnv> = (c) =>
  new TenantContainers(c.env, c.get('identity').tenant, c.get('requestId')).answer(c.req.raw)
