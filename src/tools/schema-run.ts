// Judges a value by a JSON schema (draft 2020-12, and what older drafts say otherwise and cannot be mistaken). Three answers:
// it fits, it does not, or that is not known. Not known is what a regular expression of the client would decide, as none is
// executed, and everything once the budget is spent; `not`, `oneOf` and `if` carry it on, so that no value is ever refused for
// something that was not looked at. Every look at a schema, a member or a piece of text costs a step of the budget: the time
// is bounded, whatever schema and value do to each other.
// https://json-schema.org/draft/2020-12/json-schema-core
import { isObject } from '../protocol/check.ts'
import type { JsonObject } from './schema-shape.ts'
import { judgeNumber, judgeText, judgeUnique, judgeValue } from './schema-values.ts'
import {
  All,
  type At,
  Budget,
  better,
  cut,
  isMismatch,
  mismatch,
  step,
  type Verdict,
} from './schema-verdict.ts'

/** Members that a schema has looked at: what `unevaluated…` is about. */
interface Seen {
  keys: Set<string | number>
  all: boolean
}

export interface RunOptions {
  maxSteps: number
  /** Schemas inside each other, as the value is followed. */
  maxDepth: number
  resolve(schema: JsonObject): unknown
  /** Whether any schema asks what the others have looked at. */
  tracksSeen: boolean
}

export class SchemaRun {
  readonly #options: RunOptions
  #depth = 0
  readonly #budget: Budget

  constructor(options: RunOptions) {
    this.#options = options
    this.#budget = new Budget(options.maxSteps, options.maxDepth)
  }

  /** The budget is spent: from here on nothing is known. */
  get spent(): boolean {
    return this.#budget.spent
  }

  /** The verdict on a whole value. */
  judge(schema: unknown, value: unknown): Verdict {
    return this.#judge(schema, value, undefined, undefined)
  }

  #judge(schema: unknown, value: unknown, at: At | undefined, outer: Seen | undefined): Verdict {
    if (this.#budget.cost(1) || this.#depth >= this.#options.maxDepth) return this.#budget.exceed()
    if (schema === false) return mismatch(at, () => 'is not allowed')
    if (!isObject(schema)) return 'fits'
    this.#depth++
    const seen = this.#options.tracksSeen
      ? { keys: new Set<string | number>(), all: false }
      : undefined
    const verdict = this.#keywords(schema, value, at, seen)
    if (outer !== undefined && seen !== undefined && !isMismatch(verdict)) merge(outer, seen)
    this.#depth--
    return verdict
  }

