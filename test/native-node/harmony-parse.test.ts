import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  HarmonyParser,
  type ParsedMessage,
  parseCommand,
} from '../../native-node/server/harmony-parse.ts'
import { idsOf, o200kVocabulary } from './vocabulary.ts'

interface Parsed {
  text: string
  ids: number[]
  deltas: string[]
  messages: ParsedMessage[]
}

function fixture(name: string): { parse: Parsed[] } {
  return JSON.parse(readFileSync(new URL(`../fixtures/golden/${name}`, import.meta.url), 'utf8'))
}

const golden = fixture('harmony.json')
// Random completions, and what the library made of them.
const differential = fixture('harmony-differential.json')
const vocabulary = o200kVocabulary()
const functions = new Set(['get_weather', 'lookup'])

function parse(text: string): string[] {
  const parser = new HarmonyParser(vocabulary, { functions })
  const events = idsOf(text).flatMap((id) => parser.push(id))
  return [...events, ...parser.end()].flatMap((event) =>
    event.type === 'close' ? [brief(event.message)] : [],
  )
}

/** `channel>recipient: content` */
function brief(message: ParsedMessage): string {
  const to = message.recipient ? `>${message.recipient}` : ''
  return `${message.channel ?? message.role}${to}: ${message.content}`
}

describe('parsing', () => {
  it.each(golden.parse)('equals the harmony library: $text', ({ ids, deltas, messages }) => {
    expect(parseCommand(ids, vocabulary)).toEqual({ deltas, messages })
  })

  it('equals the harmony library on random completions', () => {
    for (const { text, ids, deltas, messages } of differential.parse) {
      expect(parseCommand(ids, vocabulary), text).toEqual({ deltas, messages })
    }
    expect(differential.parse.length).toBe(50)
  })

  it('holds text back for a character that is not complete, but not for ever', () => {
    // The second byte of `é` and the first of the next: no token ends between characters.
    const tokenBytes = (id: number) =>
      id === 0 ? Uint8Array.of(0xa9, 0xc3) : vocabulary.tokenBytes(id)
    const parser = new HarmonyParser({ ...vocabulary, tokenBytes })
    for (const id of idsOf('<|channel|>final<|message|>')) parser.push(id)
    const text = () =>
      parser.push(0).flatMap((event) => (event.type === 'delta' ? [event.text] : []))
    expect(text()).toEqual([])
    expect(Array.from({ length: 200 }, text).flat().join('').length).toBeGreaterThan(100)
  })

  it('reads the recipient in either place and every content type', () => {
    const call = 'commentary>functions.get_weather: {}'
    for (const header of [
      ' to=functions.get_weather<|channel|>commentary <|constrain|>json',
      '<|channel|>commentary to=functions.get_weather <|constrain|>json',
      '<|channel|>commentary to=functions.get_weather<|constrain|>json',
      '<|channel|>commentary to=functions.get_weather json',
      '<|channel|>commentary to=functions.get_weather code',
      '<|channel|>commentary to=functions.get_weather',
      '<|channel|>commentary to=get_weather',
      '<|channel|>commentary get_weather',
      '<|channel|>commentary functions.get_weather',
      '<|channel|>comment to=functions.get_weatherjson',
      'assistant to=functions.get_weather<|channel|>commentary',
    ]) {
      expect(parse(`${header}<|message|>{}<|call|>`), header).toEqual([call])
    }
    expect(parse(' to=functions.lookup<|message|>{}<|call|>')).toEqual([
      'assistant>functions.lookup: {}',
    ])
    expect(parse('<|channel|>analysis to=functions.lookup<|message|>{}<|call|>')).toEqual([
      'analysis>functions.lookup: {}',
    ])
    expect(parse('<|channel|>final <|constrain|>json<|message|>{}<|return|>')).toEqual([
      'final: {}',
    ])
    expect(parse('<|channel|>final json<|message|>{}<|return|>')).toEqual(['final: {}'])
  })

  it('takes an answer addressed to itself for an answer', () => {
    expect(parse('<|channel|>commentary to=assistant<|message|>hi<|end|>')).toEqual([
      'commentary: hi',
    ])
  })

  it('keeps a made-up tool result apart from the assistant', () => {
    expect(
      parse(
        '<|channel|>analysis<|message|>x<|end|><|start|>functions.lookup to=assistant<|channel|>commentary<|message|>42<|end|>',
      ),
    ).toEqual(['analysis: x', 'commentary>assistant: 42'])
  })
})

