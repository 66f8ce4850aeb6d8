// The gateway's secret for what callers carry for it. SWITCHYARD_SEAL_KEY where it is set, else what is secret and lasts as
// long: the callers' own keys.
import { type Seal, sealFor, sealKey } from '../src/seal.ts'
import type { Env } from './env.ts'

let cached: { secret: string; key: Promise<CryptoKey> } | undefined

/** The seal of a tenant; undefined where the gateway has no secret that would outlast this isolate. */
export function sealOf(env: Env, tenant: string): Seal | undefined {
  const secret = env.SWITCHYARD_SEAL_KEY || env.SWITCHYARD_KEYS
  if (!secret) return undefined
  if (cached?.secret !== secret) cached = { secret, key: sealKey(secret) }
  return sealFor(tenant, cached.key, (bytes) => crypto.getRandomValues(new Uint8Array(bytes)))
}
