// The headers of an answer that must be a call: https://cookbook.openai.com/articles/openai-harmony
import { control } from '../vocabulary.ts'
import { GrammarBuilder, type Sequence } from './builder.ts'
import type { Grammar } from './grammar.ts'

/** Stands before the name of a control token: no text in UTF-8 has it. */
const specialMark = 0xff

/** Anything at all. */
export const anyText: Grammar = built((grammar) => {
  const text = grammar.reserve()
  grammar.define(text, [[grammar.set([0, 255]), text], []])
  return text
})

/** Thinking or a call of one of these functions first, a call behind that. The recipient may stand in the role or the channel. */
export function callHeaders(names: readonly string[]): [first: Grammar, next: Grammar] {
  return [
    built((grammar) => {
      const thinking = [
        ...special(grammar, control.channel),
        ...grammar.text('analysis'),
        ...special(grammar, control.message),
      ]
      return grammar.rule(thinking, ...calls(grammar, names))
    }),
    built((grammar) => {
      const call = grammar.rule(...calls(grammar, names))
      return grammar.rule([...special(grammar, control.start), ...grammar.text('assistant'), call])
    }),
  ]
}

function calls(grammar: GrammarBuilder, names: readonly string[]): Sequence[] {
  const name = grammar.oneOf(names)
  const recipient = [...grammar.text(' to=functions.'), name]
  const channel = [...special(grammar, control.channel), ...grammar.text('commentary')]
  const json = [
    ...grammar.text(' '),
    ...special(grammar, control.constrain),
    ...grammar.text('json'),
  ]
  const end = grammar.rule(
    [...json, ...special(grammar, control.message)],
    special(grammar, control.message),
  )
  return [
    [...channel, ...recipient, end],
    [...recipient, ...channel, end],
  ]
}

function special(grammar: GrammarBuilder, name: string): number[] {
  return [grammar.set([specialMark, specialMark]), ...grammar.text(name)]
}

function built(make: (grammar: GrammarBuilder) => number): Grammar {
  const grammar = new GrammarBuilder()
  const made = grammar.build(make(grammar))
  if (made === undefined) throw new Error('A header has no text.')
  return made
}
