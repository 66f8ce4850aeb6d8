// Every failure in the shape of the API that was asked, whatever threw it.
import type { Context, ErrorHandler, Handler, NotFoundHandler } from 'hono'
import { ConfigError } from '../../src/config/index.ts'
import { messagesErrorResponse } from '../../src/convert/messages-error.ts'
import { ApiError, toApiError } from '../../src/errors.ts'
import { isMessagesPath } from '../../src/faces/messages-http.ts'
import { unknownUrl } from '../../src/faces/unknown-url.ts'
import type { GatewayEnv } from '../env.ts'
import { logFault } from '../log.ts'

/** A fault of ours is logged with its cause; the client learns no more than its code. */
export const onError: ErrorHandler<GatewayEnv> = (thrown, c) => {
  const error =
    thrown instanceof ConfigError
      ? new ApiError('server_error', 'The gateway is not configured correctly.', { cause: thrown })
      : toApiError(thrown)
  if (error.status >= 500) logFault(error, { requestId: c.get('requestId') })
  return told(c, error)
}

export const notFound: NotFoundHandler<GatewayEnv> = (c) =>
  told(c, unknownUrl(c.req.method, c.req.path))

/** Anthropic's clients read errors of their own API alone. */
function told(c: Context<GatewayEnv>, error: ApiError): Response {
  c.get('entry')?.refused(error.code)
  return isMessagesPath(c.req.path)
    ? messagesErrorResponse(error, c.get('requestId'))
    : error.toResponse()
}

/** For a path that exists, asked with another method. */
export function only(...methods: string[]): Handler<GatewayEnv> {
  return (c) => {
    // Clients that try a WebSocket first fall back to POST on 426 and give up on anything else.
    const upgrade = c.req.header('upgrade')?.toLowerCase() === 'websocket'
    const message = upgrade
      ? 'This endpoint is not served over WebSocket; use POST.'
      : `Not allowed to ${c.req.method} on ${c.req.path}.`
    const status = upgrade ? { status: 426 } : {}
    const response = told(c, new ApiError('method_not_allowed', message, status))
    response.headers.set('allow', methods.join(', '))
    return response
  }
}
