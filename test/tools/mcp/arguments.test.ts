// Arguments as models write them: wrong ones become text for the model, never a call.
import { describe, expect, it } from 'vitest'
import { checkArguments } from '../../../src/tools/mcp/arguments.ts'
import { usualTools } from '../mcp-server.ts'

const toolOf = (input_schema: Record<string, unknown>) => ({
  name: 'tool',
  description: null,
  input_schema,
  annotations: null,
})
const add = toolOf({ ...usualTools.find(({ name }) => name === 'add')?.inputSchema })
const tree = toolOf({ ...usualTools.find(({ name }) => name === 'tree')?.inputSchema })

describe('arguments', () => {
  it('are given as an object when they fit', () => {
    expect(checkArguments(add, '{"a": 1, "b": 2}')).toEqual({ args: { a: 1, b: 2 } })
    expect(checkArguments(toolOf({ type: 'object' }), '')).toEqual({ args: {} })
  })

  it.each([
    ['{"a": 1,', 'not valid JSON'],
    ['[1, 2]', 'not a JSON object'],
    ['"a"', 'not a JSON object'],
    ['null', 'not a JSON object'],
    ['{"a": 1}', "the required property 'b' is missing"],
    ['{"a": "1", "b": 2}', 'at #/a: must be number'],
    [`{"a": "${'x'.repeat(1_100_000)}"}`, 'too long'],
  ])('are refused with a reason: %.20s', (text, reason) => {
    const { fault } = checkArguments(add, text)
    expect(fault).toContain('not called')
    expect(fault).toContain(reason)
  })

  it('follow a schema that refers to itself', () => {
    const deep = (levels: number): object =>
      levels === 0 ? { value: 'end' } : { value: 'v', next: deep(levels - 1) }
    const { $defs } = tree.input_schema
    const defs = { node: Object.entries($defs ?? {}).find(([name]) => name === 'node')?.[1] }
    const sound = { type: 'object', properties: { node: { $ref: '#/$defs/node' } }, $defs: defs }
    const node = (value: unknown) => checkArguments(toolOf(sound), JSON.stringify({ node: value }))
    expect(node(deep(20)).fault).toBeUndefined()
    expect(node({ value: 1 }).fault).toContain('#/node/value')
  })

  it.each<[string, Record<string, unknown>]>([
    ['that refers to nothing but itself', { $ref: '#' }],
    ['with a loop among its references', tree.input_schema],
    ['that refers elsewhere', { $ref: 'http://127.0.0.1/schema.json' }],
    ['of no known form', { type: 'object', properties: 7 }],
    ['that is too deep', nested(5000)],
  ])('are left to the server under a schema %s', (_, schema) => {
    expect(checkArguments(toolOf(schema), '{"loop": 1}')).toEqual({ args: { loop: 1 } })
  })

  it('are never matched by a regular expression of the server', () => {
    const tool = toolOf({
      type: 'object',
      properties: { a: { type: 'string', pattern: '^(a+)+$' } },
    })
    expect(checkArguments(tool, JSON.stringify({ a: `${'a'.repeat(50_000)}!` })).args).toBeDefined()
  })

  it('survive keys that are properties of every object', () => {
    const tool = toolOf({ type: 'object', additionalProperties: { type: 'number' } })
    expect(checkArguments(tool, '{"__proto__": 1, "constructor": 2}').fault).toBeUndefined()
    expect(checkArguments(tool, '{"constructor": "x"}').fault).toContain('must be number')
  })
})

function nested(levels: number): Record<string, unknown> {
  let schema: Record<string, unknown> = { type: 'string' }
  for (let at = 0; at < levels; at++) schema = { type: 'object', properties: { a: schema } }
  return schema
}
