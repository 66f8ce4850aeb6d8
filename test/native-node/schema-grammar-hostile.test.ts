// Schemas that are large, circular, contradictory, or thrown together from any keywords.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Grammar } from '../../native-node/server/grammar/grammar.ts'
import { schemaGrammar } from '../../native-node/server/grammar/schema-grammar.ts'
import { compileOutputSchema } from '../../native-node/server/output-schema.ts'
import { deriver, matches, prefixOf, sizeOf } from './grammar-texts.ts'

function compiled(schema: unknown): Grammar {
  const grammar = schemaGrammar(schema)
  if (grammar === undefined) throw new Error('no grammar')
  return grammar
}

function optional(count: number): object {
  const names = Array.from({ length: count }, (_, index) => `property${1000 + index}`)
  return { type: 'object', properties: Object.fromEntries(names.map((name) => [name, {}])) }
}

function nested(levels: number, inside: unknown, wrap: (schema: unknown) => unknown): unknown {
  let schema = inside
  for (let level = 0; level < levels; level++) schema = wrap(schema)
  return schema
}

/** Definitions that each refer to the next; the last is a boolean. */
function chain(length: number, link: (next: object) => object): object {
  const links = Array.from({ length }, (_, at) => [at, link({ $ref: `#/$defs/${at + 1}` })])
  return {
    $ref: '#/$defs/0',
    $defs: Object.fromEntries([...links, [length, { type: 'boolean' }]]),
  }
}

describe('large schemas', () => {
  it('optional properties cost the same each', () => {
    const [one, two] = [compiled(optional(500)), compiled(optional(1000))]
    expect(sizeOf(two)).toBeLessThan(2 * sizeOf(one))
    expect(sizeOf(two)).toBeLessThan(35_000)
    expect(matches(two, '{}')).toBe(true)
    expect(matches(two, '{"property1000":1,"property1500":2,"property1999":3}')).toBe(true)
    expect(prefixOf(two, '{"property1500":2,"property1000"')).toBe(false)
  })

  it('what would pass the bound is not enforced', () => {
    expect(schemaGrammar(optional(5000))).toBeUndefined()
  })

  it('an enum of a thousand values is enforced, of a larger one only the types', () => {
    const words = (count: number) => Array.from({ length: count }, (_, index) => `word-${index}`)
    const small = compiled({ enum: words(1000) })
    expect(matches(small, '"word-999"')).toBe(true)
    expect(prefixOf(small, '"word-1000')).toBe(false)
    const large = compiled({ enum: words(5000) })
    expect(matches(large, '"other"')).toBe(true)
    expect(prefixOf(large, '1')).toBe(false)
  })

  it('lists in lists', () => {
    const deep = compiled(nested(500, true, (items) => ({ type: 'array', items })) as object)
    expect(matches(deep, `${'['.repeat(300)}${']'.repeat(300)}`)).toBe(true)
    expect(prefixOf(deep, '[[{')).toBe(false)
    const deeper = nested(5000, true, (items) => ({ type: 'array', items })) as object
    expect(schemaGrammar(deeper)).toBeUndefined()
    const any = compiled(true)
    expect(matches(any, `${'['.repeat(5000)}${']'.repeat(5000)}`)).toBe(true)
  })

  it('a chain of references', () => {
    const plain = compiled(chain(900, (next) => next))
    expect(matches(plain, 'true')).toBe(true)
    expect(matches(plain, '1')).toBe(false)
  })

  it('choices that multiply end', () => {
    const doubled = chain(40, (next) => ({ anyOf: [next, next] }))
    expect(matches(compiled(doubled), 'true')).toBe(true)
    const merged = chain(40, (next) => ({ type: 'boolean', anyOf: [next, { ...next }] }))
    expect(schemaGrammar(merged) ?? 'too large').toBeDefined()
    const all = chain(40, (next) => ({ type: 'boolean', allOf: [next, { ...next }] }))
    expect(schemaGrammar(all) ?? 'too large').toBeDefined()
  })

  it('names of undeclared properties are told apart at a bounded cost', () => {
    const open = compiled({ ...optional(60), additionalProperties: { type: 'integer' } })
    expect(matches(open, '{"property1000":"a","other":1}')).toBe(true)
    expect(sizeOf(open)).toBeLessThan(10_000)
  })
})

