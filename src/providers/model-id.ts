// What a public model id is called at a provider.
import type { Provider } from './provider.ts'

export interface IdQuestion {
  /** The client, the path or a route named this provider. */
  named: boolean
  /** Under the provider's own path its own ids are valid, too. */
  ownIds: boolean
  /** Public id → id there, as the hub maps it. */
  mapped: string | undefined
}

/** The id there: by the config and the built-in list, then by the hub, then as it is; undefined where the provider is no candidate. */
export function idAt(
  provider: Pick<Provider, 'models' | 'otherModels' | 'ownPrefix'>,
  publicId: string,
  { named, ownIds, mapped }: IdQuestion,
): string | undefined {
  const { models, otherModels, ownPrefix } = provider
  if (Object.hasOwn(models, publicId)) return models[publicId]
  if (ownIds && Object.values(models).includes(publicId)) return publicId
  if (mapped !== undefined) return mapped
  if (otherModels === 'never' || (otherModels === 'pinned' && !named)) return undefined
  return ownPrefix !== '' && publicId.startsWith(ownPrefix)
    ? publicId.slice(ownPrefix.length)
    : publicId
}
