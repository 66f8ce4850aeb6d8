// A node's API over HTTP, twice: for `switchyard serve` with the same faces as the gateway, keys and guards; and for the
// tunnel, whose gateway has its own faces, as the plain canonical dialect of the backend.
import { type Context, Hono } from 'hono'
import { messagesErrorResponse } from '../../src/convert/messages-error.ts'
import type { EgressPolicy } from '../../src/egress/egress.ts'
import { ApiError, toApiError } from '../../src/errors.ts'
import { handleChat } from '../../src/faces/chat.ts'
import { handleConversations } from '../../src/faces/conversations.ts'
import { allow, allowedOrigin, type Origins, preflight } from '../../src/faces/cors.ts'
import { handleCountTokens } from '../../src/faces/count-tokens.ts'
import type { Candidate, Dialect, FaceDeps } from '../../src/faces/deps.ts'
import { localState } from '../../src/faces/local-state.ts'
import { handleMessages } from '../../src/faces/messages.ts'
import { isMessagesPath } from '../../src/faces/messages-http.ts'
import { withFamily } from '../../src/faces/reasoning-family.ts'
import type { RequestEntry } from '../../src/faces/request-log.ts'
import { handleResponses } from '../../src/faces/responses.ts'
import { ResponsesSocket } from '../../src/faces/socket.ts'
import { handleStored } from '../../src/faces/stored.ts'
import { unknownUrl, wrongMethod } from '../../src/faces/unknown-url.ts'
import { handleCompact, handleInputTokens } from '../../src/faces/window.ts'
import { idSource, type NewId } from '../../src/ids.ts'
import { readJson } from '../../src/json.ts'
import { isObject } from '../../src/protocol/check.ts'
import { guaranteeOfNodes } from '../../src/routing/structured.ts'
import { sealFor, sealKey } from '../../src/seal.ts'
import type { LocalStore } from '../../src/store/local-store.ts'
import { containersPath } from '../../src/tools/containers.ts'
import { hostedPath, parseHostedCall } from '../../src/tools/hosted-wire.ts'
import type { McpTools } from '../../src/tools/mcp/tools.ts'
import type { NodeModel, Status } from '../../src/tunnel/messages.ts'
import { version } from '../../src/version.ts'
import type { ToolHost } from '../tools/host.ts'
import type { Backend } from './backend.ts'
import { authorize, refuseForeign } from './local-guard.ts'
import { LocalWatch } from './local-watch.ts'
import { mcpTools } from './mcp-tools.ts'
import { metricsResponse } from './metrics-page.ts'
import type { AcceptSocket } from './responses-socket.ts'

export interface NodeApiOptions {
  backend: Backend
  /** Clients of fetch must send it as a bearer token; without it only this machine is served. */
  key?: string
  maxBodyBytes?: number
  /** Milliseconds since the epoch. */
  now?: () => number
  newId?: NewId
  reasoningEvents?: FaceDeps['reasoningEvents']
  /** Secret behind sealed reasoning; without it none is offered. */
  sealSecret?: string
  /** The only hosts of MCP servers, which may then be private ones; without it those that any URL may name. */
  mcpHosts?: readonly string[] | undefined
  /** Web pages that may call. */
  origins?: Origins | undefined
  /** Where responses are kept; without it `store` is answered with false. */
  store?: LocalStore
  /** Tools that run here: for the faces of a listening socket, and for the tunnel. */
  tools?: ToolHost
  /** A cause worth logging; prompt text never passes here. */
  onError?: (error: unknown) => void
  /** Takes a line of JSON for each request to `fetch` that has ended, without prompts or answers; absent: none is made. */
  requestLog?: (line: string) => void
}

export interface NodeApi {
  /** For a listening socket: keys, guards, both dialects. */
  fetch(request: Request): Promise<Response>
  /** The same keys and guards for a WebSocket on /v1/responses. */
  acceptSocket: AcceptSocket
  /** For the tunnel: no keys, the backend's own dialects, and nothing between its stream and the wire. */
  handle(request: Request): Promise<Response>
  readonly models: readonly NodeModel[]
  readonly slots: number
  status(): Status
}

/** By which an answer is named. */
interface LocalEnv {
  Variables: { requestId: string; deps: FaceDeps; entry?: RequestEntry }
}

const defaultMaxBodyBytes = 10 * 1024 * 1024
const dialectOfPath: Readonly<Record<string, Dialect>> = {
  '/v1/responses': 'responses',
  '/v1/chat/completions': 'chat',
}

export const newId = idSource((bytes) => crypto.getRandomValues(new Uint8Array(bytes)))