describe('recovery', () => {
  const analysis = '<|channel|>analysis<|message|>T<|end|>'
  it.each([
    // 1. Anything but <|start|> between messages.
    [`${analysis}Hello<|return|>`, ['analysis: T', 'final: Hello']],
    [`${analysis}<|channel|>final<|message|>A<|return|>`, ['analysis: T', 'final: A']],
    [`${analysis}assistant<|channel|>final<|message|>A<|return|>`, ['analysis: T', 'final: A']],
    [`${analysis}<|message|>A<|return|>`, ['analysis: T', 'final: A']],
    [`${analysis}as you like<|return|>`, ['analysis: T', 'final: as you like']],
    ['<|channel|>final<|message|>A<|end|><|end|><|return|>', ['final: A']],
    ['<|channel|>final<|message|>A<|end|> B<|return|>', ['final: A', 'final:  B']],
    // 2. Doubled starts.
    ['<|start|><|start|>assistant<|channel|>final<|message|>A<|return|>', ['final: A']],
    ['assistantassistant<|channel|>final<|message|>A<|return|>', ['final: A']],
    [
      `${analysis}<|start|>assistantassistant<|channel|>final<|message|>A<|return|>`,
      ['analysis: T', 'final: A'],
    ],
    [`${analysis}<|start|>assistantfinal<|message|>A<|return|>`, ['analysis: T', 'final: A']],
    // 3. A header that ends without <|message|>.
    ['I must refuse<|return|>', ['final: I must refuse']],
    [
      'I must refuse<|end|><|start|>assistant<|channel|>final<|message|>No.<|return|>',
      ['analysis: I must refuse', 'final: No.'],
    ],
    ['<|channel|>final The answer is 4<|return|>', ['final: The answer is 4']],
    ['{"a":1}<|return|>', ['final: {"a":1}']],
    [
      '<|channel|>commentary to=functions.lookup <|constrain|>json{"a":1}<|call|>',
      ['commentary>functions.lookup: {"a":1}'],
    ],
    // 4. Channels that are none.
    ['<|channel|>commentary?commentary?<|message|>A<|end|>', ['commentary: A']],
    ['<|channel|>––commentary<|message|>A<|end|>', ['commentary: A']],
    ['<|channel|>commentary<|channel|>analysis<|message|>A<|end|>', ['analysis: A']],
    ['<|channel|>finalx<|message|>A<|return|>', ['final: A']],
    ['<|channel|>??<|message|>A<|return|>', ['final: A']],
    [
      '<|channel|>??<|message|>A<|end|><|start|>assistant<|channel|>final<|message|>B<|return|>',
      ['analysis: A', 'final: B'],
    ],
    [
      '<|channel|>response to=functions.lookup<|message|>{}<|call|>',
      ['commentary>functions.lookup: {}'],
    ],
    ['<|message|>A<|return|>', ['final: A']],
    // A message without its end mark.
    [
      '<|channel|>analysis<|message|>T<|start|>assistant<|channel|>final<|message|>A<|return|>',
      ['analysis: T', 'final: A'],
    ],
    ['<|channel|>analysis<|message|>T<|channel|>final<|message|>A', ['analysis: T', 'final: A']],
    // Cut anywhere in a header: labels are no text.
    [`${analysis}<|start|>assist`, ['analysis: T']],
    [`${analysis}<|start|>assistant<|channel|>fin`, ['analysis: T']],
    [`${analysis}<|start|>assistant to=functions.look`, ['analysis: T']],
    [`${analysis}<|start|>assistant<|channel|>commentary to`, ['analysis: T']],
    [
      `${analysis}<|start|>assistant to=functions.lookup<|channel|>commentary yaml`,
      ['analysis: T'],
    ],
    [`${analysis}<|start|>user`, ['analysis: T']],
    [`${analysis}<|start|>functions.lookup`, ['analysis: T']],
    [`${analysis}<|start|>browser.search to=`, ['analysis: T']],
  ])('%s', (text, messages) => {
    expect(parse(text)).toEqual(messages)
  })

  it('says how a message ended', () => {
    const endings = (text: string) => {
      const parser = new HarmonyParser(vocabulary)
      const events = [...idsOf(text).flatMap((id) => parser.push(id)), ...parser.end()]
      return events.flatMap((event) => (event.type === 'close' ? [event.ending] : []))
    }
    expect(endings(`${analysis}<|start|>assistant<|channel|>final<|message|>A<|return|>`)).toEqual([
      'end',
      'return',
    ])
    expect(endings('<|channel|>final<|message|>A<|endoftext|>')).toEqual(['cut'])
    expect(endings('<|channel|>final<|message|>A')).toEqual(['cut'])
  })

  it('replaces bytes that are no UTF-8 and goes on', () => {
    // 0x80 can not begin a character; 0xe6 begins one that never ends.
    const byte = (value: number) => {
      for (let id = 0; id < 1000; id++) {
        const bytes = vocabulary.tokenBytes(id)
        if (bytes.length === 1 && bytes[0] === value) return id
      }
      throw new Error('no such token')
    }
    const ids = [
      ...idsOf('<|channel|>final<|message|>a'),
      byte(0x80),
      ...idsOf('b'),
      byte(0xe6),
      ...idsOf('<|return|>'),
    ]
    expect(parseCommand(ids, vocabulary).messages.map(brief)).toEqual(['final: a\ufffdb\ufffd'])
  })
})

