// From the text of a config document to its checked value, or to words for whoever wrote it.
import { z } from 'zod'
import { JsonFault, parseStrictly } from '../json.ts'
import { wordsOf } from '../protocol/issue-words.ts'
import { ConfigError } from './config-error.ts'
import { type ConfigDocument, documentSchema } from './schema.ts'

/** Throws ConfigError with the path of the first bad field. `source` is where the text came from. */
export function readDocument(json: string, source: string): ConfigDocument {
  let value: unknown
  try {
    // Some editors put a byte order mark before the text.
    value = parseStrictly(json.replace(/^\ufeff/, ''))
  } catch (error) {
    if (error instanceof JsonFault) throw new ConfigError(source, '', error.message)
    throw error
  }
  const result = documentSchema.safeParse(value)
  if (result.success) return result.data
  const { path, problem } = describeIssue(result.error.issues, value)
  throw new ConfigError(source, path, problem)
}

/** The first issue, put in words; for a closed object the unknown key is part of the path. */
function describeIssue(issues: readonly z.core.$ZodIssue[], value: unknown) {
  // A misspelt key is told before the one that is missing for it.
  const issue = issues.find(({ code }) => code === 'unrecognized_keys') ?? issues[0]
  if (!issue) return { path: '', problem: 'is not valid' }
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0] ?? ''
    const known = keysAt(documentSchema, issue.path)
    const meant = nearest(key, known)
    const hint =
      meant === undefined ? `known here: ${known.join(', ')}` : `did you mean '${meant}'?`
    return { path: pathText([...issue.path, key]), problem: `is not a known key (${hint})` }
  }
  if (issue.code === 'invalid_key') {
    return { path: pathText(issue.path), problem: issue.issues[0]?.message ?? issue.message }
  }
  return { path: pathText(issue.path), problem: wordsOf(issue, value) }
}

function pathText(path: readonly PropertyKey[]): string {
  return path.map(String).reduce((text, key) => {
    if (/^\d+$/.test(key)) return `${text}[${key}]`
    const plain = /^[\w-]+$/.test(key)
    return plain ? (text === '' ? key : `${text}.${key}`) : `${text}[${JSON.stringify(key)}]`
  }, '')
}

/** The keys that the closed object at `path` of a document may have. */
function keysAt(schema: unknown, path: readonly PropertyKey[]): string[] {
  if (schema instanceof z.ZodOptional) return keysAt(schema.unwrap(), path)
  if (schema instanceof z.ZodUnion) return schema.options.flatMap((each) => keysAt(each, path))
  const [key, ...rest] = path
  if (schema instanceof z.ZodObject) {
    return key === undefined ? Object.keys(schema.shape) : keysAt(schema.shape[String(key)], rest)
  }
  return schema instanceof z.ZodRecord ? keysAt(schema.valueType, rest) : []
}

/** The one of `known` that `word` was probably meant to be: at most a third of its letters are off. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  let best: string | undefined
  let least = Math.floor(Math.min(word.length, 32) / 3) + 1
  for (const candidate of known) {
    const distance = editDistance(word.slice(0, 32).toLowerCase(), candidate.toLowerCase())
    if (distance < least) [best, least] = [candidate, distance]
  }
  return best
}

/** Letters to put in, take out or change. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, at) => at)
  for (let at = 0; at < from.length; at++) {
    const next = [at + 1]
    for (let other = 0; other < to.length; other++) {
      const changed = (row[other] ?? 0) + (from[at] === to[other] ? 0 : 1)
      next.push(Math.min(changed, (row[other + 1] ?? 0) + 1, (next[other] ?? 0) + 1))
    }
    row = next
  }
  return row[to.length] ?? 0
}