describe('schemas that no text fits', () => {
  it.each<[string, unknown]>([
    ['false', false],
    ['itself', { $ref: '#' }],
    [
      'each other',
      { $ref: '#/$defs/a', $defs: { a: { $ref: '#/$defs/b' }, b: { $ref: '#/$defs/a' } } },
    ],
    ['itself and more', { anyOf: [{ $ref: '#' }] }],
    ['itself in allOf', { allOf: [{ $ref: '#' }, { type: 'string' }] }],
    ['a member without end', { properties: { n: { $ref: '#' } }, required: ['n'] }],
    ['an empty enum', { enum: [] }],
    ['an enum of other types', { type: 'string', enum: [1, null] }],
    ['const beside enum', { const: 1, enum: [2] }],
    ['two types', { allOf: [{ type: 'string' }, { type: 'integer' }] }],
    ['bounds of a number', { type: 'integer', minimum: 5, maximum: 4 }],
    ['bounds between whole numbers', { type: 'integer', minimum: 0.2, maximum: 0.8 }],
    ['bounds of a text', { type: 'string', minLength: 5, maxLength: 4 }],
    ['bounds of a list', { type: 'array', minItems: 100, maxItems: 4 }],
    ['a list of nothing', { type: 'array', items: false, minItems: 1 }],
    ['a required property of nothing', { properties: { a: false }, required: ['a'] }],
    [
      'a required property that must not be',
      { type: 'object', properties: {}, required: ['a'], additionalProperties: false },
    ],
  ])('%s: nothing is enforced', (_, schema) => {
    expect(schemaGrammar(schema)).toBeUndefined()
  })

  it('one of the alternatives being so takes nothing away from the others', () => {
    const grammar = compiled({ anyOf: [false, { enum: [] }, { type: 'boolean' }] })
    expect(matches(grammar, 'true')).toBe(true)
  })

  it('a reference that leads nowhere says nothing', () => {
    expect(matches(compiled({ $ref: '#/$defs/none' }), '[1]')).toBe(true)
  })
})

// ---- any keywords

const small = fc.letrec<{ json: unknown }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 2, depthSize: 'small' },
    fc.constantFrom(null, true, false, '', 'a', 'ab', -2, 0, 1, 2, 1.5),
    fc.array(tie('json'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom('a', 'b', 'c'), tie('json'), { maxKeys: 3 }),
  ),
})).json

const types = ['string', 'number', 'integer', 'boolean', 'object', 'array', 'null']

/** Types and `additionalProperties` are always named: where they are not, a grammar means less than the schema says. */
const soup = fc.letrec<{ schema: unknown }>((tie) => {
  const schema = tie('schema')
  const few = fc.array(schema, { minLength: 1, maxLength: 3 })
  const count = fc.nat(3)
  const number = fc.constantFrom(-2, -1, 0, 1, 1.5, 2)
  const optionalKeywords = {
    enum: fc.array(small, { minLength: 1, maxLength: 6 }),
    const: small,
    properties: fc.dictionary(fc.constantFrom('a', 'b'), schema),
    required: fc.uniqueArray(fc.constantFrom('a', 'b', 'c'), { maxLength: 2 }),
    propertyNames: schema,
    minProperties: count,
    maxProperties: count,
    items: schema,
    prefixItems: few,
    minItems: count,
    maxItems: count,
    uniqueItems: fc.boolean(),
    contains: schema,
    minLength: count,
    maxLength: count,
    minimum: number,
    maximum: number,
    exclusiveMinimum: number,
    exclusiveMaximum: number,
    multipleOf: fc.constantFrom(1, 2, 0.5),
    anyOf: few,
    oneOf: few,
    allOf: few,
    not: schema,
    if: schema,
    else: schema,
    $ref: fc.constantFrom('#', '#/$defs/x', '#/$defs/y', '#/properties/a'),
  }
  const keywords = fc.record(
    {
      type: fc.uniqueArray(fc.constantFrom(...types), { minLength: 3 }),
      additionalProperties: schema,
      ...optionalKeywords,
    },
    { requiredKeys: ['type', 'additionalProperties'] },
  )
  // Of so many keywords a few at a time, or nothing would fit.
  const names = fc.shuffledSubarray(Object.keys(optionalKeywords), { maxLength: 4 })
  const some = fc.tuple(keywords, names).map(([all, kept]) => {
    const entries = Object.entries(all)
    return Object.fromEntries(
      entries.filter(([key]) => kept.includes(key) || !Object.hasOwn(optionalKeywords, key)),
    )
  })
  return { schema: fc.oneof({ maxDepth: 3, depthSize: 'small' }, fc.constant(true), some) }
}).schema

