// Turns as gpt-oss and OpenAI's harmony library write them, against what a held turn may be: none of them may be ruled out.
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { BuiltInTools } from '../../native-node/server/built-in-tools.ts'
import { answerConstraints } from '../../native-node/server/grammar/answer-constraints.ts'
import { calledNames } from '../../native-node/server/harmony-request.ts'
import { outputContract } from '../../native-node/server/output-contract.ts'
import { lowerTools } from '../../src/convert/agent-tools.ts'
import { parseResponsesRequest } from '../../src/protocol/responses.ts'
import { announcedCall, isRunnable } from '../../src/stream/call-shape.ts'
import { browserTool, pythonTool } from '../../src/tools/trained-tools.ts'
import { deriver, matches } from './grammar-texts.ts'

const prepared = (body: object) => {
  const given = parseResponsesRequest({ model: 'm', input: 'Hi', ...body })
  const { request, calls } = lowerTools(given)
  const builtIns = new BuiltInTools(given, calls)
  const names = calledNames(request, builtIns)
  const constraints = answerConstraints({ request, names, calls, builtIns })
  return { request, calls, constraints }
}

const asBytes = (text: string) =>
  Uint8Array.from(Buffer.from(text.replaceAll('<|', '\xff<|'), 'latin1'))

/** What rules a turn out; undefined: nothing does. */
function fault(body: object, turn: string): string | undefined {
  const { messages, headers } = prepared(body).constraints!
  const parts = turn.split(/<\|(end|return|call)\|>/).slice(0, -1)
  for (let i = 0; i < parts.length; i += 2) {
    const [header = '', content = ''] = parts[i]!.split('<|message|>')
    const headerGrammar = headers[Math.min(i / 2, headers.length - 1)]!
    if (!matches(headerGrammar, asBytes(`${header}<|message|>`))) return `header ${header}`
    const words = header.replaceAll(/<\|\w+\|>/g, ' ').split(/\s+/)
    const form = messages.find(({ headerWords }) => headerWords.every((one) => words.includes(one)))
    if (form === undefined) return `no form for ${header}`
    if (form.end !== parts[i + 1]) return `${header} ends with ${form.end}`
    if (form.grammar && !matches(form.grammar, content)) return `content ${content}`
  }
  return undefined
}

const weather = {
  type: 'function',
  name: 'get_weather',
  strict: true,
  parameters: {
    type: 'object',
    properties: { location: { type: 'string' } },
    required: ['location'],
    additionalProperties: false,
  },
}
const lookup = { ...weather, name: 'lookup', strict: false }
const tools = [weather, lookup, pythonTool(), browserTool()]
const schema = { type: 'object', properties: { a: { type: 'integer' } }, required: ['a'] }
const format = { type: 'json_schema', name: 'x', strict: true, schema }
const args = '{"location":"Rome"}'
const next = '<|start|>assistant'
const thought = '<|channel|>analysis<|message|>Hm.<|end|>'
const empty = '<|channel|>analysis<|message|><|end|>'
const preamble = '<|channel|>commentary<|message|>I will look it up.\n\n1. First<|end|>'

const calls = [
  '<|channel|>commentary to=functions.get_weather <|constrain|>json',
  '<|channel|>commentary to=functions.get_weather<|constrain|>json',
  '<|channel|>commentary to=functions.get_weather json',
  '<|channel|>commentary to=functions.get_weather code',
  '<|channel|>commentary to=functions.lookup',
  ' to=functions.get_weather<|channel|>commentary <|constrain|>json',
  ' to=functions.get_weather<|channel|>commentary<|constrain|>json',
  ' to=functions.lookup<|channel|>commentary json',
  ' to=functions.lookup<|channel|>commentary',
].map((header) => `${header}<|message|>${args}<|call|>`)
const ownCalls = [
  '<|channel|>analysis to=python code<|message|>print(1)<|call|>',
  '<|channel|>analysis to=python<|message|>print("<b>")\n\n<|call|>',
  ' to=python<|channel|>analysis code<|message|><|call|>',
  '<|channel|>commentary to=python code<|message|>1<|call|>',
  '<|channel|>analysis to=browser.search code<|message|>{"query":"a"}<|call|>',
  ' to=browser.open<|channel|>analysis <|constrain|>json<|message|>{}<|call|>',
]
const finals = ['', ' <|constrain|>json', '<|constrain|>json', ' json'].map(
  (type) => `<|channel|>final${type}<|message|>{"a": 1}<|return|>`,
)

