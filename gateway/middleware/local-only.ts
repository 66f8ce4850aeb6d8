// An open gateway trusts its own machine, not the web pages that its user visits: a page can reach loopback by name
// (DNS rebinding shows in Host) or by address (shows in Origin).
import type { Context, Next } from 'hono'
import { createMiddleware } from 'hono/factory'
import { ApiError } from '../../src/errors.ts'
import { allow, allowedOrigin, preflight } from '../../src/faces/cors.ts'
import type { GatewayEnv } from '../env.ts'
import { runtimeOf } from '../runtime.ts'

/** Refuses foreign Host and Origin headers while the gateway is open; lets the pages in that the configuration lists. */
export const localOnly = createMiddleware<GatewayEnv>((c, next) => {
  const open = isOpen(c.env)
  const origin = c.req.header('origin')
  // Nothing is read of the configuration without one: /health tells of a bad one.
  const page = origin && allowedOrigin(origin, runtimeOf(c.env).config.cors.origins, open)
  if (open) {
    const host = c.req.header('host')
    if (host !== undefined && !isLoopback(`http://${host}`)) {
      throw new ApiError(
        'origin_not_allowed',
        'This gateway answers to localhost only; the Host header names another.',
      )
    }
    if (origin !== undefined && !page && !isLoopback(origin)) {
      throw new ApiError(
        'origin_not_allowed',
        "Requests of other web sites are refused while no API keys are set and 'cors.origins' does not list them.",
      )
    }
  }
  return page ? answerPage(c, next, page) : next()
})

async function answerPage(c: Context<GatewayEnv>, next: Next, page: string) {
  const told = preflight(c.req.raw, page)
  if (told) return told
  await next()
  if (c.res.status !== 101) allow(c.res.headers, page)
}

/** Open by the launcher's word, and only as long as there are no keys. */
export function isOpen(env: { SWITCHYARD_OPEN?: string; SWITCHYARD_KEYS?: string }): boolean {
  return env.SWITCHYARD_OPEN === 'loopback' && !env.SWITCHYARD_KEYS
}

function isLoopback(origin: string): boolean {
  // What nearly every request says; a URL costs 10 µs.
  if (/^https?:\/\/(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?$/.test(origin)) return true
  try {
    const { hostname } = new URL(origin)
    return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname)
  } catch {
    return false
  }
}
