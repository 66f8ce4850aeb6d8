// Every field of both APIs: none without a rule, and each rule true.
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { fieldsDocument, fieldsPath } from '../../scripts/fields-docs.ts'
import { type Candidate, handleChat, handleResponses } from '../../src/index.ts'
import {
  chatFields,
  type FieldRule,
  responsesFields,
  type Upstream,
} from '../../src/protocol/fields.ts'
import { includes } from '../../src/protocol/includes.ts'
import { candidate, host, json, post } from './upstream.ts'

const openai = new URL('../../node_modules/openai/resources/', import.meta.url)
const openApi: {
  components: { schemas: Record<string, { properties?: object; enum?: string[] }> }
} = JSON.parse(
  readFileSync(new URL('../fixtures/golden/openresponses-openapi.json', import.meta.url), 'utf8'),
)

/** The members of an interface of the `openai` package. */
function membersOf(file: string, name: string): string[] {
  const text = readFileSync(new URL(file, openai), 'utf8')
  const match = new RegExp(`^( *)(?:export )?interface ${name} (?:extends [^{]*)?\\{$`, 'm').exec(
    text,
  )
  const indent = match?.[1] ?? ''
  const after = text.slice((match?.index ?? 0) + (match?.[0].length ?? 0))
  const body = after.slice(0, after.search(new RegExp(`^${indent}\\}`, 'm')))
  return [...body.matchAll(new RegExp(`^${indent}    (\\w+)\\??:`, 'gm'))].map(
    ([, key = '']) => key,
  )
}

function schemaKeys(name: string): string[] {
  return Object.keys(openApi.components.schemas[name]?.properties ?? {})
}

const prefixed = (prefix: string, keys: string[]) => keys.map((key) => `${prefix}.${key}`)
const responsesFile = 'responses/responses.d.ts'
const chatFile = 'chat/completions/completions.d.ts'

describe('no field is without a rule', () => {
  it.each<[string, string[], number, Readonly<Record<string, FieldRule>>]>([
    ['Open Responses', schemaKeys('CreateResponseBody'), 26, responsesFields],
    ['its reasoning', prefixed('reasoning', schemaKeys('ReasoningParam')), 2, responsesFields],
    ['its text', prefixed('text', schemaKeys('TextParam')), 2, responsesFields],
    [
      'its stream options',
      prefixed('stream_options', schemaKeys('StreamOptionsParam')),
      1,
      responsesFields,
    ],
    [
      "OpenAI's Responses",
      membersOf(responsesFile, 'ResponseCreateParamsBase'),
      33,
      responsesFields,
    ],
    [
      'its reasoning',
      prefixed('reasoning', membersOf('shared.d.ts', 'Reasoning')),
      5,
      responsesFields,
    ],
    [
      'its text',
      prefixed('text', membersOf(responsesFile, 'ResponseTextConfig')),
      2,
      responsesFields,
    ],
    [
      'its stream options',
      prefixed('stream_options', membersOf(responsesFile, 'StreamOptions')),
      1,
      responsesFields,
    ],
    ["OpenAI's Chat", membersOf(chatFile, 'ChatCompletionCreateParamsBase'), 37, chatFields],
    [
      'its stream options',
      prefixed('stream_options', membersOf(chatFile, 'ChatCompletionStreamOptions')),
      2,
      chatFields,
    ],
  ])('%s', (_, fields, atLeast, rules) => {
    expect(fields.length).toBeGreaterThanOrEqual(atLeast)
    expect(fields.filter((field) => !Object.hasOwn(rules, field))).toEqual([])
  })

  it('nor a value of include', () => {
    const text = readFileSync(new URL(responsesFile, openai), 'utf8')
    const listed = /type ResponseIncludable = ([^;]*);/.exec(text)?.[1] ?? ''
    const values = [...listed.matchAll(/'([^']+)'/g)].map(([, value = '']) => value)
    values.push(...(openApi.components.schemas.IncludeEnum?.enum ?? []))
    expect(values.length).toBeGreaterThanOrEqual(10)
    expect(values.filter((value) => !Object.hasOwn(includes, value))).toEqual([])
  })

  it('and docs/fields.md says what the tables say', () => {
    expect(readFileSync(fieldsPath, 'utf8')).toBe(fieldsDocument())
  })
})

