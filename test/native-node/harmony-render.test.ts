import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { HarmonyMessage } from '../../native-node/server/harmony-message.ts'
import { renderCommand, renderConversation } from '../../native-node/server/harmony-render.ts'
import { inlineSchema, schemaToTypeScript } from '../../native-node/server/harmony-schema.ts'
import { o200kVocabulary } from './vocabulary.ts'

interface Rendered {
  name: string
  messages: HarmonyMessage[]
  ids: number[]
  text: string
}

function fixture<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../fixtures/golden/${name}`, import.meta.url), 'utf8'))
}

const golden = fixture<{ render: Rendered[] }>('harmony.json')
// Made like those of harmony.json, by the harmony library, with its own definitions of the built-in tools.
const builtIns = fixture<Rendered[]>('harmony-built-ins.json')
// Random conversations with schemas of every shape, and what the library made of them.
const differential = fixture<{ render: Omit<Rendered, 'name' | 'text'>[] }>(
  'harmony-differential.json',
)
const vocabulary = o200kVocabulary()

describe('rendering', () => {
  it.each([...golden.render, ...builtIns])('equals the harmony library: $name', (testCase) => {
    const rendered = renderCommand({ messages: testCase.messages }, vocabulary)
    expect(rendered.text).toBe(testCase.text)
    expect(rendered.ids).toEqual(testCase.ids)
  })

  it('equals the harmony library on random conversations', () => {
    for (const { messages, ids } of differential.render) {
      expect(renderCommand({ messages }, vocabulary).ids, JSON.stringify(messages)).toEqual(ids)
    }
    expect(differential.render.length).toBe(50)
  })

  it('refuses what the library refuses, with the field', () => {
    const refusal = (message: unknown) => {
      try {
        return renderCommand({ messages: [message] }, vocabulary).text
      } catch (error) {
        return error instanceof Error ? error.message : ''
      }
    }
    const text = { type: 'text', text: 'x' }
    expect(refusal({ role: 'tool', content: [text] })).toMatch(/^messages\.0\.name: /)
    for (const [role, type] of [
      ['user', 'system_content'],
      ['system', 'developer_content'],
    ]) {
      expect(refusal({ role, content: [text, { type }] })).toMatch(
        /^messages\.0\.content\.1\.type: /,
      )
    }
  })

  it('drops every analysis before the last final answer and keeps what follows it', () => {
    const say = (channel: string, text: string): HarmonyMessage => ({
      role: 'assistant',
      channel,
      content: [{ type: 'text', text }],
    })
    const user: HarmonyMessage = { role: 'user', content: 'go' }
    const { text } = renderConversation(
      [
        user,
        say('analysis', 'A1'),
        say('final', 'F1'),
        user,
        say('analysis', 'A2'),
        say('final', 'F2'),
        user,
        say('analysis', 'A3'),
      ],
      vocabulary,
    )
    expect(text).not.toContain('A1')
    expect(text).not.toContain('A2')
    expect(text).toContain('<|channel|>analysis<|message|>A3<|end|><|start|>assistant')
  })

  it('never turns text into a control token, wherever the text stands', () => {
    const nasty = fc
      .array(
        fc.oneof(
          fc.constantFrom('<|start|>', '<|end|>', '<|call|>', '<|channel|>', '<|return|>', '<|'),
          fc.string({ unit: 'grapheme' }),
        ),
      )
      .map((parts) => parts.join(''))
    fc.assert(
      fc.property(nasty, nasty, nasty, (user, output, description) => {
        const tools = {
          functions: {
            name: 'functions',
            tools: [{ name: 'f', description, parameters: { type: 'string', enum: [user] } }],
          },
        }
        const { ids } = renderConversation(
          [
            {
              role: 'developer',
              content: [{ type: 'developer_content', instructions: user, tools }],
            },
            { role: 'user', content: user },
            { role: 'tool', name: 'functions.f', recipient: 'assistant', content: output },
          ],
          vocabulary,
        )
        // Three messages of start, message, end, and the open header.
        expect(ids.filter((id) => vocabulary.isSpecial(id))).toEqual([
          ...Array.from({ length: 3 }, () => [200006, 200008, 200007]).flat(),
          200006,
        ])
      }),
      { numRuns: 60 },
    )
  })

  it('names the field of a bad conversation', () => {
    expect(() =>
      renderCommand({ messages: [{ role: 'robot', content: 'x' }] }, vocabulary),
    ).toThrow(/messages\.0\.role/)
    expect(() => renderCommand([], vocabulary)).toThrow(/input/)
  })

  it('says which control tokens a vocabulary lacks', () => {
    const bare = { ...vocabulary, special: () => -1 }
    expect(() => renderConversation([], bare)).toThrow(/<\|start\|>.*<\|call\|>/)
  })
})

describe('schema to TypeScript', () => {
  it('prints the kitchen sink of the harmony library', () => {
    const schema = {
      description: 'params object',
      type: 'object',
      properties: {
        string: {
          type: 'string',
          title: 'STRING',
          description: 'A string',
          examples: ['hello', 'world'],
        },
        string_nullable: {
          type: 'string',
          nullable: true,
          description: 'A nullable string',
          default: 'the default',
        },
        string_enum: { type: 'string', enum: ['a', 'b', 'c'] },
        oneof_string_or_number: {
          description: 'a oneof',
          default: 20,
          oneOf: [
            { type: 'string', default: 'default_string_in_oneof' },
            { type: 'number', description: 'numbers can happen too' },
          ],
        },
      },
    }
    expect(schemaToTypeScript(schema, '')).toBe(`// params object
{
// STRING
//
// A string
// Examples:
// - "hello"
// - "world"
string?: string,
// A nullable string
string_nullable?: string | null, // default: "the default"
string_enum?: "a" | "b" | "c",
// a oneof
// default: 20
oneof_string_or_number?:
 | string // default: "default_string_in_oneof"
 | number // numbers can happen too
,
}`)
  })

  it.each([
    [{ type: ['integer', 'null'] }, 'number | null'],
    [{ type: 'array' }, 'Array<any>'],
    [{ type: 'array', items: { type: 'string', enum: ['a', 'b'] } }, '"a" | "b"[]'],
    [{ const: 1 }, 'any'],
    [true, 'any'],
  ])('prints %j as %s', (schema, type) => {
    expect(schemaToTypeScript(schema, '')).toBe(type)
  })

  it('puts references in place and folds a nullable anyOf', () => {
    const schema = {
      type: 'object',
      required: ['home'],
      properties: {
        home: { $ref: '#/$defs/Place', description: 'Where' },
        work: { anyOf: [{ $ref: '#/$defs/Place' }, { type: 'null' }] },
        age: { anyOf: [{ type: 'integer' }, { type: 'null' }], default: null },
      },
      $defs: { Place: { type: 'string' } },
    }
    expect(schemaToTypeScript(inlineSchema(schema, 'p'), '')).toBe(
      '{\n// Where\nhome: string,\nwork?: string | null,\nage?: number | null, // default: null\n}',
    )
  })

  it('ends on recursive schemas and refuses ones that explode', () => {
    const node = { type: 'object', properties: { next: { $ref: '#' } } }
    expect(schemaToTypeScript(inlineSchema(node, 'p'), '')).toContain('next?: ')
    const $defs: Record<string, unknown> = { d0: { type: 'string' } }
    for (let i = 1; i < 12; i++) {
      const $ref = `#/$defs/d${i - 1}`
      $defs[`d${i}`] = { type: 'object', properties: { a: { $ref }, b: { $ref }, c: { $ref } } }
    }
    expect(() => inlineSchema({ $ref: '#/$defs/d11', $defs }, 'tools[0].parameters')).toThrow(
      expect.objectContaining({ code: 'invalid_value', param: 'tools[0].parameters' }),
    )
  })
})
