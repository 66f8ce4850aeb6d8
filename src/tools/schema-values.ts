// The keywords of JSON Schema that look at a value and at no other schema.
// https://json-schema.org/draft/2020-12/json-schema-validation
import { isObject } from '../protocol/check.ts'
import type { JsonObject } from './schema-shape.ts'
import { type At, type Budget, mismatch, shown, step, type Verdict } from './schema-verdict.ts'

/** `type`, `enum` and `const`. */
export function judgeValue(
  schema: JsonObject,
  value: unknown,
  at: At | undefined,
  budget: Budget,
): Verdict {
  const { type, enum: listed } = schema
  if (Array.isArray(type) && budget.cost(type.length / 16)) return 'unknown'
  if (type !== undefined && !hasType(value, type)) {
    const wanted = Array.isArray(type) ? type.join(' or ') : String(type)
    return mismatch(at, () => `must be ${wanted}, not ${typeOf(value)}`)
  }
  if (Array.isArray(listed) && !listed.some((item) => equal(item, value, budget))) {
    return budget.spent ? 'unknown' : mismatch(at, () => `does not match any of ${shown(listed)}`)
  }
  if (Object.hasOwn(schema, 'const') && !equal(schema.const, value, budget)) {
    return budget.spent ? 'unknown' : mismatch(at, () => `must be ${shown(schema.const)}`)
  }
  return 'fits'
}

/** Lengths of a text; what its `pattern` or `format` would say is not known. */
export function judgeText(
  { minLength, maxLength, pattern, format }: JsonObject,
  value: string,
  at: At | undefined,
  budget: Budget,
): Verdict {
  const limited = typeof minLength === 'number' || typeof maxLength === 'number'
  if (limited && budget.cost(value.length / 256)) return 'unknown'
  const length = limited ? codePoints(value) : 0
  if (typeof minLength === 'number' && length < minLength) {
    return mismatch(at, () => `must have ${minLength} characters or more`)
  }
  if (typeof maxLength === 'number' && length > maxLength) {
    return mismatch(at, () => `must have ${maxLength} characters or fewer`)
  }
  return pattern === undefined && format === undefined ? 'fits' : 'unknown'
}

/** Limits of a number. */
export function judgeNumber(schema: JsonObject, value: number, at: At | undefined): Verdict {
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

/** `uniqueItems`, in linear time. */
export function judgeUnique(value: unknown[], at: At | undefined, budget: Budget): Verdict {
  const known = new Set<string>()
  for (const [index, item] of value.entries()) {
    const text = canonical(item, budget)
    if (budget.spent) return 'unknown'
    if (known.has(text)) return mismatch(step(at, index), () => 'is there a second time')
    known.add(text)
  }
  return 'fits'
}

function equal(one: unknown, other: unknown, budget: Budget): boolean {
  if (budget.cost(1 / 16)) return false
  if (typeof one !== 'object' || one === null) return one === other
  if (typeof other !== 'object' || other === null) return false
  return canonical(one, budget) === canonical(other, budget)
}

/** The same text for equal values, whatever the order of their members. */
function canonical(value: unknown, budget: Budget, depth = 0): string {
  if (budget.cost(1) || depth > budget.maxDepth) {
    budget.exceed()
    return ''
  }
  if (typeof value === 'string' && budget.cost(value.length / 256)) return ''
  if (Array.isArray(value)) {
    return `[${value.map((item) => canonical(item, budget, depth + 1)).join(',')}]`
  }
  if (!isObject(value)) return JSON.stringify(value)
  const members = Object.keys(value).sort()
  return `{${members.map((key) => `${JSON.stringify(key)}:${canonical(value[key], budget, depth + 1)}`).join(',')}}`
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
