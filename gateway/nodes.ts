// The Worker's side of the nodes: joining, listing, dispatching. The only file of the gateway that knows NodeHub's inner routes.
import { parseKeys } from '../src/config/index.ts'
import { ApiError } from '../src/errors.ts'
import type { UpstreamCall } from '../src/faces/deps.ts'
import { isContextLength } from '../src/providers/errors.ts'
import { nodeErrorSchema } from '../src/tunnel/messages.ts'
import {
  type HubError,
  hubErrorHeader,
  type NodeInfo,
  nodeHeader,
  refusedNamesHeader,
} from './durable-objects/hub-wire.ts'
import { parseJson } from './node-answer.ts'

/** What this file needs of the Worker's environment. */
export interface NodesEnv {
  NODE_HUB: DurableObjectNamespace
}

export interface ConnectOptions {
  /** The secret SWITCHYARD_NODE_TOKEN: a token of tenant `default`, or JSON `{ "<tenant>": "<token>" }`. The token picks the tenant. */
  tokens: string | undefined
  /** Names that no node may take: reserved words, providers, routes. */
  refusedNames: Iterable<string>
}

export interface NodeCall {
  /** Pins one node by name; it is never replaced by another. */
  node?: string
  /** The model's id at the node. */
  model: string
  /** Where at the node, if not where the call's dialect is answered. */
  path?: string
  /** By which the node's log names the request. */
  requestId?: string
  call: UpstreamCall
  /** Told which node took the call, whatever becomes of it there. */
  onNode?: (name: string) => void
}

export interface ListOptions {
  /** Ask the hub even if the isolate's copy (≤ 5 s old) would do. */
  fresh?: boolean
}

/** Joined in the hub as text; what is not a possible node name needs no refusing. */
const nodeNamePattern = /^[a-z0-9][a-z0-9._-]{0,63}$/
const listLifetime = 5000
/** A list with no node in it is asked for again sooner: someone waits for the first one to join. */
const emptyLifetime = 250
const maxListed = 1000
const maxErrorBytes = 65_536

/** Copies of the hubs' lists: values only, since a promise made for one request must not be awaited by another. */
const lists = new Map<string, { at: number; nodes: NodeInfo[] }>()

/** `GET /nodes/connect`: checks the token, then hands the WebSocket upgrade to the tenant's hub. */
export async function connectNode(
  request: Request,
  env: NodesEnv,
  options: ConnectOptions,
): Promise<Response> {
  const tenant = await tenantOf(request.headers.get('authorization'), options.tokens)
  if (request.headers.get('upgrade')?.toLowerCase() !== 'websocket')
    throw new ApiError('invalid_request', 'Nodes connect by WebSocket.', { status: 426 })
  const names = [...options.refusedNames].map((name) => name.toLowerCase())
  const headers = new Headers(request.headers)
  headers.delete('authorization')
  headers.set(refusedNamesHeader, names.filter((name) => nodeNamePattern.test(name)).join(','))
  return hubOf(env, tenant).fetch('http://hub/connect', { headers })
}

/** The tenant's connected nodes; at most 5 s old. */
export async function listNodes(
  env: NodesEnv,
  tenant: string,
  options: ListOptions = {},
): Promise<NodeInfo[]> {
  const known = lists.get(tenant)
  const lifetime = known && known.nodes.length > 0 ? listLifetime : emptyLifetime
  const now = Date.now()
  if (known && !options.fresh && now - known.at < lifetime) return known.nodes
  // One asks, and the others go by the copy meanwhile: a hub's answer costs more than the rest of a request.
  if (known) known.at = now
  const response = await hubOf(env, tenant).fetch('http://hub/nodes')
  const nodes = await response.json<NodeInfo[]>()
  if (lists.size >= maxListed) lists.clear()
  lists.set(tenant, { at: Date.now(), nodes })
  return nodes
}

/**
 * Sends one call to a node that serves the model; gives a 2xx Response in the call's dialect.
 * Throws ApiError with `retryable` set where the next candidate may be tried; a node that dies after its
 * first byte makes the body's reader throw. `call.signal` and the body's cancel both stop the node.
 */
