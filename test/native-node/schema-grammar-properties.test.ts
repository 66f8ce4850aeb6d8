// Random schemas: every text of the grammar is JSON that fits, and every value that fits has a text in the grammar.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Grammar } from '../../native-node/server/grammar/grammar.ts'
import {
  jsonObjectGrammar,
  schemaGrammar,
} from '../../native-node/server/grammar/schema-grammar.ts'
import { compileOutputSchema } from '../../native-node/server/output-schema.ts'
import { deriver, matches, prefixOf } from './grammar-texts.ts'

/** A schema, and how to make values that fit it. */
interface Subject {
  schema: object
  value: fc.Arbitrary<unknown>
}

const run = { seed: 20_241_122, numRuns: 150 }
const character = fc.oneof(
  fc.constantFrom('a', 'b', ' ', '"', '\\', '/', '\n', '\u0000', '\u007f', 'é', '€', '😀'),
  fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
)
const name = fc.oneof(
  fc.constantFrom('a', 'ab', 'abc', '__proto__', 'toString', '', 'a"b', 'é'),
  fc.string({ unit: character, maxLength: 6 }),
)
const anyJson = fc.jsonValue({ maxDepth: 2 })

/** A number as the grammar writes it: what JSON.stringify makes of any double. */
const double = fc.double({ noNaN: true, noDefaultInfinity: true })

const { subject } = fc.letrec<{ subject: Subject }>((tie) => ({
  subject: fc.oneof(
    { maxDepth: 3 },
    leaf(),
    list(tie('subject')),
    object(tie('subject')),
    either(tie('subject')),
  ),
}))

function leaf(): fc.Arbitrary<Subject> {
  const constants = (values: unknown[]): Subject => ({
    schema: { enum: values },
    value: fc.constantFrom(...values),
  })
  return fc.oneof(
    fc.constant<Subject>({ schema: { type: 'boolean' }, value: fc.boolean() }),
    fc.constant<Subject>({ schema: { type: 'null' }, value: fc.constant(null) }),
    fc.constant<Subject>({ schema: { type: 'number' }, value: double }),
    fc.constant<Subject>({ schema: {}, value: anyJson }),
    fc.array(anyJson, { minLength: 1, maxLength: 5 }).map(constants),
    bounds(30).map(({ least, most }) => ({
      schema: { type: 'string', minLength: least, maxLength: most },
      value: fc.string({ unit: character, minLength: least, maxLength: most }),
    })),
    fc.tuple(fc.maxSafeInteger(), fc.maxSafeInteger()).map(([one, other]) => {
      const [min, max] = [Math.min(one, other), Math.max(one, other)]
      const value = fc.maxSafeInteger().map((n) => min + (Math.abs(n) % (max - min + 1)))
      return {
        schema: { type: 'integer', minimum: min, maximum: max },
        value: value.filter((n) => n <= max),
      }
    }),
    fc.tuple(fc.integer({ min: -300, max: 300 }), fc.nat(500)).map(([min, span]) => ({
      schema: { type: 'integer', minimum: min, maximum: min + span },
      value: fc.integer({ min, max: min + span }),
    })),
  )
}

function bounds(limit: number): fc.Arbitrary<{ least: number; most: number }> {
  return fc.tuple(fc.nat(limit), fc.nat(limit)).map(([one, other]) => ({
    least: Math.min(one, other),
    most: Math.max(one, other),
  }))
}

function list(item: fc.Arbitrary<Subject>): fc.Arbitrary<Subject> {
  return fc
    .tuple(fc.array(item, { maxLength: 3 }), item, bounds(5))
    .map(([first, rest, { least, most }]) => ({
      schema: {
        type: 'array',
        prefixItems: first.map(({ schema }) => schema),
        items: rest.schema,
        minItems: least,
        maxItems: most,
      },
      value: fc
        .integer({ min: least, max: most })
        .chain((length) =>
          fc.tuple(...Array.from({ length }, (_, at) => (first[at] ?? rest).value)),
        ),
    }))
}

function object(member: fc.Arbitrary<Subject>): fc.Arbitrary<Subject> {
  const members = fc.uniqueArray(fc.tuple(name, member, fc.boolean()), {
    maxLength: 5,
    selector: ([key]) => key,
  })
  return fc.tuple(members, fc.option(member)).map(([entries, other]) => {
    const ordered = Object.entries(Object.fromEntries(entries.map(([key, ...rest]) => [key, rest])))
    const schema = {
      type: 'object',
      properties: Object.fromEntries(ordered.map(([key, [{ schema }]]) => [key, schema])),
      required: ordered.filter(([, [, isRequired]]) => isRequired).map(([key]) => key),
      additionalProperties: other === null ? false : other.schema,
    }
    const pairs = ordered.map(([key, [{ value }, isRequired]]) => {
      const pair = value.map((one) => [[key, one]])
      return isRequired ? pair : fc.oneof(pair, fc.constant([]))
    })
    const isDeclared = (key: string) => Object.hasOwn(schema.properties, key)
    const others =
      other === null
        ? fc.constant([])
        : // Names like numbers come first in JavaScript, whatever they are behind.
          fc.array(
            fc.tuple(
              name.filter((key) => !isDeclared(key) && !/^\d/.test(key)),
              other.value,
            ),
            { maxLength: 2 },
          )
    const value = fc
      .tuple(fc.tuple(...pairs), others)
      .map(([declared, more]) => Object.fromEntries([...declared.flat(), ...more]))
    return { schema, value }
  })
}

