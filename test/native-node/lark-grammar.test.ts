// Grammars in Lark's syntax as the engine gets them: which texts they take, beside what Python's lark said of the same ones
// (scripts/differential/lark.ts --fixture), and what is refused or only told.
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { freeformGrammar } from '../../native-node/server/grammar/freeform.ts'
import type { Grammar } from '../../native-node/server/grammar/grammar.ts'
import { deriver, matches, prefixOf, sizeOf } from './grammar-texts.ts'

const folder = new URL('../fixtures/lark/', import.meta.url)
const file = (path: string) => readFileSync(new URL(path, folder), 'utf8')

function built(definition: string, syntax: 'lark' | 'regex' = 'lark'): Grammar | undefined {
  return freeformGrammar({ syntax, definition, path: 'tools[0].format.definition' })
}

function held(definition: string, syntax: 'lark' | 'regex' = 'lark'): Grammar {
  const grammar = built(definition, syntax)
  if (grammar === undefined) throw new Error('not held')
  return grammar
}

const written = (input: string) => JSON.stringify({ input })
const takes = (grammar: Grammar, text: string) => matches(grammar, written(text))

interface Case {
  name: string
  accepts: string[]
  rejects: string[]
}
const cases: Case[] = JSON.parse(file('cases.json'))

describe.each(cases)('$name', ({ name, accepts, rejects }) => {
  const grammar = held(file(`grammars/${name}.lark`))

  it('takes what lark takes, and each beginning of it can be gone on with', () => {
    expect(accepts.length).toBeGreaterThan(5)
    for (const text of accepts) {
      expect(takes(grammar, text), text).toBe(true)
      const json = written(text)
      const end = (json.length * 7919) % json.length
      expect(prefixOf(grammar, json.slice(0, end))).toBe(true)
    }
  })

  it('takes nothing that lark can read in no way', () => {
    expect(rejects.length).toBeGreaterThan(0)
    expect(rejects.filter((text) => takes(grammar, text))).toEqual([])
  })
})

describe('what a model writes', () => {
  it('is the arguments of a call, spelled as JSON', () => {
    const grammar = held('start: "é\\n" /["\\\\]/ "\\x01"')
    for (const text of ['é\n"\u0001', 'é\n\\\u0001']) expect(takes(grammar, text)).toBe(true)
    expect(matches(grammar, '{ "input": "é\\n\\"\\u0001"}')).toBe(true)
    expect(matches(grammar, '{"input":"é\\n\\"\\u0001","more":1}')).toBe(false)
    expect(matches(grammar, '{"text":"é\\n\\"\\u0001"}')).toBe(false)
  })

  it('comes to an end however it goes on', () => {
    for (const { name } of cases) {
      let state = 7
      const derive = deriver(held(file(`grammars/${name}.lark`)), () => {
        state = (state * 48271) % 2147483647
        return (state - 1) / 2147483646
      })
      for (let i = 0; i < 20; i++) expect(JSON.parse(derive()).input).toBeTypeOf('string')
    }
  })
})

describe('terminals', () => {
  const names = `start: "a"i NAME ("in" NAME)* ("," NUMBER)?
    NAME: /[a-z]+/
    %import common.NUMBER
    %import common.WS
    %ignore WS
    %ignore /#[^\\n]*/`

  it('are as long as can be, so that a parser with a lexer reads what is written', () => {
    const grammar = held(names)
    for (const text of ['a b in c', 'A b\tin\nc, 1.5', 'ab,1 ', 'a#b\nb', 'a b#', 'a b,1# in'])
      expect(takes(grammar, text), text).toBe(true)
    for (const text of ['a bin c in', 'a#b', 'a b c', 'a b#in c\n,', 'a b, 1 2', 'a b,1 1'])
      expect(takes(grammar, text), text).toBe(false)
    // Cut otherwise, the name could end before what follows it.
    expect(takes(held('start: A "bc"\nA: /ab*/'), 'abbc')).toBe(true)
    expect(takes(held('start: A "bc" | A "d"\nA: /ab*/'), 'abbc')).toBe(false)
    const optional = held('start: A B? "x"\nA: /a*/\nB: /[ab]+/')
    for (const text of ['x', 'aax', 'aabax']) expect(takes(optional, text), text).toBe(true)
    expect(takes(held('start: A B\nA: /a*/\nB: "ab"'), 'aab')).toBe(false)
  })

  it('are cut in any way where no text would be left, or too much be told apart', () => {
    expect(takes(held('start: /[a-z ]+/ "the end"'), 'this is the end')).toBe(true)
    const classes = Array.from('abcdefgh', (one) => `/${one}[a-z]*${one}+/ "${one}"?`)
    expect(takes(held(`start: ${classes.join(' ')}`), 'aaaabbccddeeffgghhh')).toBe(true)
  })
})

// ---- rules that begin with themselves

