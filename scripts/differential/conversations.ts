// Random conversations in the JSON form of the harmony library: every role, content and tool, schemas of every shape.
import type { Random } from './random.ts'

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }
export interface Message {
  role: string
  name?: string
  recipient?: string
  channel?: string
  content_type?: string
  content: Json[]
}

const words = [
  'get_weather', 'city', 'unit', 'Straße', '日本', 'naïve', 'x', '$ref', 'a-b', 'a b', 'a.b', 'type', 'null', 'µ', '_1', '',
] // biome-ignore format: a table
const texts = [
  '', ' ', 'Get the weather.', 'two\nlines', 'ends in a line feed\n', '\n', 'a\r\nb\r\n', 'bare \r return\r', '// comment */', '"quoted"',
  '<|end|>', '<|start|>assistant<|channel|>final<|message|>', 'null', 'ünï çödé 日本語 😀👨‍👩‍👧', '\ttab', '{"a": 1}', '   leading and trailing   ', "don't", '\u2028\u0000\u00a0',
] // biome-ignore format: a table
const channels = ['analysis', 'commentary', 'final', 'odd channel']
const names = [
  'functions.get_weather',
  'python',
  'browser.search',
  'functions.a-b',
  'all',
  'assistant',
  'user',
  'x y',
]

export class Conversations {
  readonly #random: Random

  constructor(random: Random) {
    this.#random = random
  }

