// What a routing decision depends on, and the places that it looks at.
import type { Config } from '../config/config.ts'
import type { Dialect } from '../faces/deps.ts'
import type { Capabilities } from '../providers/capabilities.ts'
import type { Provider } from '../providers/provider.ts'
import type { Observations } from './observations.ts'

/** A model as a connected node tells of it. */
export interface NodeModelInfo {
  id: string
  dialects: readonly string[]
  input_modalities?: readonly string[] | undefined
  supports_tools?: boolean | undefined
  supports_structured_outputs?: boolean | undefined
  /** It holds its answers to JSON schemas itself. */
  checks_output?: boolean | undefined
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
  /** True where the caller brought a key of its own for a provider: it wants that one used. */
  bringsKey?: ((provider: string) => boolean) | undefined
  nodes: readonly NodeWithModels[]
  /** Nodes that were connected a short while ago: a request for what they served gets `no_capacity`, not `not found`. */
  recentNodes?: readonly NodeWithModels[]
  /** What the hub has said of a public id: provider → id there; undefined while nothing is known. */
  mapped?: ((publicId: string) => ReadonlyMap<string, string> | undefined) | undefined
  /** What Hugging Face's router tells of a public id: provider → prices, abilities, speed. Read it through `knownOf`. */
  heard?: ((publicId: string) => ReadonlyMap<string, Capabilities> | undefined) | undefined
  /** Every id that the router has told of. */
  heardIds?: (() => Iterable<string>) | undefined
  /** From `/<name>/v1/…`. */
  pathPin?: string | undefined
  observations?: Observations
  now: number
  /**
   * Stands for all of this but `observations` and `now`: worlds with the same one differ in nothing else. Unset where nobody can
   * say so. Decisions are kept as long as it lives.
   */
  same?: object | undefined
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
  /** It could answer, and the request does not want it (`provider`). */
  unwanted?: true
  dialects: readonly Dialect[]
}
