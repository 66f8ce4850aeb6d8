// What is known of a model at a provider, from the config and from Hugging Face's router: the config has the last word.
import { type Capabilities, capabilitiesOf } from '../providers/capabilities.ts'
import type { Provider } from '../providers/provider.ts'
import type { World } from './world.ts'

/** Everything known, field by field. */
export function knownOf(
  provider: Provider,
  publicId: string,
  { heard }: Pick<World, 'heard'>,
): Capabilities {
  const said = capabilitiesOf(provider, publicId)
  const told = heard?.(publicId)?.get(provider.name)
  return told === undefined ? said : { ...told, ...said }
}
