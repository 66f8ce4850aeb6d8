// The demo model held to a form: what is asked for in `text.format` and by strict functions comes at once, however the model is
// sampled, though it never learned to write any of it.
import { existsSync } from 'node:fs'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { BuiltInTools } from '../../native-node/server/built-in-tools.ts'
import { answerConstraints } from '../../native-node/server/grammar/answer-constraints.ts'
import { calledNames } from '../../native-node/server/harmony-request.ts'
import { lowerTools } from '../../src/convert/agent-tools.ts'
import { parseResponsesRequest } from '../../src/protocol/responses.ts'
import { browserTool, pythonTool } from '../../src/tools/trained-tools.ts'
import { matches } from './grammar-texts.ts'
import { demoDir, type ServedDemo, serveDemo } from './serve-demo.ts'

const model = 'switchyard/demo'
const schema = {
  type: 'object',
  properties: {
    name: { type: 'string', maxLength: 12 },
    age: { type: 'integer', minimum: 0 },
    colours: { type: 'array', items: { enum: ['red', 'grün'] }, minItems: 2, maxItems: 3 },
    next: { anyOf: [{ $ref: '#' }, { type: 'null' }] },
  },
  required: ['name', 'age', 'colours', 'next'],
  additionalProperties: false,
}

interface Person {
  name: string
  age: number
  colours: string[]
  next: Person | null
}

function expectPerson(value: Person | null): void {
  if (value === null) return
  expect(Object.keys(value)).toEqual(['name', 'age', 'colours', 'next'])
  expect([...value.name].length).toBeLessThanOrEqual(12)
  expect(value.age).toSatisfy((age: number) => Number.isInteger(age) && age >= 0)
  expect([2, 3]).toContain(value.colours.length)
  for (const colour of value.colours) expect(['red', 'grün']).toContain(colour)
  expectPerson(value.next)
}

