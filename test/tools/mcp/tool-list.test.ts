// Lists of tools: names for the model, pins, and text out of results.
import { describe, expect, it } from 'vitest'
import { McpFault } from '../../../src/tools/mcp/fault.ts'
import { cutText, resultOf } from '../../../src/tools/mcp/result.ts'
import {
  changedTools,
  functionNames,
  listHash,
  type McpTool,
  readTools,
  toolHash,
} from '../../../src/tools/mcp/tool-list.ts'

const tool = (name: string, over: Partial<McpTool> = {}): McpTool => ({
  name,
  description: null,
  input_schema: { type: 'object' },
  annotations: null,
  ...over,
})

describe('names for the model', () => {
  const namesOf = (...servers: [string, string[]][]) =>
    [
      ...functionNames(
        servers.map(([label, names]) => ({ label, tools: names.map((name) => tool(name)) })),
      ),
    ].map(([name, of]) => [name, `${of.label}/${of.tool.name}`])

  it('hold label and tool', () => {
    expect(namesOf(['docs', ['search']], ['shop', ['search']])).toEqual([
      ['docs__search', 'docs/search'],
      ['shop__search', 'shop/search'],
    ])
  })

  it('are of the characters and the length that every provider takes, and never the same', () => {
    const long = 'x'.repeat(100)
    const named = namesOf(['a', ['b.c', 'b c', 'b_c', 'ü', long, `${long}y`]], ['a__b', ['c']])
    const names = named.map(([name]) => name ?? '')
    for (const name of names) expect(name).toMatch(/^[A-Za-z0-9_-]{1,64}$/)
    expect(new Set(names).size).toBe(named.length)
    expect(names.slice(0, 3)).toEqual(['a__b_c', 'a__b_c_2', 'a__b_c_3'])
    expect(namesOf(['a', ['b__c']], ['a__b', ['c']]).map(([name]) => name)).toEqual([
      'a__b__c',
      'a__b__c_2',
    ])
  })
})

describe('pins', () => {
  const pinned = [tool('a', { description: 'A' }), tool('b')]

  it('hold to name, description, schema and annotations, not to their order', async () => {
    const schema = { type: 'object', properties: { x: { type: 'string', minLength: 1 } } }
    const turned = { properties: { x: { minLength: 1, type: 'string' } }, type: 'object' }
    expect(await toolHash(tool('a', { input_schema: schema }))).toBe(
      await toolHash(tool('a', { input_schema: turned })),
    )
    const changes: Partial<McpTool>[] = [
      { name: 'c' },
      { description: 'Another.' },
      { input_schema: { type: 'object', required: ['x'] } },
      { annotations: { readOnlyHint: true } },
    ]
    const hashes = await Promise.all([{}, ...changes].map((each) => toolHash(tool('a', each))))
    expect(new Set(hashes).size).toBe(5)
  })

  it('tell which tools are not what they were', async () => {
    const now = [tool('b'), tool('a', { description: 'Not A' }), tool('new')]
    expect(await changedTools(pinned, now)).toEqual(new Set(['a', 'new']))
    expect(await changedTools(pinned, [...pinned].reverse())).toEqual(new Set())
  })

  it('have one hash for a whole list', async () => {
    expect(await listHash(pinned)).toBe(await listHash([...pinned].reverse()))
    expect(await listHash(pinned)).not.toBe(await listHash(pinned.slice(1)))
  })

  it('are read from an item as from a server', async () => {
    const [read] = readTools([{ name: 'a', description: 'A', input_schema: { type: 'object' } }])
    expect(read).toEqual(pinned[0])
    expect(() => readTools([{ description: 'no name' }])).toThrow(McpFault)
    expect(() => readTools(['a'])).toThrow(McpFault)
  })
})

describe('a result', () => {
  const outputOf = (...content: unknown[]) => resultOf({ content }).output

  it('is the text of its parts', () => {
    expect(outputOf({ type: 'text', text: 'a' }, { type: 'text', text: 'b' })).toBe('a\nb')
    expect(outputOf({ type: 'resource', resource: { uri: 'file:///x', text: 'inside' } })).toBe(
      'inside',
    )
    expect(outputOf({ type: 'image', mimeType: 'image/png', data: 'AAAA' })).toBe(
      '[image, image/png: not shown]',
    )
    expect(outputOf({ type: 'resource_link', name: 'page', uri: 'https://x.example' })).toBe(
      '[page: https://x.example]',
    )
    expect(outputOf({ type: 'later' }, null, 7, { type: 'text' })).toBe('[later: not shown]')
  })

  it('is its structured content where there is no text', () => {
    expect(resultOf({ content: [], structuredContent: { a: 1 } }).output).toBe('{"a":1}')
    expect(
      resultOf({ content: [{ type: 'text', text: 'a is 1' }], structuredContent: { a: 1 } }).output,
    ).toBe('a is 1')
    expect(resultOf({})).toEqual({ output: '', isError: false })
  })

  it('is cut between characters, and says so', () => {
    expect(cutText('abcdef', 6)).toBe('abcdef')
    expect(cutText('äöü', 5)).toBe('äö\n[The result was cut here: 4 of 6 bytes are shown.]')
    expect(cutText('a😀b', 4)).toBe('a\n[The result was cut here: 1 of 6 bytes are shown.]')
  })
})
