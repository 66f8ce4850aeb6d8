// One call to one provider: which headers go up, how long we wait for headers to come back, and what a refusal means. The
// body of a 2xx answer is read by the face, under the limits of its candidate.
import { ApiError } from '../src/errors.ts'
import type { UpstreamCall } from '../src/faces/deps.ts'
import { endpointOf } from '../src/providers/endpoint.ts'
import { inBandError, isErrorBody, upstreamError } from '../src/providers/errors.ts'
import { hideKey } from '../src/providers/hide-key.ts'
import { type Provider, usualHeadersMs } from '../src/providers/provider.ts'
import { parseJson } from './node-answer.ts'

export interface ProviderCall {
  provider: Provider
  call: UpstreamCall
  /** Sent as a bearer token to the provider's own origin. */
  key: string | undefined
  /** The key is the caller's own (pass-through): its refusal is told to the caller. */
  clientKey: boolean
  /** The caller's request headers; only those that the provider names go up. */
  clientHeaders: Headers
}

const errorBodyMs = 10_000
const maxErrorBytes = 64 * 1024

const contentTypes = {
  stream: { accept: 'text/event-stream', pattern: /^text\/event-stream\b/i },
  whole: { accept: 'application/json', pattern: /^application\/(?:[\w.-]+\+)?json\b/i },
  either: {
    accept: 'text/event-stream, application/json;q=0.5',
    pattern: /^(?:text\/event-stream|application\/(?:[\w.-]+\+)?json)\b/i,
  },
}

function expectedOf({ stream, wholeWillDo }: UpstreamCall) {
  return contentTypes[!stream ? 'whole' : wholeWillDo ? 'either' : 'stream']
}

/** Sends the call; throws ApiError. Aborting `call.signal` ends all of it, before and after the headers. */
export async function callProvider(request: ProviderCall): Promise<Response> {
  const { provider, call } = request
  const url = endpointOf(provider, call.dialect, String(call.body.model))
  const limitMs = provider.timeouts.headersMs ?? usualHeadersMs[call.stream ? 'stream' : 'whole']
  // The wait for the headers is under the call's deadline; the face goes on with it.
  call.deadline?.set(limitMs)
  let response: Response
  try {
    response = await fetch(url, {
      method: 'POST',
      headers: headersFor(request),
      body: JSON.stringify(call.body),
      // A redirect would carry the key to another origin.
      redirect: 'manual',
      signal: call.signal,
    })
  } catch (cause) {
    throw unanswered(provider, call, limitMs, cause)
  }
  const type = response.headers.get('content-type') ?? 'no content type'
  const expected = expectedOf(call)
  if (response.ok && expected.pattern.test(type)) return response
  const text = hideKey(await readError(response), request.key)
  if (!response.ok) throw refused(request, response, text)
  throw notAnAnswer(request, text, `it answered with ${type.slice(0, 100)}, not ${expected.accept}`)
}

/** Built from nothing: no header of the client goes up unless the provider asks for it by name. */
function headersFor({ provider, call, key, clientHeaders }: ProviderCall): Record<string, string> {
  const headers: Record<string, string> = { 'user-agent': 'switchyard' }
  for (const [name, value] of Object.entries(provider.headers)) headers[name.toLowerCase()] = value
  for (const name of provider.passHeaders) {
    const value = clientHeaders.get(name)
    if (value !== null) headers[name.toLowerCase()] = value
  }
  headers['content-type'] = 'application/json'
  headers.accept = expectedOf(call).accept
  headers['accept-encoding'] = 'identity'
  if (key !== undefined) headers.authorization = `Bearer ${key}`
  return headers
}

/** What to throw where no headers have come. */
function unanswered(
  { name }: Provider,
  { signal, deadline }: UpstreamCall,
  limitMs: number,
  cause: unknown,
): unknown {
  if (deadline?.late) {
    const message = `${name} sent no response headers within ${limitMs} ms.`
    return new ApiError('upstream_timeout', message, { cause, retryable: true })
  }
  if (signal.aborted) return cause
  return new ApiError('upstream_error', `${name} failed: the connection was lost.`, {
    cause,
    retryable: true,
    unreached: true,
  })
}

function refused(
  { provider, clientKey }: ProviderCall,
  response: Response,
  text: string,
): ApiError {
  return upstreamError({
    place: provider.name,
    status: response.status,
    headers: response.headers,
    text,
    clientKey,
    codes: provider.codes,
    now: Date.now(),
  })
}

/** A 200 that is an error page, or an error in JSON where a stream was asked for. */
function notAnAnswer({ provider, clientKey }: ProviderCall, text: string, why: string): ApiError {
  const body = parseJson(text)
  if (isErrorBody(body)) return inBandError(provider.name, body, Date.now(), clientKey)
  return new ApiError('upstream_error', `${provider.name} failed: ${why}.`, { retryable: true })
}

/** The beginning of an error's body; a body that is slow, huge or broken is no reason to wait. */
async function readError({ body }: Response): Promise<string> {
  if (!body) return ''
  const reader = body.getReader()
  const timer = setTimeout(() => reader.cancel().catch(() => {}), errorBodyMs)
  const decoder = new TextDecoder()
  let text = ''
  try {
    while (text.length < maxErrorBytes) {
      const { done, value } = await reader.read()
      if (done) return text + decoder.decode()
      text += decoder.decode(value, { stream: true })
    }
  } catch {
    // What has come so far must do.
  } finally {
    clearTimeout(timer)
  }
  await reader.cancel().catch(() => {})
  return text
}