describe('any token sequence', () => {
  const words = [
    'Hello',
    ' world',
    'é',
    '日本',
    '🙂🏽',
    '{"a":1}',
    ' to=',
    'functions.lookup',
    '\n',
  ]
  const labels = ['assistant', 'analysis', 'final', 'commentary', ' json', '??']
  const controls = [
    '<|start|>',
    '<|end|>',
    '<|message|>',
    '<|channel|>',
    '<|constrain|>',
    '<|return|>',
    '<|call|>',
    '<|endoftext|>',
    '<|endofprompt|>',
  ]
  const soup = fc.array(fc.constantFrom(...words, ...labels, ...controls), { maxLength: 40 })

  it('never throws, and deltas add up to the messages', () => {
    fc.assert(
      fc.property(soup, (parts) => {
        const parser = new HarmonyParser(vocabulary, { functions })
        const ids = parts.flatMap((part) => idsOf(part))
        const events = [...ids.flatMap((id) => parser.push(id)), ...parser.end()]
        const rebuilt: string[] = []
        let open = false
        const seen = new Set<number>()
        for (const event of events) {
          if (event.type === 'open') {
            expect(open).toBe(false)
            open = true
            rebuilt.push('')
          } else if (event.type === 'delta') {
            expect(open).toBe(true)
            rebuilt[rebuilt.length - 1] += event.text
            for (const position of event.positions) {
              expect(seen.has(position)).toBe(false)
              seen.add(position)
            }
          } else {
            open = false
            expect(event.message.content).toBe(rebuilt.at(-1))
          }
        }
        expect(open).toBe(false)
        const { deltas, messages } = parseCommand(ids, vocabulary)
        expect(deltas.join('')).toBe(messages.map((message) => message.content).join(''))
      }),
      { numRuns: 500 },
    )
  })

  it('loses no text and shows none twice, whatever the controls around it', () => {
    // Every word is unique and no label, so that it can be found again.
    const text = fc.array(fc.constantFrom(...controls.slice(0, -2)), { maxLength: 30 })
    fc.assert(
      fc.property(text, (marks) => {
        const words = marks.map((_, index) => `Q${index}Z`)
        // A constrain label and a word of a complete header are labels: their text is markup, not content.
        const { messages } = parseCommand(
          marks.flatMap((mark, index) => idsOf(`${mark}${words[index]}`)),
          vocabulary,
        )
        const shown = messages.map((message) => message.content).join('\n')
        for (const [index, word] of words.entries()) {
          const count = shown.split(word).length - 1
          expect(count).toBeLessThanOrEqual(1)
          if (isContent(marks, index)) expect(count, `${word} of ${marks.join('')}`).toBe(1)
        }
      }),
      { numRuns: 500 },
    )
  })

  it('does not depend on how the tokens are handed over', () => {
    const text = '<|channel|>final<|message|>日本語 🙂🏽 é<|return|>'
    const ids = idsOf(text)
    const bytes = new Map(ids.map((id) => [id, vocabulary.tokenBytes(id)]))
    // The same text as one token per byte.
    const byteVocabulary = {
      ...vocabulary,
      isSpecial: (id: number) => id >= 1000 && vocabulary.isSpecial(id - 1000),
      special: (name: string) => vocabulary.special(name) + 1000,
      tokenBytes: (id: number) => Uint8Array.of(id),
    }
    const single = ids.flatMap((id) =>
      vocabulary.isSpecial(id) ? [id + 1000] : Array.from(bytes.get(id)!),
    )
    const messages = parseCommand(ids, vocabulary).messages
    expect(parseCommand(single, byteVocabulary).messages).toEqual(messages)
  })
})

/** True where the text behind a mark can not be a label: no <|message|> follows before its message ends. */
function isContent(marks: readonly string[], index: number): boolean {
  const header = new Set(['<|start|>', '<|channel|>', '<|constrain|>'])
  let state = 'header'
  for (let i = 0; i <= index; i++) {
    const mark = marks[i]!
    if (mark === '<|message|>') state = 'content'
    else if (mark === '<|start|>' || mark === '<|channel|>') state = 'header'
    // Text behind an end mark opens a message of its own.
    else if (mark !== '<|constrain|>') state = 'content'
  }
  if (state === 'content') return true
  if (marks[index] === '<|constrain|>') return false
  for (let i = index + 1; i < marks.length; i++) {
    if (marks[i] === '<|message|>') return false
    if (!header.has(marks[i]!) || marks[i] === '<|start|>') return true
  }
  return true
}