describe('a turn that is held may be', () => {
  it.each([...calls, ...ownCalls])('a call, at once or behind a thought: %s', (call) => {
    for (const choice of [undefined, 'required']) {
      for (const turn of [call, `${thought}${next}${call}`, `${empty}${next}${call}`])
        expect(fault({ tools, tool_choice: choice }, turn)).toBeUndefined()
    }
    const turn = `${thought}${next}${preamble}${next}${thought}${next}${call}`
    expect(fault({ tools }, turn)).toBeUndefined()
    expect(fault({ tools, text: { format } }, turn)).toBeUndefined()
  })

  it.each(finals)('an answer: %s', (final) => {
    const bodies = [{ text: { format } }, { tools }, { tools, text: { format } }]
    for (const body of bodies) {
      for (const turn of [final, `${thought}${next}${thought}${next}${final}`])
        expect(fault(body, turn)).toBeUndefined()
    }
    expect(fault({ tools }, `${thought}${next}${preamble}${next}${final}`)).toBeUndefined()
  })

  it('what OpenAI’s library reads and writes', () => {
    const url = new URL('../fixtures/golden/harmony.json', import.meta.url)
    const { parse }: { parse: { text: string }[] } = JSON.parse(readFileSync(url, 'utf8'))
    expect(parse.length).toBeGreaterThan(2)
    for (const { text } of parse) expect(fault({ tools }, text)).toBeUndefined()
  })
})

describe('what is held', () => {
  it('is the call of an agent’s tool so that it can be run', () => {
    const agents = [{ type: 'apply_patch' }, { type: 'local_shell' }, { type: 'shell' }]
    const { request, calls: shapes, constraints } = prepared({ tools: agents })
    let state = 1
    const random = () => {
      state = (state * 1103515245 + 12345) % 2 ** 31
      return state / 2 ** 31
    }
    for (const [index, tool] of (request.tools ?? []).entries()) {
      const text = deriver(constraints!.messages[index]!.grammar!, random)
      const item = announcedCall(shapes.get(tool.name)!, 'id', 'call')
      for (let i = 0; i < 100; i++) {
        const written = text()
        expect(isRunnable(item, written), written).toBe(true)
      }
    }
    const [patch] = constraints!.messages
    for (const fits of [
      '{"type":"delete_file","path":"a"}',
      '{"type":"update_file","path":"a","diff":"@@\\n-a\\n+b"}',
      '{"type":"create_file","path":"a","diff":""}',
    ])
      expect(matches(patch!.grammar!, fits), fits).toBe(true)
  })

  it('is the first of two functions with one name, as it is what is checked and told', () => {
    const twins = [lookup, { ...weather, name: 'lookup' }]
    expect(prepared({ tools: twins }).constraints).toBeUndefined()
    const contract = outputContract(prepared({ tools: twins }).request)
    const answer = { text: '', isStopped: false, calls: [{ name: 'lookup', arguments: '{}' }] }
    expect(contract(answer)).toBeUndefined()
    expect(prepared({ tools: twins.toReversed() }).constraints?.messages[0]?.grammar).toBeDefined()
  })

  const functions = (namespaces: number) =>
    Array.from({ length: namespaces }, (_, namespace) => ({
      type: 'namespace',
      name: `server_${namespace}`,
      tools: Array.from({ length: 128 }, (_, i) => {
        const name = `${(namespace * 128 + i).toString(36)}_${'long_name_'.repeat(5)}`
        return { ...weather, name, strict: i === 0 && namespace === 0 }
      }),
    }))

  it('is one of a thousand functions', () => {
    const body = { tools: functions(8) }
    const call = `<|channel|>commentary to=functions.server_1__3l_${'long_name_'.repeat(5)}`
    expect(fault(body, `${call}<|message|>${args}<|call|>`)).toBeUndefined()
    expect(fault(body, `${call}x<|message|>${args}<|call|>`)).toMatch(/^header/)
  })

  it('is refused by name where there are too many', () => {
    const param = 'tools'
    expect(() => prepared({ tools: functions(60) })).toThrow(
      expect.objectContaining({ code: 'invalid_value', param }),
    )
  })
})
