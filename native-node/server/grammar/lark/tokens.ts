// The words of a grammar in Lark's syntax. https://lark-parser.readthedocs.io/en/stable/grammar.html
import { GrammarFault, NotHeld } from '../fault.ts'

export type LarkToken = { at: number } & (
  | { kind: 'rule' | 'terminal'; text: string }
  /** Without its quotes, as it is written. */
  | { kind: 'string'; text: string; ignoresCase: boolean }
  /** `at` is where its text begins. */
  | { kind: 'regex'; text: string; flags: string }
  | { kind: 'number'; text: string }
  | { kind: 'directive'; text: string }
  | { kind: 'mark'; text: string }
  | { kind: 'line'; text: string }
  | { kind: 'end'; text: '' }
)

/** One word, whatever its kind: of the groups the one that is there tells which. */
const words = new RegExp(
  [
    /(?<idle>(?:[ \t\f]|\\ *\r?\n|\/\/[^\n]*|#[^\n]*)+)/,
    /(?<line>(?:\r?\n\s*)+)/,
    /"(?<string>(?:\\[^\n]|[^"\\\n])*)"(?<case>i?)/,
    /\/(?<regex>(?:\\[\s\S]|[^/\\])+)\/(?<flags>[imslux]*)/,
    /(?<name>_?[A-Za-z][A-Za-z0-9_]*(?:-[A-Za-z0-9_]+)*)/,
    /(?<number>[+-]?\d+)/,
    /(?<directive>%[a-z]+)/,
    /(?<mark>->|\.\.|[:,.|()[\]{}+*?!~])/,
  ]
    .map(({ source }) => source)
    .join('|'),
  'y',
)
const ruleName = /^_?[a-z][_a-z0-9-]*$/
const terminalName = /^_?[A-Z][_A-Z0-9-]*$/
/** What llguidance has beside Lark: special tokens, other grammars, the intersection of terminals. */
const extensions = '<@&'

/** Throws GrammarFault for a character that begins nothing, NotHeld for what only other readers of the syntax know. */
export function larkTokens(text: string): LarkToken[] {
  const tokens: LarkToken[] = []
  let at = 0
  while (at < text.length) {
    words.lastIndex = at
    const found = words.exec(text)
    if (found === null) throw refusal(text, at)
    const token = tokenOf(found.groups!, at)
    if (token !== undefined) tokens.push(token)
    at += found[0].length
  }
  return [...tokens, { kind: 'end', text: '', at }]
}

function tokenOf(groups: Record<string, string | undefined>, at: number): LarkToken | undefined {
  const { idle, mark, name, string, regex, line, number } = groups
  if (idle !== undefined) return undefined
  if (mark !== undefined) return { kind: 'mark', text: mark, at }
  if (name !== undefined) return nameToken(name, at)
  if (string !== undefined)
    return { kind: 'string', text: string, ignoresCase: groups.case === 'i', at }
  if (regex !== undefined) return regexToken(regex, groups.flags ?? '', at)
  if (line !== undefined) return { kind: 'line', text: '\n', at }
  if (number !== undefined) return { kind: 'number', text: number, at }
  return { kind: 'directive', text: groups.directive!, at }
}

function regexToken(text: string, flags: string, at: number): LarkToken {
  if (!text.includes('\n') || flags.includes('x')) return { kind: 'regex', text, flags, at: at + 1 }
  throw new GrammarFault('a regular expression over several lines needs the flag x', at)
}

function nameToken(text: string, at: number): LarkToken {
  if (ruleName.test(text)) return { kind: 'rule', text, at }
  if (terminalName.test(text)) return { kind: 'terminal', text, at }
  const message = `the name '${text.slice(0, 40)}' is neither that of a rule, which is in lower case, nor of a terminal, in upper case`
  throw new GrammarFault(message, at)
}

function refusal(text: string, at: number): Error {
  const character = String.fromCodePoint(text.codePointAt(at)!)
  if (extensions.includes(character)) return new NotHeld(`'${character}' in a grammar`)
  const what: Record<string, string> = {
    '"': 'a string that does not end in its line',
    '/': 'a regular expression that does not end',
  }
  return new GrammarFault(what[character] ?? `unexpected character '${character}'`, at)
}
