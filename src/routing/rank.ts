// In which order places are tried: by policy, by what the request prefers, and what is not well last.

import { knownOf } from './known.ts'
import type { Policy } from './names.ts'
import type { Preferences, Sort } from './preferences.ts'
import type { Considered, World } from './world.ts'

/** What places are compared by; `preferred` leaves them as the config has them. */
export type Order = Policy | Sort

/** `:fastest` compares the time that an answer of so many tokens takes. */
const typicalTokens = 256
/** Where one of the two halves of a speed was never measured. */
const assumed = { firstTokenMs: 500, tokensPerSecond: 100 }

/** Places in order of cost; those that cost the same stay as they are. Each says what it was ranked by. */
export function ranked(
  places: readonly Considered[],
  order: Order,
  publicId: string,
  world: World,
): Considered[] {
  if (order === 'preferred') return [...places]
  const costOf = costs[order]
  return places
    .map((place) => ({ place, ...costOf(place, publicId, world) }))
    .sort((one, other) => (one.cost === other.cost ? 0 : one.cost - other.cost))
    .map(({ place, told }) =>
      place.candidate ? { ...place, reason: `${place.reason}, ${told}` } : place,
    )
}

interface Cost {
  cost: number
  told: string
}

const costs: Record<
  Exclude<Order, 'preferred'>,
  (place: Considered, publicId: string, world: World) => Cost
> = {
  cheapest: priceCost,
  price: priceCost,
  fastest(place, publicId, world) {
    const { firstTokenMs, tokensPerSecond } = speedOf(place, publicId, world)
    if (firstTokenMs === undefined && tokensPerSecond === undefined) return unmeasured
    const first = firstTokenMs ?? assumed.firstTokenMs
    const rest = (typicalTokens / (tokensPerSecond ?? assumed.tokensPerSecond)) * 1000
    const measured = [
      ...(firstTokenMs === undefined ? [] : [`first token after ${Math.round(firstTokenMs)} ms`]),
      ...(tokensPerSecond === undefined ? [] : [`${Math.round(tokensPerSecond)} tokens/s`]),
    ]
    return { cost: first + rest, told: measured.join(', ') }
  },
  latency(place, publicId, world) {
    const { firstTokenMs } = speedOf(place, publicId, world)
    if (firstTokenMs === undefined) return unmeasured
    return { cost: firstTokenMs, told: `first token after ${Math.round(firstTokenMs)} ms` }
  },
  throughput(place, publicId, world) {
    const { tokensPerSecond } = speedOf(place, publicId, world)
    if (tokensPerSecond === undefined) return unmeasured
    return { cost: 1 / tokensPerSecond, told: `${Math.round(tokensPerSecond)} tokens/s` }
  },
}

/** A place not yet measured comes first: that is how it gets measured. */
const unmeasured: Cost = { cost: -1, told: 'not measured yet' }

function priceCost(place: Considered, publicId: string, world: World): Cost {
  if (place.kind === 'node') return { cost: 0, told: 'free' }
  const price = priceOf(place, publicId, world)
  if (price === undefined) return { cost: Number.POSITIVE_INFINITY, told: 'no price known' }
  return { cost: price.output, told: `$${price.output} per million output tokens` }
}

/** As measured here of late, or as the config or the hub's router says. */
function speedOf(place: Considered, publicId: string, world: World) {
  const { observations, config, now } = world
  const provider = place.kind === 'provider' ? config.providers.get(place.name) : undefined
  const seeds = provider && knownOf(provider, publicId, world)
  return {
    firstTokenMs: observations?.firstTokenMs(place, now) ?? seeds?.firstTokenMs,
    tokensPerSecond: observations?.tokensPerSecond(place, now) ?? seeds?.tokensPerSecond,
  }
}

function priceOf(place: Considered, publicId: string, world: World) {
  const provider = world.config.providers.get(place.name)
  return provider && knownOf(provider, publicId, world).price
}

/** True where a name of a request means this place. */
function names(name: string, place: Considered): boolean {
  return place.name === name || (name === 'self' && place.kind === 'node')
}

/** Takes out what the request does not want. */
export function allowed(
  places: readonly Considered[],
  { only, ignore, maxPrice }: Preferences,
  publicId: string,
  world: World,
): Considered[] {
  return places.map((place) => {
    if (!place.candidate) return place
    const refused = (reason: string) =>
      ({ ...place, candidate: false, unwanted: true, reason }) as const
    if (only && !only.some((name) => names(name, place))) return refused('is not in provider.only')
    if (ignore.some((name) => names(name, place))) return refused('is in provider.ignore')
    if (maxPrice === undefined || place.kind === 'node') return place
    const price = priceOf(place, publicId, world)
    if (price === undefined) return refused('has no known price, and provider.max_price is set')
    const { prompt, completion } = maxPrice
    if (price.input > (prompt ?? price.input) || price.output > (completion ?? price.output)) {
      return refused(
        `costs $${price.input} and $${price.output} per million tokens, more than provider.max_price`,
      )
    }
    return place
  })
}

/** Those that the request names first, in its order; without fallbacks the others are out. */
export function preferredFirst(
  places: readonly Considered[],
  { order, allowFallbacks }: Preferences,
): Considered[] {
  const named = order.flatMap((name) => places.filter((place) => names(name, place)))
  const first = [...new Set(named)]
  const rest = places.filter((place) => !first.includes(place))
  if (allowFallbacks) return [...first, ...rest]
  const kept = order.length > 0 ? first : places.filter((place) => place.candidate).slice(0, 1)
  return [...first, ...rest].map((place) =>
    kept.includes(place) || !place.candidate
      ? place
      : { ...place, candidate: false, reason: 'provider.allow_fallbacks is false' },
  )
}

const standings = {
  limited: 'asked to be left alone for a while, so tried late',
  open: 'failed of late, so tried last',
  trial: 'failed of late, tried again now',
}

/** What failed of late comes last, and before it what asked for time; nothing is left out. */
export function healthyFirst(places: readonly Considered[], world: World): Considered[] {
  const { observations, now } = world
  if (observations === undefined) return [...places]
  const late: Record<'limited' | 'open', Considered[]> = { limited: [], open: [] }
  const first: Considered[] = []
  for (const place of places) {
    const standing = place.candidate ? observations.standing(place, now) : 'well'
    if (standing === 'well') first.push(place)
    else {
      const told = { ...place, reason: `${place.reason}; ${standings[standing]}` }
      if (standing === 'trial') first.push(told)
      else late[standing].push(told)
    }
  }
  return [...first, ...late.limited, ...late.open]
}
