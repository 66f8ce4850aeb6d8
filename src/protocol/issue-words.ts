// What zod found, in words for a developer who has never heard of zod: what was expected, and what stood there.
import type { z } from 'zod'

/** `expected at most 2, received 100`; `input` is the value that was checked, the issue's path leads into it. */
export function wordsOf(issue: z.core.$ZodIssue, input: unknown): string {
  const found = valueAt(input, issue.path)
  switch (issue.code) {
    case 'invalid_type':
      // What no schema could stand for brings its own words.
      if (issue.expected === 'never') return `${issue.message}, received ${shown(found)}`
      return `expected ${nameOf(issue.expected)}, received ${shown(found)}`
    case 'too_small':
      return `expected at least ${bound(issue.minimum, issue.origin)}${sizeOf(found)}`
    case 'too_big':
      return `expected at most ${bound(issue.maximum, issue.origin)}${sizeOf(found)}`
    case 'invalid_value':
      return `expected ${choice(issue.values)}, received ${shown(found)}`
    default:
      return issue.message.replace(/^Invalid input: /, '')
  }
}

const names: Readonly<Record<string, string>> = {
  array: 'an array',
  boolean: 'true or false',
  int: 'a whole number',
  object: 'an object',
  record: 'an object',
}

function nameOf(type: string): string {
  return names[type] ?? `a ${type}`
}

/** A count of what is too long or too short, a number as it is. */
function bound(limit: number | bigint, origin: string): string {
  const unit = origin === 'string' ? 'character' : origin === 'array' ? 'item' : undefined
  if (unit === undefined) return String(limit)
  return `${limit} ${unit}${limit === 1 ? '' : 's'}`
}

function sizeOf(found: unknown): string {
  if (typeof found === 'number') return `, received ${found}`
  return typeof found === 'string' || Array.isArray(found) ? `, received ${found.length}` : ''
}

function choice(values: readonly unknown[]): string {
  const quoted = values.map((value) => (typeof value === 'string' ? `'${value}'` : String(value)))
  return quoted.length === 1 ? (quoted[0] ?? '') : `one of ${quoted.join(', ')}`
}

const maxShown = 40

/** A short word is quoted, as it is likely the typing error itself; of anything longer the kind is told. */
export function shown(value: unknown): string {
  if (value === null || typeof value === 'number' || typeof value === 'boolean') return `${value}`
  if (typeof value === 'string' && value.length <= maxShown) return `'${value}'`
  return value === undefined ? 'nothing' : nameOf(Array.isArray(value) ? 'array' : typeof value)
}

/** The value that a path leads to; undefined where it leads nowhere. */
export function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let current = value
  for (const key of path) {
    if (typeof current !== 'object' || current === null) return undefined
    current = Reflect.get(current, key)
  }
  return current
}
