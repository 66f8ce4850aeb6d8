// Hosted tools of a tenant, run by its nodes behind the hub. A session stays on the node that began it: its id there, with
// the node's name before it, is the session to everyone here. The hub is the tenant's own, so that no session of another
// tenant can be named.
import { ApiError } from '../src/errors.ts'
import type { HostedCall, HostedResult, HostedTools } from '../src/tools/hosted.ts'
import { lostSessionNote, maxResultBytes, parseHostedResult } from '../src/tools/hosted-wire.ts'
import { nodeErrorSchema } from '../src/tunnel/messages.ts'
import { TenantContainers } from './containers.ts'
import type { Env } from './env.ts'
import { knownNodes } from './known-nodes.ts'
import { parseJson, textWithin } from './node-answer.ts'
import { callToolOnNode } from './nodes.ts'

/** The tools that the tenant's nodes offer. */
export function hostedTools(env: Env, tenant: string, requestId: string): HostedTools {
  return {
    async offers(tool) {
      const { nodes } = await knownNodes(env, tenant, { fresh: false, requestId })
      return nodes.some(({ draining, tools }) => !draining && tools?.includes(tool))
    },
    call: (call, signal) => callOnce(env, tenant, call, signal),
    containers: (request) => new TenantContainers(env, tenant, requestId).answer(request),
  }
}

async function callOnce(
  env: Env,
  tenant: string,
  call: HostedCall,
  signal: AbortSignal,
): Promise<HostedResult> {
  if (env.NODE_HUB === undefined) throw new ApiError('no_capacity', 'No nodes can join here.')
  const place = call.session === undefined ? undefined : placeOf(call.session)
  const { tool, session: _, ...rest } = call
  const send = (node?: string, session?: string) => {
    const body = JSON.stringify({ ...rest, tool, ...(session === undefined ? {} : { session }) })
    return callToolOnNode(env, tenant, { tool, node, body, signal })
  }
  let answer = place && (await send(place.node, place.session))
  // The node is gone and its sessions with it: nothing was sent, so that another may run the call.
  const lost = call.session !== undefined && typeof answer !== 'object'
  if (typeof answer !== 'object') answer = await send()
  if (typeof answer !== 'object') throw new ApiError('no_capacity', `No node offers ${tool} now.`)
  const result = await resultOf(answer.response, tool, signal)
  const text = lost ? lostSessionNote + result.text : result.text
  return { ...result, text, session: `${answer.node}:${result.session}` }
}

function placeOf(session: string): { node: string; session: string } | undefined {
  const [, node, id] = /^([A-Za-z0-9][A-Za-z0-9._-]{0,63}):(.+)$/.exec(session) ?? []
  return node === undefined || id === undefined ? undefined : { node, session: id }
}

async function resultOf(
  response: Response,
  tool: string,
  signal: AbortSignal,
): Promise<HostedResult> {
  let text: string | undefined
  try {
    text = await textWithin(response, maxResultBytes)
    if (text === undefined) throw new Error(`A result of more than ${maxResultBytes} bytes.`)
  } catch (cause) {
    if (signal.aborted) throw signal.reason
    const message = `The result of ${tool} broke off: the call is not repeated.`
    throw new ApiError('node_lost', message, { cause })
  }
  const value = parseJson(text)
  if (!response.ok) throw refusalOf(response, value)
  const result = parseHostedResult(value)
  if (result !== undefined) return result
  throw new ApiError('upstream_error', `The node's result of ${tool} is none.`)
}

/** A call that the node did not take, or could not end: its own words. */
function refusalOf({ status }: Response, value: unknown): ApiError {
  const error = nodeErrorSchema.safeParse(value).data?.error
  const message = error?.message ?? `The node answered with status ${status}.`
  if (status === 400 || status === 413) {
    return new ApiError('invalid_value', message, { param: error?.param ?? null })
  }
  return new ApiError(error?.code === 'node_lost' ? 'node_lost' : 'upstream_error', message)
}
