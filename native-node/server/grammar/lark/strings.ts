// Strings of a grammar in Lark's syntax.
import { foldedCase } from '../characters.ts'
import { GrammarFault } from '../fault.ts'
import type { PatternNode } from '../pattern-parser.ts'
import type { LarkToken } from './tokens.ts'

export type StringToken = LarkToken & { kind: 'string' }

/** Exactly this text, or in any case. */
export function stringNode(token: StringToken): PatternNode {
  const parts = Array.from(unescaped(token), (character): PatternNode => {
    const code = character.codePointAt(0)!
    return {
      kind: 'character',
      ranges: token.ignoresCase ? foldedCase([[code, code]]) : [[code, code]],
    }
  })
  return { kind: 'sequence', parts }
}

const escapes: Readonly<Record<string, string>> = {
  n: '\n',
  t: '\t',
  r: '\r',
  f: '\f',
  '\\': '\\',
  '"': '"',
}

/** As Lark reads it: what is no escape keeps its backslash. */
export function unescaped({ text, at }: StringToken): string {
  const plain = text.replaceAll(
    /\\(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([\s\S]))/g,
    (whole, two, four, eight, other?: string) => {
      if (other !== undefined) {
        if ('xuU'.includes(other))
          throw new GrammarFault(`'\\${other}' wants hexadecimal digits`, at)
        return escapes[other] ?? whole
      }
      const code = Number.parseInt(two ?? four ?? eight, 16)
      if (code <= 0x10ffff) return String.fromCodePoint(code)
      throw new GrammarFault(`'${whole}' is no character`, at)
    },
  )
  if (!/\p{Surrogate}/u.test(plain)) return plain
  throw new GrammarFault('a string has half of a character', at)
}
