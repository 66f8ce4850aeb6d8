import type { Context, Next } from 'hono'
import { createMiddleware } from 'hono/factory'
import { ConfigError } from '../../src/config/index.ts'
import { RequestEntry } from '../../src/faces/request-log.ts'
import type { Env, GatewayEnv } from '../env.ts'
import { gatewayLog } from '../request-log.ts'
import { runtimeOf } from '../runtime.ts'

/** Writes a line for each request, where the configuration wants it. Whoever watches the health asks often, and is left out. */
export const requestLog = createMiddleware<GatewayEnv>((c, next) =>
  isOn(c.env) && c.req.path !== '/health' ? logged(c, next) : next(),
)

async function logged(c: Context<GatewayEnv>, next: Next): Promise<void> {
  const { method, path } = c.req
  const requestId = c.get('requestId')
  const entry = new RequestEntry({ requestId, method, path, startedAt: Date.now() }, gatewayLog)
  c.set('entry', entry)
  await next()
  entry.answered(c.res, c.get('identity')?.tenant)
}

function isOn(env: Env): boolean {
  try {
    return runtimeOf(env).config.requestLog
  } catch (error) {
    if (error instanceof ConfigError) return false
    throw error
  }
}
