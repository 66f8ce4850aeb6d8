// Checks what the model wrote against a client's JSON schema. Client schemas are hostile until shown otherwise:
// their size is capped, `pattern` and `format` are not executed (a regular expression can take exponential time; both
// are ignored), and every check has a budget of steps, so that no combination of references can run away.
import { Validator } from '@cfworker/json-schema'
import { ApiError } from '../../src/errors.ts'
import { isObject, type JsonObject } from './harmony-schema.ts'

const maxBytes = 65_536
const maxDepth = 32
const maxNodes = 1000
const maxSteps = 100_000

/** Undefined when the text is JSON that fits; else why it does not. */
export type OutputCheck = (text: string) => string | undefined

/** Keywords that are dropped: regular expressions, and ones that rebase references. */
const dropped: ReadonlySet<string> = new Set([
  'pattern',
  'format',
  'id',
  '$id',
  '$schema',
  '$anchor',
  '$dynamicRef',
  '$dynamicAnchor',
  '$recursiveRef',
  '$recursiveAnchor',
])
/** Keywords whose value is data, not a schema. */
const literal: ReadonlySet<string> = new Set(['enum', 'const', 'default', 'examples', 'required'])
/** Keywords whose value maps names to schemas. */
const maps: ReadonlySet<string> = new Set([
  'properties',
  '$defs',
  'definitions',
  'dependentSchemas',
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
    if (Array.isArray(value)) return value.map((item) => copy(item, depth + 1))
    if (!isObject(value)) return value
    if (++nodes > maxNodes) throw refuse(`has more than ${maxNodes} nodes`)
    if (depth > maxDepth) throw refuse(`is nested deeper than ${maxDepth} levels`)
    const out: JsonObject = {}
    for (const [key, item] of Object.entries(value)) {
      if (key === 'patternProperties')
        throw refuse("uses 'patternProperties', which is not supported")
      if (key === '$ref' && !(typeof item === 'string' && item.startsWith('#'))) {
        throw refuse("refers to a schema outside itself; only '#…' references are supported")
      }
      if (dropped.has(key)) continue
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

  const run = (validator: Validator, value: unknown) => {
    steps = 0
    return validator.validate(value)
  }
  let validator: Validator
  try {
    validator = new Validator(copy(schema, 0) as JsonObject, '2020-12')
    // References that lead nowhere or round in a circle show on the first value.
    for (const probe of [null, '', 0, [], {}]) run(validator, probe)
  } catch (error) {
    if (error instanceof ApiError) throw error
    throw refuse('has a reference that leads nowhere or to itself')
  }
  return (text) => {
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch {
      return 'it is not valid JSON'
    }
    try {
      const result = run(validator, value)
      const error = result.valid ? undefined : result.errors.at(-1)
      return result.valid ? undefined : `${error?.instanceLocation}: ${error?.error}`
    } catch {
      return 'it is too deep or too large to be checked'
    }
  }
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
