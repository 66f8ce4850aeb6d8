import type { Handler } from 'hono'
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
