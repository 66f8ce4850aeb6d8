// The Containers API of one node over HTTP: for `switchyard serve`, and behind the tunnel for the gateway.
// https://platform.openai.com/docs/api-reference/containers
import { ApiError, toApiError } from '../../src/errors.ts'
import { listObject, pageQuery } from '../../src/faces/list-query.ts'
import { wrongMethod } from '../../src/faces/unknown-url.ts'
import { readJson } from '../../src/json.ts'
import {
  type ContainerFileObject,
  type ContainerObject,
  type ContainerTarget,
  containerLimits,
  containerPrefix,
  containerTarget,
  dataFolder,
  pageOf,
} from '../../src/tools/containers.ts'
import { parseContainer } from './container-request.ts'
import { Containers, type ContainersOptions } from './containers.ts'
import { downloadOf } from './download.ts'
import { fileId } from './file-id.ts'
import { Gate } from './gate.ts'
import type { Session } from './sessions.ts'
import type { ToolFile } from './tool.ts'
import { discard, readUpload } from './upload.ts'

export interface ContainerApiOptions extends ContainersOptions {
  /** What Python has. */
  memoryMiB: number | undefined
  onError: (error: unknown) => void
}

/** Files on their way in: each lies in memory, some times over, until it is in its container. */
const uploadsAtOnce = 8

export class ContainerApi {
  readonly #containers: Containers
  readonly #options: ContainerApiOptions
  readonly #uploads = new Gate(uploadsAtOnce)

  constructor(options: ContainerApiOptions) {
    this.#options = options
    this.#containers = new Containers(options)
  }

  /** Every fault becomes a response. */
  async answer(request: Request): Promise<Response> {
    try {
      const { pathname } = new URL(request.url)
      return await this.#route(request, containerTarget(request.method, pathname))
    } catch (thrown) {
      const error = toApiError(thrown)
      if (error.status >= 500 && !request.signal.aborted) this.#options.onError(thrown)
      await discard(request)
      return error.toResponse()
    }
  }

  #route(request: Request, target: ContainerTarget): Promise<Response> | Response {
    const { container, part, file, content } = target
    const method = request.method === 'HEAD' ? 'GET' : request.method
    if (container === undefined) {
      if (method === 'POST') return this.#create(request)
      return method === 'GET' ? this.#list(request) : notAllowed(request, 'GET', 'POST')
    }
    if (part === undefined) {
      if (method === 'GET') return Response.json(this.#shown(this.#containers.get(container)))
      return method === 'DELETE' ? this.#remove(container) : notAllowed(request, 'GET', 'DELETE')
    }
    if (file === undefined) {
      if (method === 'POST') return this.#upload(request, container)
      return method === 'GET'
        ? this.#listFiles(request, container)
        : notAllowed(request, 'GET', 'POST')
    }
    if (content) {
      return method === 'GET'
        ? this.#download(request, container, file)
        : notAllowed(request, 'GET')
    }
    if (method === 'GET') return this.#file(request, container, file)
    return method === 'DELETE'
      ? this.#removeFile(request, container, file)
      : notAllowed(request, 'GET', 'DELETE')
  }

  async #create(request: Request): Promise<Response> {
    const body = await readJson(request, containerLimits.jsonBytes)
    const wishes = parseContainer(body, this.#options.memoryMiB)
    return Response.json(this.#shown(await this.#containers.create(wishes, request.signal)))
  }

  #list(request: Request): Response {
    const { searchParams } = new URL(request.url)
    const query = pageQuery(searchParams, containerLimits.containers)
    const name = searchParams.get('name')
    const all = this.#containers.all().map((session) => this.#shown(session))
    const named = name === null ? all : all.filter((each) => each.name === name)
    return Response.json(listObject(pageOf(named, query)))
  }

  async #remove(container: string): Promise<Response> {
    await this.#containers.remove(container)
    return Response.json({ id: container, object: 'container.deleted', deleted: true })
  }

  async #upload(request: Request, container: string): Promise<Response> {
    // Before the body is read for nothing.
    this.#containers.get(container)
    const signal = AbortSignal.any([request.signal, AbortSignal.timeout(this.#options.waitMs)])
    await this.#uploads.enter(signal).catch(() => {
      const message = `${uploadsAtOnce} files are being sent here already.`
      throw new ApiError('no_capacity', message, { retryAfter: 2 })
    })
    try {
      const { path, bytes } = await readUpload(request)
      const file = await this.#containers.write(container, path, bytes, request.signal)
      return Response.json(shownFile(container, file))
    } finally {
      this.#uploads.leave()
    }
  }

  async #listFiles(request: Request, container: string): Promise<Response> {
    const query = pageQuery(new URL(request.url).searchParams, containerLimits.files)
    const files = await this.#containers.list(container, request.signal)
    const all = files.map((file) => shownFile(container, file))
    return Response.json(listObject(pageOf(all, query)))
  }

  async #file(request: Request, container: string, file: string): Promise<Response> {
    const found = await this.#containers.file(container, file, request.signal)
    return Response.json(shownFile(container, found))
  }

  async #download(request: Request, container: string, file: string): Promise<Response> {
    if (request.method === 'HEAD') {
      return downloadOf(await this.#containers.file(container, file, request.signal))
    }
    const outgoing = await this.#containers.read(container, file, request.signal)
    return downloadOf(outgoing.file, outgoing)
  }

  async #removeFile(request: Request, container: string, file: string): Promise<Response> {
    await this.#containers.removeFile(container, file, request.signal)
    return Response.json({ id: file, object: 'container.file.deleted', deleted: true })
  }

  #shown(session: Session): ContainerObject {
    const { id, createdAt, lastActiveAt, wishes } = session
    const minutes = Math.max(1, Math.round(this.#containers.idleMs(session) / 60_000))
    return {
      id: `${containerPrefix}${id}`,
      object: 'container',
      created_at: Math.floor(createdAt / 1000),
      status: 'running',
      expires_after: { anchor: 'last_active_at', minutes },
      last_active_at: Math.floor(lastActiveAt / 1000),
      name: wishes.name,
      ...(wishes.memoryLimit === undefined ? {} : { memory_limit: wishes.memoryLimit }),
      network_policy: { type: 'disabled' },
    }
  }
}

function shownFile(container: string, { path, bytes, modified, given }: ToolFile) {
  return {
    id: fileId(path),
    object: 'container.file',
    created_at: Math.floor(modified / 1000),
    bytes,
    container_id: container,
    path: `${dataFolder}/${path}`,
    source: given ? 'user' : 'assistant',
  } satisfies ContainerFileObject
}

function notAllowed({ method, url }: Request, ...allowed: string[]): never {
  throw wrongMethod(method, new URL(url).pathname, allowed)
}
