// What an upstream's failure means to us: status, headers and body text → ApiError. Providers agree on no shape:
// {error:{message,type,param,code}}, {error:"…"}, {message,type,param,code}, {status_code,error}, {detail}, [ {error} ], HTML, plain text.
import { ApiError, type ApiErrorOptions } from '../errors.ts'

export interface UpstreamFailure {
  /** Provider or node, named in messages about faults that are not the client's. */
  place: string
  status: number
  headers: Headers
  /** The body's text, or its beginning. */
  text: string
  /** The key that was refused is the client's own (pass-through), so the refusal is for the client. */
  clientKey?: boolean
  /** Codes of a 4xx that is the model's fault: another place may do better. */
  retryableCodes?: readonly string[]
  /** Milliseconds since the epoch, for a Retry-After given as a date. */
  now: number
}

interface Said {
  message: string
  type: string | undefined
  param: string | null
  code: string | undefined
}

const maxMessage = 2000

/** An HTTP answer that is not 2xx. */
export function upstreamError(failure: UpstreamFailure): ApiError {
  const { place, status } = failure
  const said = readError(failure.text)
  const after = retryAfter(failure.headers, failure.now)
  const waits: ApiErrorOptions = after === undefined ? {} : { retryAfter: after }
  const reason = said.message || `HTTP ${status}`
  if (status >= 300 && status < 400) {
    return new ApiError(
      'upstream_error',
      `${place} answered with a redirect, which is never followed.`,
      {
        retryable: true,
      },
    )
  }
  if (status === 401 || status === 403 || status === 402) return refusedKey(failure, reason)
  if (status === 429) {
    return new ApiError('rate_limit_exceeded', reason, { ...waits, ...wire(said), retryable: true })
  }
  if (status === 408 || status === 504) {
    return new ApiError('upstream_timeout', `${place} timed out: ${reason}`, {
      ...waits,
      retryable: true,
    })
  }
  if (status >= 500 || status < 400) {
    return new ApiError('upstream_error', `${place} failed: ${reason}`, {
      ...waits,
      retryable: true,
    })
  }
  return clientFault(failure, said, reason)
}

/** An error object inside a 200: the first event of a stream, or the whole body. */
export function inBandError(place: string, body: unknown, now: number): ApiError {
  const text = JSON.stringify(body) ?? ''
  const status = inBandStatus(body)
  return upstreamError({ place, status, headers: new Headers(), text, now })
}

/** True for a JSON body that reports an error instead of an answer. */
export function isErrorBody(body: unknown): boolean {
  if (!isRecord(body) || 'choices' in body || 'output' in body) return false
  return (body.error !== undefined && body.error !== null) || body.object === 'error'
}

function refusedKey(failure: UpstreamFailure, reason: string): ApiError {
  if (failure.clientKey) {
    return new ApiError('invalid_api_key', reason, {
      status: failure.status,
      ...(failure.status === 401 ? {} : { wireCode: null }),
    })
  }
  const what = failure.status === 402 ? 'asks for payment' : 'refused our key'
  return new ApiError('provider_auth', `${failure.place} ${what} (HTTP ${failure.status}).`, {
    retryable: true,
    cause: reason,
  })
}

function clientFault(failure: UpstreamFailure, said: Said, reason: string): ApiError {
  const { status, place } = failure
  const passed = { status, param: said.param, ...wire(said) }
  if (isContextLength(said)) {
    return new ApiError('context_length_exceeded', reason, { param: said.param })
  }
  if (said.code === 'content_filter')
    return new ApiError('content_filter', reason, { param: said.param })
  if (status === 404) {
    return new ApiError('model_not_found', `${place}: ${reason}`, {
      param: 'model',
      retryable: true,
    })
  }
  const retryable = said.code !== undefined && (failure.retryableCodes ?? []).includes(said.code)
  return new ApiError('invalid_request', reason, { ...passed, retryable })
}

function wire(said: Said): { wireCode?: string } {
  return said.code === undefined ? {} : { wireCode: said.code }
}

/** Message text is looked at here and nowhere else: most servers give this fault no code. */
function isContextLength(said: Said): boolean {
  if (said.code === 'context_length_exceeded') return true
  return /context.{0,12}(length|window|size)|maximum (context|prompt)|prompt is too long|reduce the length/i.test(
    said.message,
  )
}

/** Reads any of the shapes; never throws. */
function readError(text: string): Said {
  const body = parse(text)
  if (body === undefined)
    return { message: plain(text), type: undefined, param: null, code: undefined }
  return describe(body)
}

function describe(body: unknown): Said {
  const outer = Array.isArray(body) ? body[0] : body
  const record = isRecord(outer) ? outer : {}
  const inner = isRecord(record.error) ? record.error : record
  const message =
    text(inner.message) ??
    text(record.error) ??
    text(record.message) ??
    detail(record.detail) ??
    text(outer) ??
    ''
  const code = inner.code ?? record.code
  const param = text(inner.param) ?? null
  return {
    message: message.slice(0, maxMessage),
    type: text(inner.type),
    // Cerebras puts the kind of check where the name of the field belongs.
    param: param === 'validation_error' ? null : param,
    // Numbers (vLLM, OpenRouter, Cerebras at times) repeat the HTTP status.
    code: text(code),
  }
}

/** FastAPI: a string, or a list of `{ loc, msg }`. */
function detail(value: unknown): string | undefined {
  if (!Array.isArray(value)) return text(value)
  const lines = value.filter(isRecord).map((entry) => {
    const where = Array.isArray(entry.loc) ? entry.loc.join('.') : ''
    return `${where}: ${text(entry.msg) ?? 'invalid'}`
  })
  return lines.length > 0 ? lines.join('; ') : undefined
}

function inBandStatus(body: unknown): number {
  const record = isRecord(body) ? body : {}
  const inner = isRecord(record.error) ? record.error : record
  for (const value of [inner.status, inner.code, record.status_code, record.code]) {
    const status = Number(value)
    if (Number.isInteger(status) && status >= 400 && status <= 599) return status
  }
  const kind = `${text(inner.type) ?? ''} ${text(inner.code) ?? ''}`
  if (/rate_limit|too_many_requests/.test(kind)) return 429
  return /invalid_request|tool_use_failed|context_length|content_filter/.test(kind) ? 400 : 502
}

/** Seconds from `retry-after-ms` or `retry-after` (seconds or a date); undefined when absent or absurd. */
export function retryAfter(headers: Headers, now: number): number | undefined {
  const milliseconds = headers.get('retry-after-ms')
  if (milliseconds !== null) return bounded(Number(milliseconds) / 1000)
  const value = headers.get('retry-after')
  if (value === null) return undefined
  const seconds = Number(value)
  return bounded(Number.isNaN(seconds) ? (Date.parse(value) - now) / 1000 : seconds)
}

function bounded(seconds: number): number | undefined {
  return seconds >= 0 && seconds <= 86_400 ? seconds : undefined
}

function parse(text: string): unknown {
  if (!/^\s*[[{"]/.test(text)) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The title of an HTML page, or plain text without its line breaks. */
function plain(text: string): string {
  const title = /<title[^>]*>([^<]*)/i.exec(text)?.[1]
  if (title !== undefined) return title.trim().slice(0, 200)
  return /<(!doctype|html|body)/i.test(text) ? '' : text.replace(/\s+/g, ' ').trim().slice(0, 300)
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
