// What the grammar of a schema accepts and refuses, keyword by keyword, and that each beginning of an accepted text can be gone on
// with. One piece: a catalogue of small cases.
import { describe, expect, it } from 'vitest'
import type { Grammar } from '../../native-node/server/grammar/grammar.ts'
import {
  jsonObjectGrammar,
  schemaGrammar,
} from '../../native-node/server/grammar/schema-grammar.ts'
import { matches, prefixOf } from './grammar-texts.ts'

interface Case {
  what: string
  schema: unknown
  fits: string[]
  not: string[]
}

const text = { type: 'string' }
const whole = { type: 'integer' }
const person = {
  type: 'object',
  properties: { name: text, age: whole, note: text },
  required: ['name', 'age'],
  additionalProperties: false,
}

const anything = ['1', '"a"', 'null', 'true', '[1,"a",[]]', '{"a":{"b":[{}]}}', '-0.5e-10']

const values: Case[] = [
  { what: 'true', schema: true, fits: anything, not: ['', ' 1', '1 ', '01', '{a:1}', 'nul l'] },
  { what: 'no keywords', schema: { title: 'x' }, fits: anything, not: ['{', '[1,]', '{"a":1,}'] },
  { what: 'null', schema: { type: 'null' }, fits: ['null'], not: ['0', '"null"'] },
  { what: 'boolean', schema: { type: 'boolean' }, fits: ['true', 'false'], not: ['True', '1'] },
  {
    what: 'types',
    schema: { type: ['string', 'null'] },
    fits: ['"a"', 'null'],
    not: ['1', '{}', 'true'],
  },
  {
    what: 'enum',
    schema: { enum: ['a', 'ab', 'b"\\é\u0007', 1, 12, null, { k: [1, 'x'] }] },
    fits: ['"a"', '"ab"', '"b\\"\\\\é\\u0007"', '1', '12', 'null', '{"k":[1,"x"]}'],
    not: ['"abc"', '"', '2', '123', '{"k":[1]}', '"b"'],
  },
  {
    what: 'enum and type',
    schema: { type: 'string', enum: ['a', 1, null] },
    fits: ['"a"'],
    not: ['1', 'null'],
  },
  {
    what: 'const',
    schema: { const: 'only' },
    fits: ['"only"'],
    not: ['"onl"', '"only2"', 'only'],
  },
  { what: 'const and enum', schema: { const: 2, enum: [1, 2] }, fits: ['2'], not: ['1'] },
]

const numbers: Case[] = [
  {
    what: 'number',
    schema: { type: 'number' },
    fits: ['0', '-0.5', '12.75e+3', '1e999', '5e-324', '1.7976931348623157e+308'],
    not: ['.5', '1.', '+1', '1e', '00', '0x1', 'NaN', '1e1000', '1'.repeat(22)],
  },
  {
    what: 'integer',
    schema: whole,
    fits: ['0', '-7', '18446744073709551615'],
    not: ['1.0', '1e2', '-', '-0', '007', '1'.repeat(22)],
  },
  {
    what: 'number and integer',
    schema: { type: ['integer', 'number'] },
    fits: ['1', '1.5'],
    not: [],
  },
  { what: 'minimum 0', schema: { type: 'number', minimum: 0 }, fits: ['0.5'], not: ['-1'] },
  {
    what: 'maximum below 0',
    schema: { type: 'number', exclusiveMaximum: 0 },
    fits: ['-0.5'],
    not: ['1'],
  },
  {
    what: 'a range of whole numbers',
    schema: { type: 'integer', minimum: 1, maximum: 120 },
    fits: ['1', '9', '10', '99', '100', '119', '120'],
    not: ['0', '-1', '121', '130', '200', '1000'],
  },
  {
    what: 'a range across 0',
    schema: { type: 'integer', exclusiveMinimum: -12, exclusiveMaximum: 3.5 },
    fits: ['-11', '-10', '-1', '0', '3'],
    not: ['-12', '-19', '-100', '4', '10'],
  },
  {
    what: 'a range without an end',
    schema: { type: 'integer', minimum: 37 },
    fits: ['37', '40', '99', '100', '123456789'],
    not: ['36', '29', '3', '-50'],
  },
  { what: 'only a bound', schema: { minimum: 3 }, fits: ['3', '3.5'], not: ['"3"', 'null'] },
]

