// What the faces need, for one request: plan over the nodes and providers of the caller, send to either.
import type { Context } from 'hono'
import type { Config } from '../src/config/index.ts'
import { ApiError } from '../src/errors.ts'
import type { Candidate, FaceDeps, PlanContext, UpstreamCall, Wishes } from '../src/faces/deps.ts'
import type { Provider } from '../src/providers/provider.ts'
import type { World } from '../src/routing/explain.ts'
import { planRequest } from '../src/routing/plan.ts'
import { orderHeader } from '../src/routing/preferences.ts'
import { type Caller, callerOf } from './caller.ts'
import { type GatewayEnv, secret } from './env.ts'
import { gathered } from './gathered-body.ts'
import { newId } from './ids.ts'
import { knownNodes } from './known-nodes.ts'
import { logFault } from './log.ts'
import { dispatchToNode } from './nodes.ts'
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
  const state = remoteState(caller)
  return { ...depsFor(caller), ...(state === undefined ? {} : { state }) }
}

/** The same without a request at hand and without a store: for work that outlives its client. */
export function depsFor(c: Caller): FaceDeps {
  const { config, observations } = runtimeOf(c.env)
  const requestId = c.requestId
  const seal = sealOf(c.env, c.identity.tenant)
  return {
    ...(seal === undefined ? {} : { seal }),
    plan: (context) => plan(c, context),
    send: (candidate, call) => dispatch(c, candidate, call),
    now: () => Date.now(),
    newId,
    gather: gathered,
    maxBodyBytes: config.limits.bodyBytes,
    reasoningEvents: config.reasoningEvents,
    health: observations,
    wishes: wishesOf(c.headers, config),
    redact: (text, candidate) => withoutKey(c, text, candidate),
    onError: (error, candidate) => logFault(error, { requestId, place: candidate?.name }),
  }
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
  const key = provider && keyFor(c, provider).key
  return key === undefined ? text : text.replaceAll(key, '[redacted]')
}

/** Plans over the nodes at hand; before it says no, over the nodes as the hub knows them now. */
async function plan(c: Caller, context: PlanContext): Promise<Candidate[]> {
  try {
    return planRequest(context, await worldOf(c, false))
  } catch (error) {
    if (!(error instanceof ApiError && staleErrors.has(error.code))) throw error
    return planRequest(context, await worldOf(c, true))
  }
}

/** Everything that routing looks at for this caller; `fresh` asks the hub even when a copy is at hand. */
export async function worldOf(c: Caller, fresh: boolean): Promise<World> {
  const { config, observations } = runtimeOf(c.env)
  const identity = c.identity
  const known = await knownNodes(c.env, identity.tenant, { fresh, requestId: c.requestId })
  return {
    config,
    obstacle: (provider) => obstacle(c, provider),
    nodes: known.nodes,
    recentNodes: known.recent,
    pathPin: c.place,
    observations,
    now: Date.now(),
  }
}

function obstacle(c: Caller, provider: Provider): string | undefined {
  const { hfOnly } = c.identity
  if (hfOnly && provider.name !== 'hf') return 'is not open to a pass-through token'
  if (provider.keyOptional || keyFor(c, provider).key !== undefined) return undefined
  return `has no key: ${provider.apiKeyEnv} is not set`
}

function keyFor(c: Caller, provider: Provider): { key: string | undefined; clientKey: boolean } {
  const { hfToken, hfOnly } = c.identity
  if (provider.name === 'hf' && hfToken !== undefined) return { key: hfToken, clientKey: true }
  return { key: hfOnly ? undefined : secret(c.env, provider.apiKeyEnv), clientKey: false }
}

async function dispatch(c: Caller, candidate: Candidate, call: UpstreamCall): Promise<Response> {
  if (candidate.kind === 'node') {
    const pinned = candidate.name === 'self' ? {} : { node: candidate.name }
    return dispatchToNode(c.env, c.identity.tenant, {
      ...pinned,
      model: candidate.model,
      call,
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
