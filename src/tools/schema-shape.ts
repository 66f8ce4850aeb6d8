// Whether a JSON schema is one: every keyword that is read must have the form that the specification gives it, every
// reference must lead to a schema and none round in a circle. What is wrong here would else show on the model's answer,
// as if that were at fault. Keywords that nobody knows are annotations, and may be anything.
// https://json-schema.org/draft/2020-12/json-schema-validation
import { ApiError } from '../errors.ts'
import { isObject } from '../protocol/check.ts'

export type JsonObject = { [key: string]: unknown }

/** A schema inside another, and where. */
interface Child {
  schema: unknown
  path: string
  /** True where it judges the same value as its parent: a circle of such schemas has no end. */
  inPlace: boolean
}

/** Gives the schemas in a keyword's value; throws for a value of the wrong form. */
type Keyword = (value: unknown, path: string, inPlace: boolean) => Child[]

/** Finds what a `$ref` means, given the schema that it stands in. */
export type Resolve = (schema: JsonObject) => unknown

const typeNames = ['string', 'number', 'integer', 'boolean', 'object', 'array', 'null']
const namesInPaths = 64

/** Throws ApiError whose param is the path of the first keyword at fault. */
export function checkSchemaShape(root: JsonObject, param: string, resolve: Resolve): void {
  const queue: Child[] = [{ schema: root, path: param, inPlace: false }]
  // After everything else: what they lead to is best named by its own place.
  const referred: Child[] = []
  const edges = new Map<JsonObject, Edge[]>()
  const next = () => queue.shift() ?? referred.shift()
  for (let child = next(); child !== undefined; child = next()) {
    const { schema, path } = child
    if (typeof schema === 'boolean') continue
    if (!isObject(schema)) throw fault(path, 'must be a schema: an object, true or false', schema)
    if (edges.has(schema)) continue
    const inside = childrenOf(schema, path)
    const behind = targetOf(schema, path, resolve)
    edges.set(schema, [...inside.filter(({ inPlace }) => inPlace), ...behind].filter(isEdge))
    queue.push(...inside)
    referred.push(...behind)
  }
  refuseCircles(edges)
}

/** A value of the wrong form, at its place. */
function fault(param: string, demand: string, value?: unknown): ApiError {
  const found = value === undefined ? '' : `, not ${shown(value)}`
  return new ApiError('invalid_value', `'${param}' ${demand}${found}.`, { param })
}

function shown(value: unknown): string {
  const text = JSON.stringify(value)
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}

/** The path of a member; names are the client's and as long as it likes. */
function memberPath(path: string, name: string): string {
  return `${path}.${name.length > namesInPaths ? `${name.slice(0, namesInPaths)}…` : name}`
}

function childrenOf(schema: JsonObject, path: string): Child[] {
  return Object.entries(schema).flatMap(
    ([name, value]) =>
      keywords.get(name)?.(value, memberPath(path, name), inPlaceKeywords.has(name)) ?? [],
  )
}

function targetOf(schema: JsonObject, parent: string, resolve: Resolve): Child[] {
  const { $ref: reference } = schema
  if (reference === undefined) return []
  const path = `${parent}.$ref`
  if (typeof reference !== 'string') throw fault(path, 'must be a string', reference)
  if (!reference.startsWith('#')) {
    throw fault(path, "must be a reference inside the schema, '#…'", reference)
  }
  const found = resolve(schema)
  if (found === undefined) throw fault(path, 'must lead to a schema inside this one', reference)
  return [{ schema: found, path, inPlace: true }]
}

// ---- circles

type Edge = Child & { schema: JsonObject }

function isEdge(child: Child): child is Edge {
  return isObject(child.schema)
}

function refuseCircles(edges: ReadonlyMap<JsonObject, readonly Edge[]>): void {
  /** False while the schemas behind one are followed, true once they all have ended. */
  const ended = new Map<JsonObject, boolean>()
  const follow = (schema: JsonObject, lastReference: string) => {
    const before = ended.get(schema)
    if (before === false) throw fault(lastReference, 'leads back to itself without end')
    if (before === true) return
    ended.set(schema, false)
    for (const { schema: next, path } of edges.get(schema) ?? []) {
      // Only references close circles.
      follow(next, path.endsWith('.$ref') ? path : lastReference)
    }
    ended.set(schema, true)
  }
  for (const schema of edges.keys()) follow(schema, '')
}

// ---- keywords

const oneSchema: Keyword = (schema, path, inPlace) => [{ schema, path, inPlace }]