/** The API of one backend. */
export function createNodeApi(options: NodeApiOptions): NodeApi {
  const { backend, now = Date.now } = options
  const watch = new LocalWatch(now, options.requestLog)
  const deps = faceDeps(options, watch)
  const app = localApp(options, deps, watch)
  return {
    fetch: async (request) => app.fetch(request),
    acceptSocket(request) {
      if (options.key === undefined) refuseForeign(request, options.origins)
      else authorize(request, options.key)
      const own = withFamily(watch.depsOfSocket(deps, deps.newId('req')), request.headers)
      return (wire) => new ResponsesSocket({ wire, deps: own })
    },
    handle: (request) => handleTunnel(request, options),
    models: backend.models,
    slots: backend.slots,
    status: () => backend.status(),
  }
}

async function handleTunnel(request: Request, options: NodeApiOptions): Promise<Response> {
  const { backend, maxBodyBytes = defaultMaxBodyBytes, onError } = options
  try {
    const { pathname } = new URL(request.url)
    if (pathname === hostedPath && options.tools !== undefined) {
      if (request.method !== 'POST') throw wrongMethod(request.method, pathname, ['POST'])
      const call = parseHostedCall(await readJson(request, maxBodyBytes))
      return Response.json(await options.tools.call(call, request.signal))
    }
    if (`${pathname}/`.startsWith(`${containersPath}/`) && options.tools !== undefined) {
      return await options.tools.containers(request)
    }
    const counts = pathname === '/v1/responses/input_tokens' && backend.countTokens !== undefined
    const known = Object.hasOwn(dialectOfPath, pathname) ? dialectOfPath[pathname] : undefined
    const dialect = counts ? 'responses' : known
    if (dialect === undefined) throw unknownUrl(request.method, pathname)
    if (request.method !== 'POST') throw wrongMethod(request.method, pathname, ['POST'])
    const body = await readJson(request, maxBodyBytes)
    if (!isObject(body)) {
      throw new ApiError('invalid_request', 'The request body must be a JSON object.')
    }
    const model = findModel(backend, body.model)
    if (!model.dialects.includes(dialect)) throw unknownUrl(request.method, pathname)
    const { signal } = request
    if (counts) return Response.json({ input_tokens: await backend.countTokens?.(model, body) })
    return await backend.send(model, { dialect, body, stream: body.stream === true, signal })
  } catch (thrown) {
    const error = toApiError(thrown)
    if (error.status >= 500 && !request.signal.aborted) onError?.(thrown)
    return error.toResponse()
  }
}

function localApp(options: NodeApiOptions, deps: FaceDeps, watch: LocalWatch): Hono<LocalEnv> {
  const { backend, key, now = Date.now, store } = options
  const created = Math.floor(now() / 1000)
  const app = new Hono<LocalEnv>()
  app.onError((thrown, c) => {
    const error = toApiError(thrown)
    if (error.status >= 500) options.onError?.(thrown)
    return told(c, error)
  })
  app.notFound((c) => told(c, unknownUrl(c.req.method, c.req.path)))

  app.use(async (c, next) => {
    const id = deps.newId('req')
    c.set('requestId', id)
    const watched = c.req.path === '/health' || c.req.path === '/metrics'
    const entry = watched ? undefined : watch.begin(id, c.req.raw)
    c.set('entry', entry)
    c.set('deps', watch.depsOf(deps, id, entry, store))
    await next()
    entry?.answered(c.res, undefined)
    const { headers } = c.res
    headers.set('x-request-id', id)
    // A browser makes nothing else of an answer, and shows it to no page but of this origin.
    headers.set('x-content-type-options', 'nosniff')
    headers.set('cross-origin-resource-policy', 'same-origin')
  })
  app.use(async (c, next) => {
    if (key === undefined) refuseForeign(c.req.raw, options.origins)
    const page = allowedOrigin(c.req.header('origin'), options.origins ?? [], key === undefined)
    const told = page === undefined ? undefined : preflight(c.req.raw, page)
    if (told) return told
    await next()
    if (page !== undefined) allow(c.res.headers, page)
  })
  // Before the key, so that a supervisor needs none.
  app.get('/health', (c) => {
    const models = backend.models.map(({ id }) => id)
    return c.json({ status: 'ok', version, models, ...backend.status() })
  })
  if (key !== undefined) {
    app.use(async (c, next) => {
      authorize(c.req.raw, key)
      await next()
    })
  }
  app.get('/metrics', () => metricsResponse(backend, watch.families()))
  app.post('/v1/responses', (c) => handleResponses(c.req.raw, c.get('deps')))
  app.post('/v1/chat/completions', (c) => handleChat(c.req.raw, c.get('deps')))
  app.post('/v1/messages', (c) => handleMessages(c.req.raw, c.get('deps'), c.get('requestId')))
  app.post('/v1/messages/count_tokens', (c) =>
    handleCountTokens(c.req.raw, deps, c.get('requestId')),
  )
  const listed = (model: NodeModel) => ({ ...describeModel(model), created })
  app.get('/v1/models', (c) => c.json({ object: 'list', data: backend.models.map(listed) }))
  // An id has slashes, as they are or percent-encoded.
  app.get('/v1/models/:id{.+}', (c) => c.json(listed(findModel(backend, c.req.param('id')))))
  for (const path of ['/health', '/metrics', '/v1/models', '/v1/models/:id{.+}'])
    app.all(path, only('GET'))
  const posts = [...Object.keys(dialectOfPath), '/v1/messages', '/v1/messages/count_tokens']
  for (const path of posts) app.all(path, only('POST'))
  app.post('/v1/responses/input_tokens', (c) => handleInputTokens(c.req.raw, deps))
  app.post('/v1/responses/compact', (c) => handleCompact(c.req.raw, deps))
  const { onError, tools } = options
  for (const path of tools ? [containersPath, `${containersPath}/*`] : []) {
    app.all(path, (c) => tools?.containers(c.req.raw) ?? c.notFound())
  }
  app.all('/v1/responses/:id{.+}', (c) =>
    handleStored(c.req.raw, pathAfter(c, '/responses/'), store, onError),
  )
  for (const path of ['/v1/conversations', '/v1/conversations/:id{.+}']) {
    app.all(path, (c) =>
      handleConversations(c.req.raw, pathAfter(c, '/conversations'), store?.conversations, deps),
    )
  }
  return app
}

