// Every request field and what becomes of it: the one table that the converters follow, docs/fields.md is made of and a test
// holds against the published schemas. A field that is not listed is not known here: it goes up as it came, and the native
// engine does nothing with it.
import { ApiError } from '../errors.ts'
import { isObject } from './check.ts'

/**
 * - `here`: done by Switchyard, not sent
 * - `passed`: sent under its own name
 * - `mapped`: sent in the other dialect's words
 * - `left out`: not sent, and named in the `warning` header
 * - `refused`: 400 that names it
 */
export type Fate = 'here' | 'passed' | 'mapped' | 'left out' | 'refused'

/** Who answers: a provider by its dialect, or the engine of one of our own nodes. */
export type Upstream = 'chat' | 'responses' | 'engine'

export interface FieldRule {
  chat: Fate
  responses: Fate
  engine: Fate
  note?: string
  /** Values that ask for nothing beyond what happens anyway. */
  idle?: readonly unknown[]
}

const all = (fate: Fate, note?: string, idle?: readonly unknown[]): FieldRule => ({
  chat: fate,
  responses: fate,
  engine: fate,
  ...(note === undefined ? {} : { note }),
  ...(idle === undefined ? {} : { idle }),
})
const each = (
  chat: Fate,
  responses: Fate,
  engine: Fate,
  note?: string,
  idle?: readonly unknown[],
): FieldRule => ({ ...all(chat, note, idle), responses, engine })

/** `POST /v1/responses`. A dotted name is a field of an object that is listed itself. */
export const responsesFields: Readonly<Record<string, FieldRule>> = {
  model: all('mapped', "the model's id at that place"),
  input: each('mapped', 'passed', 'passed', 'items become messages'),
  instructions: each('mapped', 'passed', 'passed', 'the first system message'),
  tools: each('mapped', 'passed', 'mapped', 'see "Tools" below'),
  tool_choice: each('mapped', 'passed', 'mapped', '`allowed_tools` is enforced here'),
  parallel_tool_calls: each(
    'passed',
    'passed',
    'passed',
    'false: further calls of an answer are not handed on (Chat); the engine makes one call a response',
  ),
  max_tool_calls: each('here', 'passed', 'here', 'further calls are not handed on'),
  text: each('mapped', 'passed', 'passed'),
  'text.format': each('mapped', 'passed', 'passed', '`response_format`'),
  'text.verbosity': each('mapped', 'passed', 'left out', '`verbosity`', ['medium']),
  reasoning: each('mapped', 'passed', 'passed'),
  'reasoning.effort': each('mapped', 'passed', 'passed', '`reasoning_effort`'),
  'reasoning.summary': each(
    'left out',
    'passed',
    'left out',
    'the reasoning itself is given; `x-switchyard-reasoning-events: summary` puts it where a summary would be',
  ),
  'reasoning.generate_summary': each('left out', 'passed', 'left out', 'old name of `summary`'),
  'reasoning.context': each('left out', 'passed', 'left out', undefined, ['auto']),
  'reasoning.mode': each('left out', 'passed', 'left out', undefined, ['standard']),
  temperature: all('passed'),
  top_p: all('passed'),
  presence_penalty: all('passed'),
  frequency_penalty: all('passed'),
  top_logprobs: each('mapped', 'passed', 'passed', 'with `logprobs: true`'),
  max_output_tokens: each('mapped', 'passed', 'passed', '`max_completion_tokens`'),
  include: each(
    'here',
    'passed',
    'here',
    'encrypted reasoning is sealed here; logprobs are asked for; the rest is about tools that run here or at OpenAI',
  ),
  metadata: each('here', 'passed', 'here', 'echoed and kept; 16 pairs, keys to 64, values to 512'),
  stream: all('passed'),
  stream_options: each('mapped', 'passed', 'passed'),
  'stream_options.include_obfuscation': each(
    'here',
    'passed',
    'here',
    'added only where asked for',
    [false],
  ),
  store: all('here', 'nothing is kept upstream'),
  background: all('here'),
  previous_response_id: all('here'),
  conversation: all('here'),
  prompt: each('refused', 'refused', 'refused', 'prompt templates are kept at OpenAI'),
  truncation: each('left out', 'passed', 'here', 'without `auto` nothing is ever dropped', [
    'disabled',
  ]),
  context_management: each('left out', 'passed', 'left out', 'use `/v1/responses/compact`'),
  service_tier: each('passed', 'passed', 'left out', undefined, ['auto', 'default']),
  safety_identifier: each('passed', 'passed', 'here', 'echoed'),
  prompt_cache_key: each('passed', 'passed', 'here', 'echoed; a node caches prefixes by itself'),
  prompt_cache_retention: each('passed', 'passed', 'left out', undefined, ['in_memory']),
  prompt_cache_options: each('passed', 'passed', 'left out'),
  user: each('passed', 'passed', 'here', 'not read'),
  moderation: each('refused', 'passed', 'refused', 'nothing moderates here'),
  access_programs: each('refused', 'passed', 'refused', "OpenAI's own"),
  image: each('left out', 'passed', 'left out', undefined),
  client_metadata: each('here', 'passed', 'here', "Codex's; not read"),
}