const strings: Case[] = [
  {
    what: 'string',
    schema: text,
    fits: [
      '""',
      '"é €😀\u007f"',
      '"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9"',
      '"\\uD83D\\uDE00"',
      '"\\ud7ff\\uE000"',
    ],
    not: [
      '"\n"',
      '"\\x"',
      '"\\u12"',
      '"\\uD83D"',
      '"\\uD83Dx"',
      '"\\uDE00"',
      '"\\uD83D\\uD83D"',
      "'a'",
    ],
  },
  {
    what: 'minLength and maxLength',
    schema: { type: 'string', minLength: 2, maxLength: 3 },
    fits: ['"ab"', '"abc"', '"😀é\\n"', '"\\uD83D\\uDE00a"'],
    not: ['""', '"a"', '"abcd"', '"\\uD83D\\uDE00"'],
  },
  { what: 'maxLength 0', schema: { maxLength: 0 }, fits: ['""'], not: ['"a"'] },
  {
    what: 'lengths that are not counted',
    schema: { type: 'string', minLength: 300, maxLength: 301 },
    fits: [`"${'a'.repeat(300)}"`, `"${'a'.repeat(301)}"`],
    not: ['""', `"${'a'.repeat(255)}"`],
  },
  {
    what: 'date',
    schema: { format: 'date' },
    fits: ['"2024-02-29"'],
    not: ['"2024-13-01"', '"2024-01-32"', '"24-1-1"'],
  },
  {
    what: 'date-time',
    schema: { type: 'string', format: 'date-time' },
    fits: ['"2024-02-29T23:59:60Z"', '"2024-02-29T00:00:00.123+05:30"'],
    not: ['"2024-02-29"', '"2024-02-29T25:00:00Z"', '"2024-02-29T00:00:00"'],
  },
  { what: 'time', schema: { format: 'time' }, fits: ['"12:30:00Z"'], not: ['"12:30"', '"noon"'] },
  {
    what: 'uuid',
    schema: { format: 'uuid' },
    fits: ['"123e4567-E89b-12d3-a456-426614174000"'],
    not: ['"123e4567e89b12d3a456426614174000"', '"123e4567-e89b-12d3-a456-42661417400g"'],
  },
  {
    what: 'ipv4',
    schema: { format: 'ipv4' },
    fits: ['"0.0.0.0"', '"192.168.1.255"'],
    not: ['"256.1.1.1"', '"1.1.1"', '"01.1.1.1"'],
  },
  { what: 'another format', schema: { format: 'email' }, fits: ['"not one"'], not: ['1'] },
]

const lists: Case[] = [
  {
    what: 'items',
    schema: { type: 'array', items: whole },
    fits: ['[]', '[1]', '[1,2,3]', '[ 1, 2 ]', '[\n  1,\n  2\n]', '[ ]'],
    not: ['[1,]', '[,1]', '["a"]', '[1 2]', '[1,2', '[  1]', '[\n\n1]'],
  },
  {
    what: 'minItems and maxItems',
    schema: { type: 'array', items: whole, minItems: 2, maxItems: 3 },
    fits: ['[1,2]', '[1,2,3]'],
    not: ['[]', '[1]', '[1,2,3,4]'],
  },
  { what: 'maxItems 0', schema: { type: 'array', maxItems: 0 }, fits: ['[]'], not: ['[1]'] },
  {
    what: 'prefixItems',
    schema: { prefixItems: [text, whole], items: { type: 'boolean' } },
    fits: ['[]', '["a"]', '["a",1]', '["a",1,true,false]'],
    not: ['[1]', '["a","b"]', '["a",1,2]'],
  },
  {
    what: 'prefixItems and nothing else',
    schema: { prefixItems: [text, whole], items: false, minItems: 2 },
    fits: ['["a",1]'],
    not: ['["a"]', '["a",1,1]'],
  },
  {
    what: 'a list in items',
    schema: { items: [text], additionalItems: whole },
    fits: ['["a",1,2]'],
    not: ['["a","b"]'],
  },
  {
    what: 'more items than are counted',
    schema: { type: 'array', items: whole, minItems: 70, maxItems: 71 },
    fits: [JSON.stringify(Array(70).fill(1)), JSON.stringify(Array(71).fill(1))],
    not: ['[]', JSON.stringify(Array(63).fill(1))],
  },
]

