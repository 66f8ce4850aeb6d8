// Who asks, in words that do not end with the request: a Durable Object answers on a caller's behalf when its request is over.
import type { Context } from 'hono'
import type { Env, GatewayEnv, Identity } from './env.ts'
import { providerKeyHeader } from './provider-keys.ts'

export interface Caller {
  env: Env
  identity: Identity
  requestId: string
  /** The provider or node that the path names. */
  place: string | undefined
  headers: Headers
  /** Lets work go on when the answer has ended or its client is gone. */
  waitUntil(work: Promise<unknown>): void
}

/** What of a caller can be sent; it is kept in memory only. */
export interface CallerMessage {
  identity: Identity
  requestId: string
  place: string | undefined
  headers: [string, string][]
}

const secretHeaders = new Set([
  'authorization',
  'cookie',
  'x-api-key',
  'proxy-authorization',
  providerKeyHeader,
])

/** The caller of this request. */
export function callerOf(c: Context<GatewayEnv>): Caller {
  return {
    env: c.env,
    identity: c.get('identity'),
    requestId: c.get('requestId'),
    place: c.req.param('place'),
    headers: c.req.raw.headers,
    waitUntil: (work) => c.executionCtx.waitUntil(work),
  }
}

/** Its own key is not sent along: who it is has been found out. */
export function callerMessage({ identity, requestId, place, headers }: Caller): CallerMessage {
  return {
    identity,
    requestId,
    place,
    headers: [...headers].filter(([name]) => !secretHeaders.has(name.toLowerCase())),
  }
}
