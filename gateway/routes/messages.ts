import type { Handler, MiddlewareHandler } from 'hono'
import { modelsToMessages } from '../../src/convert/messages-models.ts'
import { handleCountTokens } from '../../src/faces/count-tokens.ts'
import { handleMessages } from '../../src/faces/messages.ts'
import type { GatewayEnv } from '../env.ts'
import { faceDeps } from '../face-deps.ts'

/** `POST /v1/messages` */
export const createMessage: Handler<GatewayEnv> = (c) =>
  handleMessages(c.req.raw, faceDeps(c), c.get('requestId'))

/** `POST /v1/messages/count_tokens` */
export const countMessageTokens: Handler<GatewayEnv> = (c) =>
  handleCountTokens(c.req.raw, faceDeps(c), c.get('requestId'))

/** `GET /v1/models` and what is below it, for Anthropic's clients: they read a list of their own shape. */
export const modelsForMessages: MiddlewareHandler<GatewayEnv> = async (c, next) => {
  await next()
  if (!c.req.header('anthropic-version') || !c.res.ok) return
  c.res = c.json(modelsToMessages(await c.res.json()))
}
