// Who calls. Keys are compared by HMAC, all of them every time, so that neither the key nor the tenant shows in the time taken.
import { createMiddleware } from 'hono/factory'
import { ApiError } from '../../src/errors.ts'
import { messagesKey } from '../../src/faces/messages-http.ts'
import { type Callers, hmac, type KeyedCaller } from '../callers.ts'
import type { Env, GatewayEnv, Identity } from '../env.ts'
import { readProviderKeys } from '../provider-keys.ts'
import { type Runtime, runtimeOf } from '../runtime.ts'
import { isOpen } from './local-only.ts'

/** Tenant of a gateway that is open to its own machine, and of a node token that names no tenant. */
export const localTenant = 'default'

/** Sets `identity`, or refuses the request. */
export const authenticate = createMiddleware<GatewayEnv>(async (c, next) => {
  const { callers, config } = runtimeOf(c.env)
  const token = bearer(c.req.header('authorization')) ?? messagesKey(c.req.path, c.req.raw.headers)
  const passThrough = config.passThrough.hf && token?.startsWith('hf_') ? token : undefined
  const identity = isOpen(c.env)
    ? openIdentity(passThrough)
    : await identify(await callers, token, passThrough)
  const providerKeys = readProviderKeys(c.req.raw.headers, config)
  c.set('identity', providerKeys === undefined ? identity : { ...identity, providerKeys })
  return next()
})

/** Whether anyone may call: with a key, a token of their own, or because this gateway is open. */
export async function admitsCallers(env: Env, { callers, config }: Runtime): Promise<boolean> {
  return isOpen(env) || config.passThrough.hf || ((await callers)?.length ?? 0) > 0
}

function openIdentity(hfToken: string | undefined): Identity {
  const identity = { tenant: localTenant, hfOnly: false }
  return hfToken === undefined ? identity : { ...identity, hfToken }
}

async function identify(
  callers: Callers,
  token: string | undefined,
  hfToken: string | undefined,
): Promise<Identity> {
  if (callers && callers.length > 0) {
    const tenant = token === undefined ? undefined : find(callers, await hmac(token))
    if (tenant !== undefined) return { tenant, hfOnly: false }
  }
  if (hfToken !== undefined) {
    return { tenant: `hf:${toHex(await hmac(hfToken))}`, hfToken, hfOnly: true }
  }
  if (!callers || callers.length === 0) {
    throw new ApiError(
      'auth_not_configured',
      'This gateway has no API keys yet: its owner must set the secret SWITCHYARD_KEYS.',
    )
  }
  throw new ApiError(
    'invalid_api_key',
    token === undefined
      ? "You didn't provide an API key. Send it as `Authorization: Bearer sy_…`."
      : 'Incorrect API key provided.',
  )
}

/** Looks at every caller, whatever it finds. Throws ApiError for a key that two tenants have. */
function find(callers: readonly KeyedCaller[], digest: Uint8Array): string | undefined {
  let found: string | undefined
  let shared = false
  for (const caller of callers) {
    let difference = caller.digest.length ^ digest.length
    for (let at = 0; at < digest.length; at++) {
      difference |= (caller.digest[at] ?? 0) ^ (digest[at] ?? 0)
    }
    if (difference !== 0) continue
    shared ||= found !== undefined && found !== caller.tenant
    found = caller.tenant
  }
  if (!shared) return found
  throw new ApiError(
    'auth_not_configured',
    'This key stands for two tenants in SWITCHYARD_KEYS: the owner of the gateway must give each its own.',
  )
}

/** The token of an `Authorization` header. */
export function bearer(header: string | undefined): string | undefined {
  return /^Bearer +([^\s]+) *$/i.exec(header ?? '')?.[1]
}

function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
