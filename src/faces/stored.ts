// `/v1/responses/{id}` and what is below it: stored responses are read, streamed again, cancelled and deleted.
// https://platform.openai.com/docs/api-reference/responses
import { ApiError, toApiError } from '../errors.ts'
import type { Store } from '../store/store.ts'
import type { FaceDeps } from './deps.ts'
import { integer, listObject, pageQuery } from './list-query.ts'
import { unknownUrl, wrongMethod } from './unknown-url.ts'

const eventStreamHeaders = { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' }

/** Answers a request about one stored response; `path` is what follows `/responses/`. Every fault becomes a response. */
export async function handleStored(
  request: Request,
  path: string,
  store: Store | undefined,
  onError?: FaceDeps['onError'],
): Promise<Response> {
  try {
    const [id = '', action, ...rest] = path.split('/').map(decoded)
    // A slash too many.
    if (id === '') throw unknownUrl(request.method, new URL(request.url).pathname)
    const call = rest.length === 0 ? `${request.method} ${action ?? ''}`.trim() : ''
    const params = new URL(request.url).searchParams
    switch (call.replace(/^HEAD/, 'GET')) {
      case 'GET':
        return await retrieve(id, params, store)
      case 'DELETE':
        return await remove(id, store)
      case 'POST cancel':
        return await cancel(id, store)
      case 'GET input_items':
        return await inputItems(id, params, store)
      default:
        throw misdirected(request, action, rest.length)
    }
  } catch (thrown) {
    const error = toApiError(thrown)
    if (error.status >= 500) onError?.(thrown)
    return error.toResponse()
  }
}

async function retrieve(
  id: string,
  params: URLSearchParams,
  store: Store | undefined,
): Promise<Response> {
  const after = integer(params, 'starting_after', { min: 0, max: 2 ** 31 - 1 })
  if (params.get('stream') !== 'true') {
    if (after !== undefined) {
      throw new ApiError('invalid_value', "'starting_after' needs 'stream' to be true.", {
        param: 'starting_after',
      })
    }
    return Response.json((await store?.get(id)) ?? missing(id))
  }
  const log = (await store?.events(id, after ?? -1)) ?? missing(id)
  if (log === 'none') {
    throw new ApiError(
      'invalid_value',
      'This response was not created as a stream, so that it cannot be streamed.',
      { param: 'stream' },
    )
  }
  const headers: Record<string, string> = { ...eventStreamHeaders }
  if (log.truncated) {
    headers.warning = '199 switchyard "this answer had more events than are kept: some are missing"'
  }
  return new Response(log.body, { headers })
}

async function remove(id: string, store: Store | undefined): Promise<Response> {
  if ((await store?.remove(id)) !== true) missing(id)
  return Response.json({ id, object: 'response', deleted: true })
}

async function cancel(id: string, store: Store | undefined): Promise<Response> {
  const cancelled = (await store?.cancel(id)) ?? missing(id)
  if (cancelled === 'not_background') {
    throw new ApiError(
      'invalid_request',
      'Only a response that was created with `background: true` can be cancelled.',
    )
  }
  return Response.json(cancelled.response)
}

async function inputItems(
  id: string,
  params: URLSearchParams,
  store: Store | undefined,
): Promise<Response> {
  const page = (await store?.inputItems(id, pageQuery(params))) ?? missing(id)
  return Response.json(listObject(page))
}

function missing(id: string): never {
  throw new ApiError('response_not_found', `Response with id '${id.slice(0, 200)}' not found.`)
}

const methodsOf: ReadonlyMap<string | undefined, readonly string[]> = new Map([
  [undefined, ['GET', 'DELETE']],
  ['cancel', ['POST']],
  ['input_items', ['GET']],
])

function misdirected({ method, url }: Request, action: string | undefined, rest: number): ApiError {
  const { pathname } = new URL(url)
  const methods = rest === 0 ? methodsOf.get(action) : undefined
  return methods === undefined
    ? unknownUrl(method, pathname)
    : wrongMethod(method, pathname, methods)
}

/** A part of a path as it was meant; one that is no encoding at all, as it is. */
export function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}
