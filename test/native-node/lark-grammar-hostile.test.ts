// Definitions that are made to take long: each comes to an end at once, by being enforced with less, or told only. Those that
// once took seconds, minutes or for ever are here; no test measures time.
import { describe, expect, it } from 'vitest'
import { foldedCase } from '../../native-node/server/grammar/characters.ts'
import { FreeformBudget, freeformGrammar } from '../../native-node/server/grammar/freeform.ts'
import { matches } from './grammar-texts.ts'

const path = 'tools[0].format.definition'
const lark = (definition: string) => freeformGrammar({ syntax: 'lark', definition, path })
const regex = (definition: string) => freeformGrammar({ syntax: 'regex', definition, path })
const times = (count: number, text: (index: number) => string) =>
  Array.from({ length: count }, (_, index) => text(index)).join('')
const letter = (index: number) => String.fromCharCode(65 + (index % 26))
const name = (index: number) =>
  letter(Math.floor(index / 676)) + letter(Math.floor(index / 26)) + letter(index)
/** A class of this many ranges. */
const ranges = (count: number) =>
  times(count, (index) => {
    const first = 0x3400 + 4 * index
    return `${String.fromCharCode(first)}-${String.fromCharCode(first + 2)}`
  })
const written = (input: string) => JSON.stringify({ input })

describe('repetitions', () => {
  it('of nothing, in each other, say nothing', () => {
    const nested = `${'(?:'.repeat(9)})${'{300})'.repeat(8)}{300}`
    const grammar = lark(`start: A B\nA: /${nested}/\nB: "b"`)
    expect(matches(grammar!, written('b'))).toBe(true)
    expect(matches(grammar!, written('ab'))).toBe(false)
    const strings = lark(`start: A B\nA: ${'('.repeat(9)}""${'~300)'.repeat(9)}\nB: "b"`)
    expect(matches(strings!, written('b'))).toBe(true)
  })

  it('without end in each other, in many terminals', () => {
    const body = `${'('.repeat(20)}(a?){299}${')*'.repeat(20)}`
    const terminals = times(190, (index) => `${name(index)}: /${body}/\n`)
    const start = times(190, (index) => `${index === 0 ? '' : '|'}${name(index)}`)
    expect(lark(`start: (${start})*\n${terminals}`)).toBeUndefined()
  })
})

describe('classes', () => {
  it('that are parts of terminals thousands of times', () => {
    const many = `A: /[${ranges(900)}]/\nB:${' A'.repeat(3000)}\n`
    expect(lark(`start: B\n${many}`)).toBeDefined()
    expect(lark(`start: (B | D)*\n${many}D:${' A?'.repeat(100)}`)).toBeDefined()
  })

  it('of thousands of ranges are told only', () => {
    expect(regex(`[${ranges(900)}]`)).toBeDefined()
    expect(regex(`[${ranges(1100)}]`)).toBeUndefined()
    expect(regex(`(?i)[${'\u0100-\u0160'.repeat(6000)}]`)).toBeDefined()
  })
})

describe('terminals', () => {
  it('that are parts of each other in a long chain', () => {
    const chain = (length: number) =>
      `start: (${name(0)} | X)*\nX: "x"\n${times(length, (index) => `${name(index)}:${name(index + 1)}"a"?\n`)}${name(length)}: "b"`
    expect(matches(lark(chain(150))!, written('baxb'))).toBe(true)
    expect(lark(chain(1200))).toBeUndefined()
  })

  it('whose parts may all be empty before one that is long', () => {
    const nothing = 'a?'.repeat(900)
    expect(regex(`${nothing}(${'b'.repeat(15_000)})`)).toBeDefined()
    const grammar = lark(`start: (X | A)*\nX: /a+/\nA: /${nothing}(?:${'b'.repeat(15_000)})/`)
    expect(matches(grammar!, written(`a${'b'.repeat(15_000)}a`))).toBe(true)
  })
})

it('every character that has another case has it in a class too', () => {
  const missed: string[] = []
  for (let code = 0; code <= 0x10ffff; code++) {
    if (code >= 0xd800 && code <= 0xdfff) continue
    const one = String.fromCodePoint(code)
    const others = [one.toLowerCase(), one.toUpperCase()].filter(
      (other) => other !== one && Array.from(other).length === 1,
    )
    if (others.length === 0) continue
    const folded = foldedCase([[code, code]])
    const has = (other: number) => folded.some(([low, high]) => low <= other && other <= high)
    if (!others.every((other) => has(other.codePointAt(0)!))) missed.push(one)
  }
  expect(missed).toEqual([])
})

it('one character that is lazily repeated can be written as a choice', () => {
  const grammar = lark('start: COMMENT\nCOMMENT: /\\/\\*(.|\\n)*?\\*\\//')
  expect(matches(grammar!, written('/* a\n* b **/'))).toBe(true)
  expect(matches(grammar!, written('/* a */ b */'))).toBe(false)
})

describe('what is made of a definition', () => {
  it('is made once, and is not kept for ever', () => {
    const first = lark('start: "once"')
    expect(lark('start: "once"')).toBe(first)
    for (let index = 0; index < 70; index++) lark(`start: "other ${index}"`)
    const again = lark('start: "once"')
    expect(again).not.toBe(first)
    expect(again).toEqual(first)
  })

  it('and what is wrong with it has the path of each tool', () => {
    for (const param of ['tools[3].format.definition', 'tools[7].format.definition']) {
      expect(() =>
        freeformGrammar({ syntax: 'lark', definition: 'start: (', path: param }),
      ).toThrow(
        expect.objectContaining({ param, message: expect.stringContaining('line 1, column 9') }),
      )
    }
  })

  it('is as much of a request as it always is, known or not', () => {
    const held = () => {
      const budget = new FreeformBudget()
      return Array.from({ length: 30 }, (_, index) => {
        const definition = `start: "${String(index).padEnd(9000, 'x')}"`
        return freeformGrammar({ syntax: 'lark', definition, path }, budget) !== undefined
      })
    }
    const first = held()
    expect(first.indexOf(false)).toBeGreaterThan(3)
    expect(first.lastIndexOf(true)).toBe(first.indexOf(false) - 1)
    expect(held()).toEqual(first)
  })
})
