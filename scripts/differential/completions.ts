// Random completions of the assistant as text with its control tokens by name: well-formed ones, and ones that are not.
import type { Random } from './random.ts'

const recipients = [
  'functions.get_weather',
  'functions.a-b',
  'python',
  'browser.search',
  'functions.日本',
  'get_weather',
  'x',
]
const pieces = [
  'Hello', ' world', '.', '\n', '\n\n', '  ', ' ', '{"a": 1}', '{"city":"Paris","days":[1,2]}', 'é', 'e\u0301', '日本語', '😀', '👨‍👩‍👧‍👦', '🏴󠁧󠁢󠁥󠁮󠁧󠁿', '𝒳𝓎', 'नमस्ते', 'مرحبا',
  'analysis', 'final', 'assistant', ' to=functions.x', '<|en', '|>', 'print("x")', '\ufeff', '\u0000', '\u200d', 'don\u2019t', '\t', '\ud7ff', '\uffff', '￼�', 'ꙮ﷽', '\r\n',
] // biome-ignore format: a table
const controls = [
  '<|start|>',
  '<|end|>',
  '<|message|>',
  '<|channel|>',
  '<|constrain|>',
  '<|return|>',
  '<|call|>',
  '<|endoftext|>',
  '<|reserved_200013|>',
  '<|endofprompt|>',
]

export class Completions {
  readonly #random: Random

  constructor(random: Random) {
    this.#random = random
  }

  /** What a model that makes no mistake writes. */
  wellFormed(): string {
    const random = this.#random
    let text = ''
    for (let index = 0, count = 1 + random.below(5); index < count; index++) {
      const last = index === count - 1
      const recipient = random.chance(0.35) ? random.of(recipients) : undefined
      const end = last ? (recipient ? '<|call|>' : random.of(['<|return|>', '<|end|>'])) : '<|end|>'
      const author = index === 0 ? '' : '<|start|>assistant'
      text +=
        random.chance(0.12) && index > 0
          ? `<|start|>${this.#other()}<|message|>${this.content()}<|end|>`
          : `${author}${this.#header(recipient)}<|message|>${this.content()}${end}`
    }
    return text
  }

  /** A well-formed one with some tokens lost, doubled or out of place. */
  damaged(): string {
    const random = this.#random
    const parts = this.wellFormed()
      .split(/(<\|[a-z0-9_]+\|>)/)
      .filter((part) => part !== '')
    for (let hits = 1 + random.below(4); hits > 0; hits--) {
      const at = random.below(parts.length + 1)
      const kind = random.below(5)
      if (kind === 0) parts.splice(at, 1)
      else if (kind === 1) parts.splice(at, 0, random.of(controls))
      else if (kind === 2)
        parts.splice(
          at,
          0,
          random.of([...pieces, '??', ' json', 'commentary', 'finalx', ' to=', 'assistant']),
        )
      else if (kind === 3 && parts[at] !== undefined) parts.splice(at, 0, parts[at])
      else parts.length = Math.min(parts.length, at)
    }
    return parts.join('')
  }

  content(): string {
    return this.#random.list(8, () => this.#random.of(pieces)).join('')
  }

  #header(recipient: string | undefined): string {
    const random = this.#random
    const channel = `<|channel|>${random.of(['analysis', 'commentary', 'final'])}`
    const type = random.chance(recipient ? 0.7 : 0.15)
      ? random.of([' <|constrain|>json', '<|constrain|>json', ' <|constrain|>xml'])
      : ''
    if (recipient === undefined) return channel + type
    const bare = random.of([' json', ' code', ' text', ' yaml', type])
    const to = `${random.of([' ', ' ', '  ', '\n'])}to=${recipient}`
    return random.chance(0.5) ? `${to}${channel}${bare}` : `${channel}${to}${bare}`
  }

  /** The header of a message that is not the assistant's. */
  #other(): string {
    const random = this.#random
    const author = random.of(['functions.get_weather', 'python', 'browser.search'])
    const channel = random.of(['<|channel|>commentary', '<|channel|>analysis'])
    return random.of([
      'user',
      'system',
      'developer',
      `${author} to=assistant${channel}`,
      `${author} to=assistant`,
      `user${channel}`,
    ])
  }
}
