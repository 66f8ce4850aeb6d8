// Who may use a node's own API. Without a key it is open to its machine alone, and not to the web pages that the machine's
// user visits: a page reaches loopback by name (DNS rebinding shows in Host) or by address (shows in Origin).
import { createHash, timingSafeEqual } from 'node:crypto'
import { ApiError } from '../../src/errors.ts'
import { allowedOrigin, type Origins } from '../../src/faces/cors.ts'
import { messagesKey } from '../../src/faces/messages-http.ts'

/** Throws ApiError unless the request carries the key. */
export function authorize(request: Request, key: string): void {
  const { headers, url } = request
  const bearer = /^Bearer +([^\s]+) *$/i.exec(headers.get('authorization') ?? '')?.[1]
  const given = bearer ?? messagesKey(new URL(url).pathname, headers)
  if (given !== undefined && sameText(given, key)) return
  throw new ApiError(
    'invalid_api_key',
    given === undefined
      ? "You didn't provide an API key. Send it as `Authorization: Bearer …`."
      : 'Incorrect API key provided.',
  )
}

/** True for an address that only this machine can reach. */
export function isLoopbackHost(hostname: string): boolean {
  return (
    hostname === 'localhost' ||
    hostname === '::1' ||
    hostname === '[::1]' ||
    /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(hostname)
  )
}

/** Throws ApiError for a request that a web page made or another name than this machine's was used for. */
export function refuseForeign(request: Request, origins: Origins = []): void {
  const host = request.headers.get('host')
  if (host !== null && !isLoopback(`http://${host}`)) {
    throw new ApiError(
      'origin_not_allowed',
      'This server answers to localhost only; the Host header names another.',
    )
  }
  const origin = request.headers.get('origin')
  const listed = allowedOrigin(origin, origins, true) !== undefined
  if (origin !== null && !listed && !isLoopback(origin)) {
    throw new ApiError(
      'origin_not_allowed',
      "Requests of other web sites are refused while no key is set and 'cors.origins' does not list them.",
    )
  }
}

function isLoopback(origin: string): boolean {
  return URL.canParse(origin) && isLoopbackHost(new URL(origin).hostname)
}

/** On hashes, so that the time tells neither the text nor its length. */
function sameText(a: string, b: string): boolean {
  const hash = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(hash(a), hash(b))
}
