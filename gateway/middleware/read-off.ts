import { createMiddleware } from 'hono/factory'
import { drain, largestBody } from '../drain.ts'
import type { GatewayEnv } from '../env.ts'

/** What anyone may make us read for nothing. */
const smallBody = 64 * 1024

/** Around all that answers: however it did, the body is off the wire by then. */
export const readOff = createMiddleware<GatewayEnv>(async (c, next) => {
  await next()
  await drain(c.req.raw, c.get('identity') === undefined ? smallBody : largestBody)
})