type Part = string
/** Of each of three rules the alternatives. */
const randomRules = fc.array(
  fc.array(fc.array(fc.constantFrom<Part>('a', 'b', 'c', '"x"', '"y"'), { maxLength: 3 }), {
    minLength: 1,
    maxLength: 3,
  }),
  { minLength: 3, maxLength: 3 },
)

/** The texts of up to four characters, found by putting together what is known until there is nothing new. */
function shortTexts(rules: readonly Part[][][]): Set<string> {
  const known = rules.map(() => new Set<string>())
  const textsOf = (part: Part) => (part.length > 1 ? [part[1]!] : [...known['abc'.indexOf(part)]!])
  for (let before = -1, now = 0; now !== before; ) {
    before = now
    for (const [rule, alternatives] of rules.entries()) {
      for (const alternative of alternatives) {
        let texts = ['']
        for (const part of alternative) {
          texts = texts.flatMap((text) => textsOf(part).map((more) => text + more))
          texts = [...new Set(texts)].filter(({ length }) => length <= 4)
        }
        for (const text of texts) known[rule]!.add(text)
      }
    }
    now = known.reduce((sum, { size }) => sum + size, 0)
  }
  return known[0]!
}

const allShort = ['']
for (const text of allShort) if (text.length < 4) allShort.push(`${text}x`, `${text}y`)

describe('rules that begin with themselves', () => {
  it('mean what they did', () => {
    let recursive = 0
    fc.assert(
      fc.property(randomRules, (rules) => {
        const lines = rules.map((alternatives, rule) => {
          const body = alternatives.map((parts) => parts.join(' ')).join(' | ')
          return `${'abc'[rule]}: ${body}`
        })
        const expected = shortTexts(rules)
        const grammar = built(`start: a\n${lines.join('\n')}`)
        if (expected.size > 0) expect(grammar).toBeDefined()
        if (grammar === undefined) return
        if (
          rules.some((alternatives, rule) => alternatives.some(([first]) => first === 'abc'[rule]))
        ) {
          recursive++
        }
        const found = allShort.filter((text) => takes(grammar, text))
        expect(new Set(found)).toEqual(expected)
      }),
      { seed: 3, numRuns: 600 },
    )
    expect(recursive).toBeGreaterThan(200)
  })

  it('stay small where many lead to each other', () => {
    const names = Array.from({ length: 30 }, (_, index) => `operation_${index}`)
    const lines = names.map((name, index) => `${name}: expr "${index}" expr`)
    const grammar = held(`start: expr\nexpr: ${names.join(' | ')} | /[a-z]/\n${lines.join('\n')}`)
    expect(takes(grammar, 'a0b29c')).toBe(true)
    expect(takes(grammar, 'a0')).toBe(false)
    expect(sizeOf(grammar)).toBeLessThan(20_000)
  })
})

// ---- regular expressions

describe('regular expressions', () => {
  it.each<[string, string[], string[]]>([
    ['a|bc?', ['a', 'b', 'bc'], ['', 'ab', 'c']],
    ['(?:ab){2}|a{1,}b{,2}', ['abab', 'aaa', 'abb'], ['ab'.repeat(3), 'abbb']],
    ['(?P<one>[^a-y])(?<two>\\d)', ['z1', 'é2'], ['a1', 'z']],
    ['.', ['a', '\r', '\u2028', '🚂'], ['\n', '']],
    ['(?s).(?-s:.)', ['\na'], ['\n\n']],
    ['(?i)a[b-d]É', ['ABé', 'adÉ'], ['abe']],
    ['(?x) a b # and\n [ ] ', ['ab '], ['a b', 'ab']],
    ['[]a]|[^]a]', ['a', ']', 'b'], ['']],
    ['[-+.\\w\\s]\\W\\S\\D', ['- ab', '\u00a0-a-'], ['-aab', '+--1']],
    ['x{|}', ['x{', '}'], ['x']],
    ['\\x41\\u0042\\U0001F682\\x{43}\\.\\t', ['AB🚂C.\t'], ['AB🚂C1\t']],
    ['^a?b*?$|^c+?$', ['', 'ab', 'cc'], ['ca']],
    ['(a*)*b|(c?|d){3}', ['aab', 'b', 'cd', ''], ['a', 'dddd']],
    [
      '^(?P<month>January|February)\\s+(?P<day>\\d{1,2})(?:st|nd|rd|th)?\\s+at\\s+(0?[1-9]|1[0-2])(AM|PM)$',
      ['January 7th at 10AM', 'February  12 at 01PM'],
      ['January 7th at 13AM'],
    ],
  ])('%s', (pattern, fitting, others) => {
    const grammar = held(pattern, 'regex')
    for (const text of fitting) expect(takes(grammar, text), text).toBe(true)
    for (const text of others) expect(takes(grammar, text), text).toBe(false)
  })

  it('are only told where no grammar can say them', () => {
    for (const pattern of [
      '(?=a)a',
      '(?<!b)a',
      '(a)\\1',
      '\\bword\\b',
      'a$b',
      '[[:alpha:]]',
      '\\p{L}',
    ])
      expect(built(pattern, 'regex'), pattern).toBeUndefined()
  })
})

