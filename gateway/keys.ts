// Whose key a call to a provider is made with: one that the caller brought for it, the caller's Hugging Face token at Hugging
// Face, or the owner's from the environment.
import type { Provider } from '../src/providers/provider.ts'
import type { Caller } from './caller.ts'
import { secret } from './env.ts'

export interface ProviderKey {
  key: string | undefined
  /** It is the caller's own: that it is refused is told to the caller. */
  clientKey: boolean
}

/** The key for a provider. A pass-through caller never gets the owner's. */
export function keyFor({ env, identity }: Caller, provider: Provider): ProviderKey {
  const { hfToken, hfOnly, providerKeys } = identity
  if (providerKeys !== undefined && Object.hasOwn(providerKeys, provider.name)) {
    return { key: providerKeys[provider.name], clientKey: true }
  }
  if (hfToken !== undefined && isHuggingFace(provider)) return { key: hfToken, clientKey: true }
  return { key: hfOnly ? undefined : secret(env, provider.apiKeyEnv), clientKey: false }
}

/** Why this caller cannot call a provider; undefined where it can. */
export function obstacle(caller: Caller, provider: Provider): string | undefined {
  if (keyFor(caller, provider).key !== undefined) return undefined
  if (caller.identity.hfOnly) return 'is not open to a pass-through token'
  return provider.keyOptional ? undefined : `has no key: ${provider.apiKeyEnv} is not set`
}

/** By the name and not by the address, which the config may have changed: whoever runs the gateway has the say. */
function isHuggingFace({ name }: Provider): boolean {
  return name === 'hf' || name === 'hf-inference'
}