const objects: Case[] = [
  {
    what: 'properties',
    schema: person,
    fits: [
      '{"name":"Ann","age":3}',
      '{"name":"Ann","age":3,"note":""}',
      '{\n  "name": "Ann",\n  "age": 3\n}',
      '{ "name": "Ann", "age": 3 }',
    ],
    not: [
      '{"name" :"Ann","age":3}',
      '{"name":"Ann" ,"age":3}',
      '{}',
      '{"name":"Ann"}',
      '{"age":3,"name":"Ann"}',
      '{"name":"Ann","age":3,"x":1}',
      '{"name":"Ann","age":3,}',
      '{"name":"Ann","age":"3"}',
      '{  "name":"Ann","age":3}',
      `{\n${' '.repeat(21)}"name":"Ann","age":3}`,
    ],
  },
  {
    what: 'optional properties',
    schema: { properties: { a: whole, b: whole, c: whole } },
    fits: ['{}', '{"a":1}', '{"b":1}', '{"c":1}', '{"a":1,"c":1}', '{"a":1,"b":1,"c":1}'],
    not: ['{,"a":1}', '{"b":1,"a":1}', '{"a":1,"a":1}', '{"d":1}', '[]'],
  },
  {
    what: 'a required one between optional ones',
    schema: { properties: { a: whole, b: whole, c: whole }, required: ['b'] },
    fits: ['{"b":1}', '{"a":1,"b":1}', '{"b":1,"c":1}'],
    not: ['{}', '{"a":1}', '{"a":1,"c":1}', '{"c":1}'],
  },
  {
    what: 'additionalProperties: a schema',
    schema: { properties: { a: text, ab: text }, additionalProperties: whole },
    fits: ['{"a":"x","z":1,"y":2}', '{"abc":1}', '{"b":1}', '{"":1}', '{"é":1}', '{"\\n":1}'],
    not: ['{"z":"x"}', '{"z":1,"a":"x"}', '{"z":1,"a":1}', '{"z":1,"\\u0061":1}', '{"z":1,"ab":1}'],
  },
  {
    what: 'additionalProperties: true',
    schema: { properties: { a: whole }, additionalProperties: true },
    fits: ['{"a":1,"b":[{}]}', '{"b":null}'],
    not: ['{"a":"x"}'],
  },
  {
    what: 'an object of anything',
    schema: { type: 'object' },
    fits: ['{}', '{"a":1,"b":[]}'],
    not: ['[]', '1'],
  },
  {
    what: 'required, not declared',
    schema: { type: 'object', properties: { a: whole }, required: ['z', 'a'] },
    fits: ['{"a":1,"z":[true]}'],
    not: ['{"a":1}', '{"z":1,"a":1}'],
  },
  {
    what: 'patternProperties',
    schema: { type: 'object', patternProperties: { '^x-': whole }, additionalProperties: false },
    fits: ['{}', '{"x-a":1,"x-":2}'],
    not: ['{"y":1}', '{"x-a":"1"}'],
  },
  {
    what: 'propertyNames',
    schema: { type: 'object', propertyNames: { enum: ['a', 'b'] }, additionalProperties: whole },
    fits: ['{"a":1}', '{"b":1,"a":1}'],
    not: ['{"c":1}'],
  },
  {
    what: 'minProperties',
    schema: { type: 'object', minProperties: 1 },
    fits: ['{"a":1}'],
    not: ['{}', '{ }'],
  },
  {
    what: 'a property that nothing fits',
    schema: { properties: { a: false, b: whole } },
    fits: ['{}', '{"b":1}'],
    not: ['{"a":1}', '{"a'],
  },
  {
    what: 'names of all kinds',
    schema: JSON.parse(
      '{"properties":{"__proto__":{"type":"integer"},"a\\"b":{"type":"integer"},"\\u0001é😀":{"type":"integer"},"toString":{"type":"integer"},"":{"type":"integer"}},"required":["__proto__","toString"]}',
    ),
    fits: [
      '{"__proto__":1,"a\\"b":2,"\\u0001é😀":3,"toString":4,"":5}',
      '{"__proto__":1,"toString":2}',
    ],
    not: ['{"toString":2}', '{"__proto__":1}', '{"__proto__":"x","toString":2}'],
  },
  {
    what: 'what may have to be there is let pass',
    schema: {
      properties: { kind: text },
      required: ['kind'],
      dependentRequired: { kind: ['extra'] },
    },
    fits: ['{"kind":"x","extra":1}'],
    not: ['{"extra":1}'],
  },
]