  conversation(): Message[] {
    const random = this.#random
    const messages: Message[] = []
    if (random.chance(0.8)) messages.push(this.#system())
    if (random.chance(0.7)) messages.push(this.#developer())
    messages.push(...random.list(6, () => this.#message()))
    return messages
  }

  schema(depth = 0): Json {
    const random = this.#random
    if (random.chance(0.03)) return random.of<Json>([{}, true, false, null, 'string', [], 7])
    const schema: { [key: string]: Json } = {}
    const kinds = [
      'object',
      'object',
      'array',
      'string',
      'string',
      'number',
      'integer',
      'boolean',
      'null',
      'any',
    ]
    const kind = depth === 0 && random.chance(0.8) ? 'object' : random.of(kinds)
    if (random.chance(0.95)) schema.type = kind
    if (random.chance(0.06)) {
      schema.type = random.list<Json>(3, () =>
        random.of<Json>(['string', 'integer', 'null', 'object', 'number', 'array', 3]),
      )
    }
    this.#labels(schema)
    if (kind === 'object' && random.chance(0.95)) this.#properties(schema, depth)
    if (kind === 'array' && random.chance(0.85))
      schema.items = depth > 3 ? {} : this.schema(depth + 1)
    if (random.chance(kind === 'string' ? 0.3 : 0.04)) {
      schema.enum = random.list<Json>(4, () => random.of<Json>([...words, ...texts, 1, null, true]))
    }
    if (depth < 4 && random.chance(0.08))
      schema.oneOf = random.list(4, () => this.schema(depth + 1))
    for (const keyword of ['anyOf', 'allOf', 'not', 'if'] as const) {
      if (depth < 4 && random.chance(0.03))
        schema[keyword] = random.list(2, () => this.schema(depth + 1))
    }
    return schema
  }

  #labels(schema: { [key: string]: Json }): void {
    const random = this.#random
    const text = () => random.of<Json>([...texts, ...texts, 3, null])
    if (random.chance(0.3)) schema.description = text()
    if (random.chance(0.12)) schema.title = text()
    if (random.chance(0.12)) schema.examples = random.chance(0.1) ? 'no list' : random.list(3, text)
    if (random.chance(0.2)) schema.default = this.#value(2)
    if (random.chance(0.15)) schema.nullable = random.of<Json>([true, true, false, 'yes'])
    if (random.chance(0.05)) schema.const = this.#value(1)
    if (random.chance(0.05)) schema.$ref = '#/$defs/x'
    if (random.chance(0.05))
      schema.additionalProperties = random.of<Json>([true, false, { type: 'string' }])
    if (random.chance(0.05)) schema.oneOf = random.of<Json>(['no list', null, []])
  }

  #properties(schema: { [key: string]: Json }, depth: number): void {
    const random = this.#random
    const properties: { [key: string]: Json } = {}
    for (let left = random.below(depth > 2 ? 2 : 5); left > 0; left--) {
      properties[random.of(words)] = depth > 4 ? { type: 'string' } : this.schema(depth + 1)
    }
    schema.properties = properties
    if (random.chance(0.6))
      schema.required = random.list<Json>(4, () => random.of<Json>([...words, 4]))
  }

  #value(depth: number): Json {
    const random = this.#random
    const kind = random.below(depth > 0 ? 8 : 6)
    if (kind <= 1) return random.of(texts)
    if (kind === 2) return random.of([0, 1, -1, 42, 2 ** 40, 9007199254740991])
    if (kind === 3)
      return random.of([0.5, -1.25, 1e-6, 1.5e-7, 3.25, 1e-5, 1e300, 1.5e16, 123456.789])
    if (kind === 4) return random.chance(0.5)
    if (kind === 5) return null
    if (kind === 6) return random.list(3, () => this.#value(depth - 1))
    return Object.fromEntries(random.list(3, () => [random.of(words), this.#value(depth - 1)]))
  }

  #system(): Message {
    const random = this.#random
    const maybe = <T extends Json>(make: () => T) => (random.chance(0.7) ? make() : null)
    const content: { [key: string]: Json } = {
      type: 'system_content',
      model_identity: maybe(() =>
        random.of(['You are ChatGPT, a large language model trained by OpenAI.', ...texts]),
      ),
      reasoning_effort: maybe(() => random.of(['Low', 'Medium', 'High'])),
      conversation_start_date: maybe(() => random.of(['2025-06-28', ''])),
      knowledge_cutoff: maybe(() => random.of(['2024-06', ''])),
      channel_config: maybe(() => ({
        valid_channels: random.chance(0.8)
          ? ['analysis', 'commentary', 'final']
          : random.list(3, () => random.of(channels)),
        channel_required: random.chance(0.8),
      })),
      tools: random.chance(0.3) ? this.#tools() : null,
    }
    return { role: 'system', content: [...this.#around(), content, ...this.#around()] }
  }

  #developer(): Message {
    const random = this.#random
    const content: { [key: string]: Json } = {
      type: 'developer_content',
      instructions: random.chance(0.7) ? random.of(texts) : null,
      tools: random.chance(0.85) ? this.#tools() : null,
    }
    return { role: 'developer', content: [...this.#around(), content, ...this.#around()] }
  }

  /** Sometimes a part of text beside the proper one. */
  #around(): Json[] {
    return this.#random.chance(0.05) ? [{ type: 'text', text: this.#random.of(texts) }] : []
  }

  #tools(): Json {
    const random = this.#random
    const all: { [key: string]: Json } = {}
    for (const name of ['functions', 'python', 'browser', '日本', 'Z']) {
      if (!random.chance(name === 'functions' ? 0.8 : 0.15)) continue
      all[name] = {
        name: random.chance(0.95) ? name : random.of(words),
        description: random.chance(0.4) ? random.of(texts) : null,
        tools: random.list(3, () => ({
          name: random.of(words),
          description: random.of(texts),
          parameters: random.chance(0.85) ? this.schema() : null,
        })),
      }
    }
    return all
  }

  #message(): Message {
    const random = this.#random
    const role = random.of([
      'user',
      'user',
      'assistant',
      'assistant',
      'assistant',
      'tool',
      'developer',
      'system',
    ])
    const message: Message = {
      role,
      content: random.list(3, () => ({ type: 'text', text: random.of(texts) })),
    }
    if (role === 'tool' ? random.chance(0.98) : random.chance(0.06))
      message.name = random.of([...names, 'Ann', ''])
    if (random.chance(role === 'user' ? 0.05 : 0.4)) message.recipient = random.of([...names, ''])
    if (random.chance(role === 'user' ? 0.05 : 0.8)) message.channel = random.of([...channels, ''])
    if (random.chance(0.25)) {
      message.content_type = random.of([
        '<|constrain|>json',
        '<|constrain|>',
        'json',
        'code',
        '<|constrain|> json',
        '',
        'a <|constrain|>b',
      ])
    }
    return message
  }
}
