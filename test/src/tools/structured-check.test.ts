import { type Schema, Validator } from '@cfworker/json-schema'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compileSchema } from '../../../src/tools/structured-check.ts'

const fits = (schema: unknown, value: unknown) => compileSchema(schema).check(value)

function refusal(schema: unknown, options = {}) {
  try {
    compileSchema(schema, { param: 'text.format.schema', ...options })
  } catch (error) {
    return error
  }
  return undefined
}

/** A schema of everything that OpenAI's strict mode knows. */
const strict = {
  type: 'object',
  properties: {
    name: { type: 'string', description: 'who' },
    age: { type: ['integer', 'null'], minimum: 0, maximum: 150 },
    score: { type: 'number', multipleOf: 0.1, exclusiveMaximum: 10 },
    unit: { type: 'string', enum: ['m', 'ft'] },
    kind: { const: 'person' },
    tags: { type: 'array', items: { type: 'string' }, minItems: 1, maxItems: 3 },
    next: { anyOf: [{ $ref: '#' }, { type: 'null' }] },
    home: { $ref: '#/$defs/place' },
  },
  required: ['name', 'age', 'score', 'unit', 'kind', 'tags', 'next', 'home'],
  additionalProperties: false,
  $defs: {
    place: {
      type: 'object',
      properties: { town: { type: 'string' } },
      required: ['town'],
      additionalProperties: false,
    },
  },
}
const ann = {
  name: 'Ann',
  age: 3,
  score: 0.3,
  unit: 'm',
  kind: 'person',
  tags: ['a'],
  next: null,
  home: { town: 'Rome' },
}

describe('what OpenAI’s strict mode uses', () => {
  it.each<[object, string, string]>([
    [{ ...ann, name: 1 }, '#/name', 'must be string, not number'],
    [{ ...ann, age: 1.5 }, '#/age', 'must be integer or null, not number'],
    [{ ...ann, age: -1 }, '#/age', 'must be 0 or more'],
    [{ ...ann, score: 0.35 }, '#/score', 'must be a multiple of 0.1'],
    [{ ...ann, score: 10 }, '#/score', 'must be less than 10'],
    [{ ...ann, unit: 'km' }, '#/unit', 'does not match any of ["m","ft"]'],
    [{ ...ann, kind: 'dog' }, '#/kind', 'must be "person"'],
    [{ ...ann, tags: [] }, '#/tags', 'must have 1 items or more'],
    [{ ...ann, tags: ['a', 2] }, '#/tags/1', 'must be string, not number'],
    [{ ...ann, next: ann, home: {} }, '#/home', "the required property 'town' is missing"],
    [{ ...ann, next: { ...ann, name: null } }, '#/next/name', 'must be string, not null'],
    [{ ...ann, extra: 1 }, '#/extra', 'is not allowed'],
  ])('%#: says where and what', (value, path, message) => {
    expect(fits(strict, ann)).toBeUndefined()
    expect(fits(strict, { ...ann, next: ann })).toBeUndefined()
    expect(fits(strict, value)).toEqual({ path, message, unchecked: false })
  })

  it('counts characters, not code units, and writes paths as JSON pointers', () => {
    expect(fits({ maxLength: 2 }, '😀😀')).toBeUndefined()
    expect(fits({ minLength: 3 }, '😀😀')?.message).toBe('must have 3 characters or more')
    expect(fits({ properties: { 'a/b~': { type: 'null' } } }, { 'a/b~': 1 })?.path).toBe('#/a~1b~0')
  })

  it('knows own members only', () => {
    expect(fits({ required: ['constructor'] }, {})).toBeDefined()
    const schema = JSON.parse('{"properties":{"__proto__":{"type":"string"}}}')
    expect(fits(schema, JSON.parse('{"__proto__":1}'))?.path).toBe('#/__proto__')
  })

  it('takes true and false for schemas', () => {
    expect(fits(true, 1)).toBeUndefined()
    expect(fits(false, 1)?.message).toBe('is not allowed')
  })
})

const when = (condition: object, yes: object, no: object) =>
  JSON.parse(
    JSON.stringify({ if: condition, else: no }).replace('{', `{"then":${JSON.stringify(yes)},`),
  )

