import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { functionNames } from '../../native-node/server/function-names.ts'
import { conversationSegments } from '../../native-node/server/harmony-render.ts'
import { toHarmony } from '../../native-node/server/harmony-request.ts'
import { control } from '../../native-node/server/vocabulary.ts'
import { parseResponsesRequest } from '../../src/protocol/responses.ts'

/** The prompt of a request as text, control tokens by name. */
function prompt(request: Record<string, unknown>): string {
  const parsed = parseResponsesRequest({ model: 'm', input: 'x', ...request })
  const segments = conversationSegments(toHarmony(parsed, { date: '2025-06-28' }))
  return segments.map((part) => ('text' in part ? part.text : control[part.control])).join('')
}

/** Without the system message. */
function body(request: Record<string, unknown>): string {
  return prompt(request).replace(/^<\|start\|>system.*?<\|end\|>/s, '')
}

const weather = {
  type: 'function',
  name: 'get_weather',
  description: 'Weather.',
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
}
const weatherText = `# Tools

## functions

namespace functions {

// Weather.
type get_weather = (_: {
city: string,
}) => any;

} // namespace functions`
const call = (id: string, city: string) => ({
  type: 'function_call',
  call_id: id,
  name: 'get_weather',
  arguments: `{"city":"${city}"}`,
})
const output = (id: string, text: unknown) => ({
  type: 'function_call_output',
  call_id: id,
  output: text,
})
const renderedCall = (city: string) =>
  `<|start|>assistant to=functions.get_weather<|channel|>commentary <|constrain|>json<|message|>{"city":"${city}"}<|call|>`
const renderedOutput = (text: string) =>
  `<|start|>functions.get_weather to=assistant<|channel|>commentary<|message|>${text}<|end|>`
const open = '<|start|>assistant'

describe('the system message', () => {
  it('carries the date, the effort and the channels', () => {
    expect(prompt({ reasoning: { effort: 'high' } })).toBe(
      `<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.
Knowledge cutoff: 2024-06
Current date: 2025-06-28

Reasoning: high

# Valid channels: analysis, commentary, final. Channel must be included for every message.<|end|><|start|>user<|message|>x<|end|>${open}`,
    )
  })

  it.each([
    ['none', 'low'],
    ['minimal', 'low'],
    ['low', 'low'],
    [undefined, 'medium'],
    ['medium', 'medium'],
    ['high', 'high'],
    ['xhigh', 'high'],
  ])('effort %s means %s', (effort, shown) => {
    expect(prompt({ reasoning: { effort } })).toContain(`\nReasoning: ${shown}\n`)
  })

  it('tells where calls go only when there are functions', () => {
    const line = "\nCalls to these tools must go to the commentary channel: 'functions'.<|end|>"
    expect(prompt({ tools: [weather] })).toContain(line)
    expect(prompt({ tools: [weather], tool_choice: 'none' })).not.toContain(line)
  })
})

describe('the developer message', () => {
  it('has instructions, tools and response format in this order', () => {
    const format = {
      type: 'json_schema',
      name: 'person',
      description: 'A person.',
      schema: { type: 'object', properties: { name: { type: 'string' } }, $id: 'é' },
    }
    const request = { instructions: 'Be kind.', tools: [weather], text: { format } }
    expect(body(request)).toBe(
      `<|start|>developer<|message|># Instructions

Be kind.

${weatherText}

# Response Formats

## person

// A person.
{"type":"object","properties":{"name":{"type":"string"}},"$id":"é"}<|end|><|start|>user<|message|>x<|end|>${open}`,
    )
  })

  it('takes a first system or developer message for instructions, later ones as they come', () => {
    for (const role of ['system', 'developer']) {
      const input = [
        { role, content: 'Talk like a pirate.' },
        { role: 'user', content: [{ type: 'input_text', text: 'Hi' }] },
        { role, content: 'Now in rhyme.' },
        { role: 'user', content: 'Go' },
      ]
      const rest = `<|start|>user<|message|>Hi<|end|><|start|>developer<|message|>Now in rhyme.<|end|><|start|>user<|message|>Go<|end|>${open}`
      expect(body({ input })).toBe(
        `<|start|>developer<|message|># Instructions\n\nTalk like a pirate.<|end|>${rest}`,
      )
      expect(body({ input, instructions: 'Be kind.' })).toBe(
        `<|start|>developer<|message|># Instructions\n\nBe kind.\n\nTalk like a pirate.<|end|>${rest}`,
      )
    }
  })

  it('shows only the tools that may be called', () => {
    const other = { type: 'function', name: 'other' }
    const shown = (tool_choice: unknown) => {
      const text = body({ tools: [weather, other, { type: 'web_search' }], tool_choice })
      return ['get_weather', 'other'].filter((name) => text.includes(`type ${name} =`))
    }
    expect(shown('auto')).toEqual(['get_weather', 'other'])
    expect(shown('required')).toEqual(['get_weather', 'other'])
    expect(shown('none')).toEqual([])
    expect(shown({ type: 'function', name: 'other' })).toEqual(['other'])
    const tools = [{ type: 'function', name: 'get_weather' }]
    expect(shown({ type: 'allowed_tools', mode: 'auto', tools })).toEqual(['get_weather'])
    expect(() => shown({ type: 'function', name: 'nope' })).toThrow(
      expect.objectContaining({ code: 'invalid_value', param: 'tool_choice' }),
    )
  })

  it('refuses a schema that is too deep, by its path', () => {
    let schema: Record<string, unknown> = { type: 'string' }
    for (let i = 0; i < 40; i++) schema = { type: 'object', properties: { a: schema } }
    expect(() =>
      body({ tools: [weather, { ...weather, name: 'deep', parameters: schema }] }),
    ).toThrow(expect.objectContaining({ param: 'tools[1].parameters' }))
  })
})

