// Prepares a JSON schema of a client's, a model's or a foreign server's, and checks values by it. Schemas are hostile until
// shown otherwise: size, depth and number of nodes are capped, references lead nowhere but into the schema itself, and a
// check has a budget of steps and of depth (schema-run.ts). `pattern`, `patternProperties` and `format` are never executed, as
// a regular expression can take exponential time: what only they could tell passes.
import { ApiError } from '../errors.ts'
import { isObject } from '../protocol/check.ts'
import { SchemaRun } from './schema-run.ts'
import { checkSchemaShape, type JsonObject } from './schema-shape.ts'
import { inWords, isMismatch } from './schema-verdict.ts'

/** Why a value is refused, or that nobody can say. */
export interface SchemaFault {
  /** `#/people/0/age`; `#` is the value itself. */
  path: string
  /** A predicate without a full stop: `must be integer, not string`. */
  message: string
  /** True where value and schema are too deep or too large for each other to be checked: the value may well be right. */
  unchecked: boolean
}

export interface SchemaCheck {
  /** Undefined when the value fits, as far as it is checked at all. Never throws; bounded in time. */
  check(value: unknown): SchemaFault | undefined
}

export interface SchemaOptions {
  /** The field that holds the schema, for errors: `text.format.schema`. */
  param?: string
  /** In bytes as JSON. */
  maxBytes?: number
  /** Objects in the schema. */
  maxNodes?: number
  maxDepth?: number
}

/** OpenAI's own limits for strict schemas (5,000 properties, 120,000 characters of names) fit into these. */
const defaults = { param: 'schema', maxBytes: 262_144, maxNodes: 10_000, maxDepth: 64 }

/** Steps of one check: some ten milliseconds. */
const maxSteps = 200_000
/** Schemas inside each other, as a value is followed. */
const maxRunDepth = 500

/** Keywords whose value is data, not a schema. */
const literal: ReadonlySet<string> = new Set([
  'enum',
  'const',
  'default',
  'examples',
  'required',
  'dependentRequired',
])
/** Keywords whose value maps names to schemas. */
const maps: ReadonlySet<string> = new Set([
  'properties',
  'patternProperties',
  '$defs',
  'definitions',
  'dependentSchemas',
  'dependencies',
])

/** Prepares a schema; throws ApiError (`invalid_value`, with the path of the keyword) for one that cannot be checked. */
export function compileSchema(schema: unknown, options: SchemaOptions = {}): SchemaCheck {
  const limits = { ...defaults, ...options }
  const { param } = limits
  const refuse = (reason: string) =>
    new ApiError('invalid_value', `'${param}' ${reason}.`, { param })
  if (schema === true || schema === false) return checkBy(schema, () => undefined, false)
  if (!isObject(schema)) throw refuse('must be a JSON schema')
  if (byteLength(schema) > limits.maxBytes) {
    throw refuse(`is larger than ${limits.maxBytes} bytes`)
  }
  const { tracksSeen } = survey(schema, limits, refuse)
  const known = new Map<string, unknown>()
  const resolve = ({ $ref }: JsonObject) => {
    const reference = String($ref)
    if (!known.has(reference)) known.set(reference, resolvePointer(schema, reference))
    return known.get(reference)
  }
  try {
    checkSchemaShape(schema, param, resolve)
  } catch (thrown) {
    if (!(thrown instanceof RangeError)) throw thrown
    // A chain of thousands of references overflows the stack.
    throw refuse('has too many references inside each other')
  }
  const checked = checkBy(schema, resolve, tracksSeen)
  // What no value at all can be checked against shall not be found out on the model's.
  if ([null, '', 0, [], {}].some((probe) => checked.check(probe)?.unchecked === true)) {
    throw refuse('has too many references and choices inside each other to be checked')
  }
  return checked
}

function checkBy(
  schema: unknown,
  resolve: (schema: JsonObject) => unknown,
  tracksSeen: boolean,
): SchemaCheck {
  return {
    check(value) {
      const run = new SchemaRun({ maxSteps, maxDepth: maxRunDepth, resolve, tracksSeen })
      const verdict = run.judge(schema, value)
      if (isMismatch(verdict)) return { ...inWords(verdict), unchecked: false }
      if (!run.spent) return undefined
      return { path: '#', message: 'is too deep or too large to be checked', unchecked: true }
    },
  }
}

/** Holds a schema to its caps before anything recursive looks at it. */
function survey(
  root: JsonObject,
  { maxDepth, maxNodes }: { maxDepth: number; maxNodes: number },
  refuse: (reason: string) => ApiError,
): { tracksSeen: boolean } {
  let nodes = 0
  let tracksSeen = false
  const visit = (value: unknown, depth: number) => {
    if (typeof value !== 'object' || value === null) return
    if (depth > maxDepth) throw refuse(`is nested deeper than ${maxDepth} levels`)
    if (Array.isArray(value)) {
      for (const item of value) visit(item, depth + 1)
      return
    }
    if (++nodes > maxNodes) throw refuse(`has more than ${maxNodes} nodes`)
    for (const [key, item] of Object.entries(value)) {
      if (literal.has(key) && !isObject(item)) continue
      tracksSeen ||= key === 'unevaluatedProperties' || key === 'unevaluatedItems'
      visit(item, depth + 1)
    }
  }
  visit(root, 0)
  return { tracksSeen }
}

/** The schema that `#/a/b` leads to; undefined where that is none. */
export function resolvePointer(root: JsonObject, reference: string): unknown {
  if (!reference.startsWith('#')) return undefined
  const pointer = decoded(reference.slice(1))
  if (pointer === undefined || (pointer !== '' && !pointer.startsWith('/'))) return undefined
  let here: unknown = root
  /** The names below are the client's, not keywords. */
  let inMap = false
  for (const token of pointer.split('/').slice(1)) {
    const key = token.replaceAll('~1', '/').replaceAll('~0', '~')
    if (Array.isArray(here)) {
      here = /^\d{1,6}$/.test(key) ? here[Number(key)] : undefined
      inMap = false
    } else if (isObject(here) && Object.hasOwn(here, key) && (inMap || !literal.has(key))) {
      here = here[key]
      inMap = !inMap && maps.has(key)
    } else return undefined
  }
  return !inMap && (isObject(here) || typeof here === 'boolean') ? here : undefined
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

function byteLength(schema: JsonObject): number {
  try {
    return new TextEncoder().encode(JSON.stringify(schema)).length
  } catch {
    // Too deep even to be written out.
    return Number.POSITIVE_INFINITY
  }
}
