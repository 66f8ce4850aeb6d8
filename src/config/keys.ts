// The secrets SWITCHYARD_KEYS and SWITCHYARD_NODE_TOKEN: who may call the gateway, and who may join it.
import { z } from 'zod'

const key = z.string().min(1)
/** Several keys for one tenant, so that one can be changed while the other still works. */
const keysSchema = z.record(key, z.union([key, z.array(key).min(1).max(100)]))

/** One row for each key of a tenant, in the order of the table; undefined when the text is no such table. */
export function parseKeys(json: string): [tenant: string, key: string][] | undefined {
  let table: unknown
  try {
    table = JSON.parse(json)
  } catch {
    return undefined
  }
  const { data } = keysSchema.safeParse(table)
  return (
    data &&
    Object.entries(data).flatMap(([tenant, keys]) =>
      [keys].flat().map((each): [string, string] => [tenant, each]),
    )
  )
}
