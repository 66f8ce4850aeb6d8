// What GET /v1/models lists: models of own nodes, and those that the configured providers name.
import type { Place } from '../faces/deps.ts'
import { capabilitiesOf } from '../providers/capabilities.ts'
import type { Provider } from '../providers/provider.ts'
import { pathPin } from './explain.ts'
import { knownOf } from './known.ts'
import type { NodeModelInfo, NodeWithModels, World } from './world.ts'

export interface ListedPlace {
  provider: string
  status: 'live' | 'error'
  context_length?: number
  pricing?: { input: number; output: number }
  supports_tools?: boolean
  supports_structured_output?: boolean
  first_token_latency_ms?: number
  /** Output tokens a second. */
  throughput?: number
}

/** A model in the shape of Hugging Face's router. */
export interface ListedModel {
  id: string
  object: 'model'
  created: number
  owned_by: string
  architecture?: { input_modalities: string[]; output_modalities: string[] }
  providers: ListedPlace[]
}

interface NodeModelDetails extends NodeModelInfo {
  context_length?: number | undefined
  supports_tools?: boolean | undefined
  supports_structured_outputs?: boolean | undefined
}

/** 2025-08-05, when gpt-oss was published; of other models the date is not known and given as 0. */
const gptOssCreated = 1_754_352_000

/**
 * Every model that this caller can use, sorted by id; a provider that takes any id lists those it names. `alsoId` is listed at
 * the places that the hub has told, too. Throws ApiError where the path names no place.
 */
export function listModels(world: World, alsoId?: string): ListedModel[] {
  pathPin(world)
  const models = new Map<string, ListedModel>()
  const add = (id: string, place: ListedPlace, inputModalities?: readonly string[]) => {
    const model = models.get(id) ?? newModel(id)
    model.providers.push(place)
    if (inputModalities && !model.architecture) {
      model.architecture = { input_modalities: [...inputModalities], output_modalities: ['text'] }
    }
    models.set(id, model)
  }
  for (const node of world.nodes) {
    const wanted =
      world.pathPin === undefined || world.pathPin === 'self' || world.pathPin === node.name
    if (!wanted) continue
    for (const model of node.models) {
      add(model.id, atNode(node, model, world), model.input_modalities)
    }
  }
  for (const provider of world.config.providers.values()) {
    if (world.pathPin !== undefined && world.pathPin !== provider.name) continue
    if (world.obstacle(provider) !== undefined) continue
    for (const [id, idThere] of idsAt(provider, world, alsoId)) {
      add(id, atProvider(provider, id, idThere, world), modalitiesOf(provider, id, world))
    }
  }
  for (const [id, places] of world.config.routes) addRoute(id, places, world, models, add)
  return [...models.values()].sort((one, other) =>
    one.id < other.id ? -1 : one.id > other.id ? 1 : 0,
  )
}

/** The ids to list at a provider: its own, what the hub maps, and at Hugging Face's router all that it told of. */
function idsAt(provider: Provider, world: World, alsoId: string | undefined): Map<string, string> {
  const ids = new Map<string, string>()
  if (provider.name === 'hf') for (const id of world.heardIds?.() ?? []) ids.set(id, id)
  const mapped = alsoId === undefined ? undefined : world.mapped?.(alsoId)?.get(provider.name)
  if (alsoId !== undefined && mapped !== undefined) ids.set(alsoId, mapped)
  for (const [id, idThere] of Object.entries(provider.models)) ids.set(id, idThere)
  return ids
}

/** What the router says is said of a model, not of a place: it is told, and nothing is refused for it. */
function modalitiesOf(provider: Provider, id: string, world: World): readonly string[] | undefined {
  const said = capabilitiesOf(provider, id).inputModalities
  if (said !== undefined) return said
  for (const { inputModalities } of world.heard?.(id)?.values() ?? []) return inputModalities
  return undefined
}

/** A public id that exists through `routes` alone: listed when one of its places can be called. */
function addRoute(
  id: string,
  places: readonly string[],
  world: World,
  models: ReadonlyMap<string, ListedModel>,
  add: (id: string, place: ListedPlace) => void,
): void {
  if (models.has(id) || world.pathPin !== undefined) return
  for (const name of places) {
    const provider = world.config.providers.get(name)
    if (provider && provider.otherModels !== 'never' && world.obstacle(provider) === undefined) {
      add(id, atProvider(provider, id, id, world))
    }
  }
}

function newModel(id: string): ListedModel {
  const owner = id.includes('/') ? id.slice(0, id.indexOf('/')) : 'switchyard'
  const created = id.startsWith('openai/gpt-oss-') ? gptOssCreated : 0
  return { id, object: 'model', created, owned_by: owner, providers: [] }
}

function atNode(node: NodeWithModels, model: NodeModelDetails, world: World): ListedPlace {
  const { context_length, supports_tools, supports_structured_outputs } = model
  const seen = observed({ kind: 'node', name: node.name, model: model.id }, world)
  return {
    provider: node.name,
    ...seen,
    ...(node.draining ? { status: 'error' } : {}),
    ...(context_length === undefined ? {} : { context_length }),
    ...(supports_tools === undefined ? {} : { supports_tools }),
    ...(supports_structured_outputs === undefined
      ? {}
      : { supports_structured_output: supports_structured_outputs }),
  }
}

function atProvider(provider: Provider, id: string, idThere: string, world: World): ListedPlace {
  const { contextLength, price, tools, structuredOutput } = knownOf(provider, id, world)
  return {
    provider: provider.name,
    ...observed({ kind: 'provider', name: provider.name, model: idThere }, world),
    ...(contextLength === undefined ? {} : { context_length: contextLength }),
    ...(price === undefined ? {} : { pricing: price }),
    ...(tools === undefined ? {} : { supports_tools: tools }),
    ...(structuredOutput === undefined
      ? {}
      : { supports_structured_output: structuredOutput !== false }),
  }
}

/** What this isolate has measured. */
function observed(place: Place, { observations, now }: World) {
  const latency = observations?.firstTokenMs(place, now)
  const throughput = observations?.tokensPerSecond(place, now)
  const status: ListedPlace['status'] =
    observations?.standing(place, now) === 'open' ? 'error' : 'live'
  return {
    status,
    ...(latency === undefined ? {} : { first_token_latency_ms: Math.round(latency) }),
    ...(throughput === undefined ? {} : { throughput: Math.round(throughput * 10) / 10 }),
  }
}
