// Searches whose outcome would be the same again: most requests ask for the same few models. What a search depends on is in its
// key, but for the world, by which the memory is held: it goes with it, so that nothing is kept that no longer holds.
import type { ApiError } from '../errors.ts'
import type { ModelRef } from './model-ref.ts'
import type { Policy } from './names.ts'
import type { Wanted } from './wanted.ts'
import type { Considered, World } from './world.ts'

/** What a search has found; how well its places are is looked at anew for each request. */
export interface Found {
  readonly reference: ModelRef
  readonly policy: Policy
  /** In order of preference. */
  readonly places: readonly Considered[]
  /** Why none of them is a candidate. */
  readonly error?: ApiError
}

/** Model ids come from clients, where a provider takes any. */
const maxKept = 500

const kept = new WeakMap<object, Map<string, Found>>()

/** What `search` finds, or what it found for such a request before. What it throws is not kept. */
export function remembered(
  model: string,
  { same }: World,
  { parts = [], preferences, tools, structuredOutput }: Wanted,
  search: () => Found,
): Found {
  if (same === undefined || parts.length > 0 || preferences !== undefined) return search()
  const of = kept.get(same) ?? new Map<string, Found>()
  const key = `${tools === true} ${structuredOutput === true} ${model}`
  const known = of.get(key)
  if (known !== undefined) return known
  const found = search()
  // Any other order hangs on speeds, which change with each answer; and who was refused may try again a moment later.
  if (found.policy !== 'preferred' || found.error !== undefined) return found
  if (of.size >= maxKept) of.clear()
  kept.set(same, of.set(key, found))
  return found
}
