// Provider keys that a client brings for one request: `X-Switchyard-Provider-Key: groq=gsk_…`, repeated or comma-separated.
// Each goes to the address that the config has for its provider, and nowhere else; no message repeats one.
import type { Config } from '../src/config/index.ts'
import { ApiError } from '../src/errors.ts'

export const providerKeyHeader = 'x-switchyard-provider-key'

/** What a bearer token may hold (RFC 6750). */
const pairPattern = /^([a-z0-9][a-z0-9._-]{0,62})\s*=\s*([A-Za-z0-9._~+/-]{1,512}=*)$/
const maxKeys = 16

/** Provider → key; undefined where the client brought none. Throws ApiError where it may not, or names no provider. */
export function readProviderKeys(
  headers: Headers,
  { byok, providers }: Pick<Config, 'byok' | 'providers'>,
): Readonly<Record<string, string>> | undefined {
  const value = headers.get(providerKeyHeader)
  if (value === null) return undefined
  if (!byok) throw refused('This gateway takes no provider keys of its clients (its config: byok).')
  const pairs = value.split(',')
  if (pairs.length > maxKeys) throw refused(`At most ${maxKeys} provider keys are taken.`)
  const keys: Record<string, string> = {}
  for (const pair of pairs) {
    const [, name, key] = pairPattern.exec(pair.trim()) ?? []
    if (name === undefined || key === undefined) {
      throw refused(`The header ${providerKeyHeader} must be <provider>=<key>.`)
    }
    if (!providers.has(name)) {
      const message = `'${name}' in the header ${providerKeyHeader} is no provider.`
      throw new ApiError('provider_not_found', message, { param: providerKeyHeader })
    }
    keys[name] = key
  }
  return keys
}

function refused(message: string): ApiError {
  return new ApiError('invalid_value', message, { param: providerKeyHeader })
}
