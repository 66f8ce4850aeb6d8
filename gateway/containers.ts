// The Containers API of a tenant: passed on to the node that has the container, which its id names. The hub is the tenant's own,
// so that an id of another tenant names nothing here. Ids are the node's, with its name before them (hosted-tools.ts).
import { ApiError, isErrorCode, toApiError } from '../src/errors.ts'
import { listObject, pageQuery } from '../src/faces/list-query.ts'
import {
  type ContainerObject,
  type ContainerTarget,
  containerFileListSchema,
  containerFileSchema,
  containerLimits,
  containerListSchema,
  containerNotFound,
  containerPrefix,
  containerSchema,
  containersPath,
  containerTarget,
  deletedSchema,
  pageOf,
  sessionOf,
} from '../src/tools/containers.ts'
import { nodeErrorSchema } from '../src/tunnel/messages.ts'
import { drain, largestBody } from './drain.ts'
import type { Env } from './env.ts'
import { knownNodes } from './known-nodes.ts'
import { logFault } from './log.ts'
import { parseJson, textWithin } from './node-answer.ts'
import { askContainers, type ContainerAnswer } from './nodes.ts'

/** Of a node's answer that is no file. */
const maxJsonBytes = 4 * 1024 * 1024

/** What is asked of a schema of src/. */
interface Schema<T> {
  safeParse(value: unknown): { success: true; data: T } | { success: false }
}

/** A container's node, and its id there. */
interface Place {
  node: string
  id: string
}

export class TenantContainers {
  readonly #env: Env
  readonly #tenant: string
  readonly #requestId: string

  constructor(env: Env, tenant: string, requestId: string) {
    this.#env = env
    this.#tenant = tenant
    this.#requestId = requestId
  }

  /** Every fault becomes a response. */
  async answer(request: Request): Promise<Response> {
    try {
      const { pathname } = new URL(request.url)
      return await this.#route(request, containerTarget(request.method, pathname))
    } catch (thrown) {
      if (request.signal.aborted) throw thrown
      const error = toApiError(thrown)
      if (error.status >= 500) logFault(error, { requestId: this.#requestId, place: 'containers' })
      return error.toResponse()
    }
  }

  #route(request: Request, target: ContainerTarget): Promise<Response> {
    const { container } = target
    const { method } = request
    if (container !== undefined) return this.#inOne(request, target, container)
    return method === 'GET' || method === 'HEAD' ? this.#list(request) : this.#create(request)
  }

  async #create(request: Request): Promise<Response> {
    const body = await textWithin(request, containerLimits.jsonBytes)
    if (body === undefined) throw tooLarge(containerLimits.jsonBytes)
    const asked = new Request(request.url, {
      method: request.method,
      headers: request.headers,
      body,
      signal: request.signal,
    })
    const answer = await this.#ask(asked, containersPath)
    if (!answer.response.ok) return await refusalOf(answer.response)
    const made = await jsonOf(answer.response, containerSchema)
    return Response.json(shown(made, answer.node))
  }

  async #list(request: Request): Promise<Response> {
    const { searchParams } = new URL(request.url)
    const query = pageQuery(searchParams, containerLimits.containers)
    const wanted = new URLSearchParams({ limit: String(containerLimits.containers), order: 'asc' })
    const name = searchParams.get('name')
    if (name !== null) wanted.set('name', name)
    const path = `${containersPath}?${wanted}`
    const { response } = await this.#ask(request, path, { all: true })
    const lists = await response.json<{ node: string; body: string }[]>()
    const all = lists.flatMap(({ node, body }) => {
      const list = containerListSchema.safeParse(parseJson(body)).data
      return list?.data.map((container) => shown(container, node)) ?? []
    })
    return Response.json(listObject(pageOf(all, query)))
  }

  /** What is about one container goes to the node that has it. */
  async #inOne(request: Request, target: ContainerTarget, container: string): Promise<Response> {
    const place = placeOf(container)
    if (place === undefined) throw containerNotFound(container)
    const isUpload =
      target.part !== undefined && target.file === undefined && request.method === 'POST'
    const most = containerLimits.fileBytes + containerLimits.formBytes
    if (isUpload && Number(request.headers.get('content-length') ?? 0) > most) throw tooLarge(most)
    const asked = isUpload ? request : await withoutBody(request)
    const { response } = await this.#ask(asked, innerPath(request, target, place), {
      node: place.node,
      missing: () => this.#missing(container, place.node),
    })
    if (!response.ok) return await refusalOf(response, { own: place.id, ours: container })
    return target.content ? fileOf(response) : await this.#told(response, target, container, place)
  }

  /** The node's answer with our ids in it. */
  async #told(
    response: Response,
    { part, file }: ContainerTarget,
    container: string,
    { node }: Place,
  ): Promise<Response> {
    const value = await jsonOf(response)
    const deleted = deletedSchema.safeParse(value).data
    if (deleted !== undefined) {
      return Response.json(part === undefined ? { ...deleted, id: container } : deleted)
    }
    if (part === undefined) return Response.json(shown(checked(value, containerSchema), node))
    const list = file === undefined ? containerFileListSchema.safeParse(value).data : undefined
    if (list === undefined) {
      const made = checked(value, containerFileSchema)
      return Response.json({ ...made, container_id: container })
    }
    const data = list.data.map((each) => ({ ...each, container_id: container }))
    return Response.json({ ...list, data })
  }

  async #ask(
    request: Request,
    path: string,
    options: { node?: string; all?: boolean; missing?: () => Promise<ApiError> } = {},
  ): Promise<ContainerAnswer> {
    if (this.#env.NODE_HUB === undefined) {
      throw new ApiError('no_capacity', 'No nodes can join here.')
    }
    const { missing, ...where } = options
    const answer = await askContainers(this.#env, this.#tenant, { request, path, ...where })
    if (answer !== 'node_not_here') return answer
    throw (await missing?.()) ?? new ApiError('no_capacity', 'The node is not connected.')
  }

  /** A node of this tenant that was here a moment ago may come back with its containers; of others nothing is said. */
  async #missing(container: string, node: string): Promise<ApiError> {
    const { recent } = await knownNodes(this.#env, this.#tenant, {
      fresh: false,
      requestId: this.#requestId,
    })
    if (!recent.some(({ name }) => name === node)) return containerNotFound(container)
    const message = `The node '${node}', which has the container, is not connected now.`
    return new ApiError('no_capacity', message, { retryAfter: 2 })
  }
}

