// Who may answer for a model, in which order, and why the others may not. One decision, told in full: routing acts on it,
// `explain` prints it.
import type { Config } from '../config/config.ts'
import { ApiError } from '../errors.ts'
import type { Dialect } from '../faces/deps.ts'
import type { Provider } from '../providers/provider.ts'
import type { FoundPart } from './modalities.ts'
import { type KnownNames, type ModelRef, type Pin, parseModelRef, parsePin } from './model-ref.ts'
import type { Policy } from './names.ts'
import type { Observations } from './observations.ts'

/** A model as a connected node tells of it. */
export interface NodeModelInfo {
  id: string
  dialects: readonly string[]
  input_modalities?: readonly string[] | undefined
}

/** A connected node. */
export interface NodeWithModels {
  name: string
  models: readonly NodeModelInfo[]
  draining?: boolean | undefined
}

/** Everything that a decision depends on. */
export interface World {
  config: Config
  /** Why a provider cannot be called by this caller (no key); undefined when it can. */
  obstacle(provider: Provider): string | undefined
  nodes: readonly NodeWithModels[]
  /** Nodes that were connected a short while ago: a request for what they served gets `no_capacity`, not `not found`. */
  recentNodes?: readonly NodeWithModels[]
  /** From `/<name>/v1/…`. */
  pathPin?: string | undefined
  observations?: Observations
  now: number
}

/** A place that was looked at. */
export interface Considered {
  kind: 'provider' | 'node'
  /** `self` stands for any own node; the hub picks the one with the most free slots. */
  name: string
  /** The model's id there. */
  model: string
  candidate: boolean
  /** Why it lost, or why it stands where it stands. */
  reason: string
  dialects: readonly Dialect[]
}

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

/** The whole decision for a model reference; never throws. `parts` are the request's parts that are not text. */
export function explain(
  model: string,
  world: World,
  parts: readonly FoundPart[] = [],
): Explanation {
  const base = { model, policy: world.config.policy, candidates: [], considered: [] }
  let reference: ModelRef
  try {
    reference = readReference(model, world)
  } catch (error) {
    if (error instanceof ApiError) return { ...base, error }
    throw error
  }
  const { pin } = reference
  const policy = pin?.kind === 'policy' ? pin.policy : world.config.policy
  const search = new Search(reference, world, parts, policy)
  const considered = search.run()
  const chosen = considered.filter((place) => place.candidate)
  return {
    model,
    public_id: reference.model,
    ...(pin ? { pin } : {}),
    policy,
    candidates: chosen.map((place) => place.name),
    considered,
    ...(chosen.length === 0 ? { error: search.failure(considered) } : {}),
  }
}

