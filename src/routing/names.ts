// Names with a meaning of their own in a model reference or a path. No provider and no node may take one.

/** How candidates are ordered: as written in the config, by observed time to the first byte, or by price. */
export type Policy = 'preferred' | 'fastest' | 'cheapest'

/** Suffixes that choose a policy or the caller's own nodes. */
export const reservedSuffixes: ReadonlySet<string> = new Set([
  'self',
  'fastest',
  'cheapest',
  'preferred',
])

/** First path segments of the gateway's own routes. */
export const routeNames: ReadonlySet<string> = new Set(['v1', 'health', 'nodes'])