describe.skipIf(!existsSync(`${demoDir}/config.json`))('the demo model', () => {
  let demo: ServedDemo
  let openai: ServedDemo['openai']

  beforeAll(async () => {
    demo = await serveDemo(model)
    openai = demo.openai
  })
  beforeEach(() => {
    vi.restoreAllMocks()
  })
  afterAll(async () => {
    await demo?.close()
  })

  it.each([
    { temperature: 0 },
    { temperature: 1, seed: 1 },
    { temperature: 1.2, seed: 2 },
    { temperature: 1, top_p: 0.5, seed: 3 },
    { temperature: 1, top_logprobs: 2, seed: 4 },
  ])('writes what the schema says, asked once: %j', async (sampling) => {
    const generate = vi.spyOn(demo.engine, 'generate')
    const format = { type: 'json_schema' as const, name: 'person', strict: true, schema }
    const response = await openai.responses.create({
      model,
      input: 'Who are you?',
      max_output_tokens: 2000,
      text: { format },
      ...sampling,
    } as never)
    if (response.status === 'completed') expectPerson(JSON.parse(response.output_text))
    else expect(response.incomplete_details?.reason).toBe('max_output_tokens')
    expect(generate).toHaveBeenCalledTimes(1)
  })

  it.each([1, 2, 3])('writes an object for json_object, in Chat, streamed: %i', async (seed) => {
    const stream = openai.chat.completions.stream({
      model,
      messages: [{ role: 'user', content: 'Answer in JSON: who are you?' }],
      response_format: { type: 'json_object' },
      max_completion_tokens: 300,
      seed,
    })
    const { choices } = await stream.finalChatCompletion()
    const text = choices[0]?.message.content ?? ''
    // The demo model may go on within a string for as long as it is let.
    if (choices[0]?.finish_reason === 'stop') expect(JSON.parse(text)).toBeTypeOf('object')
    else expect(text).toMatch(/^\{\s*"/)
  })

  it('calls a strict function with arguments that fit, under the name that its model sees', async () => {
    const generate = vi.spyOn(demo.engine, 'generate')
    const parameters = {
      type: 'object',
      properties: { city: { type: 'string' }, unit: { enum: ['C', 'F'] } },
      required: ['city', 'unit'],
      additionalProperties: false,
    }
    const response = await openai.responses.create({
      model,
      input: 'What is the weather in Rome?',
      temperature: 0,
      tools: [{ type: 'function', name: 'get-weather', strict: true, parameters }],
    })
    const call = response.output.find((item) => item.type === 'function_call')
    expect(call?.name).toBe('get-weather')
    expect(JSON.parse(call?.arguments ?? '')).toEqual({ city: 'Rome', unit: expect.any(String) })
    expect(['C', 'F']).toContain(JSON.parse(call?.arguments ?? '').unit)
    expect(generate).toHaveBeenCalledTimes(1)
  })

  it.each(['required', { type: 'function', name: 'get_weather' }])(
    'calls a function where the choice is %j, whatever it is told',
    async (choice) => {
      const parameters = { type: 'object', properties: { city: { type: 'string' } } }
      const tool = { type: 'function', name: 'get_weather', strict: false, parameters }
      for (const input of ['Who are you?', 'Thank you!']) {
        const body = { model, input, temperature: 0, tools: [tool], tool_choice: choice }
        const response = await openai.responses.create(body as never)
        expect(response.output.at(-1)).toMatchObject({ type: 'function_call', name: 'get_weather' })
      }
    },
  )

  /** What 50 requests of high temperatures come to, each asked for once. */
  const answers = async (body: object) => {
    const inputs = ['Who are you?', 'What is the weather in Rome?', 'Write a poem.', 'Thank you!']
    const generate = vi.spyOn(demo.engine, 'generate')
    const ask = async (seed: number) => {
      const response = await openai.responses.create({
        model,
        input: inputs[seed % inputs.length],
        reasoning: { effort: (['low', 'medium', 'high'] as const)[seed % 3] },
        temperature: 1.5 + (seed % 3) / 4,
        max_output_tokens: 600,
        seed,
        ...body,
      } as never)
      expect(response.status === 'completed' || response.incomplete_details?.reason).toBeTruthy()
      return response
    }
    const all = await Promise.all(Array.from({ length: 50 }, (_, seed) => ask(seed)))
    expect(generate).toHaveBeenCalledTimes(50)
    return all.filter(({ status }) => status === 'completed')
  }
  const weather = {
    type: 'function',
    name: 'get-weather',
    strict: true,
    parameters: {
      type: 'object',
      properties: { city: { type: 'string', maxLength: 12 } },
      required: ['city'],
      additionalProperties: false,
    },
  }
  const coloured = {
    type: 'json_schema',
    name: 'colour',
    strict: true,
    schema: {
      type: 'object',
      properties: { colour: { enum: ['red', 'green'] } },
      required: ['colour'],
      additionalProperties: false,
    },
  }

  it.each([{ text: { format: coloured } }, { text: { format: coloured }, tools: [pythonTool()] }])(
    'never thinks its answer away: %#',
    async (body) => {
      const all = await answers(body)
      expect(all.length).toBeGreaterThan(40)
      for (const { output, output_text } of all) {
        if (output.some(({ type }) => type === 'custom_tool_call')) continue
        expect(['{"colour":"red"}', '{"colour":"green"}']).toContain(output_text.replace(/\s/g, ''))
      }
    },
  )

  it.each([{ tools: [weather] }, { tools: [{ ...weather, strict: false }, pythonTool()] }])(
    'never thinks a call away that is demanded: %#',
    async (body) => {
      const all = await answers({ ...body, tool_choice: 'required' })
      expect(all.length).toBeGreaterThan(40)
      for (const { output } of all)
        expect(['function_call', 'custom_tool_call']).toContain(output.at(-1)?.type)
    },
  )

  it('writes the text of a freeform tool by its grammar, names and lines of a patch for one', async () => {
    const definition = `
      start: "*** Begin Patch" LF hunk~1..3 "*** End Patch" LF?
      hunk: "*** Add File: " NAME LF ("+" LINE? LF)~1..3 | "*** Delete File: " NAME LF
      NAME: /[a-z]{1,8}[.]txt/
      LINE: /[^\\n]{1,5}/
      %import common.LF`
    const format = { type: 'grammar', syntax: 'lark', definition }
    const tools = [{ type: 'custom', name: 'apply_patch', format }]
    const all = await answers({ tools, tool_choice: 'required' })
    expect(all.length).toBeGreaterThan(40)
    for (const { output } of all) {
      const call = output.at(-1)
      if (call?.type !== 'custom_tool_call') throw new Error(`${call?.type}`)
      const lines = call.input.split('\n')
      if (lines.at(-1) === '') lines.pop()
      expect([lines[0], lines.at(-1)]).toEqual(['*** Begin Patch', '*** End Patch'])
      expect(lines.length).toBeGreaterThan(2)
      const line = /^(?:\*{3} (?:Add|Delete) File: [a-z]{1,8}[.]txt|\+.{0,5})$/su
      for (const one of lines.slice(1, -1)) expect(one).toMatch(line)
    }
  })

  it('is free where nothing is demanded', async () => {
    const generate = vi.spyOn(demo.engine, 'generate')
    await openai.responses.create({ model, input: 'Hi', max_output_tokens: 16 })
    expect(generate.mock.calls[0]?.[1].constraints).toBeUndefined()
  })
})

describe('what is held to a form', () => {
  const constraints = (body: object) => {
    const request = parseResponsesRequest({ model, input: 'Hi', ...body })
    const { request: lowered, calls } = lowerTools(request)
    const builtIns = new BuiltInTools(request, calls)
    const names = calledNames(lowered, builtIns)
    return answerConstraints({ request: lowered, names, calls, builtIns })
  }
  /** Words of the header, whether a grammar says what comes behind it, and its end; without what is the same for all. */
  const held = (body: object) => {
    const all = constraints(body)?.messages
    expect(all?.slice(-2) ?? others).toEqual(others)
    return all?.slice(0, -2).map(({ headerWords, grammar, end }) => {
      return [headerWords.join(), grammar ? 'grammar' : 'any text', end]
    })
  }
  const others = ['analysis', 'commentary'].map((channel) => {
    return { headerWords: [channel], grammar: undefined, end: 'end' }
  })
  const bytes = (text: string) =>
    Uint8Array.from(Buffer.from(text.replaceAll('<|', '\xff<|'), 'latin1'))
  /** Of the messages of a turn: the headers that a first one may have, and those that a later one may. */
  const fitting = (body: object, texts: readonly string[]) => {
    const [first, next] = constraints(body)?.headers ?? []
    return [
      texts.filter((text) => matches(first!, bytes(`${text}<|message|>`))),
      texts.filter((text) => matches(next!, bytes(`<|start|>assistant${text}<|message|>`))),
    ]
  }
  const tool = (name: string, strict: boolean) => ({
    type: 'function',
    name,
    strict,
    parameters: { type: 'object', properties: {} },
  })

  it('is every message where a format is asked for or arguments must fit', () => {
    const final = ['final', 'any text', 'return']
    const json = ['final', 'grammar', 'return']
    expect(held({})).toBeUndefined()
    expect(held({ text: { format: { type: 'text' } } })).toBeUndefined()
    expect(held({ text: { format: { type: 'json_object' } } })).toEqual([json])
    const tools = [tool('a-b', true), tool('c', false)]
    const calls = [
      ['to=functions.a_b', 'grammar', 'call'],
      ['to=functions.c', 'any text', 'call'],
    ]
    expect(held({ tools })).toEqual([...calls, final])
    expect(held({ tools, text: { format: { type: 'json_object' } } })).toEqual([...calls, json])
    expect(held({ tools, tool_choice: 'none' })).toBeUndefined()
    expect(held({ tools: [tool('c', false)] })).toBeUndefined()
    expect(held({ tools: [pythonTool()] })).toBeUndefined()
    expect(held({ tools: [pythonTool(), tool('c', true)] })).toEqual([
      ['to=python', 'any text', 'call'],
      ['to=functions.c', 'grammar', 'call'],
      final,
    ])
  })

  it('is the call of an agent’s tool, with the text of a freeform one as its regex says', () => {
    const format = { type: 'grammar', syntax: 'regex', definition: '[a-c]+|"\\d"' }
    const tools = [
      { type: 'custom', name: 'write', format },
      { type: 'custom', name: 'free' },
      { type: 'apply_patch' },
    ]
    const [write, free, patch] = (constraints({ tools })?.messages ?? []).map(
      ({ grammar }) => grammar,
    )
    expect(matches(write!, '{"input":"abc"}')).toBe(true)
    expect(matches(write!, '{"input":"\\"7\\""}')).toBe(true)
    expect(matches(write!, '{"input":"abd"}')).toBe(false)
    expect(matches(free!, '{"input":"a\\nb"}')).toBe(true)
    expect(matches(free!, '{"text":"a"}')).toBe(false)
    expect(matches(patch!, '{"operation":{}}')).toBe(false)
  })

  it('is the text of a freeform tool by its grammar, wherever the tool is declared', () => {
    const freeform = (name: string, definition: string, syntax = 'lark') => ({
      type: 'custom',
      name,
      format: { type: 'grammar', syntax, definition },
    })
    const inner = [freeform('inner', '[a-c]+', 'regex'), freeform('both', 'start: "x"')]
    const tools = [
      freeform('outer', 'start: start "a" | "b\\n"'),
      { type: 'namespace', name: 'space', tools: inner },
      freeform('both', 'start: "y"'),
      freeform('told', 'start: /a(?!b)/'),
    ]
    const input = [{ type: 'additional_tools', tools: [freeform('late', 'start: "z"')] }]
    const all = constraints({ tools, input })?.messages ?? []
    const taken = ['b\\naa', 'abc', 'x', 'y', '{', 'z'].map((text, index) => {
      const { grammar } = all[index]!
      return [matches(grammar!, `{"input":"${text}"}`), matches(grammar!, '{"input":"no"}')]
    })
    expect(taken).toEqual([
      [true, false],
      [true, false],
      [true, false],
      [true, false],
      [true, true],
      [true, false],
    ])
  })

  it.each([
    [
      {
        tools: [
          {
            type: 'custom',
            name: 'f',
            format: { type: 'grammar', syntax: 'lark', definition: 'x' },
          },
        ],
      },
      'tools[0]',
    ],
    [
      {
        tools: [
          {
            type: 'namespace',
            name: 'n',
            tools: [
              {
                type: 'custom',
                name: 'f',
                format: { type: 'grammar', syntax: 'lark', definition: 'x' },
              },
            ],
          },
        ],
      },
      'tools[0].tools[0]',
    ],
    [
      {
        input: [
          {
            type: 'additional_tools',
            tools: [
              {
                type: 'custom',
                name: 'f',
                format: { type: 'grammar', syntax: 'lark', definition: 'x' },
              },
            ],
          },
        ],
      },
      'input[0].tools[0]',
    ],
  ])('is refused where the grammar is none, by its place: %#', (body, path) => {
    expect(() => constraints(body)).toThrow(
      expect.objectContaining({ code: 'invalid_value', param: `${path}.format.definition` }),
    )
  })

  it('is a search for tools whose arguments can be told', () => {
    const search = (parameters: object) => ({
      tools: [{ type: 'tool_search', execution: 'client', parameters }],
      tool_choice: 'required',
    })
    for (const parameters of [
      {},
      { anyOf: [{ type: 'string' }, { type: 'object' }] },
      { type: ['object', 'null'] },
    ]) {
      const grammar = constraints(search(parameters))?.messages[0]?.grammar
      expect(matches(grammar!, '{}')).toBe(true)
      for (const text of ['"a"', 'null', '1', '[]']) expect(matches(grammar!, text)).toBe(false)
    }
    expect(() => constraints(search({ type: 'string' }))).toThrow(
      expect.objectContaining({ code: 'invalid_value', param: 'tools[0].parameters.type' }),
    )
  })

  const thinking = '<|channel|>analysis'
  const final = ['<|channel|>final', '<|channel|>final <|constrain|>json', '<|channel|>final json']
  const preamble = '<|channel|>commentary'
  const calls = [
    '<|channel|>commentary to=functions.f <|constrain|>json',
    ' to=functions.g<|channel|>commentary',
  ]
  const wrong = [
    '',
    'Hello',
    '<|channel|>finally',
    '<|channel|>analysis to=functions.f',
    '<|channel|>commentary to=functions.h',
    '<|channel|>commentary to=python',
    '<|channel|>analysis<|channel|>final',
    '<|return|>',
  ]
  const all = [thinking, ...final, preamble, ...calls, ...wrong]

  it('is every header', () => {
    const format = { type: 'json_object' }
    const answers = [thinking, ...final]
    expect(fitting({ text: { format } }, all)).toEqual([answers, answers])
    const tools = [tool('f', false), tool('g', true)]
    const withCalls = [...answers, preamble, ...calls]
    expect(fitting({ tools }, all)).toEqual([withCalls, withCalls])
  })

  it('is the one call that is demanded, and the arguments of functions that are not strict, too', () => {
    const tools = [tool('f', false), tool('g', true)]
    const demanded = { tools, tool_choice: 'required' }
    expect(held(demanded)?.slice(0, 2)).toEqual([
      ['to=functions.f', 'grammar', 'call'],
      ['to=functions.g', 'grammar', 'call'],
    ])
    expect(fitting(demanded, all)).toEqual([[thinking, ...calls], calls])
  })

  it('is a call of a tool that the model was trained with, in its own form', () => {
    const own = [
      '<|channel|>analysis to=python code',
      ' to=python<|channel|>commentary',
      '<|channel|>analysis to=browser.search <|constrain|>json',
    ]
    const tools = [pythonTool(), browserTool(), tool('f', false), tool('g', false)]
    const demanded = { tools, tool_choice: 'required' }
    expect(fitting(demanded, [...own, ...calls, '<|channel|>analysis to=container.exec'])).toEqual([
      [...own, ...calls],
      [...own, ...calls],
    ])
    expect(held(demanded)).toContainEqual(['to=python', 'any text', 'call'])
    expect(held(demanded)).toContainEqual(['to=browser.search', 'grammar', 'call'])
  })
})