describe('what only a regular expression could tell', () => {
  const slow = { pattern: '^(a+)+$' }
  it.each<[unknown, unknown]>([
    [slow, `${'a'.repeat(60)}!`],
    [{ format: 'email' }, 'nobody'],
    [{ not: slow }, 'aaa'],
    [{ oneOf: [slow, { pattern: 'b' }] }, 'x'],
    [{ oneOf: [slow, { type: 'string' }] }, 'x'],
    [when(slow, { minLength: 9 }, { minLength: 1 }), 'x'],
    [{ contains: slow, maxContains: 1 }, ['x', 'y']],
    [{ patternProperties: { '^x': { type: 'string' } }, additionalProperties: false }, { y: 1 }],
    [{ propertyNames: slow }, { y: 1 }],
    [{ patternProperties: { '^x': {} }, unevaluatedProperties: false }, { y: 1 }],
  ])('passes, whatever it stands in: %j', (schema, value) => {
    expect(fits(schema, value)).toBeUndefined()
  })

  it('hides nothing else', () => {
    expect(fits({ ...slow, maxLength: 2 }, 'xxx')).toBeDefined()
    expect(fits({ allOf: [slow, { type: 'number' }] }, 'x')).toBeDefined()
    expect(fits(when(slow, { minLength: 9 }, { minLength: 5 }), 'x')).toBeDefined()
    expect(fits({ contains: slow, minContains: 3 }, ['x', 'y'])).toBeDefined()
    expect(
      fits({ patternProperties: { x: {} }, properties: { a: { type: 'null' } } }, { a: 1 }),
    ).toBeDefined()
  })
})

describe('hostile schemas and values', () => {
  it('refuses what cannot be checked, and names the place', () => {
    const wide = Object.fromEntries(Array.from({ length: 10_001 }, (_, i) => [`k${i}`, {}]))
    let deep: object = {}
    for (let i = 0; i < 70; i++) deep = { items: deep }
    const chain = Array.from({ length: 4000 }, (_, i) => [
      i,
      { allOf: [{ $ref: `#/$defs/${i + 1}` }] },
    ])
    for (const schema of [
      'x',
      null,
      [],
      { enum: ['x'.repeat(300_000)] },
      { properties: wide },
      deep,
      { $ref: '#/$defs/0', $defs: { ...Object.fromEntries(chain), 4000: {} } },
      { 'x-note': JSON.parse(`${'['.repeat(30_000)}${']'.repeat(30_000)}`) },
    ]) {
      expect(refusal(schema)).toMatchObject({ code: 'invalid_value', param: 'text.format.schema' })
    }
  })

  it('follows references into the schema itself and nowhere else', () => {
    for (const $ref of [
      'https://example.com/s',
      '//x',
      'other.json',
      '#a',
      '#/$defs/none',
      '#/%zz',
    ]) {
      expect(refusal({ $ref })).toMatchObject({ param: 'text.format.schema.$ref' })
    }
    expect(refusal({ anyOf: [{ $ref: '#' }] })).toMatchObject({
      param: 'text.format.schema.anyOf[0].$ref',
    })
  })

  it('follows a schema that refers to itself as deep as the value goes, up to a limit', () => {
    const tree = { properties: { next: { $ref: '#' }, v: { type: 'number' } }, required: ['v'] }
    let value: object = { v: 'x' }
    for (let i = 0; i < 100; i++) value = { v: i, next: value }
    expect(fits(tree, value)?.path).toContain('#/next/next/')
    const list = JSON.parse(`${'['.repeat(60_000)}${']'.repeat(60_000)}`)
    expect(fits({ items: { $ref: '#' } }, list)).toMatchObject({ unchecked: true })
  })

  it.each<[string, object, unknown]>([
    [
      'alternatives inside alternatives',
      { anyOf: [1, 2].map(() => ({ minItems: 1, items: { $ref: '#' } })) },
      JSON.parse(`${'['.repeat(60)}${']'.repeat(60)}`),
    ],
    [
      'many long strings, each measured often',
      { items: { allOf: Array.from({ length: 3000 }, () => ({ maxLength: 1e9 })) } },
      Array.from({ length: 1000 }, () => 'x'.repeat(10_000)),
    ],
    [
      'a long list of values against a long list of choices',
      { items: { enum: Array.from({ length: 20_000 }, (_, i) => i) } },
      Array.from({ length: 20_000 }, () => 19_999),
    ],
    [
      'a long list, each time for nothing',
      { allOf: Array.from({ length: 9000 }, () => ({ items: true })) },
      Array.from({ length: 20_000 }, () => 1),
    ],
    [
      'a long list of types',
      { allOf: Array.from({ length: 9 }, () => ({ items: { type: Array(3000).fill('null') } })) },
      Array.from({ length: 20_000 }, () => null),
    ],
    [
      'large objects, each counted often',
      { allOf: Array.from({ length: 9000 }, () => ({ minProperties: 1 })) },
      Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [i, 1])),
    ],
    [
      'unevaluated members beside many alternatives',
      {
        anyOf: Array.from({ length: 3000 }, () => ({ additionalProperties: true })),
        unevaluatedProperties: false,
      },
      Object.fromEntries(Array.from({ length: 3000 }, (_, i) => [i, 1])),
    ],
  ])('gives up in bounded steps: %s', (_, schema, value) => {
    expect(fits(schema, value)).toEqual({
      path: '#',
      message: 'is too deep or too large to be checked',
      unchecked: true,
    })
  })

  it('compares a long list’s items in linear time', () => {
    const items = Array.from({ length: 50_000 }, (_, i) => ({ i }))
    expect(fits({ uniqueItems: true }, items)).toBeUndefined()
    expect(
      fits({ uniqueItems: true }, [
        { a: 1, b: [2] },
        { b: [2], a: 1 },
      ])?.path,
    ).toBe('#/1')
  })
})

