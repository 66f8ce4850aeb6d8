// What an upstream's failure means to us: status, headers and body text → ApiError. Providers agree on no shape:
// {error:{message,type,param,code}}, {error:"…"}, {message,type,param,code}, {status_code,error}, {detail}, [ {error} ], HTML, plain text.
import { ApiError, type ApiErrorOptions } from '../errors.ts'
import { isObject } from '../protocol/check.ts'
import type { CodeMeaning } from './provider.ts'
import { retryAfter } from './rate-limit.ts'

export interface UpstreamFailure {
  /** Provider or node, named in messages about faults that are not the client's. */
  place: string
  status: number
  headers: Headers
  /** The body's text, or its beginning. */
  text: string
  /** The key that was refused is the client's own (pass-through), so the refusal is for the client. */
  clientKey?: boolean
  /** The provider's own codes. */
  codes?: Readonly<Record<string, CodeMeaning>>
  /** Milliseconds since the epoch, for a Retry-After given as a date. */
  now: number
}

interface Said {
  message: string
  type: string | undefined
  param: string | null
  code: string | undefined
  /** The prompt was found to break a rule, which some say with a 403. */
  moderated: boolean
}

const maxMessage = 2000

/** An HTTP answer that is not 2xx. */
export function upstreamError(failure: UpstreamFailure): ApiError {
  const { place, status } = failure
  const said = readError(failure.text)
  const after = retryAfter(failure.headers, failure.now)
  const waits: ApiErrorOptions = after === undefined ? {} : { retryAfter: after }
  const reason = said.message || `HTTP ${status}`
  const meaning = meaningOf(failure, said)
  if (status >= 300 && status < 400) {
    return new ApiError(
      'upstream_error',
      `${place} answered with a redirect, which is never followed.`,
      {
        retryable: true,
      },
    )
  }
  if (said.moderated || said.code === 'content_filter') {
    return new ApiError('content_filter', reason, { param: said.param })
  }
  if (meaning === 'account' && failure.clientKey !== true) return refusedKey(failure, reason)
  if (status === 401 || status === 403 || status === 402) return refusedKey(failure, reason)
  if (meaning === 'no_model') return noModel(failure, reason)
  if (isContextLength(said) && status !== 429) {
    return new ApiError('context_length_exceeded', reason, { param: said.param })
  }
  if (meaning === 'overloaded') {
    const message = `${place} is overloaded: ${reason}`
    return new ApiError('upstream_error', message, { ...waits, retryable: true })
  }
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
  return clientFault(failure, said, reason, meaning === 'retry')
}

/** By the code, or by the status or the beginning of the message where that is all there is. */
function meaningOf(
  { codes = {}, status }: UpstreamFailure,
  { code, message }: Said,
): CodeMeaning | undefined {
  const key =
    [code, String(status)].find((each) => each && Object.hasOwn(codes, each)) ??
    Object.keys(codes).find((each) => each.includes(' ') && message.startsWith(each))
  return key === undefined ? undefined : codes[key]
}

/** An error object inside a 200: the first event of a stream, or the whole body. */
export function inBandError(
  place: string,
  body: unknown,
  now: number,
  clientKey = false,
): ApiError {
  const text = JSON.stringify(body) ?? ''
  const status = inBandStatus(body)
  return upstreamError({ place, status, headers: new Headers(), text, clientKey, now })
}

/** True for a JSON body that reports an error instead of an answer. */
export function isErrorBody(body: unknown): boolean {
  if (!isObject(body) || 'choices' in body || 'output' in body) return false
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

function clientFault(
  failure: UpstreamFailure,
  said: Said,
  reason: string,
  retryable: boolean,
): ApiError {
  if (failure.status === 404) return noModel(failure, reason)
  const { status } = failure
  return new ApiError('invalid_request', reason, {
    status,
    param: said.param,
    ...wire(said),
    retryable,
  })
}

function noModel({ place }: UpstreamFailure, reason: string): ApiError {
  return new ApiError('model_not_found', `${place}: ${reason}`, { param: 'model', retryable: true })
}

function wire(said: Said): { wireCode?: string } {
  return said.code === undefined ? {} : { wireCode: said.code }
}

/** Message text is looked at here and nowhere else: most servers give this fault no code. */
export function isContextLength(said: {
  code?: string | null | undefined
  message: string
}): boolean {
  if (said.code === 'context_length_exceeded') return true
  // text-generation-inference: "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: …"
  return /context.{0,12}(length|window|size)|maximum (context|prompt)|prompt is too long|reduce the length|tokens \+ .max_new_tokens. must be/i.test(
    said.message,
  )
}

/** Reads any of the shapes; never throws. */
function readError(text: string): Said {
  const body = parse(text)
  if (body === undefined)
    return {
      message: plain(text),
      type: undefined,
      param: null,
      code: undefined,
      moderated: false,
    }
  return describe(body)
}

function describe(body: unknown): Said {
  const outer = Array.isArray(body) ? body[0] : body
  const record = isObject(outer) ? outer : {}
  const inner = isObject(record.error) ? record.error : record
  const message =
    text(inner.message) ??
    text(record.error) ??
    text(record.message) ??
    detail(record.detail) ??
    text(outer) ??
    ''
  // Novita says `reason`, text-generation-inference `error_type`.
  const code =
    text(inner.code) ?? text(record.code) ?? text(inner.reason) ?? text(record.error_type)
  const param = text(inner.param) ?? null
  return {
    message: message.slice(0, maxMessage),
    type: text(inner.type),
    // Cerebras puts the kind of check where the name of the field belongs.
    param: param === 'validation_error' ? null : param,
    // A number (vLLM, OpenRouter, Cerebras at times) repeats the HTTP status.
    code,
    // OpenRouter: https://openrouter.ai/docs/api/reference/errors-and-debugging
    moderated: isObject(inner.metadata) && Array.isArray(inner.metadata.reasons),
  }
}

/** FastAPI: a string, a list of `{ loc, msg }`, or whatever an application raised. */
function detail(value: unknown): string | undefined {
  if (isObject(value)) return text(value.error) ?? text(value.message)
  if (!Array.isArray(value)) return text(value)
  const lines = value.filter(isObject).map((entry) => {
    const where = Array.isArray(entry.loc) ? entry.loc.join('.') : ''
    return `${where}: ${text(entry.msg) ?? 'invalid'}`
  })
  return lines.length > 0 ? lines.join('; ') : undefined
}

function inBandStatus(body: unknown): number {
  const record = isObject(body) ? body : {}
  const inner = isObject(record.error) ? record.error : record
  for (const value of [inner.status, inner.code, record.status_code, record.code]) {
    const status = Number(value)
    if (Number.isInteger(status) && status >= 400 && status <= 599) return status
  }
  const kind = `${text(inner.type) ?? ''} ${text(inner.code) ?? ''}`
  if (/rate_limit|too_many_requests/.test(kind)) return 429
  return /invalid_request|tool_use_failed|context_length|content_filter/.test(kind) ? 400 : 502
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
  const title = /<title[^>]{0,200}>([^<]*)/i.exec(text)?.[1]
  if (title !== undefined) return title.trim().slice(0, 200)
  return /<(!doctype|html|body)/i.test(text) ? '' : text.replace(/\s+/g, ' ').trim().slice(0, 300)
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
