// Who may answer for a model, in which order, and why the others may not. One decision, told in full: routing acts on it,
// `explain` prints it.
import type { Config } from '../config/config.ts'
import { ApiError } from '../errors.ts'
import { usualHeadersMs } from '../providers/provider.ts'
import { type KnownNames, type ModelRef, type Pin, parseModelRef, parsePin } from './model-ref.ts'
import type { Policy } from './names.ts'
import type { Preferences } from './preferences.ts'
import { healthyFirst } from './rank.ts'
import { type Found, remembered } from './remembered.ts'
import { Search } from './search.ts'
import type { Wanted } from './wanted.ts'
import type { Considered, World } from './world.ts'

export interface Explanation {
  model: string
  /** The public id, suffix removed; absent when the reference could not be read. */
  public_id?: string
  pin?: Pin
  policy: Policy
  /** Names in the order in which they are tried. */
  candidates: string[]
  considered: Considered[]
  error?: ApiError
}

/** The whole decision for a model reference; never throws. `wanted` is what the request needs of a place. */
export function explain(model: string, world: World, wanted: Wanted = {}): Explanation {
  try {
    const found = remembered(model, world, wanted, () => find(model, world, wanted))
    const { pin, model: public_id } = found.reference
    const considered = healthyFirst(found.places, world)
    const chosen = considered.filter((place) => place.candidate)
    return {
      model,
      public_id,
      ...(pin ? { pin } : {}),
      policy: found.policy,
      candidates: chosen.map((place) => place.name),
      considered,
      ...(found.error === undefined ? {} : { error: found.error }),
    }
  } catch (error) {
    if (!(error instanceof ApiError)) throw error
    return { model, policy: world.config.policy, candidates: [], considered: [], error }
  }
}

function find(model: string, world: World, wanted: Wanted): Found {
  const reference = readReference(model, world)
  if (wanted.preferences) checkNames(wanted.preferences, world)
  const { pin } = reference
  const policy = pin?.kind === 'policy' ? pin.policy : world.config.policy
  const search = new Search(reference, world, wanted, policy)
  const places = search.run()
  if (places.some((place) => place.candidate)) return { reference, policy, places }
  return { reference, policy, places, error: search.failure(places) }
}

/**
 * The decision as a person reads it: a provider with nobody behind it is asked for answers in one piece, and has long for them
 * (`worthFolding`).
 */
export function explainInFull(model: string, world: World, wanted: Wanted = {}): Explanation {
  const explanation = explain(model, world, wanted)
  const [only, another] = explanation.considered.filter((place) => place.candidate)
  const provider = only?.kind === 'provider' ? world.config.providers.get(only.name) : undefined
  if (another !== undefined || !provider || provider.raw || provider.streamWhole !== undefined) {
    return explanation
  }
  const seconds = (provider.timeouts.headersMs ?? usualHeadersMs.whole) / 1000
  const told = `the only one, so that it has ${seconds} s for an answer that is not streamed (streamWhole: true asks it to stream)`
  const considered = explanation.considered.map((place) =>
    place === only ? { ...place, reason: `${place.reason}; ${told}` } : place,
  )
  return { ...explanation, considered }
}

/** The names that decide how a reference is read. */
export function knownNames(world: World): KnownNames {
  const { routes, providers } = world.config
  const recent = world.recentNodes ?? []
  const nodes = recent.length === 0 ? world.nodes : [...world.nodes, ...recent]
  return {
    isModel: (id) =>
      routes.has(id) ||
      (world.mapped?.(id)?.size ?? 0) > 0 ||
      nodes.some((node) => node.models.some((model) => model.id === id)) ||
      isListed(providers, id),
    isProvider: (name) => providers.has(name),
    isNode: (name) => nodes.some((node) => node.name === name),
  }
}

function isListed(providers: Config['providers'], id: string): boolean {
  for (const { models } of providers.values()) if (Object.hasOwn(models, id)) return true
  return false
}

/** Every place that the request names must exist: a misspelt one would silently be another's turn. */
function checkNames(preferences: Preferences, world: World): void {
  const known = knownNames(world)
  const lists = [
    [preferences.orderParam, preferences.order],
    ['provider.only', preferences.only ?? []],
    ['provider.ignore', preferences.ignore],
  ] as const
  for (const [field, names] of lists) {
    const at = names.findIndex(
      (name) => name !== 'self' && !known.isProvider(name) && !known.isNode(name),
    )
    if (at === -1) continue
    const param = `${field}[${at}]`
    throw new ApiError(
      'provider_not_found',
      `'${names[at]}' in '${param}' is no provider and no connected node.`,
      { param },
    )
  }
}

/** The place that the path names, if it names one; throws ApiError where there is no such place. */
export function pathPin(world: World): Pin | undefined {
  if (world.pathPin === undefined) return undefined
  const pin = parsePin(world.pathPin, knownNames(world))
  if (pin) return pin
  throw new ApiError(
    'provider_not_found',
    `'${world.pathPin}' is no provider and no connected node.`,
  )
}

/** What a client's `model` and path name; throws ApiError where they name nothing or contradict each other. */
export function readReference(model: string, world: World): ModelRef {
  const known = knownNames(world)
  const pin = pathPin(world)
  if (!pin) return parseModelRef(model, known)
  // Under a provider's own path its own ids are valid too, whatever they contain.
  const provider = pin.kind === 'provider' ? world.config.providers.get(pin.name) : undefined
  if (provider && Object.values(provider.models).includes(model)) return { model, pin }
  const reference = parseModelRef(model, known)
  if (reference.pin && reference.pin.kind !== 'policy' && !samePin(reference.pin, pin)) {
    throw new ApiError(
      'invalid_value',
      `Model '${model}' contradicts the path /${world.pathPin}/.`,
      {
        param: 'model',
      },
    )
  }
  return { model: reference.model, pin }
}

function samePin(one: Pin, other: Pin): boolean {
  if (one.kind === 'self' || one.kind === 'policy') return one.kind === other.kind
  return one.kind === other.kind && 'name' in other && one.name === other.name
}