describe('the history', () => {
  it('replays a tool round with its reasoning', () => {
    const input = [
      { role: 'user', content: 'Weather in Tokyo?' },
      {
        type: 'reasoning',
        summary: [],
        content: [{ type: 'reasoning_text', text: 'Need the tool.' }],
      },
      call('c1', 'Tokyo'),
      output('c1', [
        { type: 'input_text', text: '{"t":' },
        { type: 'input_text', text: '20}' },
      ]),
    ]
    expect(body({ input })).toBe(
      `<|start|>user<|message|>Weather in Tokyo?<|end|>${open}<|channel|>analysis<|message|>Need the tool.<|end|>${renderedCall('Tokyo')}${renderedOutput('{"t":20}')}${open}`,
    )
  })

  it('puts each output behind its own call, also when a client reuses call ids', () => {
    const input = [
      { role: 'user', content: 'Go' },
      call('a', 'Tokyo'),
      call('b', 'Paris'),
      output('b', '2'),
      output('a', '1'),
      call('a', 'Rome'),
      output('a', '3'),
    ]
    const rounds = [
      ['Tokyo', '1'],
      ['Paris', '2'],
      ['Rome', '3'],
    ].map(([city, text]) => renderedCall(city!) + renderedOutput(text!))
    expect(body({ input })).toBe(`<|start|>user<|message|>Go<|end|>${rounds.join('')}${open}`)
  })

  it('takes text before a call for a preamble and other assistant text for an answer', () => {
    const say = (content: string, phase?: string) => ({ role: 'assistant', content, phase })
    const input = [
      { role: 'user', content: 'Go' },
      say('One moment.'),
      { type: 'reasoning', summary: [{ type: 'summary_text', text: 'Hm.' }] },
      call('a', 'Rome'),
      output('a', '3'),
      say('Still at it.', 'commentary'),
      say('Done.'),
      { role: 'user', content: 'Thanks' },
    ]
    expect(body({ input })).toBe(
      `<|start|>user<|message|>Go<|end|>${open}<|channel|>commentary<|message|>One moment.<|end|>${renderedCall('Rome')}${renderedOutput('3')}${open}<|channel|>commentary<|message|>Still at it.<|end|>${open}<|channel|>final<|message|>Done.<|end|><|start|>user<|message|>Thanks<|end|>${open}`,
    )
  })

  it.each([
    [[output('nope', 'x')], 'invalid_value', 'input[0].call_id'],
    [[output('a', 'x'), call('a', 'Rome')], 'invalid_value', 'input[0].call_id'],
    [
      [
        {
          role: 'user',
          content: [
            { type: 'input_text', text: 'What is this?' },
            { type: 'input_image', image_url: 'data:image/png;base64,AA==' },
          ],
        },
      ],
      'unsupported_content',
      'input[0].content[1]',
    ],
    [
      [call('a', 'Rome'), output('a', [{ type: 'input_image', image_url: 'data:,' }])],
      'unsupported_content',
      'input[1].output[0]',
    ],
    [
      [
        { role: 'user', content: 'x' },
        { type: 'web_search_call', id: 'ws_1' },
      ],
      'unsupported_content',
      'input[1]',
    ],
    [[], 'missing_required_parameter', 'input'],
  ])('refuses %j', (input, code, param) => {
    expect(() => body({ input })).toThrow(expect.objectContaining({ code, param }))
  })

  it('refuses a response that it can not know', () => {
    expect(() => body({ previous_response_id: 'resp_1' })).toThrow(
      expect.objectContaining({ code: 'previous_response_not_found', status: 404 }),
    )
  })
})

describe('function names', () => {
  it('maps what is no identifier, there and back', () => {
    const names = functionNames(['get-weather', 'get weather', 'get_weather', '9lives', '天気', ''])
    expect([...names.shown].sort()).toEqual(
      ['_9lives', 'get_weather', 'get_weather_2', 'get_weather_3', 'unnamed', 'unnamed_2'].sort(),
    )
    expect(names.original('get_weather')).toBe('get_weather')
    expect(names.original('get_weather_2')).toBe('get-weather')
    expect(names.show('no longer declared')).toBe('no_longer_declared')
    expect(names.original('no_longer_declared')).toBeUndefined()
  })

  it('gives every name an identifier of its own', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.string()), (given) => {
        const names = functionNames(given)
        for (const name of given) {
          expect(names.show(name)).toMatch(/^[A-Za-z_]\w*$/)
          expect(names.original(names.show(name))).toBe(name)
        }
      }),
    )
  })

  it('shows mapped names in tools and in the history', () => {
    const tool = { type: 'function', name: 'get-weather' }
    const text = body({
      tools: [tool],
      input: [{ ...call('a', 'Rome'), name: 'get-weather' }, output('a', '1')],
    })
    expect(text).toContain('type get_weather = () => any;')
    expect(text).toContain('to=functions.get_weather<|channel|>')
    expect(text).toContain('<|start|>functions.get_weather to=assistant')
  })
})
