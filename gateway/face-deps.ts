// What the faces need, for one request: plan over the nodes and providers of the caller, send to either.
import type { Context } from 'hono'
import type { Config } from '../src/config/index.ts'
import { ApiError } from '../src/errors.ts'
import type { Candidate, FaceDeps, PlanContext, UpstreamCall, Wishes } from '../src/faces/deps.ts'
import type { ResponsesRequest } from '../src/protocol/responses.ts'
import { hideKey } from '../src/providers/hide-key.ts'
import { planRequest } from '../src/routing/plan.ts'
import { orderHeader } from '../src/routing/preferences.ts'
import type { World } from '../src/routing/world.ts'
import { type Caller, callerOf } from './caller.ts'
import type { GatewayEnv } from './env.ts'
import { gathered } from './gathered-body.ts'
import { hostedTools } from './hosted-tools.ts'
import { hearOfModel, hearOfPrices } from './hub-models.ts'
import { newId } from './ids.ts'
import { keyFor, obstacle } from './keys.ts'
import { type KnownNodes, knownNodes } from './known-nodes.ts'
import { logFault } from './log.ts'
import { mcpTools } from './mcp-tools.ts'
import { countOnNode, dispatchToNode } from './nodes.ts'
import { remoteState } from './response-store.ts'
import { runtimeOf } from './runtime.ts'
import { sealOf } from './seal.ts'
import { callProvider } from './upstream.ts'

/** Errors of routing that a fresher list of nodes may undo. */
const staleErrors: ReadonlySet<string> = new Set([
  'model_not_found',
  'provider_not_found',
  'no_capacity',
])

/** The faces' deps for this request. */
export function faceDeps(c: Context<GatewayEnv>): FaceDeps {
  const caller = callerOf(c)
  const deps = depsFor(caller)
  c.get('entry')?.watch(deps, caller.identity.tenant)
  const state = remoteState(caller)
  if (state !== undefined) {
    deps.state = state
    deps.idempotency = state
  }
  return deps
}

/** The same without a request at hand and without a store: for work that outlives its client. */
export function depsFor(c: Caller): FaceDeps {
  const { config, observations } = runtimeOf(c.env)
  const requestId = c.requestId
  const deps: FaceDeps = {
    plan: (context) => plan(c, context),
    send: (candidate, call) => dispatch(c, candidate, call),
    countTokens: (candidate, request, signal) => countTokens(c, candidate, request, signal),
    hosted: hostedTools(c.env, c.identity.tenant, requestId),
    mcp: () => mcpTools(c),
    now: () => Date.now(),
    newId,
    gather: gathered,
    maxBodyBytes: config.limits.bodyBytes,
    egress: config.egress,
    reasoningEvents: config.reasoningEvents,
    health: observations.of(c.identity.tenant),
    wishes: wishesOf(c.headers, config),
    redact: (text, candidate) => withoutKey(c, text, candidate),
    onError: (error, candidate) => logFault(error, { requestId, place: placeOf(candidate) }),
  }
  const seal = sealOf(c.env, c.identity.tenant)
  if (seal !== undefined) deps.seal = seal
  return deps
}

/** Which node took the call of a candidate that stands for any of them. */
const takers = new WeakMap<Candidate, string>()

/** Whom the log names. */
export function placeOf(candidate: Candidate | undefined): string | undefined {
  return candidate && (takers.get(candidate) ?? candidate.name)
}

/** Own nodes count exactly; providers are not asked. */
async function countTokens(
  c: Caller,
  candidate: Candidate,
  request: ResponsesRequest,
  signal: AbortSignal,
): Promise<number | undefined> {
  if (candidate.kind !== 'node') return undefined
  const pinned = candidate.name === 'self' ? {} : { node: candidate.name }
  const body = { ...request, model: candidate.model, stream: false }
  const call = { dialect: 'responses' as const, body, stream: false, signal }
  const { model } = candidate
  return await countOnNode(c.env, c.identity.tenant, { ...pinned, model, call })
}

/** What the client's headers and the config ask of the send loop. */
function wishesOf(headers: Headers, { rescue, hedge }: Config): Wishes {
  const wanted = headers.get('x-switchyard-rescue') ?? rescue
  const hedgeAfter = headers.get('x-switchyard-hedge')
  if (wanted !== 'continue' && wanted !== 'fail') {
    const param = 'x-switchyard-rescue'
    throw new ApiError('invalid_value', `The header ${param} must be continue or fail.`, { param })
  }
  if (hedgeAfter !== null && !/^\d{1,5}$/.test(hedgeAfter)) {
    const param = 'x-switchyard-hedge'
    throw new ApiError('invalid_value', `The header ${param} must be milliseconds.`, { param })
  }
  return {
    order: headers.get(orderHeader),
    rescue: wanted === 'continue',
    hedgeAfterMs: hedgeAfter === null ? hedge?.afterMs : Number(hedgeAfter),
  }
}

