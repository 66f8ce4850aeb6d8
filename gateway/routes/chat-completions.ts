import type { Handler } from 'hono'
import { handleChat } from '../../src/faces/chat.ts'
import type { GatewayEnv } from '../env.ts'
import { faceDeps } from '../face-deps.ts'

/** `POST /v1/chat/completions` */
export const createChatCompletion: Handler<GatewayEnv> = (c) => handleChat(c.req.raw, faceDeps(c))
