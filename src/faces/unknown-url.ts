// What is told of a path that is not served, or not so. Most of the former are a base URL that was put together wrong (`/v1` twice or not at all, a
// slash too many), so that the path that was likely meant is told.
import { ApiError } from '../errors.ts'

const endpoints = new Set([
  '/responses',
  '/responses/input_tokens',
  '/responses/compact',
  '/conversations',
  '/containers',
  '/chat/completions',
  '/messages',
  '/messages/count_tokens',
  '/models',
])

/** The error for a method and path that nothing answers. */
export function unknownUrl(method: string, pathname: string): ApiError {
  const hint = hintFor(pathname)
  return new ApiError('not_found', `Unknown request URL: ${method} ${pathname}.${hint}`)
}

function hintFor(pathname: string): string {
  if (pathname.length > 200) return ''
  const path = pathname.replace(/\/{2,}/g, '/').replace(/\/$/, '')
  // `/groq/v1/…` pins a place.
  const place = /^\/(?!v1\/)[^/]+(?=\/v1\/)/.exec(path)?.[0] ?? ''
  const endpoint = path.slice(place.length).replace(/^(?:\/v1)+(?=\/|$)/, '')
  if (endpoint === '') return ' The API is below /v1: GET /v1/models lists its models.'
  if (endpoint === '/completions') return ' Its successor is /v1/chat/completions.'
  const meant = endpoint.toLowerCase()
  return endpoints.has(meant) ? ` Did you mean ${place}/v1${meant}?` : ''
}

/** The error for a path that is served, asked with a method that is not. */
export function wrongMethod(method: string, pathname: string, allow: readonly string[]): ApiError {
  return new ApiError('method_not_allowed', `Not allowed to ${method} on ${pathname}.`, { allow })
}