/** Some servers repeat the key that they were sent, and few keys look like one. */
function withoutKey(c: Caller, text: string, candidate: Candidate): string {
  const provider = runtimeOf(c.env).config.providers.get(candidate.name)
  return provider === undefined ? text : hideKey(text, keyFor(c, provider).key)
}

/** Plans over the nodes at hand; before it says no, over the nodes as the hub knows them now. */
async function plan(c: Caller, context: PlanContext): Promise<Candidate[]> {
  try {
    const world = await worldOf(c, false)
    if (runtimeOf(c.env).asksHub) await hearFor(c, context, world)
    return withKeys(c, planRequest(context, world))
  } catch (error) {
    if (!(error instanceof ApiError && staleErrors.has(error.code))) throw error
    return withKeys(c, planRequest(context, await worldOf(c, true)))
  }
}

/** Says of each candidate whether it is called with a key of the caller's own. */
function withKeys(c: Caller, candidates: Candidate[]): Candidate[] {
  if (c.identity.providerKeys === undefined && c.identity.hfToken === undefined) return candidates
  const { providers } = runtimeOf(c.env).config
  return candidates.map((candidate) => {
    const provider = candidate.kind === 'provider' ? providers.get(candidate.name) : undefined
    const clientKey = provider !== undefined && keyFor(c, provider).clientKey
    return clientKey ? { ...candidate, clientKey } : candidate
  })
}

/** Lets the hub tell who serves a model, where nothing else does, and its router what is known of it. */
export async function hearOf(c: Caller, model: string, world: World): Promise<void> {
  const { hub, asksHub } = runtimeOf(c.env)
  if (!asksHub) return
  const call = { hub, ...c }
  await Promise.all([hearOfModel(model, world, call), hearOfPrices(world, call)])
}

/** The same for every model that a request names, and for prices and speeds where it is ranked by them. */
async function hearFor(
  c: Caller,
  { model, preferences }: PlanContext,
  world: World,
): Promise<void> {
  const { hub, config } = runtimeOf(c.env)
  const { models = [], sort, maxPrice } = preferences ?? {}
  const isRanked =
    sort !== undefined ||
    maxPrice !== undefined ||
    config.policy !== 'preferred' ||
    /:(?:cheapest|fastest)$/.test(model)
  const call = { hub, ...c }
  const heard = [model, ...models].map((each) => hearOfModel(each, world, call))
  await Promise.all(isRanked ? [...heard, hearOfPrices(world, call)] : heard)
}

/** Everything that routing looks at for this caller; `fresh` asks the hub even when a copy is at hand. */
export function worldOf(c: Caller, fresh: boolean): World | Promise<World> {
  const known = knownNodes(c.env, c.identity.tenant, { fresh, requestId: c.requestId })
  return known instanceof Promise ? known.then((nodes) => worldWith(c, nodes)) : worldWith(c, known)
}

function worldWith(c: Caller, { nodes, recent }: KnownNodes): World {
  const { config, observations, hub } = runtimeOf(c.env)
  const { providerKeys, hfToken, tenant } = c.identity
  const isEverybodys =
    providerKeys === undefined &&
    hfToken === undefined &&
    c.place === undefined &&
    nodes.length + recent.length === 0
  return {
    config,
    obstacle: (provider) => obstacle(c, provider),
    bringsKey: providerKeys && ((provider) => Object.hasOwn(providerKeys, provider)),
    nodes,
    recentNodes: recent,
    mapped: (id) => hub.places(id),
    heard: (id) => hub.catalogue(id),
    heardIds: () => hub.catalogueIds(),
    pathPin: c.place,
    observations: observations.of(tenant),
    now: Date.now(),
    // Looked up when it is asked for: a request may wait for what the hub says before it is routed.
    get same() {
      return isEverybodys ? hub.said : undefined
    },
  }
}

function dispatch(c: Caller, candidate: Candidate, call: UpstreamCall): Promise<Response> {
  if (candidate.kind === 'node') {
    const pinned = candidate.name === 'self' ? {} : { node: candidate.name }
    return dispatchToNode(c.env, c.identity.tenant, {
      ...pinned,
      model: candidate.model,
      requestId: c.requestId,
      call,
      onNode: (name) => takers.set(candidate, name),
    })
  }
  const provider = runtimeOf(c.env).config.providers.get(candidate.name)
  if (!provider) throw new ApiError('server_error', `No provider '${candidate.name}'.`)
  return callProvider({
    provider,
    call,
    ...keyFor(c, provider),
    clientHeaders: c.headers,
  })
}
