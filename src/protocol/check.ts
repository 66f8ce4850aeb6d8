// How the schemas of this folder are put together and how a failed check becomes OpenAI's error.
// Schemas only look: what was checked is passed on as it came, so that unknown fields survive.
import { z } from 'zod'
import { ApiError } from '../errors.ts'

/**
 * A union told apart by looking at the value: unlike zod's own, its issues are those of the one schema that was meant.
 * No schema means an unknown kind, kept as it is.
 */
export function chosen<T>(choose: (value: unknown) => z.ZodType | undefined): z.ZodType<T> {
  return z.custom<T>().check((payload) => {
    const input: unknown = payload.value
    const schema = choose(input)
    const issue = schema && firstIssue(schema, input)
    if (issue)
      payload.issues.push({ code: 'custom', message: issue.message, path: issue.path, input })
  })
}

/**
 * An array. Looks no further than the first bad element: zod's own collects an issue for each, and a body of a million wrong
 * elements would hold up everybody for many seconds, then overflow the stack.
 */
export function list<T>(
  element: z.ZodType<T>,
  { min = 0, max = Number.POSITIVE_INFINITY } = {},
): z.ZodType<T[]> {
  return each(element, (value) => {
    if (!Array.isArray(value)) return `expected array, received ${kindOf(value)}`
    if (value.length < min) return `Too small: expected array to have >=${min} items`
    if (value.length > max) return `Too big: expected array to have <=${max} items`
    return value.entries()
  })
}

/** An object whose values are all of one kind; like `list`, it stops at the first that is not. */
export function mapOf<T>(
  element: z.ZodType<T>,
  { maxKeys = Number.POSITIVE_INFINITY, maxKeyLength = Number.POSITIVE_INFINITY } = {},
): z.ZodType<Record<string, T>> {
  return each(element, (value) => {
    if (!isObject(value)) return `expected object, received ${kindOf(value)}`
    const entries = Object.entries(value)
    if (entries.length > maxKeys) return `expected at most ${maxKeys} keys`
    const fits = entries.every(([key]) => key.length <= maxKeyLength)
    return fits ? entries : `expected keys of at most ${maxKeyLength} characters`
  })
}

/** `entriesOf` gives the elements with their keys, or what is wrong with the whole. */
function each<T>(
  element: z.ZodType,
  entriesOf: (value: unknown) => Iterable<[PropertyKey, unknown]> | string,
): z.ZodType<T> {
  return z.custom<T>().check((payload) => {
    const input: unknown = payload.value
    const entries = entriesOf(input)
    if (typeof entries === 'string') {
      payload.issues.push({ code: 'custom', message: entries, path: [], input })
      return
    }
    for (const [key, value] of entries) {
      const issue = firstIssue(element, value)
      if (!issue) continue
      const { message, path } = issue
      payload.issues.push({ code: 'custom', message, path: [key, ...path], input })
      return
    }
  })
}

function kindOf(value: unknown): string {
  return value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value
}

/** A union of objects, told apart by a field. */
export function dispatch<T>(
  choose: (value: object) => z.ZodType | undefined,
  expected: string,
): z.ZodType<T> {
  const refuse = z.never(`expected ${expected}`)
  return chosen((value) => (isObject(value) ? choose(value) : refuse))
}

/** A string, or what the schema says. */
export function stringOr<T>(schema: z.ZodType<T>): z.ZodType<string | T> {
  return chosen((value) => (typeof value === 'string' ? undefined : schema))
}

/** A JSON object: neither null nor an array. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Checks a parsed body; the first fault becomes an ApiError whose param is the path of the field. */
export function check<T>(schema: z.ZodType<T>, value: unknown): T {
  const issue = firstIssue(schema, value)
  // Handing on the input, not zod's copy: the copy would cost time and lose key order.
  if (issue === undefined) return value as T
  throw fromIssue(issue, value)
}

/** What is wrong with a value, as zod says it. */
function firstIssue(schema: z.ZodType, value: unknown): z.core.$ZodIssue | undefined {
  const fields = fieldsOf(schema)
  if (fields !== undefined && isObject(value) && fits(fields, value)) return undefined
  return schema.safeParse(value).error?.issues[0]
}

interface Fields {
  shape: Readonly<Record<string, z.ZodType>>
  required: readonly string[]
}

const knownFields = new WeakMap<z.ZodType, Fields | false>()

/**
 * The fields of an object that may hold others; undefined for any other schema. zod looks at each field that could be there,
 * of which a request has 35 and five are given, and makes a copy: a value without faults is looked at by its own keys.
 */
function fieldsOf(schema: z.ZodType): Fields | undefined {
  let known = knownFields.get(schema)
  if (known === undefined) {
    known = false
    if (schema instanceof z.ZodObject && schema.def.catchall instanceof z.ZodUnknown) {
      const shape: Record<string, z.ZodType> = schema.shape
      const isRequired = ([, field]: [string, z.ZodType]) => !field.safeParse(undefined).success
      const required = Object.entries(shape).filter(isRequired)
      if (!schema.def.checks?.length) known = { shape, required: required.map(([key]) => key) }
    }
    knownFields.set(schema, known)
  }
  return known === false ? undefined : known
}

function fits({ shape, required }: Fields, value: Record<string, unknown>): boolean {
  for (const key of required) if (!Object.hasOwn(value, key)) return false
  for (const key of Object.keys(value)) {
    if (!Object.hasOwn(shape, key)) continue
    const field = shape[key]
    if (field !== undefined && firstIssue(field, value[key]) !== undefined) return false
  }
  return true
}

function fromIssue(issue: z.core.$ZodIssue, value: unknown): ApiError {
  const path = issue.path
  const param = pathToParam(path)
  const shown = param === '' ? 'request body' : `'${param}'`
  if (path.length > 0 && valueAt(value, path) === undefined) {
    return new ApiError('missing_required_parameter', `Missing required parameter: ${shown}.`, {
      param,
    })
  }
  const reason = issue.message.replace(/^Invalid input: /, '')
  return new ApiError('invalid_value', `Invalid value for ${shown}: ${reason}.`, {
    param: param === '' ? null : param,
  })
}

/** `['messages', 0, 'content']` as `messages[0].content`. */
export function pathToParam(path: readonly PropertyKey[]): string {
  let param = ''
  for (const key of path) {
    if (typeof key === 'number') param += `[${key}]`
    else param += param === '' ? String(key) : `.${String(key)}`
  }
  return param
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let current = value
  for (const key of path) {
    if (typeof current !== 'object' || current === null) return undefined
    current = Reflect.get(current, key)
  }
  return current
}
