// Lark's syntax → definitions. What only shapes the tree that Lark makes of a text is read and left out: `?`, `!` and `_` before
// names, `-> alias`, priorities. https://lark-parser.readthedocs.io/en/stable/grammar.html
import { GrammarFault, NotHeld } from '../fault.ts'
import type { PatternNode } from '../pattern-parser.ts'
import { parseRegex } from '../regex-parser.ts'
import { type StringToken, stringNode, unescaped } from './strings.ts'
import { type LarkToken, larkTokens } from './tokens.ts'

export type Expression =
  /** A string, a range or a regular expression. */
  | { kind: 'pattern'; node: PatternNode }
  | { kind: 'name'; name: string; at: number }
  | { kind: 'sequence'; parts: readonly Expression[] }
  | { kind: 'choice'; options: readonly Expression[] }
  /** `most` may be infinite. */
  | { kind: 'repeat'; part: Expression; least: number; most: number }

export interface Definition {
  name: string
  isTerminal: boolean
  body: Expression
  at: number
}

export interface LarkFile {
  definitions: Definition[]
  ignored: { body: Expression; at: number }[]
  /** Out of the library `common`. */
  imports: { name: string; as: string; at: number }[]
}

const maxNesting = 100
const endless = Number.POSITIVE_INFINITY
const legalDirectives = ['declare', 'extend', 'override', 'json', 'regex', 'llguidance', 'lark']

/** Throws GrammarFault for what is not in Lark's syntax, NotHeld for what is and has no counterpart here. */
export function parseLark(text: string): LarkFile {
  return new LarkParser(larkTokens(text)).parse()
}

class LarkParser {
  readonly #tokens: readonly LarkToken[]
  readonly #file: LarkFile = { definitions: [], ignored: [], imports: [] }
  #at = 0

  constructor(tokens: readonly LarkToken[]) {
    this.#tokens = tokens
  }

  parse(): LarkFile {
    for (;;) {
      this.#skipLines()
      const { kind } = this.#next
      if (kind === 'end') return this.#file
      if (kind === 'directive') this.#directive()
      else this.#definition()
      if (!['line', 'end'].includes(this.#next.kind)) throw this.#unexpected()
    }
  }

  get #next(): LarkToken {
    return this.#tokens[this.#at]!
  }

  #take(text: string): boolean {
    const { kind, text: found } = this.#next
    if (kind !== 'mark' || found !== text) return false
    this.#at++
    return true
  }

  #expect(text: string): void {
    if (!this.#take(text)) throw this.#unexpected(`'${text}'`)
  }

