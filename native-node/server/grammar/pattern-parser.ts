// Reads the part of ECMAScript's regular expressions that a grammar can say: characters, classes, groups, choices and
// repetitions, anchored at the ends of the whole pattern. Nothing is ever executed.
// https://tc39.es/ecma262/#sec-patterns
import { type CharacterRange, lastCharacter, otherThan } from './characters.ts'

export type PatternNode =
  | { kind: 'character'; ranges: readonly CharacterRange[] }
  | { kind: 'sequence'; parts: readonly PatternNode[] }
  | { kind: 'choice'; options: readonly PatternNode[] }
  /** `most` may be infinite. */
  | { kind: 'repeat'; part: PatternNode; least: number; most: number }

/** One of the choices of the whole pattern. */
export interface PatternOption {
  node: PatternNode
  fromStart: boolean
  toEnd: boolean
}

/** Something that the subset does not have. */
class Unsupported extends Error {}

const maxLength = 2000
const maxNesting = 20
const maxRepeat = 1000

export const digits: readonly CharacterRange[] = [[0x30, 0x39]]
/** Of names. */
export const wordCharacters: readonly CharacterRange[] = [
  ...digits,
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
]
const lineEnds: CharacterRange[] = [
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
]
const blank: CharacterRange[] = [
  ...lineEnds,
  [0x09, 0x0d],
  [0x20, 0x20],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
]
const classes = new Map<string, readonly CharacterRange[]>([
  ['d', digits],
  ['D', otherThan(digits)],
  ['w', wordCharacters],
  ['W', otherThan(wordCharacters)],
  ['s', blank],
  ['S', otherThan(blank)],
])
const controls = new Map([
  ['t', 0x09],
  ['n', 0x0a],
  ['v', 0x0b],
  ['f', 0x0c],
  ['r', 0x0d],
])

/** The choices of a pattern; undefined where it has something that is not read here, or is no pattern. */
export function parsePattern(pattern: string): readonly PatternOption[] | undefined {
  if (pattern.length > maxLength) return undefined
  try {
    return new PatternParser(pattern).options()
  } catch (thrown) {
    if (thrown instanceof Unsupported) return undefined
    throw thrown
  }
}

class PatternParser {
  readonly #characters: readonly string[]
  #at = 0

  constructor(pattern: string) {
    this.#characters = Array.from(pattern)
  }

