// Reads regular expressions as Python's `re` and Rust's `regex` both understand them, which is what the terminals of a Lark
// grammar and the regex of a freeform tool are written in. Only what a grammar can say: no looking around, no word
// boundaries, no references. `\d`, `\w` and their like mean ASCII. Nothing is ever executed.
// https://docs.python.org/3/library/re.html https://docs.rs/regex/latest/regex/#syntax

import type { CharacterRange } from './characters.ts'
import { blanks, foldedCase, lastCharacter, mergedRanges, otherThan } from './characters.ts'
import { GrammarFault, NotHeld } from './fault.ts'
import { untilFirst } from './lazy-repeat.ts'
import { digits, type PatternNode, wordCharacters } from './pattern-parser.ts'

export interface RegexOptions {
  /** Out of `imsxu`. */
  flags?: string
  /**
   * It is all that a text may be: `^` at its beginning and `$` at its end say nothing, and lazy or not, the same texts fit. Else
   * it is read from some place on, where a lazy one takes as little as it can.
   */
  isWhole?: boolean
  /** Where it stands in what the client wrote. */
  offset?: number
}

interface Flags {
  ignoresCase: boolean
  dotIsAny: boolean
  isVerbose: boolean
}

/** What may be repeated lazily, with how often it must be; it counts only if nothing but plain characters follow. */
interface LazyPart {
  index: number
  least: number
}

const hexForms = /x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|[xuU]\{([\da-fA-F]{1,8})\}/y
const maxNesting = 100
const maxRepeat = 10_000
/** All letters of Unicode are some 650 ranges. */
const maxRanges = 1000

const controls = new Map(Object.entries({ a: 0x07, t: 0x09, n: 0x0a, v: 0x0b, f: 0x0c, r: 0x0d }))
const classes = new Map(
  Object.entries({ d: digits, w: wordCharacters, s: blanks }).flatMap(([name, ranges]) => [
    [name, ranges] as const,
    [name.toUpperCase(), otherThan(ranges)] as const,
  ]),
)

/** Throws GrammarFault for what is no regular expression, NotHeld for what a grammar cannot say. */
export function parseRegex(source: string, options: RegexOptions = {}): PatternNode {
  return new RegexParser(source, options).parse()
}

class RegexParser {
  readonly #source: string
  readonly #isWhole: boolean
  readonly #offset: number
  #flags: Flags
  #at = 0

  constructor(source: string, { flags = '', isWhole = false, offset = 0 }: RegexOptions) {
    this.#source = source
    this.#isWhole = isWhole
    this.#offset = offset
    this.#flags = withFlags({ ignoresCase: false, dotIsAny: false, isVerbose: false }, flags, true)
  }

  parse(): PatternNode {
    const node = this.#choice(0)
    if (this.#next === ')') throw this.#fault("a ')' that closes nothing")
    return node
  }

  #fault(what: string): GrammarFault {
    return new GrammarFault(`the regular expression has ${what}`, this.#offset + this.#at)
  }

  /** The character that comes next; of a pair its first half. */
  get #next(): string | undefined {
    return this.#source[this.#at]
  }

  #take(text: string): boolean {
    if (!this.#source.startsWith(text, this.#at)) return false
    this.#at += text.length
    return true
  }

