// One call to one provider: which headers go up, how long we wait, how much we take. What comes back is a 2xx body in the
// call's dialect, or an ApiError that says whether the next candidate may be tried.
import { ApiError } from '../src/errors.ts'
import type { UpstreamCall } from '../src/faces/deps.ts'
import { inBandError, isErrorBody, upstreamError } from '../src/providers/errors.ts'
import type { Provider } from '../src/providers/provider.ts'
import { Deadline, guardStream, readText } from './upstream-body.ts'

export interface ProviderCall {
  provider: Provider
  call: UpstreamCall
  /** Sent as a bearer token to the provider's own origin. */
  key: string | undefined
  /** The key is the caller's own (pass-through): its refusal is told to the caller. */
  clientKey: boolean
  /** The caller's request headers; only those that the provider names go up. */
  clientHeaders: Headers
  maxBytes: number
}

/** An answer in one piece begins when it is complete, so its headers may take as long as its text. */
const wholeAnswerMs = 600_000
const streamHeadersMs = 30_000
const maxErrorBytes = 64 * 1024

/** Sends the call; throws ApiError. Aborting `call.signal` ends all of it, before and after the headers. */
export async function callProvider(request: ProviderCall): Promise<Response> {
  const { provider, call } = request
  const limit = provider.timeouts.headersMs ?? (call.stream ? streamHeadersMs : wholeAnswerMs)
  const deadline = new Deadline(call.signal, provider.name)
  const response = await deadline.within(limit, 'no response headers', () =>
    fetch(endpoint(provider, call), {
      method: 'POST',
      headers: headersFor(request),
      body: JSON.stringify(call.body),
      // A redirect would carry the key to another origin.
      redirect: 'manual',
      signal: deadline.signal,
    }),
  )
  if (!response.ok) throw await readFailure(request, response, deadline)
  return call.stream
    ? readStream(request, response, deadline)
    : readWhole(request, response, deadline)
}

function endpoint(provider: Provider, call: UpstreamCall): string {
  return `${provider.baseUrl}/${call.dialect === 'chat' ? 'chat/completions' : 'responses'}`
}

/** Built from nothing: no header of the client goes up unless the provider asks for it by name. */
function headersFor({ provider, call, key, clientHeaders }: ProviderCall): Headers {
  const headers = new Headers(provider.headers)
  for (const name of provider.passHeaders) {
    const value = clientHeaders.get(name)
    if (value !== null) headers.set(name, value)
  }
  headers.set('content-type', 'application/json')
  headers.set('accept', call.stream ? 'text/event-stream' : 'application/json')
  headers.set('accept-encoding', 'identity')
  if (!headers.has('user-agent')) headers.set('user-agent', 'switchyard')
  if (key !== undefined) headers.set('authorization', `Bearer ${key}`)
  return headers
}

async function readFailure(
  { provider, clientKey }: ProviderCall,
  response: Response,
  deadline: Deadline,
): Promise<ApiError> {
  const text = await deadline
    .within(provider.timeouts.idleMs, 'the error body did not come', () =>
      readText(response.body, maxErrorBytes, 'cut'),
    )
    .catch(() => '')
  deadline.end()
  return upstreamError({
    place: provider.name,
    status: response.status,
    headers: response.headers,
    text,
    clientKey,
    retryableCodes: provider.retryableCodes,
    now: Date.now(),
  })
}

/** Waits for the first chunk, so that a silent or refusing stream can still go to the next candidate. */
async function readStream(
  { provider, maxBytes }: ProviderCall,
  response: Response,
  deadline: Deadline,
): Promise<Response> {
  const type = response.headers.get('content-type') ?? ''
  if (!/^text\/event-stream\b/i.test(type)) {
    throw await wrongType(provider, response, deadline, 'text/event-stream')
  }
  const reader = response.body?.getReader()
  if (!reader) throw empty(provider, deadline)
  const first = await deadline.within(provider.timeouts.firstTokenMs, 'no first byte', () =>
    reader.read(),
  )
  if (first.done) throw empty(provider, deadline)
  const refusal = refusalIn(first.value)
  if (refusal !== undefined) {
    await reader.cancel().catch(() => {})
    deadline.end()
    throw inBandError(provider.name, refusal, Date.now())
  }
  const body = guardStream(first.value, reader, deadline, {
    idleMs: provider.timeouts.idleMs,
    maxBytes,
  })
  return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
}

async function readWhole(
  { provider, maxBytes }: ProviderCall,
  response: Response,
  deadline: Deadline,
): Promise<Response> {
  const type = response.headers.get('content-type') ?? ''
  if (!/^application\/(?:[\w.-]+\+)?json\b/i.test(type)) {
    throw await wrongType(provider, response, deadline, 'application/json')
  }
  const text = await deadline.within(wholeAnswerMs, 'the body did not end', () =>
    readText(response.body, maxBytes, 'refuse'),
  )
  deadline.end()
  const trimmed = text.trim()
  if (!trimmed.startsWith('{') || !trimmed.endsWith('}')) {
    throw failed(provider, 'the JSON body is cut off or is no object')
  }
  // An answer has choices (chat) or output (responses) in it; only what has neither is worth parsing twice.
  if (!trimmed.includes('"choices"') && !trimmed.includes('"output"'))
    throw notAnAnswer(provider, trimmed)
  return new Response(text, { headers: { 'content-type': 'application/json' } })
}

function notAnAnswer(provider: Provider, text: string): ApiError {
  try {
    const body: unknown = JSON.parse(text)
    if (isErrorBody(body)) return inBandError(provider.name, body, Date.now())
  } catch {
    // Told below.
  }
  return failed(provider, 'the body is no answer of this API')
}

/** A 200 that is an error page, or an error in JSON where a stream was asked for. */
async function wrongType(
  provider: Provider,
  response: Response,
  deadline: Deadline,
  expected: string,
): Promise<ApiError> {
  const type = response.headers.get('content-type') ?? 'no content type'
  const text = await deadline
    .within(provider.timeouts.idleMs, 'the body did not end', () =>
      readText(response.body, maxErrorBytes, 'cut'),
    )
    .catch(() => '')
  deadline.end()
  if (/json/i.test(type)) {
    try {
      const body: unknown = JSON.parse(text)
      if (isErrorBody(body)) return inBandError(provider.name, body, Date.now())
    } catch {
      // Told below.
    }
  }
  return failed(provider, `it answered with ${type.slice(0, 100)} instead of ${expected}`)
}

/** The error object of a stream whose first event is an error. Such an event comes whole, before any other. */
function refusalIn(chunk: Uint8Array): unknown {
  // Cheap test first: a stream of tokens begins with an id, a role or a choice.
  const head = new TextDecoder().decode(chunk.subarray(0, maxErrorBytes))
  const event = /^\s*(?:event:[^\n]*\n)?data:\s*(\{[^\n]*)/.exec(head)?.[1]
  if (event === undefined || !event.slice(0, 64).includes('error')) return undefined
  try {
    const body: unknown = JSON.parse(event)
    return isErrorBody(body) ? body : undefined
  } catch {
    return undefined
  }
}

function empty(provider: Provider, deadline: Deadline): ApiError {
  deadline.end()
  return failed(provider, 'the stream is empty')
}

function failed(provider: Provider, why: string): ApiError {
  return new ApiError('upstream_error', `${provider.name} failed: ${why}.`, { retryable: true })
}
