// The rule for the values of one JSON type that a schema means; `$ref`, `allOf` and choices have been resolved before.
import { isObject } from '../../../src/protocol/check.ts'
import type { GrammarBuilder } from './builder.ts'
import { anyValue, type Extra, listRule, objectRule } from './containers.ts'
import { integer, wholeBounds } from './integers.ts'
import { patternString } from './pattern.ts'
import { formatPatterns } from './schema-formats.ts'
import { type JsonObject, typesOf } from './schema-merge.ts'
import { anyNumber, anyString, type Sign, stringOfLength, stringOtherThan } from './tokens.ts'

/** What a type needs of the rest of the schema. */
export interface Schemas {
  ruleOf(schema: unknown): number
  /** A schema for what fits both. */
  both(one: unknown, other: unknown): unknown
}

/** Longer bounds are left to the check: a place of its own for each costs symbols. */
const maxCountedItems = 64
const maxCountedCharacters = 256
/** Characters of the names that an undeclared property must not have; ten symbols each. */
const maxNameCharacters = 500
/** Characters of `enum` and `const`; beyond, only the types of their values are enforced. */
const maxLiteral = 20_000

/** Which type a keyword speaks of, where none is named: who writes `properties` means an object. */
const typeOfKeyword = new Map([
  ...[
    'properties',
    'required',
    'additionalProperties',
    'patternProperties',
    'propertyNames',
    'minProperties',
    'maxProperties',
  ].map((name) => [name, 'object'] as const),
  ...['items', 'prefixItems', 'additionalItems', 'minItems', 'maxItems', 'uniqueItems'].map(
    (name) => [name, 'array'] as const,
  ),
  ...['minLength', 'maxLength', 'pattern', 'format'].map((name) => [name, 'string'] as const),
  ...['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf'].map(
    (name) => [name, 'number'] as const,
  ),
])
const allTypes = ['object', 'array', 'string', 'number', 'boolean', 'null']
const enforced = new Set([
  ...typeOfKeyword.keys(),
  ...['type', 'enum', 'const', 'anyOf', 'oneOf', 'allOf', '$ref'],
])
/** Keywords that are not enforced, and may demand a property that is declared nowhere else. */
const mayDeclare = ['if', 'dependentSchemas', 'dependentRequired', 'dependencies', 'not']
/** Names of properties, whatever else is said of them. */
const anyText = { type: 'string' }

/** Whether a keyword makes no difference to the grammar. */
export function isAnnotation(keyword: string): boolean {
  return !enforced.has(keyword) && !mayDeclare.includes(keyword)
}

/** The JSON types of the values that a schema means. */
export function typesMeant(schema: JsonObject): readonly unknown[] {
  const named = typesOf(schema.type)
  // A whole number is a number, too: one of the two is enough.
  if (named !== undefined) {
    return named.filter((type) => type !== 'integer' || !named.includes('number'))
  }
  if (schema.enum !== undefined || Object.hasOwn(schema, 'const')) return allTypes
  const hinted = Object.keys(schema).flatMap((name) => typeOfKeyword.get(name) ?? [])
  return hinted.length > 0 ? [...new Set(hinted)] : allTypes
}

/** The rule for one type; `values` are those of `enum` and `const`. */
export function typeRule(
  type: unknown,
  schema: JsonObject,
  values: readonly unknown[] | undefined,
  grammar: GrammarBuilder,
  schemas: Schemas,
): number {
  const fitting = values?.filter((value) => hasType(value, type))
  const texts = fitting?.map((value) => JSON.stringify(value))
  if (texts?.length === 0) return grammar.rule()
  const length = texts?.reduce((sum, text) => sum + text.length, 0) ?? maxLiteral
  if (texts !== undefined && length < maxLiteral) return grammar.oneOf(texts)
  switch (type) {
    case 'object':
      return objectOf(schema, grammar, schemas)
    case 'array':
      return listOf(schema, grammar, schemas)
    case 'string':
      return stringOf(schema, grammar)
    case 'number':
      return anyNumber(grammar, signOf(schema))
    case 'integer':
      return integerOf(schema, grammar)
    default:
      return grammar.oneOf(type === 'boolean' ? ['true', 'false'] : ['null'])
  }
}

function hasType(value: unknown, type: unknown): boolean {
  if (value === null) return type === 'null'
  if (Array.isArray(value)) return type === 'array'
  return type === 'integer' ? Number.isInteger(value) : type === typeof value
}