/** The names that decide how a reference is read. */
export function knownNames(world: World): KnownNames {
  const nodes = [...world.nodes, ...(world.recentNodes ?? [])]
  const providers = [...world.config.providers.values()]
  return {
    isModel: (id) =>
      world.config.routes.has(id) ||
      nodes.some((node) => node.models.some((model) => model.id === id)) ||
      providers.some((provider) => Object.hasOwn(provider.models, id)),
    isProvider: (name) => world.config.providers.has(name),
    isNode: (name) => nodes.some((node) => node.name === name),
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

function readReference(model: string, world: World): ModelRef {
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

/** One search for candidates; a class only to keep its four inputs together. */
class Search {
  readonly #reference: ModelRef
  readonly #world: World
  readonly #parts: readonly FoundPart[]
  readonly #policy: Policy
  /** The first part that a place refused, if that is why it lost. */
  #refusedPart: FoundPart | undefined

  constructor(reference: ModelRef, world: World, parts: readonly FoundPart[], policy: Policy) {
    this.#reference = reference
    this.#world = world
    this.#parts = parts
    this.#policy = policy
  }

  run(): Considered[] {
    const { pin, model } = this.#reference
    if (pin?.kind === 'provider') return [this.#provider(pin.name, true)]
    if (pin?.kind === 'node') return [this.#node(pin.name)]
    if (pin?.kind === 'self') return this.#ownNodes()
    const ranked = pin?.kind === 'policy'
    const route = this.#world.config.routes.get(model)?.flatMap((name) => this.#routed(name))
    if (route) return this.#sickLast(ranked ? this.#rank(route) : route)
    const own = this.#ownNodes()
    const names = [...this.#world.config.providers.keys()]
    const providers = names.map((name) => this.#provider(name, false))
    // A policy suffix ranks everything; the policy of the config orders the providers behind own nodes.
    return this.#sickLast(
      ranked ? this.#rank([...own, ...providers]) : [...own, ...this.#rank(providers)],
    )
  }

  /** Why there is no candidate at all, as the client is told. */
  failure(considered: readonly Considered[]): ApiError {
    const { pin, model } = this.#reference
    if (this.#refusedPart) return unsupported(this.#refusedPart, model)
    if (this.#wasServedByNode()) {
      return new ApiError(
        'no_capacity',
        `The node that serves '${model}' is not connected at the moment.`,
        {
          retryAfter: 1,
        },
      )
    }
    if (pin?.kind === 'provider') {
      const provider = this.#world.config.providers.get(pin.name)
      const obstacle = provider && this.#world.obstacle(provider)
      if (obstacle !== undefined && provider && this.#idAt(provider, true) !== undefined) {
        return new ApiError('provider_not_configured', `Provider '${pin.name}' ${obstacle}.`, {
          param: 'model',
        })
      }
    }
    // Of places that name this model; one that takes any id has nothing to say about this one.
    const { providers } = this.#world.config
    const reasons = considered.filter(({ name }) =>
      Object.hasOwn(providers.get(name)?.models ?? {}, model),
    )
    const detail = reasons.map((place) => `${place.name} ${place.reason}`).join('; ')
    return new ApiError(
      'model_not_found',
      `The model '${model}' does not exist or you do not have access to it.${detail ? ` (${detail})` : ''}`,
      { param: 'model' },
    )
  }

  #routed(name: string): Considered[] {
    if (name === 'self') return this.#ownNodes()
    if (this.#world.config.providers.has(name)) return [this.#provider(name, true)]
    return [this.#node(name)]
  }

  #provider(name: string, named: boolean): Considered {
    const lost = { kind: 'provider', name, model: '', candidate: false, dialects: [] } as const
    const provider = this.#world.config.providers.get(name)
    if (!provider) return { ...lost, reason: 'is not in the config' }
    const model = this.#idAt(provider, named)
    if (model === undefined) {
      return {
        ...lost,
        reason: `does not list '${this.#reference.model}' (providers.${name}.models)`,
      }
    }
    const obstacle = this.#world.obstacle(provider)
    if (obstacle !== undefined) return { ...lost, model, reason: obstacle }
    return {
      kind: 'provider',
      name,
      model,
      candidate: true,
      reason: 'serves it',
      dialects: provider.dialects,
    }
  }

  #idAt(provider: Provider, named: boolean): string | undefined {
    const { model } = this.#reference
    if (Object.hasOwn(provider.models, model)) return provider.models[model]
    if (this.#world.pathPin !== undefined && Object.values(provider.models).includes(model))
      return model
    const any = provider.otherModels === 'always' || (named && provider.otherModels === 'pinned')
    return any ? model : undefined
  }

  #node(name: string): Considered {
    const node = this.#world.nodes.find((candidate) => candidate.name === name)
    const lost = { kind: 'node', name, model: '', candidate: false, dialects: [] } as const
    if (!node) return { ...lost, reason: 'is not connected' }
    return this.#atNode(node)
  }

  #atNode(node: NodeWithModels): Considered {
    const { model } = this.#reference
    const lost = { kind: 'node', name: node.name, model, candidate: false, dialects: [] } as const
    const info = node.models.find((candidate) => candidate.id === model)
    if (!info) return { ...lost, model: '', reason: `does not serve '${model}'` }
    if (node.draining) return { ...lost, reason: 'is draining' }
    const dialects = info.dialects.filter(isDialect)
    if (dialects.length === 0) return { ...lost, reason: 'speaks no dialect that we know' }
    const refused = this.#parts.find(
      (part) =>
        info.input_modalities !== undefined && !info.input_modalities.includes(part.modality),
    )
    if (refused) {
      this.#refusedPart ??= refused
      return { ...lost, reason: `does not take ${refused.type} (${refused.path})` }
    }
    return {
      kind: 'node',
      name: node.name,
      model,
      candidate: true,
      reason: 'own node, serves it',
      dialects,
    }
  }

  /** Nodes that can take the request are one candidate, `self`, as long as they share a dialect: the hub then chooses by load. */
  #ownNodes(): Considered[] {
    const places = this.#world.nodes.map((node) => this.#atNode(node))
    const able = places.filter((place) => place.candidate)
    const lost = places.filter((place) => !place.candidate)
    const first = able[0]
    if (!first) return lost
    // With a node among them that cannot take the parts, the hub's free choice would be wrong.
    const mixed = lost.some(
      (place) => place.model !== '' && place.reason.startsWith('does not take'),
    )
    const shared = first.dialects.filter((dialect) =>
      able.every((place) => place.dialects.includes(dialect)),
    )
    if (mixed || shared.length === 0) return [...able, ...lost]
    const names = able.map((place) => place.name).join(', ')
    return [
      { ...first, name: 'self', dialects: shared, reason: `own nodes serve it: ${names}` },
      ...lost,
    ]
  }

  #rank(places: Considered[]): Considered[] {
    const { observations, config } = this.#world
    const cost = (place: Considered): number => {
      if (this.#policy === 'cheapest') {
        if (place.kind === 'node') return 0
        return (
          config.providers.get(place.name)?.pricing[this.#reference.model]?.output ??
          Number.POSITIVE_INFINITY
        )
      }
      // A place not yet measured comes first: that is how it gets measured.
      if (this.#policy === 'fastest') return observations?.firstByteMs(placeKey(place)) ?? -1
      return 0
    }
    return places
      .map((place) => ({ place, cost: cost(place) }))
      .sort((one, other) => (one.cost === other.cost ? 0 : one.cost - other.cost))
      .map(({ place, cost }) =>
        this.#policy === 'preferred'
          ? place
          : { ...place, reason: told(place, cost, this.#policy) },
      )
  }

  #sickLast(places: Considered[]): Considered[] {
    const { observations, now } = this.#world
    if (!observations) return places
    const sick = (place: Considered) => place.candidate && observations.isSick(placeKey(place), now)
    const told = (place: Considered) => ({
      ...place,
      reason: `${place.reason}; failed of late, so tried last`,
    })
    return [...places.filter((place) => !sick(place)), ...places.filter(sick).map(told)]
  }

  #wasServedByNode(): boolean {
    const { pin, model } = this.#reference
    if (pin?.kind === 'provider') return false
    return (this.#world.recentNodes ?? []).some(
      (node) =>
        (pin?.kind !== 'node' || pin.name === node.name) &&
        node.models.some((served) => served.id === model),
    )
  }
}

/** Under which name a place's speed and failures are kept. */
export function placeKey(place: { kind: string; name: string; model: string }): string {
  return `${place.kind} ${place.name} ${place.model}`
}

function told(place: Considered, cost: number, policy: Policy): string {
  if (!place.candidate) return place.reason
  if (policy === 'cheapest') {
    return Number.isFinite(cost)
      ? `${place.reason}, $${cost} per million output tokens`
      : `${place.reason}, no price known`
  }
  return cost < 0
    ? `${place.reason}, not measured yet`
    : `${place.reason}, first byte after ${Math.round(cost)} ms`
}

function unsupported(part: FoundPart, model: string): ApiError {
  return new ApiError(
    'unsupported_content',
    `The model '${model}' cannot take ${part.modality} input.`,
    {
      param: part.path,
    },
  )
}

function isDialect(name: string): name is Dialect {
  return name === 'chat' || name === 'responses'
}