  options(): PatternOption[] {
    const options: PatternOption[] = []
    do {
      const fromStart = this.#take('^')
      const node = this.#sequence(0)
      options.push({ node, fromStart, toEnd: this.#take('$') })
    } while (this.#take('|'))
    if (this.#next !== undefined) throw new Unsupported()
    return options
  }

  get #next(): string | undefined {
    return this.#characters[this.#at]
  }

  #take(character: string): boolean {
    if (this.#next !== character) return false
    this.#at++
    return true
  }

  #sequence(depth: number): PatternNode {
    const parts: PatternNode[] = []
    while (this.#next !== undefined && !'|)$'.includes(this.#next)) {
      parts.push(this.#repeated(this.#atom(depth)))
    }
    return { kind: 'sequence', parts }
  }

  #choice(depth: number): PatternNode {
    const options = [this.#sequence(depth)]
    while (this.#take('|')) options.push(this.#sequence(depth))
    return options.length === 1 ? options[0]! : { kind: 'choice', options }
  }

  #atom(depth: number): PatternNode {
    if (this.#take('(')) {
      if (depth >= maxNesting) throw new Unsupported()
      // Of what begins with `(?`, groups that are not counted are all that only groups.
      if (this.#take('?') && !this.#take(':')) throw new Unsupported()
      const inside = this.#choice(depth + 1)
      if (!this.#take(')')) throw new Unsupported()
      return inside
    }
    if (this.#take('[')) return { kind: 'character', ranges: this.#class() }
    if (this.#take('.')) return { kind: 'character', ranges: otherThan(lineEnds) }
    if (this.#take('\\')) return { kind: 'character', ranges: this.#escape() }
    const character = this.#next
    if (character === undefined || '^*+?{}]'.includes(character)) throw new Unsupported()
    this.#at++
    return { kind: 'character', ranges: only(codeOf(character)) }
  }

  #repeated(part: PatternNode): PatternNode {
    const bounds = this.#bounds()
    if (bounds === undefined) return part
    // Lazy or not, the same texts fit.
    this.#take('?')
    if (this.#next !== undefined && '*+?{'.includes(this.#next)) throw new Unsupported()
    return { kind: 'repeat', part, ...bounds }
  }

  #bounds(): { least: number; most: number } | undefined {
    const endless = Number.POSITIVE_INFINITY
    if (this.#take('*')) return { least: 0, most: endless }
    if (this.#take('+')) return { least: 1, most: endless }
    if (this.#take('?')) return { least: 0, most: 1 }
    if (!this.#take('{')) return undefined
    const least = this.#count()
    const isRange = this.#take(',')
    const most = !isRange ? least : this.#next === '}' ? endless : this.#count()
    if (!this.#take('}') || most < least) throw new Unsupported()
    return { least, most }
  }

  #count(): number {
    let digits = ''
    while (this.#next !== undefined && /^\d$/.test(this.#next) && digits.length < 5) {
      digits += this.#next
      this.#at++
    }
    const count = Number(digits)
    if (digits === '' || count > maxRepeat) throw new Unsupported()
    return count
  }

  /** Behind a backslash. */
  #escape(): readonly CharacterRange[] {
    const character = this.#next
    if (character === undefined) throw new Unsupported()
    this.#at++
    const known = classes.get(character)
    if (known !== undefined) return known
    const control = controls.get(character)
    if (control !== undefined) return only(control)
    if (character === 'x') return only(this.#hex(2))
    if (character === 'u') return only(this.#hex(4))
    // Other letters and digits have a meaning of their own, or none.
    if (/^[\p{L}\p{N}_]$/u.test(character)) throw new Unsupported()
    return only(codeOf(character))
  }

  #hex(length: number): number {
    const digits = this.#characters.slice(this.#at, this.#at + length).join('')
    if (digits.length !== length || !/^[\da-f]+$/i.test(digits)) throw new Unsupported()
    this.#at += length
    const code = Number.parseInt(digits, 16)
    // Half of a pair is no character.
    if (code >= 0xd800 && code <= 0xdfff) throw new Unsupported()
    return code
  }

  /** Behind `[`, up to and with `]`. */
  #class(): readonly CharacterRange[] {
    const isNegated = this.#take('^')
    const ranges: CharacterRange[] = []
    if (this.#next === ']') throw new Unsupported()
    while (!this.#take(']')) {
      const first = this.#classAtom()
      const isRange = this.#next === '-' && this.#characters[this.#at + 1] !== ']'
      if (!isRange) {
        ranges.push(...first)
        continue
      }
      this.#at++
      const [low, high] = [single(first), single(this.#classAtom())]
      if (high < low) throw new Unsupported()
      ranges.push([low, high])
    }
    return isNegated ? otherThan(ranges) : ranges
  }

  #classAtom(): readonly CharacterRange[] {
    if (this.#take('\\')) return this.#escape()
    const character = this.#next
    if (character === undefined) throw new Unsupported()
    this.#at++
    return only(codeOf(character))
  }
}

function only(code: number): readonly CharacterRange[] {
  return [[code, code]]
}

function single(ranges: readonly CharacterRange[]): number {
  const [range] = ranges
  if (ranges.length !== 1 || range === undefined || range[0] !== range[1]) throw new Unsupported()
  return range[0]
}

function codeOf(character: string): number {
  const code = character.codePointAt(0) ?? lastCharacter + 1
  if (code > lastCharacter || (code >= 0xd800 && code <= 0xdfff)) throw new Unsupported()
  return code
}
