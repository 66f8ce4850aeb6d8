// An open gateway trusts its own machine, not the web pages that its user visits: a page can reach loopback by name
// (DNS rebinding shows in Host) or by address (shows in Origin).
import { createMiddleware } from 'hono/factory'
import { ApiError } from '../../src/errors.ts'
import type { GatewayEnv } from '../env.ts'

/** Refuses foreign Host and Origin headers while the gateway is open. */
export const localOnly = createMiddleware<GatewayEnv>((c, next) => {
  if (isOpen(c.env)) {
    const host = c.req.header('host')
    if (host !== undefined && !isLoopback(`http://${host}`)) {
      throw new ApiError(
        'origin_not_allowed',
        'This gateway answers to localhost only; the Host header names another.',
      )
    }
    const origin = c.req.header('origin')
    if (origin !== undefined && !isLoopback(origin)) {
      throw new ApiError(
        'origin_not_allowed',
        'Requests of other web sites are refused while no API keys are set.',
      )
    }
  }
  return next()
})

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
