// How the schemas of this folder are put together and how a failed check becomes OpenAI's error.
// Schemas only look: what was checked is passed on as it came, so that unknown fields survive.
import { z } from 'zod'
import { ApiError } from '../errors.ts'
import { shown, valueAt, wordsOf } from './issue-words.ts'

/**
 * A union told apart by looking at the value: unlike zod's own, its issues are those of the one schema that was meant.
 * No schema means an unknown kind, kept as it is. `or` stands in front of the kind that was expected.
 */
export function chosen<T>(
  choose: (value: unknown) => z.ZodType | undefined,
  or = '',
): z.ZodType<T> {
  const schema = z.custom<T>().check((payload) => {
    const input: unknown = payload.value
    const meant = choose(input)
    const issue = meant && firstIssue(meant, input)
    if (!issue) return
    const { path } = issue
    const kind = path.length === 0 && or !== ''
    const message = kind ? issue.message.replace(/^expected (?=an? )/, `$&${or}`) : issue.message
    payload.issues.push({ code: 'custom', message, path, input })
  })
  tests.set(schema, (value) => {
    const meant = choose(value)
    return meant === undefined || fits(meant, value)
  })
  return schema
}

/**
 * An array. Looks no further than the first bad element: zod's own collects an issue for each, and a body of a million wrong
 * elements would hold up everybody for many seconds, then overflow the stack.
 */
export function list<T>(
  element: z.ZodType<T>,
  { min = 0, max = Number.POSITIVE_INFINITY } = {},
): z.ZodType<T[]> {
  const schema = each<T[]>(element, (value) => {
    if (!Array.isArray(value)) return `expected an array, received ${shown(value)}`
    if (value.length < min) return `expected at least ${items(min)}, received ${value.length}`
    if (value.length > max) return `expected at most ${items(max)}, received ${value.length}`
    return value.entries()
  })
  tests.set(schema, (value) => {
    if (!Array.isArray(value) || value.length < min || value.length > max) return false
    for (const each of value) if (!fits(element, each)) return false
    return true
  })
  return schema
}

/** An object whose values are all of one kind; like `list`, it stops at the first that is not. */
export function mapOf<T>(
  element: z.ZodType<T>,
  { maxKeys = Number.POSITIVE_INFINITY, maxKeyLength = Number.POSITIVE_INFINITY } = {},
): z.ZodType<Record<string, T>> {
  return each(element, (value) => {
    if (!isObject(value)) return `expected an object, received ${shown(value)}`
    const entries = Object.entries(value)
    if (entries.length > maxKeys)
      return `expected at most ${maxKeys} keys, received ${entries.length}`
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

function items(count: number): string {
  return count === 1 ? '1 item' : `${count} items`
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
  return chosen((value) => (typeof value === 'string' ? undefined : schema), 'a string or ')
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

interface Fault {
  message: string
  path: PropertyKey[]
}

/** The first thing that is wrong with a value. */
export function firstIssue(schema: z.ZodType, value: unknown): Fault | undefined {
  if (fits(schema, value)) return undefined
  const issue = schema.safeParse(value).error?.issues[0]
  return issue && { message: wordsOf(issue, value), path: issue.path }
}

/** True where nothing is wrong with a value. */
type Test = (value: unknown) => boolean

const tests = new WeakMap<z.ZodType, Test>()

/**
 * zod looks at each field that could be there, of which a request has 35 and five are given, and makes a copy of what it has
 * looked at. So a value is tested by its own keys first, and zod says what is wrong with one that fails.
 */
function fits(schema: z.ZodType, value: unknown): boolean {
  let test = tests.get(schema)
  if (test === undefined) {
    test = testOf(schema)
    tests.set(schema, test)
  }
  return test(value)
}

/** The kinds of schema that most of a request is made of; zod itself is the test of any other. */
function testOf(schema: z.ZodType): Test {
  if (schema instanceof z.ZodOptional) {
    const inner = schema.unwrap() as z.ZodType
    return (value) => value === undefined || fits(inner, value)
  }
  if (schema instanceof z.ZodNullable) {
    const inner = schema.unwrap() as z.ZodType
    return (value) => value === null || fits(inner, value)
  }
  if (schema instanceof z.ZodString && hasLengthsOnly(schema)) {
    const { minLength: min, maxLength: max } = schema
    return (value) =>
      typeof value === 'string' && value.length >= (min ?? 0) && value.length <= (max ?? Infinity)
  }
  if (schema.def.checks === undefined || schema.def.checks.length === 0) {
    if (schema instanceof z.ZodBoolean) return (value) => typeof value === 'boolean'
    if (schema instanceof z.ZodLiteral) return oneOf(schema.values)
    if (schema instanceof z.ZodEnum) return oneOf(new Set(schema.options))
    if (schema instanceof z.ZodObject && schema.def.catchall instanceof z.ZodUnknown) {
      return objectTest(schema.shape)
    }
  }
  return (value) => schema.safeParse(value).success
}

function oneOf(values: ReadonlySet<unknown>): Test {
  return (value) => values.has(value)
}

function hasLengthsOnly({ def: { checks = [] } }: z.ZodString): boolean {
  return checks.every(({ _zod }) => /^(?:min|max)_length$/.test(_zod.def.check))
}

/** Of an object that may hold other fields than these. */
function objectTest(shape: Readonly<Record<string, z.ZodType>>): Test {
  const required = Object.keys(shape).filter((key) => !shape[key]?.safeParse(undefined).success)
  return (value) => {
    if (!isObject(value)) return false
    for (const key of required) if (!Object.hasOwn(value, key)) return false
    for (const key of Object.keys(value)) {
      const field = Object.hasOwn(shape, key) ? shape[key] : undefined
      if (field !== undefined && !fits(field, value[key])) return false
    }
    return true
  }
}

function fromIssue({ message, path }: Fault, value: unknown): ApiError {
  const param = pathToParam(path)
  const shown = param === '' ? 'request body' : `'${param}'`
  if (path.length > 0 && valueAt(value, path) === undefined) {
    return new ApiError('missing_required_parameter', `Missing required parameter: ${shown}.`, {
      param,
    })
  }
  return new ApiError('invalid_value', `Invalid value for ${shown}: ${message}.`, {
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
