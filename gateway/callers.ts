// The keys of callers, as HMACs: what SWITCHYARD_KEYS is read into.
import { parseKeys } from '../src/config/index.ts'
import { logFault } from './log.ts'

export interface KeyedCaller {
  tenant: string
  digest: Uint8Array
}

/** `undefined`: no keys are set, or they cannot be read. */
export type Callers = readonly KeyedCaller[] | undefined

const storedDigest = /^hmac-sha256:([0-9a-f]{64})$/i

/**
 * Reads SWITCHYARD_KEYS; instead of a key, `hmac-sha256:` and the HMAC of it may stand (`openssl dgst -sha256 -hmac
 * switchyard`), and a list in place of one.
 */
export async function readCallers(json: string | undefined): Promise<Callers> {
  if (!json) return undefined
  const parsed = parseKeys(json)
  if (!parsed) {
    logFault('SWITCHYARD_KEYS is no JSON object of tenants and keys', { requestId: '-' })
    return undefined
  }
  return Promise.all(
    parsed.map(async ([tenant, value]) => {
      const hex = storedDigest.exec(value)?.[1]
      return { tenant, digest: hex === undefined ? await hmac(value) : fromHex(hex) }
    }),
  )
}

let hmacKey: Promise<CryptoKey> | undefined

/** What a key is compared by. */
export async function hmac(text: string): Promise<Uint8Array> {
  const encoder = new TextEncoder()
  hmacKey ??= crypto.subtle.importKey(
    'raw',
    encoder.encode('switchyard'),
    { name: 'HMAC', hash: 'SHA-256' },
    false,
    ['sign'],
  )
  return new Uint8Array(await crypto.subtle.sign('HMAC', await hmacKey, encoder.encode(text)))
}

function fromHex(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16))
}