const withDefinitions = fc
  .tuple(soup, soup, soup)
  .map(([schema, x, y]) => ({ ...Object(schema), $defs: { x, y } }))

/** Whether one of the first 500 spellings of a value is a text. */
function isWritten(grammar: Grammar, value: unknown): boolean {
  let count = 0
  for (const text of spellings(value)) {
    if (matches(grammar, text)) return true
    if (++count === 500) break
  }
  return false
}

/** Every order of the members of its objects. */
function* spellings(value: unknown): Generator<string> {
  if (typeof value !== 'object' || value === null) yield JSON.stringify(value)
  else if (Array.isArray(value)) {
    for (const parts of combinations(value)) yield `[${parts.join()}]`
  } else {
    for (const entries of orders(Object.entries(value))) {
      for (const parts of combinations(entries.map(([, one]) => one))) {
        yield `{${parts.map((part, at) => `${JSON.stringify(entries[at]![0])}:${part}`).join()}}`
      }
    }
  }
}

function* combinations([first, ...rest]: readonly unknown[]): Generator<string[]> {
  if (first === undefined) yield []
  else
    for (const one of spellings(first)) for (const more of combinations(rest)) yield [one, ...more]
}

function* orders<T>(list: readonly T[]): Generator<T[]> {
  if (list.length === 0) yield []
  for (const [at, first] of list.entries()) {
    for (const rest of orders(list.toSpliced(at, 1))) yield [first, ...rest]
  }
}

function accepts(schema: unknown): ((text: string) => string | undefined) | undefined {
  try {
    return compileOutputSchema(schema, 'schema')
  } catch {
    return undefined
  }
}

describe('any keywords', () => {
  it('a value that fits can be written', () => {
    let fitting = 0
    fc.assert(
      fc.property(
        withDefinitions,
        fc.array(small, { minLength: 12, maxLength: 12 }),
        (schema, values) => {
          const check = accepts(schema)
          const good = values.filter((value) => check?.(JSON.stringify(value)) === undefined)
          if (check === undefined || good.length === 0) return
          fitting++
          const grammar = compiled(schema)
          expect(good.filter((value) => !isWritten(grammar, value))).toEqual([])
        },
      ),
      { seed: 7, numRuns: 400 },
    )
    expect(fitting).toBeGreaterThan(80)
  })

  it('every text is JSON', () => {
    fc.assert(
      fc.property(withDefinitions, fc.nat(), (schema, seed) => {
        const grammar = schemaGrammar(schema)
        if (grammar === undefined) return
        let state = (seed % 2147483646) + 1
        const derive = deriver(grammar, () => {
          state = (state * 48271) % 2147483647
          return (state - 1) / 2147483646
        })
        for (let count = 0; count < 3; count++) JSON.parse(derive())
      }),
      { seed: 8, numRuns: 150 },
    )
  })
})