const together: Case[] = [
  { what: 'anyOf', schema: { anyOf: [whole, text] }, fits: ['1', '"a"'], not: ['null', '1.5'] },
  {
    what: 'oneOf of objects',
    schema: {
      oneOf: [
        { properties: { kind: { const: 'a' }, x: whole }, required: ['kind', 'x'] },
        { properties: { kind: { const: 'b' }, y: text }, required: ['kind', 'y'] },
      ],
    },
    fits: ['{"kind":"a","x":1}', '{"kind":"b","y":"z"}'],
    not: ['{"kind":"a","y":"z"}', '{"kind":"c"}'],
  },
  {
    what: 'anyOf beside other keywords',
    schema: {
      type: 'object',
      properties: { a: whole, b: whole },
      anyOf: [{ required: ['a'] }, { required: ['b'] }],
    },
    fits: ['{"a":1}', '{"b":1}', '{"a":1,"b":1}'],
    not: ['{}'],
  },
  {
    what: 'two choices',
    schema: {
      allOf: [
        { anyOf: [{ required: ['a'] }, { required: ['b'] }] },
        { anyOf: [{ required: ['c'] }, { required: ['d'] }] },
      ],
      properties: { a: whole, b: whole, c: whole, d: whole },
    },
    fits: ['{"a":1,"c":1}', '{"b":1,"d":1}', '{"a":1,"b":1,"c":1,"d":1}'],
    not: ['{"a":1}', '{"a":1,"b":1}', '{"c":1,"d":1}'],
  },
  {
    what: 'three choices: one is left to the check',
    schema: {
      allOf: [
        { anyOf: [{ required: ['a'] }, { required: ['b'] }] },
        { anyOf: [{ required: ['c'] }, { required: ['d'] }] },
        { anyOf: [{ properties: { e: whole }, required: ['e'] }, { required: ['f'] }] },
      ],
      properties: { a: whole, b: whole, c: whole, d: whole },
    },
    fits: ['{"a":1,"c":1,"e":1}', '{"b":1,"d":1,"f":null}'],
    not: ['{"a":1,"e":1}'],
  },
  {
    what: 'allOf',
    schema: {
      allOf: [
        { $ref: '#/$defs/named' },
        { properties: { age: { minimum: 0 } }, required: ['age'] },
        { properties: { age: whole } },
      ],
      $defs: { named: { type: 'object', properties: { name: text }, required: ['name'] } },
    },
    fits: ['{"name":"a","age":3}'],
    not: ['{"name":"a"}', '{"age":3}', '{"name":"a","age":-3}', '{"name":"a","age":1.5}'],
  },
  {
    what: 'allOf of values',
    schema: { allOf: [{ enum: [1, 2, 'a'] }, { enum: [2, 'a', 3] }, { type: 'integer' }] },
    fits: ['2'],
    not: ['1', '"a"', '3'],
  },
  {
    what: 'allOf of lists',
    schema: { allOf: [{ items: { type: 'number' } }, { items: { minimum: 0 }, minItems: 1 }] },
    fits: ['[1.5]'],
    not: ['[]', '[-1]', '["a"]'],
  },
  {
    what: 'allOf of lists of different kinds: the first holds',
    schema: { allOf: [{ prefixItems: [text] }, { items: { minLength: 1 } }] },
    fits: ['["a",1]'],
    not: ['[1]'],
  },
  {
    what: '$ref to itself',
    schema: {
      type: 'object',
      properties: { value: whole, next: { anyOf: [{ $ref: '#' }, { type: 'null' }] } },
      required: ['value', 'next'],
      additionalProperties: false,
    },
    fits: ['{"value":1,"next":null}', '{"value":1,"next":{"value":2,"next":null}}'],
    not: ['{"value":1,"next":{}}', '{"value":1}'],
  },
  {
    what: '$ref beside other keywords, round in circles',
    schema: {
      $ref: '#/$defs/tree',
      description: 'a tree',
      $defs: {
        tree: {
          type: 'object',
          properties: {
            kids: { type: 'array', items: { $ref: '#/$defs/tree', required: ['id'] } },
            id: { $ref: '#/$defs/a~1b%20c' },
          },
        },
        'a/b c': { type: 'integer' },
      },
    },
    fits: ['{}', '{"id":1}', '{"kids":[{"id":1},{"kids":[{"id":2}],"id":3}]}'],
    not: ['{"kids":[{}]}', '{"kids":[{"kids":[{}],"id":1}]}', '{"id":"x"}'],
  },
  {
    what: 'two recursive schemas at once',
    schema: {
      allOf: [{ $ref: '#/$defs/a' }, { $ref: '#/$defs/b' }],
      $defs: {
        a: { properties: { n: { $ref: '#/$defs/a' }, x: whole }, required: ['x'] },
        b: { properties: { n: { $ref: '#/$defs/b' }, y: whole }, required: ['y'] },
      },
    },
    fits: ['{"x":1,"y":1}', '{"n":{"n":{"x":1,"y":1},"x":1,"y":1},"x":1,"y":1}'],
    not: ['{"n":{"n":{"x":1},"x":1,"y":1},"x":1,"y":1}', '{"x":1}'],
  },
  {
    what: 'not',
    schema: { type: 'string', not: { const: 'a' } },
    fits: ['"a"', '"b"'],
    not: ['1'],
  },
]