const places: Record<Upstream, Candidate> = {
  chat: candidate(),
  responses: candidate({ dialects: ['responses'] }),
  engine: candidate({ kind: 'node', dialects: ['responses'] }),
}

interface Sent {
  status: number
  body: Record<string, unknown> | undefined
  warning: string
  error: Record<string, unknown> | undefined
}

/** What one place gets of a request. */
async function ask(api: 'responses' | 'chat', upstream: Upstream, body: object): Promise<Sent> {
  const place = places[upstream]
  const answer =
    upstream === 'chat'
      ? { choices: [{ message: { role: 'assistant', content: 'x' } }] }
      : { id: 'resp_x', object: 'response', status: 'completed', output: [] }
  const { deps, sent } = host([place, () => json(answer)])
  const handle = api === 'chat' ? handleChat : handleResponses
  const response = await handle(post(body), deps)
  const text = await response.text()
  return {
    status: response.status,
    body: sent[0]?.body,
    warning: response.headers.get('warning') ?? '',
    error: response.status === 200 ? undefined : JSON.parse(text).error,
  }
}

const parameters = { type: 'object', properties: {} }
/** A value for each field that asks for something. */
const responsesSamples: Record<string, unknown> = {
  instructions: 'Be kind.',
  tools: [{ type: 'function', name: 'f', parameters, strict: false }],
  text: { format: { type: 'json_object' } },
  'text.format': { type: 'json_object' },
  'text.verbosity': 'low',
  reasoning: { effort: 'high' },
  'reasoning.effort': 'high',
  'reasoning.summary': 'auto',
  'reasoning.generate_summary': 'auto',
  'reasoning.context': 'all_turns',
  'reasoning.mode': 'pro',
  temperature: 0.5,
  top_p: 0.5,
  presence_penalty: 0.5,
  frequency_penalty: 0.5,
  top_logprobs: 3,
  max_output_tokens: 50,
  max_tool_calls: 2,
  parallel_tool_calls: true,
  include: ['message.output_text.logprobs'],
  metadata: { a: 'b' },
  'stream_options.include_obfuscation': true,
  prompt: { id: 'pmpt_1' },
  truncation: 'auto',
  context_management: [{ type: 'compaction' }],
  service_tier: 'flex',
  safety_identifier: 'someone',
  prompt_cache_key: 'key',
  prompt_cache_retention: '24h',
  prompt_cache_options: { mode: 'explicit' },
  user: 'someone',
  moderation: { model: 'm' },
  access_programs: { cyber: 'standard' },
  image: { context_compression: 'enabled' },
  client_metadata: { a: 'b' },
}
/** Fields that other tests hold: the store's, and those that every request has. */
const elsewhere = new Set([
  'model',
  'input',
  'messages',
  'stream',
  'stream_options',
  'stream_options.include_usage',
  'store',
  'background',
  'previous_response_id',
  'conversation',
  'tool_choice',
])

const chatSamples: Record<string, unknown> = {
  tools: [{ type: 'function', function: { name: 'f', parameters } }],
  parallel_tool_calls: true,
  functions: [{ name: 'f' }],
  function_call: 'auto',
  response_format: { type: 'json_object' },
  verbosity: 'low',
  reasoning_effort: 'high',
  reasoning: { effort: 'high' },
  include_reasoning: true,
  temperature: 0.5,
  top_p: 0.5,
  presence_penalty: 0.5,
  frequency_penalty: 0.5,
  logprobs: true,
  top_logprobs: 3,
  logit_bias: { 5: 1 },
  max_tokens: 50,
  max_completion_tokens: 50,
  stop: ['x'],
  seed: 1,
  top_k: 5,
  min_p: 0.1,
  n: 2,
  'stream_options.include_obfuscation': true,
  metadata: { a: 'b' },
  modalities: ['text', 'audio'],
  audio: { voice: 'a' },
  prediction: { type: 'content', content: 'x' },
  web_search_options: { user_location: null },
  moderation: { model: 'm' },
  service_tier: 'flex',
  safety_identifier: 'someone',
  prompt_cache_key: 'key',
  prompt_cache_retention: '24h',
  prompt_cache_options: { mode: 'explicit' },
  user: 'someone',
}

