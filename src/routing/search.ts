// Looks at every place that could answer a model reference, and puts those that can in order.
import { ApiError } from '../errors.ts'
import type { Dialect } from '../faces/deps.ts'
import { capabilitiesOf } from '../providers/capabilities.ts'
import { idAt } from '../providers/model-id.ts'
import type { Provider } from '../providers/provider.ts'
import { knownOf } from './known.ts'
import type { FoundPart } from './modalities.ts'
import type { ModelRef } from './model-ref.ts'
import type { Policy } from './names.ts'
import { allowed, type Order, preferredFirst, ranked } from './rank.ts'
import type { Wanted } from './wanted.ts'
import type { Considered, NodeWithModels, World } from './world.ts'

const notConnected = 'is not connected'

/** One search for candidates; a class only to keep its four inputs together. */
export class Search {
  readonly #reference: ModelRef
  readonly #world: World
  readonly #wanted: Wanted
  readonly #policy: Policy
  /** The first part that a place refused, if that is why it lost. */
  #refusedPart: FoundPart | undefined

  constructor(reference: ModelRef, world: World, wanted: Wanted, policy: Policy) {
    this.#reference = reference
    this.#world = world
    this.#wanted = wanted
    this.#policy = policy
  }

  /** In order of preference, whatever their health. */
  run(): Considered[] {
    const { preferences } = this.#wanted
    const { model } = this.#reference
    const places = this.#places()
    if (preferences === undefined) return this.#ableFirst(this.#ranked(places, undefined))
    const able = this.#ableFirst(allowed(places, preferences, model, this.#world))
    return preferredFirst(this.#ranked(able, preferences.sort), preferences)
  }

  /** Every place that the reference, the route or the config brings up: own nodes first, then as the config has them. */
  #places(): Considered[] {
    const { pin } = this.#reference
    if (pin?.kind === 'provider') return [this.#provider(pin.name, true)]
    if (pin?.kind === 'node') return [this.#node(pin.name)]
    if (pin?.kind === 'self') return this.#ownNodes()
    const route = this.#route()
    if (route) return route.flatMap((name) => this.#routed(name))
    const places = this.#ownNodes()
    for (const name of this.#providerNames()) places.push(this.#provider(name, false))
    return places
  }

  /** As the config has them, those first for which the caller brought a key. */
  #providerNames(): string[] {
    const { config, bringsKey } = this.#world
    const names = [...config.providers.keys()]
    if (bringsKey === undefined) return names
    return [...names.filter(bringsKey), ...names.filter((name) => !bringsKey(name))]
  }

  /** A policy suffix or `sort` ranks everything; the policy of the config orders the providers behind own nodes. */
  #ranked(places: Considered[], sort: Order | undefined): Considered[] {
    const { pin, model } = this.#reference
    const order = sort ?? this.#policy
    if (order === 'preferred' || places.length < 2) return places
    if (sort !== undefined || pin?.kind === 'policy')
      return ranked(places, order, model, this.#world)
    if (pin !== undefined || this.#world.config.routes.has(model)) return places
    const isNode = ({ kind }: Considered) => kind === 'node'
    const providers = places.filter((place) => !isNode(place))
    return [...places.filter(isNode), ...ranked(providers, order, model, this.#world)]
  }

  /** What is known to fail with what the request asks for is left out, as long as another place remains. */
  #ableFirst(places: Considered[]): Considered[] {
    const { tools, structuredOutput } = this.#wanted
    if (!tools && !structuredOutput) return places
    const lackOf = (place: Considered): string | undefined => {
      const can = this.#abilities(place)
      if (tools && can.tools === false) return 'tools'
      return structuredOutput && can.structuredOutput === false ? 'json_schema' : undefined
    }
    const others = places.some((place) => place.candidate && lackOf(place) === undefined)
    return places.map((place) => {
      const lack = place.candidate ? lackOf(place) : undefined
      if (lack === undefined) return place
      return others
        ? { ...place, candidate: false, reason: `is known to fail with ${lack}` }
        : { ...place, reason: `${place.reason}, though known to fail with ${lack}` }
    })
  }

  #abilities(place: Considered): {
    tools?: boolean | undefined
    structuredOutput?: boolean | 'guaranteed' | undefined
  } {
    const { config, nodes } = this.#world
    const provider = place.kind === 'provider' ? config.providers.get(place.name) : undefined
    if (provider) return knownOf(provider, this.#reference.model, this.#world)
    // Of own nodes as a group, what all of them lack.
    const served = nodes
      .filter(({ name }) => place.name === 'self' || place.name === name)
      .flatMap(({ models }) => models.filter(({ id }) => id === place.model))
    const none = (able: (model: (typeof served)[number]) => boolean | undefined) =>
      served.length > 0 && served.every((model) => able(model) === false) ? false : undefined
    return {
      tools: none((model) => model.supports_tools),
      structuredOutput: none((model) => model.supports_structured_outputs),
    }
  }

  /** Why there is no candidate at all, as the client is told. */
  failure(considered: readonly Considered[]): ApiError {
    const { pin, model } = this.#reference
    if (this.#refusedPart) return unsupported(this.#refusedPart, model)
    const unwanted = considered.filter((place) => place.unwanted)
    if (unwanted.length > 0) {
      const reasons = unwanted.map(({ name, reason }) => `${name} ${reason}`).join('; ')
      const message = `Nobody is left to answer for '${model}': ${reasons}.`
      return new ApiError('model_not_found', message, { param: 'provider' })
    }
    const routed = this.#route() !== undefined
    const isAway = considered.some((place) => place.reason === notConnected)
    if (this.#wasServedByNode() || (routed && isAway)) {
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
    // Of places that name this model, or that its route names; one that takes any id has nothing to say about this one.
    const { providers } = this.#world.config
    const reasons = considered.filter(
      ({ name }) => routed || Object.hasOwn(providers.get(name)?.models ?? {}, model),
    )
    const detail = reasons.map((place) => `${place.name} ${place.reason}`).join('; ')
    const why = detail === '' ? 'GET /v1/models lists those that do.' : `(${detail})`
    return new ApiError(
      'model_not_found',
      `The model '${model}' does not exist or you do not have access to it. ${why}`,
      { param: 'model' },
    )
  }

  /** Names of the places that the config fixes for this model; a suffix that names one itself comes before. */
  #route(): readonly string[] | undefined {
    const { pin, model } = this.#reference
    if (pin !== undefined && pin.kind !== 'policy') return undefined
    return this.#world.config.routes.get(model)
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
    if (obstacle !== undefined) {
      return this.#throughRouter(provider) ?? { ...lost, model, reason: obstacle }
    }
    const refused = this.#refused(capabilitiesOf(provider, this.#reference.model).inputModalities)
    if (refused) {
      return { ...lost, model, reason: `does not take ${refused.type} (${refused.path})` }
    }
    return {
      kind: 'provider',
      name,
      model,
      candidate: true,
      reason: 'serves it',
      dialects: provider.dialects,
    }
  }

  /** Hugging Face's router takes `id:provider`, too: who may use it needs no key of a provider behind it. */
  #throughRouter(provider: Provider): Considered | undefined {
    const { pin, model } = this.#reference
    const router = this.#world.config.providers.get('hf')
    if (pin?.kind !== 'provider' || !provider.onHub || router === undefined) return undefined
    if (!router.builtIn || this.#world.obstacle(router) !== undefined) return undefined
    return {
      kind: 'provider',
      name: router.name,
      model: `${model}:${provider.name}`,
      candidate: true,
      reason: `serves it, asked for ${provider.name}`,
      dialects: router.dialects,
    }
  }

  #idAt(provider: Provider, named: boolean): string | undefined {
    const { model } = this.#reference
    const { pathPin, mapped } = this.#world
    const there = mapped?.(model)?.get(provider.name)
    return idAt(provider, model, { named, ownIds: pathPin !== undefined, mapped: there })
  }

  #node(name: string): Considered {
    const node = this.#world.nodes.find((candidate) => candidate.name === name)
    const lost = { kind: 'node', name, model: '', candidate: false, dialects: [] } as const
    if (!node) return { ...lost, reason: notConnected }
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
    const refused = this.#refused(info.input_modalities)
    if (refused) {
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

  /** The first part that a place with these modalities cannot take; nothing is refused where they are not known. */
  #refused(modalities: readonly string[] | undefined): FoundPart | undefined {
    if (modalities === undefined) return undefined
    const part = this.#wanted.parts?.find(({ modality }) => !modalities.includes(modality))
    this.#refusedPart ??= part
    return part
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
    if (mixed || shared.length === 0 || this.#namesNode(able)) return [...able, ...lost]
    const names = able.map((place) => place.name).join(', ')
    return [
      { ...first, name: 'self', dialects: shared, reason: `own nodes serve it: ${names}` },
      ...lost,
    ]
  }

  /** True where the request prefers or refuses one of these by name: then they are places of their own. */
  #namesNode(nodes: readonly Considered[]): boolean {
    const { preferences } = this.#wanted
    if (preferences === undefined) return false
    const { order, only = [], ignore } = preferences
    return nodes.some(({ name }) => [...order, ...only, ...ignore].includes(name))
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
