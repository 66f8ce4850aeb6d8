// What a client may say on a Responses socket, and the envelope of what went wrong.
// https://www.openresponses.org (WebSocket), https://developers.openai.com/api/docs/guides/websocket-mode (stream_id, generate)
import { ApiError, type ErrorBody } from '../errors.ts'
import { parseJson } from '../json.ts'
import { isObject } from '../protocol/check.ts'

export type ClientMessage =
  | {
      kind: 'create'
      /** A request body as `POST /v1/responses` takes it, `stream` set. */
      body: Record<string, unknown>
      /** False: the input is only remembered, for a next turn to go on from. */
      generate: boolean
    }
  | { kind: 'cancel'; responseId: string | undefined }
  /** Codex says that it has read an answer. */
  | { kind: 'processed' }

/** A message's object; throws ApiError for anything that is none, or is larger than a request body may be. */
export function parseMessage(data: unknown, maxBytes: number): Record<string, unknown> {
  if (typeof data !== 'string') throw invalid('A message must be text; binary ones are refused.')
  if (data.length > maxBytes || (data.length * 3 > maxBytes && utf8Length(data) > maxBytes)) {
    throw new ApiError('body_too_large', `The message is larger than ${maxBytes} bytes.`)
  }
  const message = parseJson(data)
  if (!isObject(message)) throw invalid('A message must be a JSON object.')
  return message
}

/** The lane of a message: OpenAI's `stream_id`. Throws ApiError. */
export function laneOf({ stream_id }: Record<string, unknown>): string | undefined {
  if (stream_id === undefined) return undefined
  if (typeof stream_id === 'string' && /^[\w.-]{1,256}$/.test(stream_id)) return stream_id
  throw new ApiError(
    'invalid_value',
    "'stream_id' must be 1 to 256 letters, digits, underscores, hyphens or periods.",
    { param: 'stream_id', wireCode: 'invalid_stream_id' },
  )
}

/** What a message asks for; throws ApiError. */
export function readMessage(message: Record<string, unknown>): ClientMessage {
  switch (message.type) {
    case 'response.create':
      return readCreate(message)
    case 'response.cancel':
      return { kind: 'cancel', responseId: optionalText(message, 'response_id') }
    case 'response.processed':
      return { kind: 'processed' }
    case undefined:
      throw new ApiError('missing_required_parameter', "Missing required parameter: 'type'.", {
        param: 'type',
      })
    default:
      throw new ApiError(
        'invalid_value',
        "'type' must be 'response.create' or 'response.cancel'; nothing else is served on a socket.",
        { param: 'type' },
      )
  }
}

function readCreate(message: Record<string, unknown>): ClientMessage {
  const { type: _, stream_id: __, generate, stream, background, ...body } = message
  // The specification forbids all three. `stream: true` and `background: false` say what holds anyway, and Codex and the
  // Agents SDK send the first; they are let through, what would mean something else is refused.
  if (stream != null && stream !== true) throw forbidden('stream')
  if (body.stream_options != null) throw forbidden('stream_options')
  if (background != null && background !== false) throw forbidden('background')
  if (generate != null && typeof generate !== 'boolean') {
    throw new ApiError('invalid_value', "'generate' must be a boolean.", { param: 'generate' })
  }
  return { kind: 'create', body: { ...body, stream: true }, generate: generate !== false }
}

function forbidden(param: string): ApiError {
  const message = `'${param}' must not be sent on a socket: every answer there is a stream of events.`
  return new ApiError('unsupported_parameter', message, { param })
}

function invalid(message: string): ApiError {
  return new ApiError('invalid_request', message)
}

function optionalText(message: Record<string, unknown>, param: string): string | undefined {
  const value = message[param]
  if (value == null) return undefined
  if (typeof value === 'string') return value
  throw new ApiError('invalid_value', `'${param}' must be a string.`, { param })
}

function utf8Length(text: string): number {
  return new TextEncoder().encode(text).length
}

/** `{ type: "error", status, error: { type, code, message, param } }`; a failure that is no event of a response. */
export function errorEnvelope(error: ApiError, lane?: string): string {
  const { status, retryAfter } = error
  const headers =
    retryAfter === undefined ? {} : { headers: { 'retry-after': String(Math.ceil(retryAfter)) } }
  return envelope(status, { ...error.toBody().error, ...headers }, lane)
}

/** The same of an HTTP response that is no stream. */
export async function responseEnvelope(response: Response, lane?: string): Promise<string> {
  if (response.status < 400) {
    // Only an upstream whose answers are passed on raw can say anything else than what was asked for.
    await response.body?.cancel()
    const message = 'The upstream did not answer with a stream.'
    return errorEnvelope(new ApiError('upstream_error', message), lane)
  }
  const { error } = (await response.json()) as ErrorBody
  const retryAfter = response.headers.get('retry-after')
  const headers = retryAfter === null ? {} : { headers: { 'retry-after': retryAfter } }
  return envelope(response.status, { ...error, ...headers }, lane)
}

function envelope(status: number, error: Record<string, unknown>, lane: string | undefined) {
  return JSON.stringify({
    type: 'error',
    status,
    error,
    ...(lane === undefined ? {} : { stream_id: lane }),
  })
}
