import { createMiddleware } from 'hono/factory'
import type { GatewayEnv } from '../env.ts'
import { newId } from '../ids.ts'

/** Names each request and answers with headers that keep a browser from making anything else of an API answer. */
export const requestId = createMiddleware<GatewayEnv>(async (c, next) => {
  const id = newId('req')
  c.set('requestId', id)
  await next()
  if (c.res.status === 101) return
  const { headers } = c.res
  headers.set('x-request-id', id)
  headers.set('x-content-type-options', 'nosniff')
  headers.set('cross-origin-resource-policy', 'same-origin')
})
