// Judges a value by a JSON schema (draft 2020-12, and what older drafts say otherwise and cannot be mistaken). Three answers:
// it fits, it does not, or that is not known. Not known is what a regular expression of the client would decide, as none is
// executed, and everything once the budget is spent; `not`, `oneOf` and `if` carry it on, so that no value is ever refused for
// something that was not looked at. Every look at a schema, a member or a piece of text costs a step of the budget: the time
// is bounded, whatever schema and value do to each other.
// https://json-schema.org/draft/2020-12/json-schema-core
import { isObject } from '../protocol/check.ts'
import type { JsonObject } from './schema-shape.ts'

/** Where a value does not fit. It is put into words only if it is the one to be told. */
export interface Mismatch {
  at: At | undefined
  tell: () => string
}

export type Verdict = 'fits' | 'unknown' | Mismatch

/** A step down into the value. */
interface At {
  parent: At | undefined
  key: string | number
  depth: number
}

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

const maxPathLength = 200

export class SchemaRun {
  readonly #options: RunOptions
  #steps = 0
  #depth = 0
  /** The budget is spent: from here on nothing is known. */
  spent = false

  constructor(options: RunOptions) {
    this.#options = options
  }

  /** The verdict on a whole value. */
  judge(schema: unknown, value: unknown): Verdict {
    return this.#judge(schema, value, undefined, undefined)
  }