const patterns: [pattern: string, fits: string[], not: string[]][] = [
  ['^[A-Z]{2}\\d{3,}$', ['AB123', 'AB1234'], ['AB12', 'ab123', 'xAB123', 'AB123x']],
  ['b+', ['b', 'abbc', '\u0001é"b\\'], ['a', '']],
  ['^a|b$', ['a', 'axx', 'xxb', 'b'], ['xa', 'bx']],
  ['^(?:foo|ba(r|z))?$', ['', 'foo', 'bar', 'baz'], ['ba', 'foobar']],
  ['^(a|aa)+$', ['a', 'aa', 'a'.repeat(40)], ['', 'ab']],
  ['^(\\w+\\.)*\\w+@[^@\\s]+$', ['a.b@c', 'a@é😀'], ['a@', '@b', 'a@b c', 'a@@b']],
  ['^["\\\\\\n\\/]+$', ['"', '\\', '\n', '/'], ['n', '']],
  ['^.\\u00e9\\x41[\\s-]\\S$', ['😀éA b', '"éA-\\'], ['\néA b', 'xéA  ']],
  ['^[^a]$', ['b', '😀', '\u0000'], ['a', 'bb']],
  ['^a{2}?b{0,2}$', ['aa', 'aab', 'aabb'], ['a', 'aabbb']],
]

