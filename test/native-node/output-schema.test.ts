import { describe, expect, it } from 'vitest'
import { checkJsonObject, compileOutputSchema } from '../../native-node/server/output-schema.ts'

const person = {
  type: 'object',
  properties: { name: { type: 'string' }, age: { type: 'integer' } },
  required: ['name', 'age'],
  additionalProperties: false,
}

function refusal(schema: unknown) {
  try {
    compileOutputSchema(schema, 'text.format.schema')
  } catch (error) {
    return error
  }
  return undefined
}

/** Definitions that each refer to the next. */
function chain(length: number, link: (next: object) => object) {
  const definitions = Array.from({ length }, (_, i) => [i, link({ $ref: `#/$defs/${i + 1}` })])
  return { $ref: '#/$defs/0', $defs: Object.fromEntries([...definitions, [length, {}]]) }
}

describe('checking output', () => {
  it('accepts what fits and says what does not', () => {
    const check = compileOutputSchema(person, 'p')
    expect(check('{"name":"Ann","age":3}')).toBeUndefined()
    expect(check('{"name":"Ann"}')).toContain('age')
    expect(check('{"name":"Ann","age":3,"x":1}')).toContain('x')
    expect(check('{"name":"Ann","age":"3"}')).toContain('#/age')
    expect(check('{"name":"Ann"')).toBe('it is not valid JSON')
    expect(check('')).toBe('it is not valid JSON')
  })

  it('follows references, recursive ones too', () => {
    const tree = {
      $ref: '#/$defs/node',
      $defs: {
        node: {
          type: 'object',
          properties: { v: { type: 'number' }, next: { $ref: '#/$defs/node' } },
          required: ['v'],
        },
      },
    }
    const check = compileOutputSchema(tree, 'p')
    expect(check('{"v":1,"next":{"v":2}}')).toBeUndefined()
    expect(check('{"v":1,"next":{"next":{}}}')).toContain('#/next')
  })

  it('never executes a pattern', () => {
    const check = compileOutputSchema({ type: 'string', pattern: '^(a+)+$', format: 'email' }, 'p')
    // Executed, this pattern would need 2^60 steps.
    expect(check(JSON.stringify(`${'a'.repeat(60)}!`))).toBeUndefined()
  })

  it('takes a property called like a keyword for a property', () => {
    const properties = { pattern: { type: 'string' }, id: { type: 'number' } }
    const check = compileOutputSchema({ type: 'object', properties, required: ['id'] }, 'p')
    expect(check('{"pattern":"x","id":1}')).toBeUndefined()
    expect(check('{"pattern":1,"id":1}')).toContain('#/pattern')
    expect(check('{"id":"1"}')).toContain('#/id')
  })

  it('refuses schemas that are too large or too deep', () => {
    let deep: Record<string, unknown> = { type: 'string' }
    for (let i = 0; i < 40; i++) deep = { items: deep }
    const wide = Object.fromEntries(Array.from({ length: 1001 }, (_, i) => [`k${i}`, {}]))
    for (const schema of [
      'x',
      { enum: ['x'.repeat(70_000)] },
      deep,
      { properties: wide },
      { 'x-note': JSON.parse(`${'['.repeat(30_000)}${']'.repeat(30_000)}`) },
      chain(480, (next) => ({ allOf: [next] })),
      chain(20, (next) => ({ oneOf: [next, next] })),
    ]) {
      expect(refusal(schema)).toMatchObject({ code: 'invalid_value', param: 'text.format.schema' })
    }
  })

  it.each<[unknown, string]>([
    [{ type: 'zzz' }, '.type'],
    [{ type: 3 }, '.type'],
    [{ type: null }, '.type'],
    [{ type: [] }, '.type'],
    [{ type: ['string', 'any'] }, '.type'],
    [{ properties: 'zzz' }, '.properties'],
    [{ properties: null }, '.properties'],
    [{ properties: [{}] }, '.properties'],
    [{ properties: { a: 3 } }, '.properties.a'],
    [{ properties: { a: { type: 'int' } } }, '.properties.a.type'],
    [{ required: 'zzz' }, '.required'],
    [{ required: true }, '.required'],
    [{ required: ['a', 1] }, '.required'],
    [{ additionalProperties: 3 }, '.additionalProperties'],
    [{ additionalProperties: null }, '.additionalProperties'],
    [{ items: 'string' }, '.items'],
    [{ items: [{}, { type: 'x' }] }, '.items[1].type'],
    [{ prefixItems: {} }, '.prefixItems'],
    [{ enum: [] }, '.enum'],
    [{ enum: 'a' }, '.enum'],
    [{ enum: null }, '.enum'],
    [{ anyOf: {} }, '.anyOf'],
    [{ anyOf: [] }, '.anyOf'],
    [{ oneOf: [] }, '.oneOf'],
    [{ allOf: [{}, 'x'] }, '.allOf[1]'],
    [{ not: 1 }, '.not'],
    [{ if: [] }, '.if'],
    [{ minimum: '1' }, '.minimum'],
    [{ exclusiveMaximum: true }, '.exclusiveMaximum'],
    [{ multipleOf: 0 }, '.multipleOf'],
    [{ minLength: -1 }, '.minLength'],
    [{ maxItems: 1.5 }, '.maxItems'],
    [{ uniqueItems: 'yes' }, '.uniqueItems'],
    [{ pattern: 1 }, '.pattern'],
    [{ patternProperties: { '^x': 3 } }, '.patternProperties.^x'],
    [{ dependentRequired: { a: 'b' } }, '.dependentRequired.a'],
    [{ dependencies: { a: [1] } }, '.dependencies.a'],
    [{ $defs: { a: { $defs: 1 } } }, '.$defs.a.$defs'],
    [{ $ref: 3 }, '.$ref'],
    [{ $ref: 'https://example.com/schema' }, '.$ref'],
    [{ $ref: 'http://[' }, '.$ref'],
    [{ $ref: '#/$defs/nowhere' }, '.$ref'],
    // Reached by no value that lacks `a`: all the same nobody can check one that has it.
    [{ properties: { a: { $ref: '#/$defs/nowhere' } } }, '.properties.a.$ref'],
    [{ $ref: '#/$defs', $defs: { a: {} } }, '.$ref'],
    [{ $ref: '#/enum/0', enum: [{}] }, '.$ref'],
    [{ $ref: '#/$defs/a', $defs: { a: { type: 'x' } } }, '.$defs.a.type'],
    [{ $ref: '#/components/a', components: { a: { type: 'x' } } }, '.$ref.type'],
    [{ $ref: '#' }, '.$ref'],
    [{ allOf: [{ $ref: '#' }] }, '.allOf[0].$ref'],
    [
      {
        properties: { a: { $ref: '#/$defs/b' } },
        $defs: { b: { anyOf: [{}, { $ref: '#/$defs/c' }] }, c: { not: { $ref: '#/$defs/b' } } },
      },
      '.$defs.c.not.$ref',
    ],
    [{ dependentSchemas: { a: { $ref: '#' } } }, '.dependentSchemas.a.$ref'],
    [{ properties: { ['k'.repeat(500)]: 3 } }, `.properties.${'k'.repeat(64)}…`],
  ])('refuses %j and names %s', (schema, place) => {
    const param = `text.format.schema${place}`
    const error = refusal(schema)
    expect(error).toMatchObject({ code: 'invalid_value', param })
    expect(error).toMatchObject({ message: expect.stringContaining(`'${param}' `) })
  })

  it('takes every keyword in its right form, and anything for an annotation', () => {
    const all = {
      type: ['object', 'array', 'string', 'number', 'null'],
      title: 1,
      nullable: true,
      'x-view': { type: 'wide', required: true, properties: 3, $ref: 7, format: {} },
      default: { $ref: 'nowhere' },
      constructor: 5,
      __absolute_ref__: 'x',
      $ref: '#/$defs/a%20b~1c',
      $defs: { 'a b/c': { items: { $ref: '#' } }, $ref: { type: 'null' } },
      properties: { required: true, __proto__: {}, type: { type: 'string' }, $ref: false },
      required: [],
      additionalProperties: { $ref: '#/components/schemas/Any' },
      components: { schemas: { Any: true } },
      dependencies: { pattern: ['type'], a: { $ref: '#/$defs/$ref' } },
      dependentRequired: { pattern: ['type'] },
      items: [true, {}],
      prefixItems: [],
      allOf: [],
      anyOf: [true, { maxLength: 3 }],
      if: {},
      // biome-ignore lint/suspicious/noThenProperty: a JSON schema's keyword
      then: true,
      minimum: -1.5,
      multipleOf: 0.5,
      minItems: 0,
      uniqueItems: false,
    }
    const check = compileOutputSchema({ ...all, enum: [2, 2.25, {}] }, 'p')
    expect(check('2')).toBeUndefined()
    expect(check('{}')).toBeUndefined()
    expect(check('2.25')).toContain('multiple')
    expect(check('[]')).toContain('match')
  })

  it('gives up on a schema that explodes over its value, and on a value that is too deep', () => {
    const check = compileOutputSchema(
      {
        anyOf: [
          { items: { $ref: '#' }, minItems: 1 },
          { items: { $ref: '#' }, minItems: 1 },
        ],
      },
      'p',
    )
    const nested = `${'['.repeat(60)}${']'.repeat(60)}`
    expect(check(nested)).toBe('it is too deep or too large to be checked')
    const recursive = compileOutputSchema({ items: { $ref: '#' } }, 'p')
    expect(recursive(`${'['.repeat(60_000)}${']'.repeat(60_000)}`)).toBe(
      'it is too deep or too large to be checked',
    )
  })

  it('knows a JSON object', () => {
    expect(checkJsonObject('{"a":1}')).toBeUndefined()
    expect(checkJsonObject('[1]')).toBeDefined()
    expect(checkJsonObject('{"a":')).toBeDefined()
  })
})