function signOf(schema: JsonObject): Sign {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = schema
  const isAtLeast = (bound: unknown) => typeof bound === 'number' && bound >= 0
  if (isAtLeast(minimum) || isAtLeast(exclusiveMinimum)) return 'never'
  const isNegative = typeof maximum === 'number' && maximum < 0
  const isBelowZero = typeof exclusiveMaximum === 'number' && exclusiveMaximum <= 0
  return isNegative || isBelowZero ? 'always' : 'maybe'
}

function integerOf(schema: JsonObject, grammar: GrammarBuilder): number {
  const { least, most } = wholeBounds(schema)
  return grammar.named(`integer ${least} ${most}`, () => [[integer(grammar, least, most)]])
}

// ---- strings

function stringOf(schema: JsonObject, grammar: GrammarBuilder): number {
  const { pattern, format } = schema
  const known = [pattern, formatPatterns.get(String(format))]
  for (const text of known) {
    const rule = typeof text === 'string' ? patternString(grammar, text) : undefined
    if (rule !== undefined) return rule
  }
  const { least, most } = counts(schema.minLength, schema.maxLength, maxCountedCharacters)
  return least === 0 && most === Number.POSITIVE_INFINITY
    ? anyString(grammar)
    : stringOfLength(grammar, least, most)
}

/** Bounds that are too great to be counted let more pass. */
function counts(least: unknown, most: unknown, limit: number): { least: number; most: number } {
  const isCounted = typeof most === 'number' && most <= limit
  return {
    least: typeof least === 'number' ? Math.min(least, isCounted ? limit + 1 : limit) : 0,
    most: isCounted ? most : Number.POSITIVE_INFINITY,
  }
}

// ---- lists

function listOf(schema: JsonObject, grammar: GrammarBuilder, { ruleOf }: Schemas): number {
  // Up to draft 2019-09 a list in `items` was what `prefixItems` is now.
  const isOld = Array.isArray(schema.items)
  const first = isOld ? schema.items : schema.prefixItems
  const rest = isOld ? schema.additionalItems : schema.items
  return listRule(grammar, {
    first: Array.isArray(first) ? first.map((item) => ruleOf(item)) : [],
    rest: ruleOf(rest),
    ...counts(schema.minItems, schema.maxItems, maxCountedItems),
  })
}

// ---- objects

function objectOf(schema: JsonObject, grammar: GrammarBuilder, schemas: Schemas): number {
  const properties = Object.entries(isObject(schema.properties) ? schema.properties : {})
  const required = new Set(Array.isArray(schema.required) ? schema.required : [])
  const declared = properties.map(([name, value]) => ({
    name,
    value: schemas.ruleOf(value),
    isRequired: required.delete(name),
  }))
  const undeclared = Array.from(required, String)
  const names = [...declared.map(({ name }) => name), ...undeclared]
  const extras = extrasOf(schema, names, grammar, schemas)
  // What is demanded and not declared stands behind what is; it is one of those that may come, whichever its name says.
  const value =
    schema.additionalProperties === undefined
      ? anyValue(grammar)
      : grammar.rule(...extras.map((extra) => [extra.value]))
  return objectRule(grammar, {
    members: [...declared, ...undeclared.map((name) => ({ name, value, isRequired: true }))],
    extras,
    isNeverEmpty: typeof schema.minProperties === 'number' && schema.minProperties > 0,
  })
}

/** Properties that are not declared: those of `patternProperties`, and any others. */
function extrasOf(
  schema: JsonObject,
  taken: readonly string[],
  grammar: GrammarBuilder,
  { ruleOf, both }: Schemas,
): Extra[] {
  const { additionalProperties: rest, propertyNames, patternProperties } = schema
  const patterns = Object.entries(isObject(patternProperties) ? patternProperties : {})
  const extras = patterns.map(([pattern, value]) => ({
    name: patternString(grammar, pattern) ?? anyString(grammar),
    value: ruleOf(value),
  }))
  if (!allowsOthers(schema)) return extras
  const isShort = taken.reduce((sum, { length }) => sum + length, 0) <= maxNameCharacters
  const name = isObject(propertyNames)
    ? ruleOf(both(anyText, propertyNames))
    : stringOtherThan(grammar, isShort ? taken : [])
  return [...extras, { name, value: ruleOf(rest) }]
}

/** Whether properties may be written of which nothing is declared. */
function allowsOthers(schema: JsonObject): boolean {
  const { additionalProperties, unevaluatedProperties, properties, patternProperties } = schema
  if (additionalProperties !== undefined) return additionalProperties !== false
  const declared = { ...Object(properties), ...Object(patternProperties) }
  const count = Object.keys(declared).length
  if (count === 0 || (unevaluatedProperties ?? false) !== false) return true
  const { minProperties } = schema
  if (typeof minProperties === 'number' && minProperties > count) return true
  return mayDeclare.some((name) => schema[name] !== undefined)
}