export async function dispatchToNode(
  env: NodesEnv,
  tenant: string,
  request: NodeCall,
): Promise<Response> {
  const { call, model, node, requestId } = request
  const path = request.path ?? pathOf[call.dialect]
  const query = new URLSearchParams({ model, path, ...(node !== undefined && { node }) })
  let response: Response
  try {
    response = await hubOf(env, tenant).fetch(`http://hub/dispatch?${query}`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: call.stream ? 'text/event-stream' : 'application/json',
        ...(requestId !== undefined && { 'x-request-id': requestId }),
      },
      body: JSON.stringify(call.body),
      signal: call.signal,
    })
  } catch (cause) {
    if (call.signal.aborted) throw call.signal.reason
    const message = 'The connection to the nodes broke before the answer began.'
    throw new ApiError('node_lost', message, { cause, retryable: true })
  }
  const taker = response.headers.get(nodeHeader)
  if (taker) request.onNode?.(taker)
  if (response.ok) return response
  if (response.headers.has(hubErrorHeader)) throw await hubRefusal(response, tenant)
  throw await nodeRefusal(response)
}

const pathOf = { responses: '/v1/responses', chat: '/v1/chat/completions' }

/** How many tokens a request is for a node's model; undefined where the node cannot count, or cannot be asked. */
export async function countOnNode(
  env: NodesEnv,
  tenant: string,
  request: Omit<NodeCall, 'path'>,
): Promise<number | undefined> {
  try {
    const path = '/v1/responses/input_tokens'
    const answer = await dispatchToNode(env, tenant, { ...request, path })
    const { input_tokens } = await answer.json<{ input_tokens?: unknown }>()
    return typeof input_tokens === 'number' ? input_tokens : undefined
  } catch (error) {
    // A request that the node refuses is refused here as it is there.
    if (error instanceof ApiError && error.status === 400) throw error
    return undefined
  }
}

export interface NodeToolCall {
  tool: string
  /** The node that has the call's session. */
  node?: string | undefined
  /** JSON of the call. */
  body: string
  signal: AbortSignal
}

/** What became of a tool's call: an answer of a node, or none, as the node with its session is not connected. */
export type NodeToolAnswer = { node: string; response: Response } | 'node_not_here'

