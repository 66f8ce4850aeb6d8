// Public model ids as Hugging Face's hub maps them to ids at its partners, and the memory of what it said. Pure: who asks the
// hub is the gateway. https://huggingface.co/docs/inference-providers/hub-api

import { isObject } from '../protocol/check.ts'
import type { Capabilities } from '../providers/capabilities.ts'
import type { HubCatalogue } from './hub-catalogue.ts'

/** An answer is taken for the truth for so long; after that it still serves, while the hub is asked again. */
const freshMs = 3_600_000
/** A model that nobody serves today may be served soon. */
const nobodyFreshMs = 600_000
/** A hub that did not answer is left alone. */
const restMs = 30_000
const maxModels = 2000

/** Provider → the model's id there. */
export type Places = ReadonlyMap<string, string>

/** What is known of a model: `known` needs no question, `stale` serves while it is asked again, `unknown` is worth a wait. */
export type Knowledge = 'known' | 'stale' | 'unknown'

interface Heard {
  places: Places
  at: number
}

/** `org/name` as the hub has them: anything else is no question for it. */
export function isHubId(id: string): boolean {
  return /^[\w-][\w.-]{0,95}\/[\w-][\w.-]{0,95}$/.test(id)
}

/** Where the hub tells who serves a model. */
export function hubAddress(hubUrl: string, id: string): string {
  return `${hubUrl}/api/models/${id}?expand[]=inferenceProviderMapping`
}

/**
 * Reads the hub's answer: an array of `{ provider, providerId, … }`, or an object by provider. Only chat models that are live
 * and no adapters, which need weights of their own.
 */
export function readPlaces(answer: unknown, providers: ReadonlySet<string>): Places {
  const places = new Map<string, string>()
  if (!isObject(answer)) return places
  const mapping = answer.inferenceProviderMapping
  const entries = Array.isArray(mapping)
    ? mapping.map((entry): [unknown, unknown] => [isObject(entry) && entry.provider, entry])
    : Object.entries(isObject(mapping) ? mapping : {})
  for (const [provider, entry] of entries) {
    if (typeof provider !== 'string' || !providers.has(provider) || !isObject(entry)) continue
    const { providerId, status, task, adapter } = entry
    if (status !== 'live' || task !== 'conversational' || adapter !== undefined) continue
    if (typeof providerId === 'string' && providerId !== '' && providerId.length <= 256) {
      places.set(provider, providerId)
    }
  }
  return places
}

/** What one isolate has heard from the hub. */
export class HubModels {
  readonly #heard = new Map<string, Heard>()
  #catalogue: HubCatalogue = new Map()
  /** When `#catalogue` was heard; unset before the first time. */
  #catalogueAt: number | undefined
  /** Ids that are being asked for, and since when. */
  readonly #asking = new Map<string, number>()
  #restUntil = 0
  #said: object = {}

  /** Stands for all that the hub and its router have said: another object once they say more. */
  get said(): object {
    return this.#said
  }

  /** The last answer for an id, however old. */
  places(id: string): Places | undefined {
    return this.#heard.get(id)?.places
  }

  knowledge(id: string, now: number): Knowledge {
    const heard = this.#heard.get(id)
    if (heard === undefined) return 'unknown'
    return now - heard.at < (heard.places.size > 0 ? freshMs : nobodyFreshMs) ? 'known' : 'stale'
  }

  /** What the router's list says of an id: provider → prices, abilities, speed. */
  catalogue(id: string): ReadonlyMap<string, Capabilities> | undefined {
    return this.#catalogue.get(id)
  }

  catalogueIds(): Iterable<string> {
    return this.#catalogue.keys()
  }

  catalogueKnowledge(now: number): Knowledge {
    if (this.#catalogueAt === undefined) return 'unknown'
    return now - this.#catalogueAt < freshMs ? 'known' : 'stale'
  }

  learnedCatalogue(question: string, catalogue: HubCatalogue, now: number): void {
    this.#asking.delete(question)
    this.#said = {}
    this.#catalogue = catalogue
    this.#catalogueAt = now
  }

  /** True when the hub may be asked: it is not resting, few questions are open, and this one is not. */
  mayAsk(id: string, now: number): boolean {
    if (now < this.#restUntil) return false
    const since = this.#asking.get(id)
    return (since === undefined || now - since > restMs) && this.#asking.size < 16
  }

  asked(id: string, now: number): void {
    for (const [other, since] of this.#asking) {
      if (now - since > restMs) this.#asking.delete(other)
    }
    this.#asking.set(id, now)
  }

  /** The hub answered; no places where it knows no such model. */
  learned(id: string, places: Places, now: number): void {
    this.#asking.delete(id)
    this.#said = {}
    this.#heard.delete(id)
    const oldest = this.#heard.keys().next()
    if (this.#heard.size >= maxModels && !oldest.done) this.#heard.delete(oldest.value)
    this.#heard.set(id, { places, at: now })
  }

  /** It did not answer: what was known before serves on. */
  failed(id: string, now: number): void {
    this.#asking.delete(id)
    this.#restUntil = now + restMs
  }
}