// ---- what is no grammar, and what is one that is not held

describe('a definition that is none', () => {
  it.each<[string, string]>([
    ['', "line 1, column 1: there is no rule 'start'"],
    ['begin: "a"', "line 1, column 1: there is no rule 'start'"],
    ['start: a b\na: "x"', "line 1, column 10: 'b' is used but not defined"],
    ['start: "a"\n\nstart: "b"', "line 3, column 1: 'start' is defined more than once"],
    ['start: "a', 'line 1, column 8: a string that does not end in its line'],
    ['start: /a', 'line 1, column 8: a regular expression that does not end'],
    ["start: 'a'", "line 1, column 8: unexpected character '''"],
    ['start: ("a" | "b"', "line 1, column 18: expected ')', found the end"],
    ['start: "a")', "line 1, column 11: unexpected ')'"],
    ['start: "a"\n\n "b" "c"', 'line 3, column 2: expected the name of a rule or a terminal'],
    ['start: "a" *?', "line 1, column 13: unexpected '?'"],
    ['start: "a"~3..2', 'line 1, column 11: nothing can be repeated from 3 to 2 times'],
    ['start: "z".."a"', 'line 1, column 8: a range is from one character to a later one'],
    ['Start: "a"', "line 1, column 1: the name 'Start' is neither"],
    ['start: A\nA: "x" B\nB: A', "line 2, column 1: the terminal 'A' is a part of itself"],
    ['start: A\nA: b\nb: "x"', "line 2, column 4: a terminal cannot have the rule 'b'"],
    ['start: A\nA: "x" -> y', 'line 2, column 8: a terminal has no alias'],
    [
      '%import common.NOTHING\nstart: "a"',
      "line 1, column 1: the library 'common' has no 'NOTHING'",
    ],
    ['%import common\nstart: "a"', 'line 1, column 1: an import names a terminal'],
    ['%imports x\nstart: "a"', "line 1, column 1: there is no directive '%imports'"],
    [
      'start: A\nA: /b(c/',
      "line 2, column 8: the regular expression has a '(' that nothing closes",
    ],
    ['start: /[b-a]/', 'line 1, column 13: the regular expression has a range whose end'],
    ['start: "\\ud800"', 'line 1, column 8: a string has half of a character'],
  ])('%s', (definition, message) => {
    expect(() => built(definition)).toThrow(
      expect.objectContaining({
        code: 'invalid_value',
        param: 'tools[0].format.definition',
        message: expect.stringContaining(`'tools[0].format.definition': ${message}`),
      }),
    )
  })

  it.each(['(a', 'a)', '*a', 'a{3,2}', '[b-a]', '[a', 'a\\', '\\ud800'])('regex %s', (pattern) => {
    expect(() => built(pattern, 'regex')).toThrow(
      expect.objectContaining({ code: 'invalid_value' }),
    )
  })
})

describe('a grammar that is only told', () => {
  it.each([
    'start: /a(?=b)/ "b"',
    'start: /a.*?[bc]d*/',
    'start: list{"a"}\nlist{item}: item+',
    '%declare A\nstart: A',
    '%extend start: "a"\nstart: "b"',
    '%import python.NAME\nstart: NAME',
    '%import .other.NAME\nstart: NAME',
    '%import common._STRING_INNER\nstart: _STRING_INNER',
    'start: %json {"type": "object"}',
    'start: <|end|>',
    'start[lazy]: /a/',
    'start: A\nA: /a/ & ~/b/',
    'start: "a"~60000',
    'start: start "a"',
  ])('%s', (definition) => {
    expect(built(definition)).toBeUndefined()
  })

  it('is one that is very large', () => {
    const most = 50_000
    const texts = [
      `start: ${'"x"? '.repeat(3900)}`,
      `start: start "y" | ${'"x"? '.repeat(3900)}`,
      `start: ${'('.repeat(9000)}"a"${')'.repeat(9000)}`,
      `start: /${'('.repeat(9000)}a${')'.repeat(9000)}/`,
      'start: /((((a{1000}){1000}){1000}){1000}){1000}/',
      `start: ${'/[^a-z]/i '.repeat(1900)}`,
      `start: a0\n${Array.from({ length: 900 }, (_, i) => `a${i}: a${(i + 1) % 900} b|a${(i * 7) % 900}|"x"`).join('\n')}\nb: "z"|`,
      `start: "a"${' '.repeat(30_000)}`,
    ]
    for (const text of texts) {
      const grammar = built(text)
      if (grammar !== undefined) expect(sizeOf(grammar)).toBeLessThanOrEqual(2 * most)
    }
    expect(built(texts[1]!)).toBeUndefined()
    expect(built(texts.at(-1)!)).toBeUndefined()
  })
})
