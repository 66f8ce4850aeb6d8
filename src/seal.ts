// Text that a client keeps for us without being able to read, change or make it up: AES-256-GCM with a key from the host's
// secret, bound to the tenant and to what it is for. https://www.w3.org/TR/WebCryptoAPI/

/** What a sealed text holds; one kind is never taken for another. */
export type SealPurpose = 'reasoning' | 'compaction' | 'approval'

/** Seals and opens for one tenant. */
export interface Seal {
  seal(purpose: SealPurpose, bytes: Uint8Array): Promise<string>
  /** Undefined where the text was changed, belongs to another tenant or purpose, or was sealed with another secret. */
  open(purpose: SealPurpose, text: string): Promise<Uint8Array | undefined>
}

const prefix = 'sy1.'
const ivBytes = 12
const tagBytes = 16

/** True for a text that looks like one of ours; whether it is, only open() knows. */
export function isSealed(text: string): boolean {
  return text.startsWith(prefix)
}

/** The key that a secret of any length and form stands for. */
export async function sealKey(secret: string): Promise<CryptoKey> {
  const encoder = new TextEncoder()
  const material = await crypto.subtle.importKey('raw', encoder.encode(secret), 'HKDF', false, [
    'deriveKey',
  ])
  const derivation = {
    name: 'HKDF',
    hash: 'SHA-256',
    salt: encoder.encode('switchyard'),
    info: encoder.encode('seal 1'),
  }
  return await crypto.subtle.deriveKey(
    derivation,
    material,
    { name: 'AES-GCM', length: 256 },
    false,
    ['encrypt', 'decrypt'],
  )
}

/** `random(n)` gives n random bytes. The key may still be on its way: nothing waits for it before it is needed. */
export function sealFor(
  tenant: string,
  key: Promise<CryptoKey>,
  random: (bytes: number) => Uint8Array,
): Seal {
  const cipher = (purpose: SealPurpose, iv: Uint8Array) => ({
    name: 'AES-GCM',
    iv: new Uint8Array(iv),
    additionalData: new TextEncoder().encode(JSON.stringify([prefix, tenant, purpose])),
  })
  return {
    async seal(purpose, bytes) {
      const iv = random(ivBytes)
      const plain = new Uint8Array(bytes)
      const closed = await crypto.subtle.encrypt(cipher(purpose, iv), await key, plain)
      const whole = new Uint8Array(ivBytes + closed.byteLength)
      whole.set(iv)
      whole.set(new Uint8Array(closed), ivBytes)
      return prefix + toBase64Url(whole)
    },
    async open(purpose, text) {
      const whole = isSealed(text) ? fromBase64Url(text.slice(prefix.length)) : undefined
      if (whole === undefined || whole.length < ivBytes + tagBytes) return undefined
      const iv = whole.subarray(0, ivBytes)
      const closed = new Uint8Array(whole.subarray(ivBytes))
      try {
        return new Uint8Array(await crypto.subtle.decrypt(cipher(purpose, iv), await key, closed))
      } catch {
        // WebCrypto says no more than that it does not fit.
        return undefined
      }
    },
  }
}

/** btoa() takes no more arguments of String.fromCharCode than the stack holds. */
const sliceBytes = 0x4000

function toBase64Url(bytes: Uint8Array): string {
  let binary = ''
  for (let at = 0; at < bytes.length; at += sliceBytes) {
    binary += String.fromCharCode(...bytes.subarray(at, at + sliceBytes))
  }
  return btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}

function fromBase64Url(text: string): Uint8Array | undefined {
  // atob() skips white space: two texts would stand for one.
  if (!/^[\w-]*$/.test(text)) return undefined
  try {
    const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'))
    return Uint8Array.from(binary, (character) => character.charCodeAt(0))
  } catch {
    return undefined
  }
}