  #keywords(
    schema: JsonObject,
    value: unknown,
    at: At | undefined,
    seen: Seen | undefined,
  ): Verdict {
    const all = new All()
    if (all.add(judgeValue(schema, value, at, this.#budget))) return all.verdict
    if (typeof value === 'string') all.add(judgeText(schema, value, at, this.#budget))
    else if (typeof value === 'number') all.add(judgeNumber(schema, value, at))
    else if (Array.isArray(value)) all.add(this.#list(schema, value, at, seen))
    else if (isObject(value)) all.add(this.#object(schema, value, at, seen))
    if (all.failed || all.add(this.#inPlace(schema, value, at, seen))) return all.verdict
    if (seen !== undefined) all.add(this.#unevaluated(schema, value, at, seen))
    return all.verdict
  }

  // ---- lists

  #list(schema: JsonObject, value: unknown[], at: At | undefined, seen: Seen | undefined): Verdict {
    const { minItems, maxItems, uniqueItems } = schema
    if (typeof minItems === 'number' && value.length < minItems) {
      return mismatch(at, () => `must have ${minItems} items or more`)
    }
    if (typeof maxItems === 'number' && value.length > maxItems) {
      return mismatch(at, () => `must have ${maxItems} items or fewer`)
    }
    const all = new All()
    if (all.add(this.#items(schema, value, at, seen))) return all.verdict
    if (schema.contains !== undefined && all.add(this.#contains(schema, value, at, seen)))
      return all.verdict
    if (uniqueItems === true) all.add(judgeUnique(value, at, this.#budget))
    return all.verdict
  }

  #items(
    schema: JsonObject,
    value: unknown[],
    at: At | undefined,
    seen: Seen | undefined,
  ): Verdict {
    // Up to draft 2019-09 a list in `items` was what `prefixItems` is now.
    const old = Array.isArray(schema.items)
    const prefix: unknown = old ? schema.items : schema.prefixItems
    const rest = old ? schema.additionalItems : schema.items
    const first: unknown[] = Array.isArray(prefix) ? prefix : []
    const all = new All()
    for (let index = 0; index < value.length; index++) {
      const one = index < first.length ? first[index] : rest
      if (one === undefined) break
      if (all.add(this.#judge(one, value[index], step(at, index), undefined))) return all.verdict
      if (this.spent) return 'unknown'
      seen?.keys.add(index)
    }
    return all.verdict
  }

  #contains(
    schema: JsonObject,
    value: unknown[],
    at: At | undefined,
    seen: Seen | undefined,
  ): Verdict {
    const { contains, minContains, maxContains } = schema
    const least = typeof minContains === 'number' ? minContains : 1
    const most = typeof maxContains === 'number' ? maxContains : Number.POSITIVE_INFINITY
    let fitting = 0
    let unknown = 0
    for (let index = 0; index < value.length; index++) {
      const verdict = this.#judge(contains, value[index], step(at, index), undefined)
      if (this.spent) return 'unknown'
      if (isMismatch(verdict)) continue
      seen?.keys.add(index)
      if (verdict === 'fits') fitting++
      else unknown++
    }
    if (fitting > most) return mismatch(at, () => `must not contain more than ${most} such items`)
    if (fitting + unknown < least)
      return mismatch(at, () => `must contain ${least} such items or more`)
    return fitting >= least && fitting + unknown <= most ? 'fits' : 'unknown'
  }

  // ---- objects

  #object(
    schema: JsonObject,
    value: JsonObject,
    at: At | undefined,
    seen: Seen | undefined,
  ): Verdict {
    const all = new All()
    if (all.add(this.#required(schema, value, at))) return all.verdict
    if (all.add(this.#members(schema, value, at, seen))) return all.verdict
    all.add(this.#dependent(schema, value, at, seen))
    return all.verdict
  }

  #required(schema: JsonObject, value: JsonObject, at: At | undefined): Verdict {
    const { required, minProperties, maxProperties, dependentRequired } = schema
    const missing = this.#missing(required, value)
    if (missing !== undefined)
      return mismatch(at, () => `the required property '${cut(missing)}' is missing`)
    if (typeof minProperties === 'number' || typeof maxProperties === 'number') {
      const count = Object.keys(value).length
      if (this.#budget.cost(count / 16)) return 'unknown'
      if (typeof minProperties === 'number' && count < minProperties) {
        return mismatch(at, () => `must have ${minProperties} properties or more`)
      }
      if (typeof maxProperties === 'number' && count > maxProperties) {
        return mismatch(at, () => `must have ${maxProperties} properties or fewer`)
      }
    }
    if (!isObject(dependentRequired)) return 'fits'
    for (const key in dependentRequired) {
      if (this.#budget.cost(1 / 16)) return 'unknown'
      const lacks = Object.hasOwn(value, key)
        ? this.#missing(dependentRequired[key], value)
        : undefined
      if (lacks !== undefined) {
        return mismatch(at, () => `the property '${cut(lacks)}' is missing beside '${cut(key)}'`)
      }
    }
    return this.spent ? 'unknown' : 'fits'
  }

  #missing(names: unknown, value: JsonObject): string | undefined {
    if (!Array.isArray(names) || this.#budget.cost(names.length / 16)) return undefined
    return names.find((name) => typeof name === 'string' && !Object.hasOwn(value, name))
  }

  #members(
    schema: JsonObject,
    value: JsonObject,
    at: At | undefined,
    seen: Seen | undefined,
  ): Verdict {
    const { additionalProperties: rest, propertyNames } = schema
    const properties = isObject(schema.properties) ? schema.properties : {}
    const patterns =
      isObject(schema.patternProperties) && Object.keys(schema.patternProperties).length > 0
    if (rest === undefined && propertyNames === undefined && !patterns) {
      return this.#declared(properties, value, at, seen)
    }
    const all = new All()
    for (const key of Object.keys(value)) {
      const inside = step(at, key)
      const named = Object.hasOwn(properties, key)
      if (propertyNames !== undefined) all.add(this.#judge(propertyNames, key, inside, undefined))
      // Which of the patterns a name fits decides both, and is not known.
      if (patterns) all.add('unknown')
      const one = named ? properties[key] : patterns ? undefined : rest
      if (one !== undefined) all.add(this.#judge(one, value[key], inside, undefined))
      if (all.failed || this.#budget.cost(1)) return all.failed ? all.verdict : 'unknown'
      if (named || rest !== undefined || patterns) seen?.keys.add(key)
    }
    return all.verdict
  }

  /** Where only declared members matter: whichever is shorter is gone through. */
  #declared(
    properties: JsonObject,
    value: JsonObject,
    at: At | undefined,
    seen: Seen | undefined,
  ): Verdict {
    const all = new All()
    for (const key in properties) {
      if (this.#budget.cost(1 / 16)) return 'unknown'
      if (!Object.hasOwn(value, key)) continue
      if (all.add(this.#judge(properties[key], value[key], step(at, key), undefined)))
        return all.verdict
      seen?.keys.add(key)
    }
    return all.verdict
  }

  #dependent(
    schema: JsonObject,
    value: JsonObject,
    at: At | undefined,
    seen: Seen | undefined,
  ): Verdict {
    const all = new All()
    for (const map of [schema.dependentSchemas, schema.dependencies]) {
      if (!isObject(map)) continue
      for (const key in map) {
        if (this.#budget.cost(1)) return 'unknown'
        if (!Object.hasOwn(value, key)) continue
        const one = map[key]
        if (Array.isArray(one)) {
          const lacks = this.#missing(one, value)
          if (lacks !== undefined)
            return mismatch(
              at,
              () => `the property '${cut(lacks)}' is missing beside '${cut(key)}'`,
            )
        } else if (all.add(this.#judge(one, value, at, seen))) return all.verdict
      }
    }
    return all.verdict
  }

  // ---- schemas of the same value

  #inPlace(
    schema: JsonObject,
    value: unknown,
    at: At | undefined,
    seen: Seen | undefined,
  ): Verdict {
    const all = new All()
    const { $ref, allOf, anyOf, oneOf } = schema
    if (
      typeof $ref === 'string' &&
      all.add(this.#judge(this.#options.resolve(schema), value, at, seen))
    ) {
      return all.verdict
    }
    if (Array.isArray(allOf)) {
      for (const one of allOf) if (all.add(this.#judge(one, value, at, seen))) return all.verdict
    }
    if (Array.isArray(anyOf) && all.add(this.#anyOf(anyOf, value, at, seen))) return all.verdict
    if (Array.isArray(oneOf) && all.add(this.#oneOf(oneOf, value, at, seen))) return all.verdict
    if (schema.not !== undefined && all.add(this.#not(schema.not, value, at))) return all.verdict
    if (schema.if !== undefined) all.add(this.#if(schema, value, at, seen))
    return all.verdict
  }

  #anyOf(branches: unknown[], value: unknown, at: At | undefined, seen: Seen | undefined): Verdict {
    let best: Verdict | undefined
    for (const branch of branches) {
      const verdict = this.#judge(branch, value, at, seen)
      best = best === undefined ? verdict : better(best, verdict)
      if (this.spent) return 'unknown'
      // All branches that fit say what they have looked at.
      if (best === 'fits' && seen === undefined) break
    }
    return best ?? 'fits'
  }

  #oneOf(branches: unknown[], value: unknown, at: At | undefined, seen: Seen | undefined): Verdict {
    let missed: Verdict = 'fits'
    let fitting = 0
    let unknown = false
    for (const branch of branches) {
      const verdict = this.#judge(branch, value, at, seen)
      if (this.spent) return 'unknown'
      if (isMismatch(verdict)) missed = isMismatch(missed) ? better(missed, verdict) : verdict
      else if (verdict === 'unknown') unknown = true
      else if (++fitting > 1) return mismatch(at, () => 'fits more than one alternative of oneOf')
    }
    if (unknown) return 'unknown'
    return fitting === 1 ? 'fits' : missed
  }

  #not(schema: unknown, value: unknown, at: At | undefined): Verdict {
    const verdict = this.#judge(schema, value, at, undefined)
    if (verdict === 'unknown' || this.spent) return 'unknown'
    return verdict === 'fits' ? mismatch(at, () => 'is what the schema rules out (not)') : 'fits'
  }

  #if(schema: JsonObject, value: unknown, at: At | undefined, seen: Seen | undefined): Verdict {
    const condition = this.#judge(schema.if, value, at, seen)
    if (this.spent) return 'unknown'
    const then = () =>
      schema.then === undefined ? 'fits' : this.#judge(schema.then, value, at, seen)
    const otherwise = () =>
      schema.else === undefined ? 'fits' : this.#judge(schema.else, value, at, seen)
    if (condition !== 'unknown') return condition === 'fits' ? then() : otherwise()
    const [one, other] = [then(), otherwise()]
    if (one === other) return one
    return isMismatch(one) && isMismatch(other) ? one : 'unknown'
  }

  #unevaluated(schema: JsonObject, value: unknown, at: At | undefined, seen: Seen): Verdict {
    const rule = Array.isArray(value) ? schema.unevaluatedItems : schema.unevaluatedProperties
    if (rule === undefined || seen.all || typeof value !== 'object' || value === null) return 'fits'
    const all = new All()
    const entries: Iterable<[string | number, unknown]> = Array.isArray(value)
      ? value.entries()
      : Object.entries(value)
    for (const [key, item] of entries) {
      if (this.#budget.cost(1)) return 'unknown'
      if (seen.keys.has(key)) continue
      if (all.add(this.#judge(rule, item, step(at, key), undefined))) return all.verdict
    }
    seen.all = true
    return all.verdict
  }
}

function merge(into: Seen, from: Seen): void {
  into.all ||= from.all
  for (const key of from.keys) into.keys.add(key)
}
