// The one error family and its one translation to OpenAI's error body.
// https://platform.openai.com/docs/guides/error-codes

/** Every machine-readable error code that this software gives. */
export type ErrorCode =
  | 'invalid_request'
  | 'invalid_json'
  | 'invalid_value'
  | 'invalid_encrypted_content'
  | 'missing_required_parameter'
  | 'unsupported_parameter'
  | 'unsupported_content'
  | 'unsupported_media_type'
  | 'body_too_large'
  | 'context_length_exceeded'
  | 'model_not_found'
  | 'provider_not_found'
  | 'response_not_found'
  | 'previous_response_not_found'
  | 'response_cancelled'
  | 'idempotency_key_reused'
  | 'idempotency_key_in_use'
  | 'idempotency_answer_not_kept'
  | 'not_found'
  | 'method_not_allowed'
  | 'invalid_api_key'
  | 'origin_not_allowed'
  | 'rate_limit_exceeded'
  | 'auth_not_configured'
  | 'provider_not_configured'
  | 'provider_auth'
  | 'upstream_error'
  | 'upstream_timeout'
  | 'no_capacity'
  | 'node_lost'
  | 'structured_output_invalid'
  | 'tool_choice_not_met'
  | 'content_filter'
  | 'server_error'

type ErrorType =
  | 'invalid_request_error'
  | 'authentication_error'
  | 'permission_error'
  | 'rate_limit_error'
  | 'server_error'

const kinds: Record<ErrorCode, { status: number; type: ErrorType }> = {
  invalid_request: { status: 400, type: 'invalid_request_error' },
  invalid_json: { status: 400, type: 'invalid_request_error' },
  invalid_value: { status: 400, type: 'invalid_request_error' },
  invalid_encrypted_content: { status: 400, type: 'invalid_request_error' },
  missing_required_parameter: { status: 400, type: 'invalid_request_error' },
  unsupported_parameter: { status: 400, type: 'invalid_request_error' },
  unsupported_content: { status: 400, type: 'invalid_request_error' },
  unsupported_media_type: { status: 415, type: 'invalid_request_error' },
  body_too_large: { status: 413, type: 'invalid_request_error' },
  context_length_exceeded: { status: 400, type: 'invalid_request_error' },
  model_not_found: { status: 404, type: 'invalid_request_error' },
  provider_not_found: { status: 400, type: 'invalid_request_error' },
  response_not_found: { status: 404, type: 'invalid_request_error' },
  previous_response_not_found: { status: 404, type: 'invalid_request_error' },
  response_cancelled: { status: 400, type: 'invalid_request_error' },
  idempotency_key_reused: { status: 409, type: 'invalid_request_error' },
  idempotency_key_in_use: { status: 409, type: 'invalid_request_error' },
  idempotency_answer_not_kept: { status: 409, type: 'invalid_request_error' },
  not_found: { status: 404, type: 'invalid_request_error' },
  method_not_allowed: { status: 405, type: 'invalid_request_error' },
  invalid_api_key: { status: 401, type: 'authentication_error' },
  origin_not_allowed: { status: 403, type: 'permission_error' },
  rate_limit_exceeded: { status: 429, type: 'rate_limit_error' },
  auth_not_configured: { status: 503, type: 'server_error' },
  provider_not_configured: { status: 503, type: 'server_error' },
  provider_auth: { status: 502, type: 'server_error' },
  upstream_error: { status: 502, type: 'server_error' },
  upstream_timeout: { status: 504, type: 'server_error' },
  no_capacity: { status: 503, type: 'server_error' },
  node_lost: { status: 502, type: 'server_error' },
  structured_output_invalid: { status: 502, type: 'server_error' },
  tool_choice_not_met: { status: 502, type: 'server_error' },
  content_filter: { status: 400, type: 'invalid_request_error' },
  server_error: { status: 500, type: 'server_error' },
}

/** Tells our own codes from an upstream's. */
export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(kinds, code)
}