const bases = {
  responses: { model: 'm', input: 'hi' },
  chat: { model: 'm', messages: [{ role: 'user', content: 'hi' }] },
}
/** What a field needs beside it to mean something. */
const beside: Record<string, object> = {
  'responses parallel_tool_calls': { tools: responsesSamples.tools },
}
const samples = { responses: responsesSamples, chat: chatSamples }
const rules = { responses: responsesFields, chat: chatFields }
const cases = (['responses', 'chat'] as const).flatMap((api) =>
  Object.entries(rules[api])
    .filter(([field]) => !elsewhere.has(field))
    .flatMap(([field, rule]) =>
      (['chat', 'responses', 'engine'] as const).map(
        (upstream) => [api, field, upstream, rule[upstream]] as const,
      ),
    ),
)

describe('each rule is true', () => {
  it.each(cases)('%s %s, %s: %s', async (api, field, upstream, fate) => {
    expect(Object.keys(samples[api])).toContain(field)
    const value = samples[api][field]
    const [outer = '', inner] = field.split('.')
    const base = { ...bases[api], ...beside[`${api} ${field}`] }
    const body = { ...base, [outer]: inner === undefined ? value : { [inner]: value } }
    const { status, body: sent, warning, error } = await ask(api, upstream, body)
    if (fate === 'refused') {
      expect(status).toBe(400)
      expect(error).toMatchObject({ code: 'unsupported_parameter', param: field })
      return
    }
    expect(status).toBe(200)
    const found = inner === undefined ? sent?.[outer] : Object(sent?.[outer])[inner]
    const plain = await ask(api, upstream, base)
    const isNamed = warning.includes(field)
    expect(isNamed).toBe(fate === 'left out')
    if (fate === 'passed') expect(found).toEqual(value)
    if (fate === 'mapped') expect(sent).not.toEqual(plain.body)
    // A node of ours gets the request whole: what it does not read does no harm there.
    if ((fate === 'here' || fate === 'left out') && upstream === 'chat' && field !== 'include') {
      expect(sent).toEqual(plain.body)
    }
  })

  it('what asks for nothing is never named', async () => {
    const idle = {
      truncation: 'disabled',
      service_tier: 'auto',
      text: { verbosity: 'medium' },
      context_management: [],
      background: false,
      moderation: null,
      prompt: null,
      image: null,
      include: [],
      reasoning: { summary: null },
      stream_options: null,
    }
    for (const upstream of ['chat', 'engine'] as const) {
      const { status, warning } = await ask('responses', upstream, { ...bases.responses, ...idle })
      expect([status, warning]).toEqual([200, ''])
    }
  })

  it('a refused field lets a candidate that can take it answer', async () => {
    const { deps, sent } = host(
      [places.chat, () => json({})],
      [
        { ...places.responses, name: 'second' },
        () => json({ id: 'r', status: 'completed', output: [{ type: 'message', content: [] }] }),
      ],
    )
    const answer = await handleResponses(
      post({ ...bases.responses, moderation: { model: 'm' } }),
      deps,
    )
    expect(answer.headers.get('x-switchyard-provider')).toBe('second')
    expect(sent).toHaveLength(1)
  })

  it('unknown fields go up as they came, to every place', async () => {
    for (const upstream of ['chat', 'responses', 'engine'] as const) {
      for (const api of ['responses', 'chat'] as const) {
        const { body } = await ask(api, upstream, { ...bases[api], mystery: { a: [1] } })
        expect(body?.mystery).toEqual({ a: [1] })
      }
    }
  })

  it.each([
    ['verbosity', { text: { verbosity: 'loud' } }, 'text.verbosity'],
    ['summary', { reasoning: { summary: 'long' } }, 'reasoning.summary'],
    ['truncation', { truncation: 'some' }, 'truncation'],
    ['metadata values', { metadata: { a: 'x'.repeat(513) } }, 'metadata.a'],
    ['metadata keys', { metadata: { ['k'.repeat(65)]: 'x' } }, 'metadata'],
    ['safety_identifier', { safety_identifier: 'x'.repeat(65) }, 'safety_identifier'],
    ['top_logprobs', { top_logprobs: 21 }, 'top_logprobs'],
    ['max_tool_calls', { max_tool_calls: 0 }, 'max_tool_calls'],
    [
      'include_obfuscation',
      { stream_options: { include_obfuscation: 1 } },
      'stream_options.include_obfuscation',
    ],
  ])('values are checked: %s', async (_, fields, param) => {
    const { status, error } = await ask('responses', 'chat', { ...bases.responses, ...fields })
    expect([status, error?.param]).toEqual([400, param])
  })
})