function either(part: fc.Arbitrary<Subject>): fc.Arbitrary<Subject> {
  return fc.array(part, { minLength: 1, maxLength: 3 }).map((parts) => ({
    schema: { anyOf: parts.map(({ schema }) => schema) },
    value: fc.oneof(...parts.map(({ value }) => value)),
  }))
}

/** JSON with white space where the grammar has it. */
function spaced(value: unknown, gap: () => string): string {
  const joined = (open: string, parts: string[], close: string) =>
    `${open}${gap()}${parts.map((part, index) => (index === 0 ? part : `,${gap()}${part}`)).join('')}${parts.length > 0 ? gap() : ''}${close}`
  if (Array.isArray(value))
    return joined(
      '[',
      value.map((one) => spaced(one, gap)),
      ']',
    )
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = Object.entries(value).map(
    ([key, one]) => `${JSON.stringify(key)}:${gap()}${spaced(one, gap)}`,
  )
  return joined('{', members, '}')
}

function randomOf(seed: number): () => number {
  let state = (Math.abs(seed) % 2147483646) + 1
  return () => {
    state = (state * 48271) % 2147483647
    return (state - 1) / 2147483646
  }
}

function compiled(schema: unknown): Grammar {
  const grammar = schemaGrammar(schema)
  if (grammar === undefined) throw new Error('no grammar')
  return grammar
}

const enumObjects = (schema: unknown) => JSON.stringify(schema).includes('"enum"')

describe('random schemas', () => {
  it('every text of the grammar is JSON that fits', () => {
    fc.assert(
      fc.property(subject, fc.nat(), ({ schema }, seed) => {
        const check = compileOutputSchema(schema, 'schema')
        const derive = deriver(compiled(schema), randomOf(seed))
        for (let count = 0; count < 4; count++) expect(check(derive())).toBeUndefined()
      }),
      run,
    )
  })

  it('every value that fits has a text, and each beginning of it can be gone on with', () => {
    const cases = subject.chain(({ schema, value }) => fc.tuple(fc.constant(schema), value))
    fc.assert(
      fc.property(cases, fc.nat(), ([schema, value], seed) => {
        const random = randomOf(seed)
        const grammar = compiled(schema)
        const text = JSON.stringify(value)
        expect(compileOutputSchema(schema, 'schema')(text)).toBeUndefined()
        expect(matches(grammar, text)).toBe(true)
        const bytes = new TextEncoder().encode(text)
        expect(prefixOf(grammar, bytes.subarray(0, Math.floor(random() * bytes.length)))).toBe(true)
        // Values of an enum are written in one way.
        if (enumObjects(schema)) return
        const gaps = ['', ' ', '\n', '\n  ', '\n\t', `\n${' '.repeat(20)}`]
        const gap = () => gaps[Math.floor(random() * gaps.length)]!
        expect(matches(grammar, spaced(value, gap))).toBe(true)
      }),
      run,
    )
  })

  it('two schemas at once are what fits both', () => {
    const pairs = fc
      .tuple(subject, subject)
      .chain(([one, other]) =>
        fc.tuple(
          fc.constant({ allOf: [one.schema, other.schema] }),
          fc.oneof(one.value, other.value),
        ),
      )
    let fitting = 0
    fc.assert(
      fc.property(pairs, ([schema, value]) => {
        const text = JSON.stringify(value)
        if (compileOutputSchema(schema, 'schema')(text) !== undefined) return
        fitting++
        expect(matches(compiled(schema), text)).toBe(true)
      }),
      { ...run, numRuns: 600 },
    )
    expect(fitting).toBeGreaterThan(30)
  })
})

describe('json_object', () => {
  it('every text is an object, and every object has a text', () => {
    fc.assert(
      fc.property(fc.nat(), fc.dictionary(name, anyJson), (seed, value) => {
        const text = deriver(jsonObjectGrammar, randomOf(seed))()
        expect(Object.prototype.toString.call(JSON.parse(text))).toBe('[object Object]')
        expect(matches(jsonObjectGrammar, JSON.stringify(value, undefined, 2))).toBe(true)
      }),
      run,
    )
  })
})