export interface ApiErrorOptions {
  /** The field at fault, as a path: `messages[0].content[1]`. */
  param?: string | null
  /** For logs; never sent to a client. */
  cause?: unknown
  /** Another candidate may be tried: nothing has reached the client and the fault is not the client's. */
  retryable?: boolean
  /** Seconds for the Retry-After header. */
  retryAfter?: number | undefined
  /** The connection to the upstream broke before a byte of an answer: even the same place may do better. */
  unreached?: boolean
  /** Methods of the path, for the Allow header of a 405. */
  allow?: readonly string[] | undefined
  /** Overrides the code's own HTTP status (an upstream's 4xx that is passed on). */
  status?: number
  /** Overrides the wire code (an upstream's own code that is passed on). */
  wireCode?: string | null
}

export interface ErrorBody {
  error: { message: string; type: string; param: string | null; code: string | null }
}

/** Messages and paths may quote what a client sent: an unknown model's name of a megabyte, a key of metadata. */
const maxMessage = 4000
const maxParam = 500

/** A cut, here or where a name was quoted, may part the two halves of a character: strict readers of JSON refuse one alone. */
function told(text: string, length: number): string {
  return (text.length > length ? `${text.slice(0, length)}…` : text).replace(
    /\p{Surrogate}/gu,
    '\uFFFD',
  )
}

/** An error with a code of ours, thrown anywhere and translated once at the edge. */
export class ApiError extends Error {
  readonly code: ErrorCode
  readonly param: string | null
  readonly status: number
  readonly type: string
  readonly retryable: boolean
  readonly retryAfter: number | undefined
  readonly unreached: boolean
  readonly allow: readonly string[] | undefined
  readonly wireCode: string | null

  constructor(code: ErrorCode, message: string, options: ApiErrorOptions = {}) {
    super(
      told(redact(message), maxMessage),
      options.cause === undefined ? undefined : { cause: options.cause },
    )
    this.name = 'ApiError'
    this.code = code
    this.param = options.param == null ? null : told(options.param, maxParam)
    this.status = options.status ?? kinds[code].status
    this.type = this.status === 429 ? 'rate_limit_error' : kinds[code].type
    this.retryable = options.retryable ?? false
    this.retryAfter = options.retryAfter
    this.unreached = options.unreached ?? false
    this.allow = options.allow
    this.wireCode = options.wireCode === undefined ? code : options.wireCode
  }

  /** This error, with some of it told in other words; all else stays. */
  with({ message = this.message, ...changes }: ApiErrorOptions & { message?: string }): ApiError {
    const { code, param, cause, status, wireCode, retryable, retryAfter, unreached, allow } = this
    const same = { param, cause, status, wireCode, retryable, retryAfter, unreached, allow }
    return new ApiError(code, message, { ...same, ...changes })
  }

  /** `{ error: { message, type, param, code } }` */
  toBody(): ErrorBody {
    return {
      error: { message: this.message, type: this.type, param: this.param, code: this.wireCode },
    }
  }

  toResponse(): Response {
    const headers = new Headers({ 'content-type': 'application/json' })
    if (this.retryAfter !== undefined)
      headers.set('retry-after', String(Math.ceil(this.retryAfter)))
    if (this.allow !== undefined) headers.set('allow', this.allow.join(', '))
    return new Response(JSON.stringify(this.toBody()), { status: this.status, headers })
  }
}

/** Any thrown value as an ApiError; what is not ours becomes a 500 without its message. */
export function toApiError(thrown: unknown): ApiError {
  if (thrown instanceof ApiError) return thrown
  return new ApiError('server_error', 'The server had an error while processing your request.', {
    cause: thrown,
  })
}

const secretPattern = /\b(?:sk|sy|hf|gsk|csk|fw|tgp)[-_][A-Za-z0-9_-]{8,}|Bearer\s+[^\s"']{8,}/g

/** Replaces anything that looks like a key: error text travels to clients and logs. */
export function redact(text: string): string {
  return text.replace(secretPattern, '[redacted]')
}