/** Sends a call to one node that offers the tool, once. Throws ApiError, or the signal's reason. */
export async function callToolOnNode(
  env: NodesEnv,
  tenant: string,
  { tool, node, body, signal }: NodeToolCall,
): Promise<NodeToolAnswer> {
  const query = new URLSearchParams({ tool, ...(node !== undefined && { node }) })
  let response: Response
  try {
    response = await hubOf(env, tenant).fetch(`http://hub/tools?${query}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
      signal,
    })
  } catch (cause) {
    if (signal.aborted) throw signal.reason
    const message = `The connection to the nodes broke while ${tool} ran: whether the call has done its work is unknown, and it is not repeated.`
    throw new ApiError('node_lost', message, { cause })
  }
  const refused = response.headers.get(hubErrorHeader)
  if (refused === null) return { node: response.headers.get(nodeHeader) ?? '', response }
  lists.delete(tenant)
  if (refused !== 'node_not_here') throw await toolRefusal(response)
  await response.body?.cancel()
  return refused
}

export interface ContainersRequest {
  /** Method, headers, body and signal; its URL is not looked at. */
  request: Request
  /** At the node. */
  path: string
  /** The node that has the container. */
  node?: string
  /** Every node is asked: the answer is JSON, `[{node, body}]`. */
  all?: boolean
}

export interface ContainerAnswer {
  node: string
  response: Response
}

/** Asks a node, or all, about containers. Throws ApiError, or the signal's reason. */
export async function askContainers(
  env: NodesEnv,
  tenant: string,
  { request, path, node, all }: ContainersRequest,
): Promise<ContainerAnswer | 'node_not_here'> {
  const query = new URLSearchParams({ path, ...(node !== undefined && { node }) })
  if (all) query.set('all', '1')
  const { body, signal } = request
  // An answer to HEAD would lose what is to be read of it here.
  const method = request.method === 'HEAD' ? 'GET' : request.method
  const headers: Record<string, string> = {}
  for (const name of ['accept', 'content-type']) {
    const value = request.headers.get(name)
    if (value !== null) headers[name] = value
  }
  let response: Response
  try {
    const url = `http://hub/containers?${query}`
    response = await hubOf(env, tenant).fetch(url, { method, headers, body, signal })
  } catch (cause) {
    if (signal.aborted) throw signal.reason
    throw new ApiError('node_lost', 'The connection to the nodes broke.', { cause })
  }
  const refused = response.headers.get(hubErrorHeader)
  if (refused === null) return { node: response.headers.get(nodeHeader) ?? '', response }
  lists.delete(tenant)
  if (refused === 'node_outdated') throw await outdated(response)
  if (refused !== 'node_not_here') throw await toolRefusal(response)
  await response.body?.cancel()
  return refused
}

async function outdated(response: Response): Promise<ApiError> {
  const { message } = await response.json<HubError>()
  return new ApiError('upstream_error', message, { status: 501 })
}

async function toolRefusal(response: Response): Promise<ApiError> {
  const { code, message, retryAfter } = await response.json<HubError>()
  const ours = code === 'node_lost' ? 'node_lost' : 'no_capacity'
  return new ApiError(ours, message, retryAfter === undefined ? {} : { retryAfter })
}

function hubOf(env: NodesEnv, tenant: string) {
  return env.NODE_HUB.get(env.NODE_HUB.idFromName(tenant))
}

async function hubRefusal(response: Response, tenant: string): Promise<ApiError> {
  const { code, message, retryAfter } = await response.json<HubError>()
  // The list that made this node a candidate was wrong: the next request must see the truth.
  if (code !== 'no_capacity') lists.delete(tenant)
  const isAway = code === 'model_not_here' || code === 'node_not_here'
  const ours = isAway || code === 'node_outdated' ? 'no_capacity' : code
  const seconds = retryAfter ?? (ours === 'no_capacity' ? 1 : undefined)
  return new ApiError(ours, message, {
    retryable: true,
    ...(seconds !== undefined && { retryAfter: seconds }),
  })
}

/** A node's own error, in OpenAI's shape or not, as ours. */
async function nodeRefusal(response: Response): Promise<ApiError> {
  const { status, headers } = response
  const parsed = nodeErrorSchema.safeParse(parseJson(await textOf(response)))
  const error = parsed.success ? parsed.data.error : undefined
  const message = error?.message ?? `The node answered with status ${status}.`
  const param = error?.param ?? null
  const seconds = Number(headers.get('retry-after') ?? Number.NaN)
  const retryAfter = Number.isFinite(seconds) && seconds >= 0 ? { retryAfter: seconds } : {}
  // The model has answered, and not as demanded: its last word, which another node would only repeat.
  if (error?.code === 'structured_output_invalid' || error?.code === 'tool_choice_not_met')
    return new ApiError(error.code, message, { param })
  if (status === 429 || status === 503)
    return new ApiError('no_capacity', message, { retryable: true, retryAfter: 1, ...retryAfter })
  if (status === 401 || status === 403)
    return new ApiError('provider_auth', "The node's engine refused its key.", { retryable: true })
  if (status === 404) return new ApiError('model_not_found', message, { param, retryable: true })
  if (status === 400 || status === 413 || status === 422) {
    // Another model may have room for it, and Anthropic's clients are told in words of their own.
    if (isContextLength({ code: error?.code, message }))
      return new ApiError('context_length_exceeded', message, { param })
    return new ApiError('invalid_request', message, {
      param,
      status: status === 413 ? 413 : 400,
      wireCode: error?.code ?? 'invalid_request',
    })
  }
  return new ApiError('upstream_error', message, { retryable: true })
}

async function textOf(response: Response): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true })
    // Leaving the loop cancels the rest.
    if (text.length > maxErrorBytes) break
  }
  return text
}

/** The tenant whose token the header carries. Every token is compared, each in constant time, on hashes. */
async function tenantOf(header: string | null, tokens: string | undefined): Promise<string> {
  if (!tokens)
    throw new ApiError('auth_not_configured', 'No node may join: SWITCHYARD_NODE_TOKEN is not set.')
  const given = await digest(/^Bearer +(\S+)$/i.exec(header ?? '')?.[1] ?? '')
  let found: string | undefined
  let shared = false
  for (const [tenant, token] of tokenTable(tokens)) {
    if (!crypto.subtle.timingSafeEqual(given, await digest(token))) continue
    shared ||= found !== undefined && found !== tenant
    found = tenant
  }
  if (shared) {
    const message =
      'This token stands for two tenants in SWITCHYARD_NODE_TOKEN: each must have its own.'
    throw new ApiError('auth_not_configured', message)
  }
  if (found === undefined) throw new ApiError('invalid_api_key', 'The node token is not valid.')
  return found
}

function tokenTable(tokens: string): [tenant: string, token: string][] {
  if (!tokens.trimStart().startsWith('{')) return [['default', tokens]]
  const rows = parseKeys(tokens)
  if (rows?.[0] !== undefined) return rows
  const message = 'SWITCHYARD_NODE_TOKEN is no JSON object of tenants and tokens.'
  throw new ApiError('auth_not_configured', message)
}

function digest(text: string): Promise<ArrayBuffer> {
  return crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))
}