  #match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#source)
    if (found !== null) this.#at = pattern.lastIndex
    return found
  }

  #choice(depth: number): PatternNode {
    const options = [this.#sequence(depth)]
    while (this.#take('|')) options.push(this.#sequence(depth))
    return options.length === 1 ? options[0]! : { kind: 'choice', options }
  }

  #sequence(depth: number): PatternNode {
    const parts: PatternNode[] = []
    let lazy: LazyPart | undefined
    for (;;) {
      this.#skipIdle()
      if (this.#next === undefined || this.#next === '|' || this.#next === ')') break
      if (this.#isAnchor(depth, parts.length === 0)) continue
      const bounds = this.#repeated(this.#atom(depth), parts)
      if (bounds !== undefined) lazy ??= bounds
    }
    const isLast = depth === 0 && this.#next === undefined
    return { kind: 'sequence', parts: lazy ? untilFirst(parts, lazy, isLast) : parts }
  }

  /** In verbose mode blanks and comments say nothing. */
  #skipIdle(): void {
    if (this.#flags.isVerbose) this.#match(/(?:\s|#[^\n]*)*/y)
  }

  #isAnchor(depth: number, isFirst: boolean): boolean {
    if (this.#next !== '^' && this.#next !== '$') return false
    const says = this.#take('^') ? isFirst : this.#take('$') && '|'.includes(this.#next ?? '|')
    if (says && depth === 0 && this.#isWhole) return true
    throw new NotHeld('an anchor inside of a regular expression')
  }

  /** Reads how often it is repeated; gives where it is lazy, if that counts. */
  #repeated(part: PatternNode, parts: PatternNode[]): LazyPart | undefined {
    this.#skipIdle()
    const bounds = this.#bounds()
    if (bounds === undefined) {
      if (part.kind !== 'sequence' || part.parts.length > 0) parts.push(part)
      return undefined
    }
    const isLazy = this.#take('?')
    if (this.#match(/[*+?]|\{\d*(?:,\d*)?\}/y)) throw new NotHeld('a repetition of a repetition')
    parts.push({ kind: 'repeat', part, ...bounds })
    if (!isLazy || this.#isWhole) return undefined
    if (bounds.most !== Number.POSITIVE_INFINITY) throw new NotHeld('a lazy repetition with an end')
    return { index: parts.length - 1, least: bounds.least }
  }

  #bounds(): { least: number; most: number } | undefined {
    const endless = Number.POSITIVE_INFINITY
    if (this.#take('*')) return { least: 0, most: endless }
    if (this.#take('+')) return { least: 1, most: endless }
    if (this.#take('?')) return { least: 0, most: 1 }
    const counted = this.#match(/\{(?=\d|,\d)(\d*)(,?)(\d*)\}/y)
    if (counted === null) return undefined
    const [, from = '', comma, to = ''] = counted
    const least = Number(from)
    const most = comma === '' ? least : to === '' ? endless : Number(to)
    if (most < least) throw this.#fault(`a repetition from ${from} to ${to} times`)
    if (Math.max(least, most === endless ? 0 : most) > maxRepeat)
      throw new NotHeld('a very large number of repetitions')
    return { least, most }
  }

  #atom(depth: number): PatternNode {
    if (this.#take('(')) return this.#group(depth)
    if (this.#take('[')) return { kind: 'character', ranges: this.#class() }
    if (this.#take('.')) {
      return { kind: 'character', ranges: otherThan(this.#flags.dotIsAny ? [] : [[0x0a, 0x0a]]) }
    }
    if (this.#take('\\')) return this.#character(this.#escape())
    // A brace that counts nothing is one.
    if ('*+?'.includes(this.#next!) || this.#match(/\{\d+(?:,\d*)?\}/y)) {
      throw this.#fault('nothing to repeat')
    }
    return this.#character(only(this.#code()))
  }

  #character(ranges: readonly CharacterRange[]): PatternNode {
    return { kind: 'character', ranges: this.#flags.ignoresCase ? foldedCase(ranges) : ranges }
  }

  /** Behind its bracket. */
  #group(depth: number): PatternNode {
    if (depth >= maxNesting) throw new NotHeld('groups in groups in groups')
    const outer = this.#flags
    if (this.#take('?')) {
      const flags = this.#match(/([a-zA-Z]*)(?:-([a-zA-Z]+))?([:)])/y)
      if (flags !== null) {
        const [, on = '', off = '', end] = flags
        this.#flags = withFlags(withFlags(outer, on, true), off, false)
        // Until the end of the group that it stands in, which as a rule is the whole.
        if (end === ')') return { kind: 'sequence', parts: [] }
      } else if (this.#match(/P?<[A-Za-z_]\w*>/y) === null) {
        throw new NotHeld('a group that looks around or back')
      }
    }
    const inside = this.#choice(depth + 1)
    if (!this.#take(')')) throw this.#fault("a '(' that nothing closes")
    this.#flags = outer
    return inside
  }

  /** Behind a backslash. */
  #escape(): readonly CharacterRange[] {
    const known = classes.get(this.#next ?? '')
    const control = controls.get(this.#next ?? '')
    if (known !== undefined || control !== undefined) {
      this.#at++
      return known ?? only(control!)
    }
    const hex = this.#match(hexForms)
    if (hex !== null) {
      const code = Number.parseInt(hex[1] ?? hex[2] ?? hex[3] ?? hex[4]!, 16)
      if (!isCharacter(code)) throw this.#fault('the number of no character')
      return only(code)
    }
    if (this.#next === undefined) throw this.#fault('a backslash at its end')
    // Other letters and digits have a meaning of their own, or none.
    if (/^[\p{L}\p{N}]$/u.test(this.#next)) throw new NotHeld(`\\${this.#next}`)
    return only(this.#code())
  }

  /** Behind `[`, up to and with `]`. */
  #class(): readonly CharacterRange[] {
    const isNegated = this.#take('^')
    const ranges: CharacterRange[] = []
    // At once, a closing bracket is one of the characters.
    do {
      if (this.#next === undefined) throw this.#fault("a '[' that nothing closes")
      // What Rust takes for a class inside, or for two classes.
      if (this.#match(/\[[:^\w]*:\]|&&|--|~~/y)) throw new NotHeld('a class of classes')
      const first = this.#classAtom()
      if (this.#next !== '-' || this.#source[this.#at + 1] === ']') {
        ranges.push(...first)
        continue
      }
      this.#at++
      ranges.push(this.#range(first, this.#classAtom()))
    } while (!this.#take(']'))
    const folded = this.#flags.ignoresCase ? foldedCase(ranges) : mergedRanges(ranges)
    if (folded.length > maxRanges) throw new NotHeld('a class of very many ranges')
    return isNegated ? otherThan(folded) : folded
  }

  #range(first: readonly CharacterRange[], last: readonly CharacterRange[]): CharacterRange {
    const [low, high] = [single(first), single(last)]
    if (low === undefined || high === undefined) throw new NotHeld('a range to a class')
    if (high < low) throw this.#fault('a range whose end comes before its beginning')
    return [low, high]
  }

  #classAtom(): readonly CharacterRange[] {
    if (this.#take('\\')) return this.#take('b') ? only(0x08) : this.#escape()
    if (this.#next === undefined) throw this.#fault("a '[' that nothing closes")
    return only(this.#code())
  }

  /** The next character, whatever it says. */
  #code(): number {
    const code = this.#source.codePointAt(this.#at)!
    if (!isCharacter(code)) throw this.#fault('half of a character')
    this.#at += code > 0xffff ? 2 : 1
    return code
  }
}

function withFlags(flags: Flags, names: string, value: boolean): Flags {
  const changed = { ...flags }
  for (const name of names) {
    if (name === 'i') changed.ignoresCase = value
    else if (name === 's') changed.dotIsAny = value
    else if (name === 'x') changed.isVerbose = value
    // `m` is for anchors, `u` is what they are without it.
    else if (name !== 'm' && name !== 'u') throw new NotHeld(`the flag ${name}`)
  }
  return changed
}

function only(code: number): readonly CharacterRange[] {
  return [[code, code]]
}

function single(ranges: readonly CharacterRange[]): number | undefined {
  const [range] = ranges
  return ranges.length === 1 && range![0] === range![1] ? range![0] : undefined
}

function isCharacter(code: number): boolean {
  return code <= lastCharacter && (code < 0xd800 || code > 0xdfff)
}
