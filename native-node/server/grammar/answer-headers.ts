// The headers of an answer that is held to a form: https://cookbook.openai.com/articles/openai-harmony
import { ApiError } from '../../../src/errors.ts'
import { control } from '../vocabulary.ts'
import { GrammarBuilder } from './builder.ts'
import { GrammarTooLarge } from './fault.ts'
import type { Grammar } from './grammar.ts'
import type { Sequence } from './rule-lists.ts'

/** Stands before the name of a control token: no text in UTF-8 has it. */
const specialMark = 0xff
/** Thousands of functions with long names; they fill most of a context when they are told. */
const maxSymbols = 300_000

/** Whom an answer may call. */
export interface Recipients {
  /** By the names that the model sees. */
  functions: readonly string[]
  /** Tools that the model was trained with, by their own names: these are called while it thinks, too. */
  builtIns: readonly string[]
}

/**
 * Those of the first message, then those of all that follow. With `demandsCall` the model thinks at most once before it calls.
 * Throws ApiError for more names than a model is held to.
 */
export function answerHeaders(
  recipients: Recipients,
  { demandsCall }: { demandsCall: boolean },
): [first: Grammar, next: Grammar] {
  const messages = (grammar: GrammarBuilder): Sequence[] => {
    const calls = callHeaders(grammar, recipients)
    if (demandsCall) return calls
    const final = [...channel(grammar, 'final'), contentType(grammar), ...message(grammar)]
    // Words on the way to a call.
    const preamble = [...channel(grammar, 'commentary'), ...message(grammar)]
    return [thinking(grammar), final, ...(calls.length === 0 ? [] : [preamble, ...calls])]
  }
  return [
    built((grammar) => grammar.rule(thinking(grammar), ...messages(grammar))),
    built((grammar) => {
      const start = [...special(grammar, control.start), ...grammar.text('assistant')]
      return grammar.rule([...start, grammar.rule(...messages(grammar))])
    }),
  ]
}

function thinking(grammar: GrammarBuilder): Sequence {
  return [...channel(grammar, 'analysis'), ...message(grammar)]
}

/** The recipient may stand in the role or the channel. */
function callHeaders(grammar: GrammarBuilder, { functions, builtIns }: Recipients): Sequence[] {
  const calls = (prefix: string, names: readonly string[], channels: readonly string[]) => {
    const recipient = [...grammar.text(prefix), grammar.oneOf(names)]
    const end = [contentType(grammar), ...message(grammar)]
    return channels.flatMap((name): Sequence[] => [
      [...channel(grammar, name), ...recipient, ...end],
      [...recipient, ...channel(grammar, name), ...end],
    ])
  }
  return [
    ...(functions.length === 0 ? [] : calls(' to=functions.', functions, ['commentary'])),
    ...(builtIns.length === 0 ? [] : calls(' to=', builtIns, ['analysis', 'commentary'])),
  ]
}

/** All that models write there, which says nothing: what the content must be is known. */
function contentType(grammar: GrammarBuilder): number {
  return grammar.named('content type', () => [
    [],
    grammar.text(' json'),
    grammar.text(' code'),
    ...['', ' '].map((space) => [
      ...grammar.text(space),
      ...special(grammar, control.constrain),
      ...grammar.text('json'),
    ]),
  ])
}

function channel(grammar: GrammarBuilder, name: string): Sequence {
  return [...special(grammar, control.channel), ...grammar.text(name)]
}

function message(grammar: GrammarBuilder): Sequence {
  return special(grammar, control.message)
}

function special(grammar: GrammarBuilder, name: string): Sequence {
  return [grammar.set([specialMark, specialMark]), ...grammar.text(name)]
}

function built(make: (grammar: GrammarBuilder) => number): Grammar {
  const grammar = new GrammarBuilder(maxSymbols)
  const made = grammar.build(sized(() => make(grammar)))
  if (made === undefined) throw new Error('A header has no text.')
  return made
}

function sized<T>(make: () => T): T {
  try {
    return make()
  } catch (thrown) {
    if (!(thrown instanceof GrammarTooLarge)) throw thrown
    const message = 'These are more functions, or longer names, than this model can be held to.'
    throw new ApiError('invalid_value', message, { param: 'tools', cause: thrown })
  }
}