/** The node that a container's id names; undefined for an id that is none of ours. */
function placeOf(container: string): Place | undefined {
  const pattern = /^([A-Za-z0-9][A-Za-z0-9._-]{0,63}):(.{1,256})$/
  const [, node, session] = pattern.exec(sessionOf(container) ?? '') ?? []
  if (node === undefined || session === undefined) return undefined
  return { node, id: `${containerPrefix}${session}` }
}

/** What may have come with a request that needs none. */
async function withoutBody(request: Request): Promise<Request> {
  await drain(request, largestBody)
  const { url, method, headers, signal } = request
  return new Request(url, { method, headers, signal })
}

function innerPath({ url }: Request, { part, file, content }: ContainerTarget, { id }: Place) {
  const parts = [id, part, file, content && 'content'].filter((each) => each !== undefined)
  return `${containersPath}/${parts.map(encodeURIComponent).join('/')}${new URL(url).search}`
}

function shown(container: ContainerObject, node: string): ContainerObject {
  const session = sessionOf(container.id) ?? container.id
  return { ...container, id: `${containerPrefix}${node}:${session}` }
}

async function jsonOf(response: Response): Promise<unknown>
async function jsonOf<T>(response: Response, schema: Schema<T>): Promise<T>
async function jsonOf<T>(response: Response, schema?: Schema<T>): Promise<unknown> {
  const value = parseJson((await textWithin(response, maxJsonBytes)) ?? '')
  return schema === undefined ? value : checked(value, schema)
}

function checked<T>(value: unknown, schema: Schema<T>): T {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  throw new ApiError('upstream_error', "The node's answer about the container is none.")
}

/** What the node refuses, in its own words but with the id that the client knows. */
async function refusalOf(
  response: Response,
  ids: { own: string; ours: string } = { own: '', ours: '' },
): Promise<Response> {
  const { status, headers } = response
  const value = parseJson((await textWithin(response, maxJsonBytes)) ?? '')
  const { code, message, param = null } = nodeErrorSchema.safeParse(value).data?.error ?? {}
  const text = message ?? `The node answered with status ${status}.`
  const told = ids.own === '' ? text : text.replaceAll(ids.own, () => ids.ours)
  const known = isErrorCode(code) && (status < 500 || code === 'no_capacity')
  const retryAfter = Number(headers.get('retry-after') ?? 0)
  const error = new ApiError(known ? code : 'upstream_error', told, {
    param: param ?? null,
    ...(retryAfter > 0 ? { retryAfter } : {}),
  })
  const refused = error.toResponse()
  const allow = headers.get('allow')
  if (allow !== null && status === 405) refused.headers.set('allow', allow)
  return refused
}

/** Headers of a node are not ours to pass on unseen: what a browser may do with a file is said here. */
function fileOf(response: Response): Response {
  const type = response.headers.get('content-type') ?? ''
  const disposition = response.headers.get('content-disposition') ?? ''
  return new Response(response.body, {
    headers: {
      'content-type': /^[\w.+-]+\/[\w.+-]+$/.test(type) ? type : 'application/octet-stream',
      'content-disposition': /^attachment; [ -~]+$/.test(disposition) ? disposition : 'attachment',
      'content-security-policy': "default-src 'none'; sandbox",
      'cache-control': 'private, no-store',
    },
  })
}

function tooLarge(most: number): ApiError {
  return new ApiError('body_too_large', `The request body is larger than ${most} bytes.`)
}
