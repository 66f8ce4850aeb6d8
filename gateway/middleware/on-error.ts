// Every failure in OpenAI's shape, whatever threw it.
import type { ErrorHandler, Handler, NotFoundHandler } from 'hono'
import { ConfigError } from '../../src/config/index.ts'
import { ApiError, toApiError } from '../../src/errors.ts'
import type { GatewayEnv } from '../env.ts'
import { logFault } from '../log.ts'
import { drain, smallBody } from './drain.ts'

/** A fault of ours is logged with its cause; the client learns no more than its code. */
export const onError: ErrorHandler<GatewayEnv> = async (thrown, c) => {
  const error =
    thrown instanceof ConfigError
      ? new ApiError('server_error', 'The gateway is not configured correctly.', { cause: thrown })
      : toApiError(thrown)
  if (error.status >= 500) logFault(error, { requestId: c.get('requestId') })
  await drain(c.req.raw, smallBody)
  return error.toResponse()
}

export const notFound: NotFoundHandler<GatewayEnv> = (c) =>
  new ApiError('not_found', `Unknown request URL: ${c.req.method} ${c.req.path}.`).toResponse()

/** For a path that exists, asked with another method. */
export function only(...methods: string[]): Handler<GatewayEnv> {
  return (c) => {
    // Clients that try a WebSocket first fall back to POST on 426 and give up on anything else.
    const upgrade = c.req.header('upgrade')?.toLowerCase() === 'websocket'
    const message = upgrade
      ? 'This endpoint is not served over WebSocket; use POST.'
      : `Not allowed to ${c.req.method} on ${c.req.path}.`
    const response = new ApiError(
      'method_not_allowed',
      message,
      upgrade ? { status: 426 } : {},
    ).toResponse()
    response.headers.set('allow', methods.join(', '))
    return response
  }
}
