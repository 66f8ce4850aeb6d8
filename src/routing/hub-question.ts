// Whether a request is a reason to ask the hub about its model, and a reason to wait for the answer.
import { explain, readReference } from './explain.ts'
import { type HubModels, isHubId } from './hub-models.ts'
import type { ModelRef } from './model-ref.ts'
import type { World } from './world.ts'

export interface HubQuestion {
  id: string
  /** Without the answer there is no candidate, or only a guess. */
  wait: boolean
}

/** The question that a model reference raises, if any; never throws. */
export function hubQuestion(model: string, world: World, hub: HubModels): HubQuestion | undefined {
  const reference = referenceOf(model, world)
  if (reference === undefined || !isHubId(reference.model)) return undefined
  const knowledge = hub.knowledge(reference.model, world.now)
  if (knowledge === 'known' || !concernsHub(reference, world)) return undefined
  const wait = knowledge === 'unknown' && !isServed(reference, model, world)
  return { id: reference.model, wait }
}

function referenceOf(model: string, world: World): ModelRef | undefined {
  try {
    return readReference(model, world)
  } catch {
    return undefined
  }
}

/** True where the hub could name a place: a provider that this caller may use, and of which the config has no id. */
function concernsHub({ model, pin }: ModelRef, world: World): boolean {
  const { modelMapping, providers, routes } = world.config
  if (modelMapping === undefined || pin?.kind === 'self' || pin?.kind === 'node') return false
  const open = (name: string) => {
    const provider = providers.get(name)
    if (provider === undefined || !modelMapping.providers.has(name)) return false
    return !Object.hasOwn(provider.models, model) && world.obstacle(provider) === undefined
  }
  if (pin?.kind === 'provider') return open(pin.name)
  const route = routes.get(model)
  if (route !== undefined) return route.some(open)
  return !isPrivate(model, world) && [...providers.keys()].some(open)
}

/** What own nodes serve or the config names for a provider of its own may have a name that is nobody else's business. */
function isPrivate(model: string, { nodes, recentNodes = [], config }: World): boolean {
  return (
    [...nodes, ...recentNodes].some(({ models }) => models.some(({ id }) => id === model)) ||
    [...config.providers.values()].some(
      ({ builtIn, models }) => !builtIn && Object.hasOwn(models, model),
    )
  )
}

/** A pinned provider without an id is handed the public one, which is a guess; elsewhere any candidate will do. */
function isServed({ pin }: ModelRef, model: string, world: World): boolean {
  if (pin?.kind === 'provider') return false
  return explain(model, world).candidates.length > 0
}
