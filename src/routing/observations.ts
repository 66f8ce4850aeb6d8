// What one isolate has seen of each place: speed, failures, Retry-After, and how many retries are left. Best effort by
// design: isolates share nothing, so two of them may order the same candidates differently.
import type { Place, PlaceHealth } from '../faces/deps.ts'
import { Breaker, type BreakerState } from './breaker.ts'
import { RetryBudget } from './retry-budget.ts'
import { Speed } from './speed.ts'

/** Model ids come from clients, where a provider takes any: older places are forgotten. */
const maxPlaces = 2000

interface Seen {
  place: Place
  breaker: Breaker
  speed: Speed
  /** Since when and until when the place has asked to be left alone (429 with Retry-After). */
  limited: { from: number; until: number } | undefined
}

/** `open`: failed of late. `limited`: asked to wait. `trial`: failed of late, and one request may try it. */
export type Standing = 'well' | 'trial' | 'limited' | 'open'

/** Orders nothing itself: routing asks it, and the send loop tells it. */
export class Observations implements PlaceHealth {
  readonly #seen: Map<string, Seen>
  readonly #budgets: Map<string, { place: Place; budget: RetryBudget }>
  readonly #tenant: string

  /** A memory of its own, or the same as another's. */
  constructor(same?: Observations, tenant = '') {
    this.#seen = same === undefined ? new Map() : same.#seen
    this.#budgets = same === undefined ? new Map() : same.#budgets
    this.#tenant = tenant
  }

  /** The same memory as a tenant sees it: providers are everybody's, nodes are its own, whatever they are called. */
  of(tenant: string): Observations {
    return new Observations(this, tenant)
  }

  began(place: Place, now: number): void {
    this.#seen.get(this.#keyOf(place))?.breaker.began(now)
    this.#budgetOf(place).called()
  }

  spoke(place: Place, afterMs: number, now: number): void {
    const { breaker, speed } = this.#of(place)
    breaker.flows(now, now - afterMs)
    speed.answered(afterMs, now)
  }

  answered(place: Place, began: number): void {
    this.#of(place).breaker.succeeded(began)
  }

  generated(place: Place, tokens: number, inMs: number, now: number): void {
    this.#of(place).speed.generated(tokens, inMs, now)
  }

  failed(place: Place, began: number, flowedMs: number | undefined, now: number): void {
    this.#of(place).breaker.failed(now, began, flowedMs)
  }

  limited(place: Place, forSeconds: number, now: number): void {
    this.#of(place).limited = { from: now, until: now + forSeconds * 1000 }
  }

  takeRetry(place: Place, now: number): boolean {
    return this.#budgetOf(place).take(now)
  }

  /** How a place stands: what is not well is tried last, never left out. */
  standing(place: Place, now: number): Standing {
    const seen = this.#seen.get(this.#keyOf(place))
    if (seen === undefined) return 'well'
    const state = seen.breaker.state(now)
    if (state === 'open') return 'open'
    const { limited } = seen
    if (limited !== undefined && now >= limited.from && now < limited.until) return 'limited'
    return state === 'trial' ? 'trial' : 'well'
  }

  /** Every place that is remembered, and how it stands: whosever it is. */
  places(now: number): { place: Place; breaker: BreakerState; limited: boolean }[] {
    return [...this.#seen.values()].map(({ place, breaker, limited }) => ({
      place,
      breaker: breaker.state(now),
      limited: limited !== undefined && now >= limited.from && now < limited.until,
    }))
  }

  /** How many retries are left, by whose they are. */
  budgets(now: number): { place: Place; left: number }[] {
    return [...this.#budgets.values()].map(({ place, budget }) => ({
      place,
      left: budget.left(now),
    }))
  }

  /** Average time to the first output; undefined where nothing was measured in the last ten minutes. */
  firstTokenMs(place: Place, now: number): number | undefined {
    return this.#seen.get(this.#keyOf(place))?.speed.firstTokenMs(now)
  }

  /** Average output tokens a second; undefined like `firstTokenMs`. */
  tokensPerSecond(place: Place, now: number): number | undefined {
    return this.#seen.get(this.#keyOf(place))?.speed.tokensPerSecond(now)
  }

  #of(place: Place): Seen {
    const key = this.#keyOf(place)
    const known = this.#seen.get(key)
    if (known !== undefined) return known
    if (this.#seen.size >= maxPlaces) forgetOldest(this.#seen)
    const seen = {
      place: placeOnly(place),
      breaker: new Breaker(),
      speed: new Speed(),
      limited: undefined,
    }
    this.#seen.set(key, seen)
    return seen
  }

  /** Under which name a place's speed and failures are kept. */
  #keyOf(place: Place): string {
    return `${this.#nameOf(place)} ${place.model}`
  }

  #nameOf({ kind, name }: Place): string {
    return kind === 'node' ? `node ${JSON.stringify(this.#tenant)} ${name}` : `${kind} ${name}`
  }

  #budgetOf(place: Place): RetryBudget {
    const name = this.#nameOf(place)
    const known = this.#budgets.get(name)
    if (known !== undefined) return known.budget
    if (this.#budgets.size >= maxPlaces) forgetOldest(this.#budgets)
    const budget = new RetryBudget()
    this.#budgets.set(name, { place: placeOnly(place), budget })
    return budget
  }
}

/** Without all else that a candidate holds. */
function placeOnly({ kind, name, model }: Place): Place {
  return { kind, name, model }
}

function forgetOldest(map: Map<string, unknown>): void {
  const oldest = map.keys().next()
  if (!oldest.done) map.delete(oldest.value)
}
