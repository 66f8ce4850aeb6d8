// The secret SWITCHYARD_KEYS: who may call the gateway.
import { z } from 'zod'

const keysSchema = z.record(z.string().min(1), z.string().min(1))

/** Tenant → key, or the key's stored HMAC; undefined when the text is no such table. */
export function parseKeys(json: string): Record<string, string> | undefined {
  try {
    return keysSchema.safeParse(JSON.parse(json)).data
  } catch {
    return undefined
  }
}
