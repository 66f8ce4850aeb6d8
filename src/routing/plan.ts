// The decision of explain.ts as the faces need it: candidates, or the error that says why there are none.
import type { Candidate, PlanContext } from '../faces/deps.ts'
import { explain, type World } from './explain.ts'
import { findParts } from './modalities.ts'

/** Candidates for a request, in the order in which they are tried; throws ApiError when there are none. */
export function planRequest({ model, request }: PlanContext, world: World): Candidate[] {
  const decision = explain(model, world, findParts(request))
  if (decision.error) throw decision.error
  return decision.considered
    .filter((place) => place.candidate)
    .map(({ kind, name, model: idThere, dialects }) => {
      const provider = kind === 'provider' ? world.config.providers.get(name) : undefined
      const lostCode = kind === 'node' ? 'node_lost' : 'upstream_error'
      const common = { kind, name, model: idThere, dialects, lostCode } as const
      if (!provider) return common
      const { adapt, inlineReasoning, raw, timeouts } = provider
      const limits = {
        firstByteMs: timeouts.firstTokenMs,
        idleMs: timeouts.idleMs,
        maxBytes: world.config.limits.upstreamBytes,
      }
      return { ...common, adapt, inlineReasoning, raw, limits }
    })
}
