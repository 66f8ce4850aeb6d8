// Two JSON schemas as one. What fits both always fits the result; where the two cannot be told apart in one schema, the
// result lets more pass (what a grammar lets pass is still checked when it is complete).
import { isObject } from '../../../src/protocol/check.ts'

export type JsonObject = { readonly [key: string]: unknown }
/** A schema without `$ref` and `allOf`; false where nothing can fit it. */
export type PlainSchema = JsonObject | false

/** Stands for two schemas that are merged later, as they may lead back here. */
export type Both = (one: unknown, other: unknown) => unknown

const greater = ['minimum', 'exclusiveMinimum', 'minLength', 'minItems', 'minProperties']
const smaller = ['maximum', 'exclusiveMaximum', 'maxLength', 'maxItems', 'maxProperties']
const listKeywords = ['items', 'prefixItems', 'additionalItems']

/** Merges two schemas; the first one decides the order of properties, and what can not be said of both. */
export function merged(one: PlainSchema, other: PlainSchema, both: Both): PlainSchema {
  if (one === false || other === false) return false
  const out = new Map([...Object.entries(other), ...Object.entries(one)])
  const pairs = (name: string): [unknown, unknown] | undefined =>
    Object.hasOwn(one, name) && Object.hasOwn(other, name) ? [one[name], other[name]] : undefined
  const combine = (name: string, how: (a: unknown, b: unknown) => unknown) => {
    const pair = pairs(name)
    if (pair !== undefined) out.set(name, how(...pair))
  }
  for (const name of greater) combine(name, (a, b) => Math.max(Number(a), Number(b)))
  for (const name of smaller) combine(name, (a, b) => Math.min(Number(a), Number(b)))
  combine('required', (a, b) => [...new Set([a, b].flat())])
  combine('properties', (a, b) => mergedMap(a, b, both))
  combine('patternProperties', (a, b) => mergedMap(a, b, both))
  for (const name of ['additionalProperties', 'propertyNames']) combine(name, both)
  mergeItems(out, one, other, both)
  mergeChoices(out, one, other)
  const types = mergedTypes(one.type, other.type)
  if (types?.length === 0) return false
  if (types !== undefined) out.set('type', types)
  const values = mergedValues(valuesOf(one), valuesOf(other))
  out.delete('const')
  out.delete('enum')
  if (values?.length === 0) return false
  if (values !== undefined) out.set('enum', values)
  return Object.fromEntries(out)
}

/** The values that `enum` and `const` leave; undefined where there is neither. */
export function valuesOf(schema: JsonObject): readonly unknown[] | undefined {
  const listed = Array.isArray(schema.enum) ? schema.enum : undefined
  return mergedValues(Object.hasOwn(schema, 'const') ? [schema.const] : undefined, listed)
}

/** The names of `type`; undefined where there is none. */
export function typesOf(type: unknown): readonly unknown[] | undefined {
  return type === undefined ? undefined : [type].flat()
}

function mergedMap(one: unknown, other: unknown, both: Both): unknown {
  if (!isObject(one) || !isObject(other)) return one
  const out = new Map(Object.entries(one))
  for (const [name, schema] of Object.entries(other)) {
    out.set(name, out.has(name) ? both(out.get(name), schema) : schema)
  }
  return Object.fromEntries(out)
}

function mergeItems(
  out: Map<string, unknown>,
  one: JsonObject,
  other: JsonObject,
  both: Both,
): void {
  const has = (schema: JsonObject) => listKeywords.some((name) => Object.hasOwn(schema, name))
  if (!has(one) || !has(other)) return
  for (const name of listKeywords) out.delete(name)
  const isPlain = ({ items, prefixItems }: JsonObject) =>
    items !== undefined && !Array.isArray(items) && prefixItems === undefined
  if (isPlain(one) && isPlain(other)) out.set('items', both(one.items, other.items))
  else for (const name of listKeywords) if (Object.hasOwn(one, name)) out.set(name, one[name])
}

/** Both choices are kept, in `anyOf` and `oneOf`, which a grammar tells not apart; there is no room for a third. */
function mergeChoices(out: Map<string, unknown>, one: JsonObject, other: JsonObject): void {
  const choices = [one.anyOf, one.oneOf, other.anyOf, other.oneOf].filter(Array.isArray)
  for (const [index, name] of ['anyOf', 'oneOf'].entries()) {
    if (choices[index] === undefined) out.delete(name)
    else out.set(name, choices[index])
  }
  // What the third would have declared is no longer known: any name may come.
  if (choices.length > 2) out.set('unevaluatedProperties', true)
}

function mergedTypes(one: unknown, other: unknown): readonly unknown[] | undefined {
  const [ones, others] = [typesOf(one), typesOf(other)]
  if (ones === undefined || others === undefined) return ones ?? others
  const has = (types: readonly unknown[], type: unknown) =>
    types.includes(type) || (type === 'integer' && types.includes('number'))
  return [
    ...new Set([
      ...ones.filter((type) => has(others, type)),
      ...others.filter((type) => has(ones, type)),
    ]),
  ]
}

/** Objects and lists are not compared: they may be equal and yet not written alike. */
function mergedValues(
  one: readonly unknown[] | undefined,
  other: readonly unknown[] | undefined,
): readonly unknown[] | undefined {
  if (one === undefined || other === undefined) return one ?? other
  const plain = new Set(other)
  const isMixed = other.some((value) => typeof value === 'object' && value !== null)
  return one.filter((value) =>
    typeof value === 'object' && value !== null ? isMixed : plain.has(value),
  )
}
