// The secrets SWITCHYARD_KEYS and SWITCHYARD_NODE_TOKEN: who may call the gateway, and who may join it.
import { z } from 'zod'
import { JsonFault, parseStrictly } from '../json.ts'

/** A key, or what stands for one; cut short, the latter would be a key that is written down where it should not be. */
const key = z
  .string()
  .min(1)
  .regex(/^(?!hmac-sha256:)|^hmac-sha256:[0-9a-f]{64}$/i)
/** Several keys for one tenant, so that one can be changed while the other still works. */
const keysSchema = z.record(z.string().min(1), z.union([key, z.array(key).min(1).max(100)]))

/**
 * One row for each key of a tenant, in the order of the table; undefined when the text is no such table, or names a tenant
 * twice.
 */
export function parseKeys(json: string): [tenant: string, key: string][] | undefined {
  let table: unknown
  try {
    // A tenant that stands in it twice would lose its first keys unheard.
    table = parseStrictly(json)
  } catch (error) {
    if (error instanceof JsonFault) return undefined
    throw error
  }
  const { data } = keysSchema.safeParse(table)
  return (
    data &&
    Object.entries(data).flatMap(([tenant, keys]) =>
      [keys].flat().map((each): [string, string] => [tenant, each]),
    )
  )
}

/** Two tenants that one key stands for: whose it is cannot be told. */
export function sharedBy(
  rows: readonly (readonly [tenant: string, key: string])[],
): [string, string] | undefined {
  const owners = new Map<string, string>()
  for (const [tenant, key] of rows) {
    const owner = owners.get(key) ?? tenant
    if (owner !== tenant) return [owner, tenant]
    owners.set(key, tenant)
  }
  return undefined
}
