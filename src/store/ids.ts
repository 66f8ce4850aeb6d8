// Ids that say where their object lies: the first two hex digits are the number of a shard, so that a chain of responses, or
// a conversation with its responses, can be found and kept together without asking anybody.

/** How many shards a tenant's responses are spread over. It may grow: ids keep the number that they were made with. */
export const shardCount = 8

const pattern = /^(?:resp|conv)_([0-9a-f]{2})[0-9a-f]{46}$/

/** The shard of a response or conversation; undefined for an id that was not made here. */
export function shardOf(id: string): number | undefined {
  const digits = pattern.exec(id)?.[1]
  if (digits === undefined) return undefined
  const shard = Number.parseInt(digits, 16)
  return shard < shardCount ? shard : undefined
}

/** The id with that shard's number in it; without one, a shard that the id's own randomness picks. */
export function placed(id: string, shard?: number): string {
  const at = id.indexOf('_') + 1
  const number = shard ?? Number.parseInt(id.slice(at, at + 2), 16) % shardCount
  return id.slice(0, at) + number.toString(16).padStart(2, '0') + id.slice(at + 2)
}
