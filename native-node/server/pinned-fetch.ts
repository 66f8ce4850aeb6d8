// Requests to servers that a client has named, from a machine that sits in somebody's network: the name is resolved, every
// address behind it checked, and the connection goes to the one that was checked. Follows no redirect; whoever asks judges
// the next URL itself.
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { Readable } from 'node:stream'
import { type EgressPolicy, refusalOf } from '../../src/egress/egress.ts'
import { type Address, addressOf, type Resolve, UrlRefused } from './pinned-get.ts'

export interface PinnedFetchOptions {
  policy: EgressPolicy | undefined
  /** The system's resolver unless given. */
  resolve?: Resolve | undefined
}

/** A connection that waits longer is closed: the other side would close it while the next request is on its way. */
const idleMs = 2_000

/** The rest of fetch() that is needed here: a string or nothing as the body, `manual` redirects. */
export function pinnedFetch(options: PinnedFetchOptions) {
  const agents = {
    'http:': new HttpAgent({ keepAlive: true, timeout: idleMs }),
    'https:': new HttpsAgent({ keepAlive: true, timeout: idleMs }),
  }
  return async (url: string, init: RequestInit = {}): Promise<Response> => {
    const refusal = refusalOf(url, options.policy, 'resolve')
    const target = new URL(url)
    const { protocol } = target
    if (refusal !== undefined || (protocol !== 'http:' && protocol !== 'https:')) {
      throw new UrlRefused(refusal ?? 'it is not an http or https URL')
    }
    const signal = init.signal ?? new AbortController().signal
    signal.throwIfAborted()
    const pin = await addressOf(target.hostname, { ...options, signal })
    return responseOf(await send(target, init, agents[protocol], pin, signal))
  }
}

function send(
  target: URL,
  { method = 'GET', headers, body }: RequestInit,
  agent: HttpAgent | HttpsAgent,
  pin: Address,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  if (body != null && typeof body !== 'string') throw new TypeError('The body must be a string.')
  const start = target.protocol === 'https:' ? httpsRequest : httpRequest
  return new Promise((resolve, reject) => {
    const request = start(target, {
      method,
      headers: {
        ...Object.fromEntries(new Headers(headers)),
        ...(body == null ? {} : { 'content-length': String(Buffer.byteLength(body)) }),
      },
      agent,
      signal,
      // The name stays in Host and in the certificate; the address is the one that was checked.
      lookup: (_host, { all }, done) =>
        all ? done(null, [pin]) : done(null, pin.address, pin.family),
    })
    request.on('response', resolve)
    request.on('error', reject)
    request.end(body ?? undefined)
  })
}

function responseOf(message: IncomingMessage): Response {
  const { statusCode = 502, statusMessage = '' } = message
  const headers = new Headers()
  for (const [name, values] of Object.entries(message.headersDistinct)) {
    for (const value of values ?? []) headers.append(name, value)
  }
  if (statusCode < 200 || statusCode > 599) {
    message.destroy()
    throw new Error(`The server answered with status ${statusCode}.`)
  }
  const isEmpty = statusCode === 204 || statusCode === 205 || statusCode === 304
  if (isEmpty) message.resume()
  const body = isEmpty ? null : toWeb(message)
  return new Response(body, { status: statusCode, statusText: statusMessage, headers })
}

function toWeb(message: IncomingMessage): ReadableStream<Uint8Array> {
  const chunks = Readable.toWeb(message).getReader()
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { value, done } = await chunks.read()
      if (done) controller.close()
      else controller.enqueue(value)
    },
    cancel: (reason) => chunks.cancel(reason),
  })
}