const listOfSchemas: Keyword = (value, path, inPlace) => {
  if (!Array.isArray(value)) throw fault(path, 'must be a list of schemas', value)
  return value.map((schema: unknown, index) => ({ schema, path: `${path}[${index}]`, inPlace }))
}

/** No value could fit none of them. */
const alternatives: Keyword = (value, path, inPlace) => {
  if (Array.isArray(value) && value.length > 0) return listOfSchemas(value, path, inPlace)
  throw fault(path, 'must be a list of one or more schemas', value)
}

const mapOfSchemas: Keyword = (value, path, inPlace) => {
  if (!isObject(value)) throw fault(path, 'must be an object whose values are schemas', value)
  return Object.entries(value).map(([name, schema]) => ({
    schema,
    path: memberPath(path, name),
    inPlace,
  }))
}

/** Up to draft 2019-09 a list gives each position its own. */
const items: Keyword = (value, path, inPlace) =>
  (Array.isArray(value) ? listOfSchemas : oneSchema)(value, path, inPlace)

const names: Keyword = (value, path) => {
  if (Array.isArray(value) && value.every((name) => typeof name === 'string')) return []
  throw fault(path, 'must be a list of property names', value)
}

const mapOfNames: Keyword = (value, path, inPlace) => {
  if (!isObject(value)) throw fault(path, 'must be an object of lists of property names', value)
  return Object.entries(value).flatMap(([name, list]) =>
    names(list, memberPath(path, name), inPlace),
  )
}

const dependencies: Keyword = (value, path, inPlace) =>
  mapOfSchemas(value, path, inPlace).flatMap((child) =>
    Array.isArray(child.schema) ? names(child.schema, child.path, inPlace) : [child],
  )

const type: Keyword = (value, path) => {
  const listed: unknown[] = Array.isArray(value) ? value : [value]
  const known = listed.every((name) => typeof name === 'string' && typeNames.includes(name))
  if (known && listed.length > 0) return []
  throw fault(path, `must be one of ${typeNames.join(', ')}, or a list of these`, value)
}

const values: Keyword = (value, path) => {
  if (Array.isArray(value) && value.length > 0) return []
  throw fault(path, 'must be a list of one or more values', value)
}

/** A keyword with nothing inside. */
function plain(fits: (value: unknown) => boolean, demand: string): Keyword {
  return (value, path) => {
    if (fits(value)) return []
    throw fault(path, demand, value)
  }
}

const text = plain((value) => typeof value === 'string', 'must be a string')
const flag = plain((value) => typeof value === 'boolean', 'must be true or false')
const number = plain(Number.isFinite, 'must be a number')
const divisor = plain(
  (value) => typeof value === 'number' && Number.isFinite(value) && value > 0,
  'must be a number above 0',
)
const count = plain(
  (value) => typeof value === 'number' && Number.isInteger(value) && value >= 0,
  'must be a whole number, 0 or more',
)

const keywords: ReadonlyMap<string, Keyword> = new Map([
  ['type', type],
  ['enum', values],
  ['required', names],
  ['properties', mapOfSchemas],
  ['patternProperties', mapOfSchemas],
  ['additionalProperties', oneSchema],
  ['unevaluatedProperties', oneSchema],
  ['propertyNames', oneSchema],
  ['dependentRequired', mapOfNames],
  ['dependentSchemas', mapOfSchemas],
  ['dependencies', dependencies],
  ['$defs', mapOfSchemas],
  ['definitions', mapOfSchemas],
  ['items', items],
  ['prefixItems', listOfSchemas],
  ['additionalItems', oneSchema],
  ['unevaluatedItems', oneSchema],
  ['contains', oneSchema],
  ['allOf', listOfSchemas],
  ['anyOf', alternatives],
  ['oneOf', alternatives],
  ['not', oneSchema],
  ['if', oneSchema],
  ['then', oneSchema],
  ['else', oneSchema],
  ['minimum', number],
  ['maximum', number],
  ['exclusiveMinimum', number],
  ['exclusiveMaximum', number],
  ['multipleOf', divisor],
  ['minLength', count],
  ['maxLength', count],
  ['minItems', count],
  ['maxItems', count],
  ['minContains', count],
  ['maxContains', count],
  ['minProperties', count],
  ['maxProperties', count],
  ['uniqueItems', flag],
  ['pattern', text],
  ['format', text],
])

const inPlaceKeywords: ReadonlySet<string> = new Set([
  'allOf',
  'anyOf',
  'oneOf',
  'not',
  'if',
  'then',
  'else',
  'dependentSchemas',
  'dependencies',
])