function each(cases: readonly Case[]): void {
  it.each(cases)('$what', ({ schema, fits, not }) => {
    const grammar = compiled(schema)
    expect(fits.filter((one) => !matches(grammar, one))).toEqual([])
    expect(not.filter((one) => matches(grammar, one))).toEqual([])
    for (const one of fits) expectPrefixes(grammar, one)
  })
}

function expectPrefixes(grammar: Grammar, whole: string): void {
  const bytes = new TextEncoder().encode(whole)
  const dead = [...bytes.keys()].filter((end) => !prefixOf(grammar, bytes.subarray(0, end)))
  expect(dead).toEqual([])
}

function compiled(schema: unknown): Grammar {
  const grammar = schemaGrammar(schema)
  if (grammar === undefined) throw new Error('no grammar')
  return grammar
}

describe('values', () => each(values))
describe('numbers', () => each(numbers))
describe('strings', () => each(strings))
describe('lists', () => each(lists))
describe('objects', () => each(objects))
describe('schemas together', () => each(together))

describe('patterns', () => {
  it.each(patterns)('%s', (pattern, fits, not) => {
    const grammar = compiled({ type: 'string', pattern })
    const own = new RegExp(pattern, 'u')
    expect([...fits, ...not].filter((one) => own.test(one))).toEqual(fits)
    expect(fits.filter((one) => !matches(grammar, JSON.stringify(one)))).toEqual([])
    expect(not.filter((one) => matches(grammar, JSON.stringify(one)))).toEqual([])
  })

  it.each([
    '(?=a)b',
    '(?<!a)b',
    '(?<name>a)',
    'a\\b',
    '\\1',
    '\\p{L}',
    '(a*)*',
    '(a|b?){2,}',
    '(^a)',
    'a^',
    'a$b',
    'a**',
    'a{3,2}',
    'a{2000}',
    'a{900}b{900}',
    '[b-a]',
    '[\\d-z]',
    '[',
    '(',
    ')',
    '\\',
    '\\ud800',
    `${'('.repeat(50)}a${')'.repeat(50)}`,
    'a'.repeat(3000),
  ])('%s is left to the check', (pattern) => {
    expect(matches(compiled({ type: 'string', pattern }), '"anything"')).toBe(true)
  })
})

describe('bytes of strings', () => {
  const grammar = compiled(text)
  const quoted = (...bytes: number[]) => Uint8Array.of(0x22, ...bytes, 0x22)

  it('are UTF-8', () => {
    for (const character of [
      '\u0080',
      '\u07ff',
      '\u0800',
      '\ud7ff',
      '\ue000',
      '\uffff',
      '\u{10000}',
      '\u{10ffff}',
    ]) {
      expect(matches(grammar, `"${character}"`)).toBe(true)
    }
  })

  it.each([
    ['a lone continuation', [0x80]],
    ['an overlong form of two', [0xc0, 0x80]],
    ['an overlong form of three', [0xe0, 0x9f, 0xbf]],
    ['an overlong form of four', [0xf0, 0x8f, 0xbf, 0xbf]],
    ['a surrogate', [0xed, 0xa0, 0x80]],
    ['beyond the last character', [0xf4, 0x90, 0x80, 0x80]],
    ['a form of five', [0xf8, 0x88, 0x80, 0x80, 0x80]],
    ['a character cut short', [0xe2, 0x82]],
    ['a control character', [0x1f]],
  ])('and not %s', (_, bytes) => {
    expect(matches(grammar, quoted(...bytes))).toBe(false)
  })
})

describe('json_object', () => {
  it('is any object', () => {
    const deep = `${'{"a":['.repeat(50)}1${']}'.repeat(50)}`
    for (const one of ['{}', '{ }', '{"a":null,"a":[true,{"b":-1.5e3}]}', deep]) {
      expect(matches(jsonObjectGrammar, one)).toBe(true)
      expectPrefixes(jsonObjectGrammar, one)
    }
    for (const one of ['[]', '1', 'null', '{"a"}', '{} ', ' {}', '{"a":1]']) {
      expect(matches(jsonObjectGrammar, one)).toBe(false)
    }
  })
})
