// The decision of explain.ts as the faces need it: candidates, or the error that says why there are none.
import type { Candidate, Place, PlanContext } from '../faces/deps.ts'
import { capabilitiesOf } from '../providers/capabilities.ts'
import type { Provider } from '../providers/provider.ts'
import type { Guarantee } from '../tools/structured-contract.ts'
import { explain } from './explain.ts'
import { guaranteeOf, guaranteeOfNodes } from './structured.ts'
import { type Wanted, wantedOf } from './wanted.ts'
import type { Considered, World } from './world.ts'

/**
 * Candidates for a request, in the order in which they are tried, those of its further `models` behind those of the first;
 * throws ApiError when there are none.
 */
export function planRequest(context: PlanContext, world: World): Candidate[] {
  const { model, request, preferences } = context
  const wanted = wantedOf(request, preferences)
  const first = explain(model, world, wanted)
  const models = preferences?.models ?? []
  if (models.length === 0) {
    if (first.error) throw first.error
    return candidatesOf(first.considered, first.public_id ?? model, wanted, world)
  }
  const candidates = candidatesOf(first.considered, first.public_id ?? model, wanted, world)
  const seen = new Set([model])
  for (const [at, next] of models.entries()) {
    if (seen.has(next)) continue
    seen.add(next)
    const { error, considered, public_id } = explain(next, world, wanted)
    // A model that nobody serves now is what a list is for; one that cannot be read is a mistake.
    if (error?.code === 'provider_not_found' && error.param === 'model') {
      throw error.with({ param: `models[${at}]` })
    }
    for (const candidate of candidatesOf(considered, public_id ?? next, wanted, world)) {
      // `m:groq` and `m` both lead to groq: what has failed there would fail again.
      if (!candidates.some((other) => isSamePlace(candidate, other))) candidates.push(candidate)
    }
  }
  if (candidates.length === 0 && first.error) throw first.error
  return candidates
}

function isSamePlace(one: Place, other: Place): boolean {
  return one.kind === other.kind && one.name === other.name && one.model === other.model
}

function candidatesOf(
  considered: readonly Considered[],
  publicId: string,
  wanted: Wanted,
  world: World,
): Candidate[] {
  const requireParameters = wanted.preferences?.requireParameters === true
  const asksForForm = wanted.structuredOutput === true || wanted.strictArguments === true
  return considered
    .filter((place) => place.candidate)
    .map(({ kind, name, model, dialects }) => {
      const provider = kind === 'provider' ? world.config.providers.get(name) : undefined
      const lostCode = kind === 'node' ? 'node_lost' : 'upstream_error'
      const common = { kind, name, model, dialects, publicId, requireParameters, lostCode } as const
      const structured = asksForForm
        ? guaranteeAt({ name, model }, provider, publicId, world)
        : undefined
      if (!provider) return structured === undefined ? common : { ...common, structured }
      const { adapt, raw, timeouts, streamWhole, runsTools } = provider
      const limits = {
        firstByteMs: timeouts.firstTokenMs,
        idleMs: timeouts.idleMs,
        totalMs: timeouts.totalMs,
        maxBytes: world.config.limits.upstreamBytes,
      }
      const can = capabilitiesOf(provider, publicId)
      const assistantPrefix = can.assistantPrefix === true
      const inlineReasoning = can.inlineReasoning === true
      const { retryAfterMs } = timeouts
      const told = {
        inlineReasoning,
        raw,
        limits,
        retryAfterMs,
        streamWhole,
        assistantPrefix,
        structured,
      }
      return runsTools === true
        ? { ...common, adapt, ...told, runsTools }
        : { ...common, adapt, ...told }
    })
}

function guaranteeAt(
  { name, model }: { name: string; model: string },
  provider: Provider | undefined,
  publicId: string,
  world: World,
): Guarantee {
  if (provider !== undefined) return guaranteeOf(provider, publicId, world)
  const nodes = world.nodes.filter((node) => name === 'self' || node.name === name)
  return guaranteeOfNodes(nodes.flatMap(({ models }) => models.filter(({ id }) => id === model)))
}
