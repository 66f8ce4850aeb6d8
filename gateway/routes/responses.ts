import type { Context, Handler } from 'hono'
import { handleConversations } from '../../src/faces/conversations.ts'
import { handleResponses } from '../../src/faces/responses.ts'
import { handleStored } from '../../src/faces/stored.ts'
import { handleCompact, handleInputTokens } from '../../src/faces/window.ts'
import { callerOf } from '../caller.ts'
import type { GatewayEnv } from '../env.ts'
import { faceDeps } from '../face-deps.ts'
import { remoteState } from '../response-store.ts'

/** `POST /v1/responses` */
export const createResponse: Handler<GatewayEnv> = (c) => handleResponses(c.req.raw, faceDeps(c))

/** `POST /v1/responses/input_tokens` */
export const inputTokens: Handler<GatewayEnv> = (c) => handleInputTokens(c.req.raw, faceDeps(c))

/** `POST /v1/responses/compact` */
export const compact: Handler<GatewayEnv> = (c) => handleCompact(c.req.raw, faceDeps(c))

/** `/v1/responses/:id` and what is below it. */
export const storedResponse: Handler<GatewayEnv> = (c) => {
  const { onError } = faceDeps(c)
  return handleStored(c.req.raw, pathAfter(c, '/responses/'), remoteState(callerOf(c)), onError)
}

/** `/v1/conversations` and what is below it. */
export const conversations: Handler<GatewayEnv> = (c) => {
  const path = pathAfter(c, '/conversations')
  return handleConversations(c.req.raw, path, remoteState(callerOf(c))?.conversations, faceDeps(c))
}

/** The rest of the path as it was sent: its parts may hold encoded slashes. */
function pathAfter(c: Context<GatewayEnv>, prefix: string): string {
  const { pathname } = new URL(c.req.raw.url)
  return pathname.slice(pathname.indexOf(prefix) + prefix.length)
}
