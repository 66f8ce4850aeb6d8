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

  it('refuses schemas that are too large, too deep, remote or circular', () => {
    let deep: Record<string, unknown> = { type: 'string' }
    for (let i = 0; i < 40; i++) deep = { items: deep }
    const wide = Object.fromEntries(Array.from({ length: 1001 }, (_, i) => [`k${i}`, {}]))
    for (const schema of [
      'x',
      { enum: ['x'.repeat(70_000)] },
      deep,
      { properties: wide },
      { $ref: 'https://example.com/schema' },
      { $ref: '#' },
      { allOf: [{ $ref: '#' }] },
      { $ref: '#/$defs/nowhere' },
      { patternProperties: { '^x': {} } },
    ]) {
      expect(refusal(schema)).toMatchObject({ code: 'invalid_value', param: 'text.format.schema' })
    }
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