  #judge(schema: unknown, value: unknown, at: At | undefined, outer: Seen | undefined): Verdict {
    if (schema === false) return mismatch(at, () => 'is not allowed')
    if (!isObject(schema)) return 'fits'
    if (this.#cost(1) || this.#depth >= this.#options.maxDepth) {
      this.spent = true
      return 'unknown'
    }
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
    if (all.add(this.#simple(schema, value, at))) return all.verdict
    if (typeof value === 'string') all.add(this.#text(schema, value, at))
    else if (typeof value === 'number') all.add(judgeNumber(schema, value, at))
    else if (Array.isArray(value)) all.add(this.#list(schema, value, at, seen))
    else if (isObject(value)) all.add(this.#object(schema, value, at, seen))
    if (all.failed || all.add(this.#inPlace(schema, value, at, seen))) return all.verdict
    if (seen !== undefined) all.add(this.#unevaluated(schema, value, at, seen))
    return all.verdict
  }

  // ---- keywords of any value

  #simple(schema: JsonObject, value: unknown, at: At | undefined): Verdict {
    const { type, enum: listed } = schema
    if (type !== undefined && !hasType(value, type)) {
      const wanted = Array.isArray(type) ? type.join(' or ') : String(type)
      return mismatch(at, () => `must be ${wanted}, not ${typeOf(value)}`)
    }
    if (Array.isArray(listed) && !listed.some((item) => this.#equal(item, value))) {
      return this.#unlessSpent(mismatch(at, () => `does not match any of ${shown(listed)}`))
    }
    if (Object.hasOwn(schema, 'const') && !this.#equal(schema.const, value)) {
      return this.#unlessSpent(mismatch(at, () => `must be ${shown(schema.const)}`))
    }
    return 'fits'
  }

  #text(
    { minLength, maxLength, pattern, format }: JsonObject,
    value: string,
    at: At | undefined,
  ): Verdict {
    const limited = typeof minLength === 'number' || typeof maxLength === 'number'
    if (limited && this.#cost(value.length / 256)) return 'unknown'
    const length = limited ? codePoints(value) : 0
    if (typeof minLength === 'number' && length < minLength) {
      return mismatch(at, () => `must have ${minLength} characters or more`)
    }
    if (typeof maxLength === 'number' && length > maxLength) {
      return mismatch(at, () => `must have ${maxLength} characters or fewer`)
    }
    return pattern === undefined && format === undefined ? 'fits' : 'unknown'
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
    if (uniqueItems === true) all.add(this.#unique(value, at))
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

  #unique(value: unknown[], at: At | undefined): Verdict {
    const known = new Set<string>()
    for (const [index, item] of value.entries()) {
      const text = this.#canonical(item, 0)
      if (this.spent) return 'unknown'
      if (known.has(text)) return mismatch(step(at, index), () => 'is there a second time')
      known.add(text)
    }
    return 'fits'
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
      if (this.#cost(count / 16)) return 'unknown'
      if (typeof minProperties === 'number' && count < minProperties) {
        return mismatch(at, () => `must have ${minProperties} properties or more`)
      }
      if (typeof maxProperties === 'number' && count > maxProperties) {
        return mismatch(at, () => `must have ${maxProperties} properties or fewer`)
      }
    }
    if (!isObject(dependentRequired)) return 'fits'
    for (const key in dependentRequired) {
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
    if (!Array.isArray(names) || this.#cost(names.length / 16)) return undefined
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
      if (all.failed || this.#cost(1)) return all.failed ? all.verdict : 'unknown'
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
      if (this.#cost(1 / 16)) return 'unknown'
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
        if (this.#cost(1)) return 'unknown'
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
      if (this.#cost(1)) return 'unknown'
      if (seen.keys.has(key)) continue
      if (all.add(this.#judge(rule, item, step(at, key), undefined))) return all.verdict
    }
    seen.all = true
    return all.verdict
  }

  // ---- costs

  /** True once the budget is spent. */
  #cost(steps: number): boolean {
    this.#steps += steps
    this.spent ||= this.#steps > this.#options.maxSteps
    return this.spent
  }

  #unlessSpent(verdict: Verdict): Verdict {
    return this.spent ? 'unknown' : verdict
  }

  #equal(one: unknown, other: unknown): boolean {
    if (this.#cost(1 / 16)) return false
    if (typeof one !== 'object' || one === null) return one === other
    if (typeof other !== 'object' || other === null) return false
    return this.#canonical(one, 0) === this.#canonical(other, 0)
  }

  /** The same text for equal values, whatever the order of their members. */
  #canonical(value: unknown, depth: number): string {
    if (this.#cost(1) || depth > this.#options.maxDepth) {
      this.spent = true
      return ''
    }
    if (typeof value === 'string' && this.#cost(value.length / 256)) return ''
    if (Array.isArray(value)) {
      return `[${value.map((item) => this.#canonical(item, depth + 1)).join(',')}]`
    }
    if (!isObject(value)) return JSON.stringify(value)
    const members = Object.keys(value).sort()
    return `{${members.map((key) => `${JSON.stringify(key)}:${this.#canonical(value[key], depth + 1)}`).join(',')}}`
  }
}

/** The verdict of demands that must all be met: the first mismatch, else unknown where one is. */
class All {
  verdict: Verdict = 'fits'

  get failed(): boolean {
    return isMismatch(this.verdict)
  }

  /** True where one has failed: the others change nothing. */
  add(verdict: Verdict): boolean {
    if (this.verdict === 'fits' || isMismatch(verdict)) this.verdict = verdict
    return this.failed
  }
}

/** True for the verdict that a value does not fit. */
export function isMismatch(verdict: Verdict): verdict is Mismatch {
  return typeof verdict === 'object'
}

/** Of two alternatives, the one that tells more: of two mismatches, the one that is deeper in the value. */
function better(one: Verdict, other: Verdict): Verdict {
  if (one === 'fits' || other === 'fits') return 'fits'
  if (!isMismatch(one)) return one
  if (!isMismatch(other)) return other
  return (other.at?.depth ?? 0) > (one.at?.depth ?? 0) ? other : one
}

function merge(into: Seen, from: Seen): void {
  into.all ||= from.all
  for (const key of from.keys) into.keys.add(key)
}

function judgeNumber(schema: JsonObject, value: number, at: At | undefined): Verdict {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf } = schema
  if (typeof minimum === 'number' && value < minimum)
    return mismatch(at, () => `must be ${minimum} or more`)
  if (typeof maximum === 'number' && value > maximum)
    return mismatch(at, () => `must be ${maximum} or less`)
  if (typeof exclusiveMinimum === 'number' && value <= exclusiveMinimum) {
    return mismatch(at, () => `must be more than ${exclusiveMinimum}`)
  }
  if (typeof exclusiveMaximum === 'number' && value >= exclusiveMaximum) {
    return mismatch(at, () => `must be less than ${exclusiveMaximum}`)
  }
  if (typeof multipleOf === 'number' && !isMultiple(value, multipleOf)) {
    return mismatch(at, () => `must be a multiple of ${multipleOf}`)
  }
  return 'fits'
}

/** 0.3 is a multiple of 0.1, though not in binary. */
function isMultiple(value: number, of: number): boolean {
  const times = value / of
  return Math.abs(times - Math.round(times)) <= 1e-9 * Math.max(1, Math.abs(times))
}

function hasType(value: unknown, type: unknown): boolean {
  if (Array.isArray(type)) return type.some((one) => hasType(value, one))
  if (type === 'integer') return Number.isInteger(value)
  return typeOf(value) === type
}

function typeOf(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'array' : typeof value
}

function codePoints(text: string): number {
  let count = text.length
  for (let index = 0; index + 1 < text.length; index++) {
    const unit = text.charCodeAt(index)
    if (unit < 0xd800 || unit > 0xdbff) continue
    const next = text.charCodeAt(index + 1)
    if (next >= 0xdc00 && next <= 0xdfff) count--
  }
  return count
}

function step(parent: At | undefined, key: string | number): At {
  return { parent, key, depth: (parent?.depth ?? 0) + 1 }
}

function mismatch(at: At | undefined, tell: () => string): Mismatch {
  return { at, tell }
}

/** `#/people/0/age`, and what is wrong there. */
export function inWords({ at, tell }: Mismatch): { path: string; message: string } {
  const keys: string[] = []
  for (let here = at; here !== undefined; here = here.parent) {
    keys.push(String(here.key).replaceAll('~', '~0').replaceAll('/', '~1'))
  }
  return { path: cut(['#', ...keys.reverse()].join('/'), maxPathLength), message: tell() }
}

function shown(value: unknown): string {
  return cut(JSON.stringify(value) ?? '', 200)
}

function cut(text: string, length = 80): string {
  return text.length > length ? `${text.slice(0, length)}…` : text
}
