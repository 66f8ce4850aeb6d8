// Web pages that may call: what a browser is told, so that it lets the page send its request and read the answer.
// https://fetch.spec.whatwg.org/#http-cors-protocol

/** As listed in the configuration: `https://app.example.com`, or `*`. */
export type Origins = readonly string[]

/** What a page may read beside the body. */
const exposed = [
  'retry-after',
  'warning',
  'x-request-id',
  'request-id',
  ...['provider', 'node', 'attempts', 'tried', 'idempotent-replay'].map((n) => `x-switchyard-${n}`),
].join(', ')

/**
 * The origin that may be told that it may, or undefined. `*` stands for pages that bring a key. Where none is asked for (`open`),
 * it would let every site that a user visits use the models of their machine, and counts for nothing.
 */
export function allowedOrigin(
  origin: string | null | undefined,
  origins: Origins,
  open: boolean,
): string | undefined {
  if (origin == null) return undefined
  if (origins.includes(origin)) return origin
  return !open && origins.includes('*') ? origin : undefined
}

/** The answer to a browser that asks first; undefined for any other request. */
export function preflight({ method, headers }: Request, origin: string): Response | undefined {
  if (method !== 'OPTIONS' || !headers.has('access-control-request-method')) return undefined
  const answer = new Response(null, { status: 204 })
  allow(answer.headers, origin)
  answer.headers.set('access-control-allow-methods', 'GET, HEAD, POST, DELETE')
  // By name, as `*` does not stand for Authorization.
  const wanted = headers.get('access-control-request-headers')
  if (wanted !== null) answer.headers.set('access-control-allow-headers', wanted)
  answer.headers.set('access-control-max-age', '7200')
  if (headers.get('access-control-request-private-network') === 'true') {
    answer.headers.set('access-control-allow-private-network', 'true')
  }
  return answer
}

/** Puts into an answer's headers that a page of this origin may read it. */
export function allow(headers: Headers, origin: string): void {
  headers.set('access-control-allow-origin', origin)
  headers.set('access-control-expose-headers', exposed)
  headers.append('vary', 'origin')
}