/** The rest of the path as it was sent: its parts may hold encoded slashes. */
function pathAfter(c: Context, prefix: string): string {
  const { pathname } = new URL(c.req.raw.url)
  return pathname.slice(pathname.indexOf(prefix) + prefix.length)
}

function faceDeps(options: NodeApiOptions, { count }: LocalWatch): FaceDeps {
  const { backend, now = Date.now, onError, store } = options
  const deps: FaceDeps = {
    plan: async ({ model }) => [candidateOf(findModel(backend, model))],
    send: (candidate, call) => backend.send(findModel(backend, candidate.model), call),
    countTokens: async ({ model }, request) =>
      backend.countTokens?.(findModel(backend, model), { ...request, model }),
    now,
    newId: options.newId ?? newId,
    maxBodyBytes: options.maxBodyBytes ?? defaultMaxBodyBytes,
    reasoningEvents: options.reasoningEvents ?? 'reasoning_text',
    onEnd: count,
  }
  const egress: EgressPolicy = { ...backend.egress, mcpHosts: options.mcpHosts }
  deps.egress = egress
  if (options.tools) deps.hosted = options.tools
  // Made once: it keeps connections, and which approvals were used.
  let mcp: McpTools | undefined
  deps.mcp = () => {
    mcp ??= mcpTools({ egress, seal: deps.seal, claims: store, now })
    return mcp
  }
  if (onError) deps.onError = onError
  if (store) {
    deps.state = localState(store, () => deps)
    deps.idempotency = store
  }
  if (options.sealSecret !== undefined) {
    const random = (bytes: number) => crypto.getRandomValues(new Uint8Array(bytes))
    deps.seal = sealFor('local', sealKey(options.sealSecret), random)
  }
  return deps
}

function candidateOf(model: NodeModel): Candidate {
  const { id, dialects } = model
  const known = dialects.filter((dialect) => dialect === 'chat' || dialect === 'responses')
  const structured = guaranteeOfNodes([model])
  const lostCode = 'node_lost'
  return { kind: 'engine', name: 'self', model: id, dialects: known, structured, lostCode }
}

function findModel(backend: Backend, id: unknown): NodeModel {
  const model = backend.models.find((candidate) => candidate.id === id)
  if (model) return model
  if (typeof id !== 'string' || id === '') {
    throw new ApiError('missing_required_parameter', "Missing required parameter: 'model'.", {
      param: 'model',
    })
  }
  throw new ApiError('model_not_found', `The model '${id.slice(0, 200)}' does not exist.`, {
    param: 'model',
  })
}

function describeModel({ id, context_length, input_modalities, supports_tools }: NodeModel) {
  return { id, object: 'model', owned_by: 'self', context_length, input_modalities, supports_tools }
}

function only(method: string) {
  return (c: Context<LocalEnv>) => {
    const response = told(c, wrongMethod(c.req.method, c.req.path, [method]))
    response.headers.set('allow', method)
    return response
  }
}

/** An error in the shape of the API that was asked. */
function told(c: Context<LocalEnv>, error: ApiError): Response {
  c.get('entry')?.refused(error.code)
  return isMessagesPath(c.req.path)
    ? messagesErrorResponse(error, c.get('requestId'))
    : error.toResponse()
}
