// Our errors in the shape of Anthropic's API. https://docs.anthropic.com/en/api/errors
import type { ApiError } from '../errors.ts'
import type { MessagesErrorBody } from '../protocol/messages.ts'

/** The body of an error response, and of an `error` event. */
export function messagesErrorBody(
  error: ApiError,
  requestId: string | null | undefined,
): MessagesErrorBody {
  const { message, param, wireCode } = error
  // Claude Code makes room in the conversation when it reads these words.
  const isTooLong = error.code === 'context_length_exceeded' && !/prompt is too long/i.test(message)
  return {
    type: 'error',
    error: {
      type: typeOf(error),
      message: isTooLong ? `prompt is too long: ${message}` : message,
      details: { error_code: wireCode, param },
    },
    request_id: requestId ?? null,
  }
}

/** The error as a response, with `request-id` where the request has a name. */
export function messagesErrorResponse(
  error: ApiError,
  requestId: string | null | undefined,
): Response {
  // Status and Retry-After are the same in every dialect.
  const { status, headers } = error.toResponse()
  if (requestId != null) headers.set('request-id', requestId)
  return new Response(JSON.stringify(messagesErrorBody(error, requestId)), { status, headers })
}

function typeOf({ code, status }: ApiError): string {
  if (code === 'no_capacity') return 'overloaded_error'
  switch (status) {
    case 401:
      return 'authentication_error'
    case 402:
      return 'billing_error'
    case 403:
      return 'permission_error'
    case 404:
      return 'not_found_error'
    case 413:
      return 'request_too_large'
    case 429:
      return 'rate_limit_error'
    case 504:
      return 'timeout_error'
    case 529:
      return 'overloaded_error'
    default:
      return status >= 500 ? 'api_error' : 'invalid_request_error'
  }
}
