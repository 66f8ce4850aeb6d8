// What is known of a place's structured output: from its provider's documentation, the config or the hub, or, of a node, from
// itself. The hub is believed when it says that a place knows no schemas, never that it keeps them.
import type { Provider } from '../providers/provider.ts'
import { bestEffort, type Guarantee } from '../tools/structured-contract.ts'
import { knownOf } from './known.ts'
import type { NodeModelInfo, World } from './world.ts'

/** Of a provider. */
export function guaranteeOf(
  provider: Provider,
  publicId: string,
  world: Pick<World, 'heard'>,
): Guarantee {
  const { structuredOutput, strictArguments, jsonObject } = knownOf(provider, publicId, world)
  return {
    schema: schemaOf(structuredOutput),
    calls: strictArguments === true ? 'guaranteed' : 'best_effort',
    jsonObject,
  }
}

function schemaOf(structuredOutput: boolean | 'guaranteed' | undefined): Guarantee['schema'] {
  if (structuredOutput === 'guaranteed') return 'guaranteed'
  return structuredOutput === false ? 'none' : 'best_effort'
}

/** Of own nodes, any of which may answer. */
export function guaranteeOfNodes(served: readonly NodeModelInfo[]): Guarantee {
  const every = (is: (model: NodeModelInfo) => boolean) => served.length > 0 && served.every(is)
  if (every((model) => model.checks_output === true)) return { ...bestEffort, checksItself: true }
  const none = every((model) => model.supports_structured_outputs === false)
  return none ? { ...bestEffort, schema: 'none' } : bestEffort
}
