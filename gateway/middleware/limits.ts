import { createMiddleware } from 'hono/factory'
import { ApiError } from '../../src/errors.ts'
import type { GatewayEnv } from '../env.ts'
import { runtimeOf } from '../runtime.ts'

/** Refuses what cannot be a request by its headers alone; the body's true length is counted where it is read. */
export const jsonBody = createMiddleware<GatewayEnv>(async (c, next) => {
  const type = c.req.header('content-type') ?? ''
  if (!/^application\/(?:[\w.-]+\+)?json(?:\s*;|\s*$)/i.test(type)) {
    throw new ApiError(
      'unsupported_media_type',
      `Send the body as application/json${type ? `, not ${type.slice(0, 100)}` : ''}.`,
    )
  }
  const { bodyBytes } = runtimeOf(c.env).config.limits
  if (Number(c.req.header('content-length') ?? 0) > bodyBytes) {
    throw new ApiError('body_too_large', `The request body is larger than ${bodyBytes} bytes.`)
  }
  return next()
})
