import type { Context, Next } from 'hono'
import { createMiddleware } from 'hono/factory'
import { ConfigError } from '../../src/config/index.ts'
import { RequestEntry, type RequestLog } from '../../src/faces/request-log.ts'
import type { Env, GatewayEnv } from '../env.ts'
import { requestLogOf } from '../request-log.ts'

/** Has a record made of each request, where anyone wants it. */
export const requestLog = createMiddleware<GatewayEnv>((c, next) => {
  const log = logOf(c.env)
  return log === undefined || unwatched.has(c.req.path) ? next() : logged(c, next, log)
})

/** Asked often, by those who watch. */
const unwatched: ReadonlySet<string> = new Set(['/health', '/metrics'])

async function logged(c: Context<GatewayEnv>, next: Next, log: RequestLog): Promise<void> {
  const { method, path } = c.req
  const requestId = c.get('requestId')
  const entry = new RequestEntry({ requestId, method, path, startedAt: log.now() }, log)
  c.set('entry', entry)
  // workerd goes on with nothing else: not with a body that is read off before its refusal is told.
  c.req.raw.signal.addEventListener('abort', () => entry.left(c.get('identity')?.tenant))
  await next()
  entry.answered(c.res, c.get('identity')?.tenant)
}

function logOf(env: Env): RequestLog | undefined {
  try {
    return requestLogOf(env)
  } catch (error) {
    if (error instanceof ConfigError) return undefined
    throw error
  }
}