// ---- against another implementation

const scalar = fc.constantFrom<unknown>(null, true, 0, 1, 2.5, -3, '', 'a', 'bcd')
const value = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    scalar,
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom('a', 'b', 'c'), tie('value'), { maxKeys: 3 }),
  ),
})).value
const small = fc.integer({ min: 0, max: 3 })
const names = fc.uniqueArray(fc.constantFrom('a', 'b', 'c'), { maxLength: 2 })
const schema = fc.letrec<{ schema: unknown; node: object }>((tie) => {
  const sub = tie('schema')
  const some = fc.array(sub, { minLength: 1, maxLength: 3 })
  const map = fc.dictionary(fc.constantFrom('a', 'b', 'c'), sub, { maxKeys: 3 })
  return {
    schema: fc.oneof({ depthSize: 'small' }, fc.boolean(), fc.constant({}), tie('node')),
    node: fc
      .record(
        {
          type: fc.constantFrom<unknown>(
            'object',
            'array',
            'integer',
            ['string', 'null', 'object'],
            'number',
          ),
          enum: fc.array(value, { minLength: 1, maxLength: 3 }),
          const: value,
          properties: map,
          required: names,
          additionalProperties: sub,
          propertyNames: fc.record({ maxLength: small }, { requiredKeys: [] }),
          unevaluatedProperties: sub,
          minProperties: small,
          maxProperties: small,
          dependentRequired: fc.dictionary(fc.constantFrom('a', 'b'), names, { maxKeys: 1 }),
          dependentSchemas: map,
          prefixItems: some,
          items: sub,
          contains: sub,
          minContains: small,
          maxContains: small,
          minItems: small,
          maxItems: small,
          uniqueItems: fc.boolean(),
          allOf: some,
          anyOf: some,
          oneOf: some,
          not: sub,
          if: sub,
          // biome-ignore lint/suspicious/noThenProperty: a JSON schema's keyword
          then: sub,
          else: sub,
          minimum: small,
          exclusiveMaximum: small,
          multipleOf: fc.constantFrom(0.5, 2),
          minLength: small,
          maxLength: small,
        },
        { requiredKeys: [] },
      )
      .map((all) => Object.fromEntries(Object.entries(all).slice(0, 4))),
  }
}).schema

describe('beside another validator', () => {
  it('gives the same verdict', () => {
    let refused = 0
    fc.assert(
      fc.property(schema, value, (schema, value) => {
        const mine = fits(schema, value)
        const theirs = new Validator(schema as Schema, '2020-12').validate(value).valid
        if (!theirs) refused++
        expect(mine === undefined).toBe(theirs)
      }),
      { numRuns: 400 },
    )
    expect(refused).toBeGreaterThan(20)
  })
})