/** `POST /v1/chat/completions`. To a Chat provider a request goes as it came, but for what its own table says. */
export const chatFields: Readonly<Record<string, FieldRule>> = {
  model: all('mapped', "the model's id at that place"),
  messages: each('passed', 'mapped', 'mapped', '`input`'),
  tools: each('passed', 'mapped', 'mapped', '`custom` tools go up as functions'),
  tool_choice: each('passed', 'mapped', 'mapped', '`allowed_tools` is enforced here'),
  parallel_tool_calls: each('passed', 'passed', 'passed', 'as above'),
  functions: each('passed', 'refused', 'refused', 'use `tools`'),
  function_call: each('passed', 'refused', 'refused', 'use `tool_choice`'),
  response_format: each('passed', 'mapped', 'mapped', '`text.format`'),
  verbosity: each('passed', 'mapped', 'left out', '`text.verbosity`', ['medium']),
  reasoning_effort: each('passed', 'mapped', 'mapped', '`reasoning.effort`'),
  reasoning: each('passed', 'mapped', 'mapped', '`exclude: true` is done here for the other two'),
  include_reasoning: each('passed', 'here', 'here'),
  temperature: all('passed'),
  top_p: all('passed'),
  presence_penalty: all('passed'),
  frequency_penalty: all('passed'),
  logprobs: each('passed', 'mapped', 'mapped', '`include`'),
  top_logprobs: all('passed'),
  logit_bias: all('passed'),
  max_tokens: each('passed', 'mapped', 'mapped', '`max_output_tokens`'),
  max_completion_tokens: each('passed', 'mapped', 'mapped', '`max_output_tokens`'),
  stop: all('passed'),
  seed: all('passed'),
  top_k: all('passed', 'no field of OpenAI'),
  min_p: all('passed', 'no field of OpenAI'),
  n: all('refused', 'one answer a request', [1]),
  stream: all('passed'),
  stream_options: each('passed', 'here', 'here'),
  'stream_options.include_usage': each('passed', 'here', 'here', 'usage is always asked for'),
  'stream_options.include_obfuscation': each(
    'passed',
    'here',
    'here',
    'added only where asked for',
    [false],
  ),
  store: each('passed', 'left out', 'left out'),
  metadata: each('passed', 'passed', 'here'),
  modalities: each('passed', 'refused', 'refused', 'the answer is text', [['text']]),
  audio: each('passed', 'refused', 'refused'),
  prediction: each('passed', 'left out', 'passed', 'the engine looks for guesses in it'),
  web_search_options: each('passed', 'refused', 'refused'),
  moderation: each('passed', 'refused', 'refused', 'nothing moderates here'),
  service_tier: each('passed', 'passed', 'left out', undefined, ['auto', 'default']),
  safety_identifier: each('passed', 'passed', 'here'),
  prompt_cache_key: each('passed', 'passed', 'here'),
  prompt_cache_retention: each('passed', 'passed', 'left out', undefined, ['in_memory']),
  prompt_cache_options: each('passed', 'passed', 'left out'),
  user: each('passed', 'passed', 'here', 'not read'),
}

/** What the native engine reads beside the tables. */
const engineReads = new Set([
  'stop',
  'seed',
  'n',
  'logit_bias',
  'top_k',
  'min_p',
  'repetition_penalty',
  'prediction',
  'output_check',
  // Not sent: the gateway reads them (src/routing/preferences.ts).
  'provider',
  'models',
])

/** What a request's fields come to at one upstream. */
export interface SortedFields {
  /** Fields that go up as they are, unknown ones among them. */
  passed: Record<string, unknown>
  dropped: string[]
}

/** Sorts a request's fields by the table; throws ApiError for one that is refused. `mapped` ones are the converter's. */
export function sortFields(
  request: Record<string, unknown>,
  rules: Readonly<Record<string, FieldRule>>,
  upstream: Upstream,
): SortedFields {
  const passed: Record<string, unknown> = {}
  const dropped: string[] = []
  const inner = innerFields(rules)
  for (const field of Object.keys(request)) {
    const value = request[field]
    const rule = Object.hasOwn(rules, field) ? rules[field] : undefined
    const fate = rule?.[upstream] ?? 'passed'
    if (fate === 'passed') {
      passed[field] = value
      const ignored = upstream === 'engine' && rule === undefined && !engineReads.has(field)
      if (ignored && asks(value)) dropped.push(field)
    } else judge(field, value, rule, fate, dropped)
    if (!isObject(value)) continue
    for (const { name, key, rule } of inner.get(field) ?? []) {
      judge(name, value[key], rule, rule[upstream], dropped)
    }
  }
  return { passed, dropped }
}

/** The rules of an object's own fields, by its name. */
type InnerFields = ReadonlyMap<string, readonly { name: string; key: string; rule: FieldRule }[]>

const innerOf = new Map<object, InnerFields>()

function innerFields(rules: Readonly<Record<string, FieldRule>>): InnerFields {
  const known = innerOf.get(rules)
  if (known !== undefined) return known
  const inner = new Map<string, { name: string; key: string; rule: FieldRule }[]>()
  for (const [name, rule] of Object.entries(rules)) {
    const [outer = '', key] = name.split('.')
    if (key === undefined) continue
    inner.set(outer, [...(inner.get(outer) ?? []), { name, key, rule }])
  }
  innerOf.set(rules, inner)
  return inner
}

function judge(
  name: string,
  value: unknown,
  rule: FieldRule | undefined,
  fate: Fate,
  dropped: string[],
): void {
  if ((fate !== 'refused' && fate !== 'left out') || !asks(value, rule?.idle)) return
  if (fate === 'left out') {
    dropped.push(name)
    return
  }
  const why = rule?.note === undefined ? '' : ` (${rule.note})`
  throw new ApiError('unsupported_parameter', `Unsupported parameter: '${name}'${why}.`, {
    param: name,
  })
}

/** SDKs send nulls, false and empty lists for completeness. */
function asks(value: unknown, idle: readonly unknown[] = []): boolean {
  if (value == null || value === false || value === '') return false
  if (Array.isArray(value) && value.length === 0) return false
  return !idle.some((each) => JSON.stringify(each) === JSON.stringify(value))
}
