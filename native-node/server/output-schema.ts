// Checks what the model wrote against a client's JSON schema. Client schemas are hostile until shown otherwise:
// their size is capped, `pattern` and `format` are not executed (a regular expression can take exponential time; both
// are ignored), and every check has a budget of steps, so that no combination of references can run away.
import { dereference, Validator } from '@cfworker/json-schema'
import { ApiError } from '../../src/errors.ts'
import { isObject, type JsonObject } from './harmony-schema.ts'
import { checkSchemaShape, type Resolve } from './schema-shape.ts'

const maxBytes = 65_536
const maxDepth = 32
const maxNodes = 1000
const maxSteps = 100_000

/** Undefined when the text is JSON that fits; else why it does not. */
export type OutputCheck = (text: string) => string | undefined

/** Keywords that are dropped: ones that rebase references, and what the validator keeps its notes under. */
const dropped: ReadonlySet<string> = new Set([
  'id',
  '$id',
  '$schema',
  '$anchor',
  '$dynamicRef',
  '$dynamicAnchor',
  '$recursiveRef',
  '$recursiveAnchor',
  '__absolute_uri__',
  '__absolute_ref__',
  '__absolute_recursive_ref__',
])
/** Dropped where they have the right form; where not, the client shall hear of it. */
const ignored: ReadonlySet<string> = new Set(['pattern', 'format'])
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
  '$defs',
  'definitions',
  'dependentSchemas',
  'dependencies',
])

class BudgetSpent extends Error {}

/** Prepares a client's schema; throws ApiError with `param` for one that can not be checked. */
export function compileOutputSchema(schema: unknown, param: string): OutputCheck {
  const refuse = (reason: string) =>
    new ApiError('invalid_value', `'${param}' ${reason}.`, { param })
  if (!isObject(schema)) throw refuse('must be a JSON schema')
  if (byteLength(schema) > maxBytes) throw refuse(`is larger than ${maxBytes} bytes`)

  let nodes = 0
  let steps = 0
  const copy = (value: unknown, depth: number): unknown => {
    if (depth > maxDepth) throw refuse(`is nested deeper than ${maxDepth} levels`)
    if (Array.isArray(value)) return value.map((item) => copy(item, depth + 1))
    if (!isObject(value)) return value
    if (++nodes > maxNodes) throw refuse(`has more than ${maxNodes} nodes`)
    return copyObject(value, depth)
  }
  const copyObject = (value: JsonObject, depth: number): JsonObject => {
    const out: JsonObject = {}
    for (const [key, item] of Object.entries(value)) {
      // The validator shall not follow it; that it leads nowhere is found when the shape is checked.
      if (key === '$ref' && !(typeof item === 'string' && item.startsWith('#'))) {
        Object.defineProperty(out, '__absolute_ref__', { value: '' })
      }
      if (dropped.has(key) || (ignored.has(key) && typeof item === 'string')) continue
      if (literal.has(key)) define(out, key, item)
      else if (maps.has(key) && isObject(item)) define(out, key, copyMap(item, depth + 1))
      else define(out, key, copy(item, depth + 1))
    }
    // The validator reads this on every visit of a node, and nothing else does: here the steps are counted.
    Object.defineProperty(out, '$recursiveAnchor', {
      get() {
        if (++steps > maxSteps) throw new BudgetSpent()
        return undefined
      },
    })
    return out
  }
  const copyMap = (map: JsonObject, depth: number): JsonObject => {
    const out: JsonObject = {}
    for (const [key, item] of Object.entries(map)) define(out, key, copy(item, depth))
    return out
  }

  const copied = copyObject(schema, 0)
  checkSchemaShape(copied, param, references(copied, refuse))
  const validator = new Validator(copied, '2020-12')
  const run = (value: unknown) => {
    steps = 0
    return validator.validate(value)
  }
  try {
    // What no value at all can be checked against shall not be found out on the model's.
    for (const probe of [null, '', 0, [], {}]) run(probe)
  } catch {
    throw refuse('has too many references and choices inside each other to be checked')
  }
  return (text) => {
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch {
      return 'it is not valid JSON'
    }
    try {
      const result = run(value)
      const error = result.valid ? undefined : result.errors.at(-1)
      return result.valid ? undefined : `${error?.instanceLocation}: ${error?.error}`
    } catch {
      return 'it is too deep or too large to be checked'
    }
  }
}

/** What references lead to, by the validator's own reading of them. */
function references(schema: JsonObject, refuse: (reason: string) => ApiError): Resolve {
  let known: ReturnType<typeof dereference>
  try {
    known = dereference(schema)
  } catch {
    throw refuse('has names that are not valid Unicode')
  }
  // The validator has noted the absolute form, unless the schema stands where it looks for none.
  return ({ __absolute_ref__: uri }) => (typeof uri === 'string' ? known[uri] : undefined)
}

/** `json_object`: any JSON object. */
export function checkJsonObject(text: string): string | undefined {
  try {
    return isObject(JSON.parse(text)) ? undefined : 'it is not a JSON object'
  } catch {
    return 'it is not valid JSON'
  }
}

function define(target: JsonObject, key: string, value: unknown): void {
  // Not an assignment: a key may be "__proto__".
  Object.defineProperty(target, key, {
    value,
    enumerable: true,
    writable: true,
    configurable: true,
  })
}

function byteLength(schema: JsonObject): number {
  try {
    return new TextEncoder().encode(JSON.stringify(schema)).length
  } catch {
    // Too deep even to be written out.
    return Number.POSITIVE_INFINITY
  }
}