  #expectKind<K extends LarkToken['kind']>(...kinds: K[]): LarkToken & { kind: K } {
    const token = this.#next
    if (!kinds.some((kind) => kind === token.kind)) {
      const names: Record<string, string> = { rule: 'the name of a rule', terminal: 'a terminal' }
      throw this.#unexpected(kinds.map((kind) => names[kind] ?? `a ${kind}`).join(' or '))
    }
    this.#at++
    return token as LarkToken & { kind: K }
  }

  #unexpected(expected?: string): GrammarFault {
    const { kind, text, at } = this.#next
    const found =
      kind === 'line'
        ? 'the end of the line'
        : kind === 'end'
          ? 'the end'
          : `'${text.slice(0, 40)}'`
    return new GrammarFault(
      expected === undefined ? `unexpected ${found}` : `expected ${expected}, found ${found}`,
      at,
    )
  }

  #skipLines(): void {
    while (this.#next.kind === 'line') this.#at++
  }

  // ---- statements

  #definition(): void {
    if (this.#take('?')) this.#take('!')
    else if (this.#take('!')) this.#take('?')
    const { kind, text: name, at } = this.#expectKind('rule', 'terminal')
    if (this.#take('{')) throw new NotHeld('a template')
    if (this.#take('[')) throw new NotHeld('attributes of a rule')
    if (this.#take('.')) this.#expectKind('number')
    this.#expect(':')
    this.#skipLinesBeforeBody()
    const body = this.#choice(0, kind === 'terminal')
    this.#file.definitions.push({ name, isTerminal: kind === 'terminal', body, at })
  }

  /** A body may begin in the next line, if that is not one more definition. */
  #skipLinesBeforeBody(): void {
    if (this.#next.kind !== 'line') return
    const [first, second] = this.#tokens.slice(this.#at + 1, this.#at + 3)
    const beginsNext =
      first?.kind === 'directive' ||
      ['?', '!'].includes(first?.text ?? '?') ||
      (second?.kind === 'mark' && [':', '.'].includes(second.text))
    if (!beginsNext) this.#skipLines()
  }

  #directive(): void {
    const { text, at } = this.#next
    this.#at++
    if (text === '%ignore') this.#file.ignored.push({ body: this.#choice(0, true), at })
    else if (text === '%import') this.#import(at)
    else if (legalDirectives.includes(text.slice(1))) throw new NotHeld(text)
    else throw new GrammarFault(`there is no directive '${text.slice(0, 40)}'`, at)
  }

  #import(at: number): void {
    if (this.#take('.')) throw new NotHeld('an import of a file')
    const path = [this.#expectKind('rule', 'terminal').text]
    while (this.#take('.')) path.push(this.#expectKind('rule', 'terminal').text)
    if (path[0] !== 'common') throw new NotHeld(`an import of '${path[0]}'`)
    if (this.#take('(')) {
      do this.#addImport(this.#expectKind('rule', 'terminal').text, at)
      while (this.#take(','))
      this.#expect(')')
      return
    }
    const name = path[1]
    if (path.length !== 2 || name === undefined) {
      throw new GrammarFault('an import names a terminal: %import common.NAME', at)
    }
    this.#addImport(name, at, this.#take('->') ? this.#expectKind('rule', 'terminal').text : name)
  }

  #addImport(name: string, at: number, as = name): void {
    this.#file.imports.push({ name, as, at })
  }

  // ---- expressions

  #choice(depth: number, isTerminal: boolean): Expression {
    const options = [this.#sequence(depth, isTerminal)]
    while (this.#takeBar(depth)) options.push(this.#sequence(depth, isTerminal))
    return options.length === 1 ? options[0]! : { kind: 'choice', options }
  }

  /** The next alternative may stand in a line of its own. Inside of brackets lines say nothing. */
  #takeBar(depth: number): boolean {
    const here = this.#at
    this.#skipLines()
    if (this.#take('|')) return true
    if (depth === 0) this.#at = here
    return false
  }

  #sequence(depth: number, isTerminal: boolean): Expression {
    const parts: Expression[] = []
    for (;;) {
      if (depth > 0) this.#skipLines()
      const { kind, text } = this.#next
      if (kind === 'line' || kind === 'end') break
      if (kind === 'mark' && !'([~'.includes(text)) break
      parts.push(this.#repeated(this.#atom(depth, isTerminal)))
    }
    if (this.#next.kind === 'mark' && this.#next.text === '->') {
      if (isTerminal) throw new GrammarFault('a terminal has no alias', this.#next.at)
      this.#at++
      this.#expectKind('rule')
    }
    return parts.length === 1 ? parts[0]! : { kind: 'sequence', parts }
  }

  #atom(depth: number, isTerminal: boolean): Expression {
    const token = this.#next
    if (depth >= maxNesting) throw new NotHeld('groups in groups in groups')
    if (this.#take('~')) throw new NotHeld('a terminal that is all but another')
    for (const [open, close] of ['()', '[]'] as const) {
      if (!this.#take(open!)) continue
      const inside = this.#choice(depth + 1, isTerminal)
      this.#expect(close!)
      return open === '(' ? inside : { kind: 'repeat', part: inside, least: 0, most: 1 }
    }
    this.#at++
    switch (token.kind) {
      case 'rule':
      case 'terminal':
        if (token.kind === 'rule' && isTerminal) {
          throw new GrammarFault(`a terminal cannot have the rule '${token.text}'`, token.at)
        }
        return { kind: 'name', name: token.text, at: token.at }
      case 'string':
        return { kind: 'pattern', node: this.#take('..') ? this.#range(token) : stringNode(token) }
      case 'regex': {
        const { text, flags, at } = token
        return { kind: 'pattern', node: parseRegex(text, { flags, offset: at }) }
      }
      default:
        if (legalDirectives.includes(token.text.slice(1))) throw new NotHeld(token.text)
        this.#at--
        throw this.#unexpected()
    }
  }

  #range(from: StringToken): PatternNode {
    const to = this.#expectKind('string')
    const [first, second] = [unescaped(from), unescaped(to)]
    const [low = -1, high = -1] = [first.codePointAt(0), second.codePointAt(0)]
    if (Array.from(first).length !== 1 || Array.from(second).length !== 1 || high < low) {
      throw new GrammarFault('a range is from one character to a later one', from.at)
    }
    return { kind: 'character', ranges: [[low, high]] }
  }

  #repeated(part: Expression): Expression {
    const bounds = this.#bounds()
    return bounds === undefined ? part : { kind: 'repeat', part, ...bounds }
  }

  #bounds(): { least: number; most: number } | undefined {
    if (this.#take('*')) return { least: 0, most: endless }
    if (this.#take('+')) return { least: 1, most: endless }
    if (this.#take('?')) return { least: 0, most: 1 }
    const { at } = this.#next
    if (this.#take('~')) {
      const least = this.#count()
      return this.#checked(least, this.#take('..') ? this.#count() : least, at)
    }
    if (!this.#take('{')) return undefined
    if (this.#next.kind !== 'number' && this.#next.text !== ',') throw new NotHeld('a template')
    const least = this.#next.kind === 'number' ? this.#count() : 0
    const isRange = this.#take(',')
    const most = !isRange ? least : this.#next.kind === 'number' ? this.#count() : endless
    this.#expect('}')
    return this.#checked(least, most, at)
  }

  #count(): number {
    return Number(this.#expectKind('number').text)
  }

  #checked(least: number, most: number, at: number): { least: number; most: number } {
    if (least >= 0 && most >= least) return { least, most }
    throw new GrammarFault(`nothing can be repeated from ${least} to ${most} times`, at)
  }
}
