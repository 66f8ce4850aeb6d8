// The demo model under grammars: what is asked for in `text.format` and by strict functions comes at once, however the model is
// sampled, though it never learned to write any of it.
import { existsSync } from 'node:fs'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { functionNames } from '../../native-node/server/function-names.ts'
import { answerConstraints } from '../../native-node/server/grammar/answer-constraints.ts'
import { lowerTools } from '../../src/convert/agent-tools.ts'
import { parseResponsesRequest } from '../../src/protocol/responses.ts'
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

  it('is free where nothing is demanded', async () => {
    const generate = vi.spyOn(demo.engine, 'generate')
    await openai.responses.create({ model, input: 'Hi', max_output_tokens: 16 })
    expect(generate.mock.calls[0]?.[1].constraints).toBeUndefined()
  })
})

describe('what is held to a grammar', () => {
  const constraints = (body: object) => {
    const request = parseResponsesRequest({ model, input: 'Hi', ...body })
    const { request: lowered, calls } = lowerTools(request)
    const names = functionNames((lowered.tools ?? []).map(({ name }) => String(name)))
    const isBuiltIn = (name: string) => name === 'python'
    return answerConstraints({ request: lowered, given: request, names, calls, isBuiltIn })
  }
  const held = (body: object) =>
    (constraints(body)?.messages ?? []).map(({ headerWords, end }) => [...headerWords, end])
  const tool = (name: string, strict: boolean) => ({
    type: 'function',
    name,
    strict,
    parameters: { type: 'object', properties: {} },
  })

  it('is the final answer under a format, and the arguments of strict functions that may be called', () => {
    expect(held({})).toEqual([])
    expect(held({ text: { format: { type: 'text' } } })).toEqual([])
    expect(held({ text: { format: { type: 'json_object' } } })).toEqual([['final', 'return']])
    const tools = [tool('a-b', true), tool('c', false)]
    expect(held({ tools })).toEqual([['to=functions.a_b', 'call']])
    expect(held({ tools, tool_choice: 'none' })).toEqual([])
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

  it('is every header where a call is demanded, and the arguments of functions that are not strict, too', () => {
    const tools = [tool('f', false), tool('g', true)]
    const demanded = constraints({ tools, tool_choice: 'required' })
    expect(held({ tools, tool_choice: 'required' })).toEqual([
      ['to=functions.f', 'call'],
      ['to=functions.g', 'call'],
      ['analysis', 'end'],
    ])
    const [first, next] = demanded?.headers ?? []
    const bytes = (text: string) =>
      Uint8Array.from(Buffer.from(text.replaceAll('<|', '\xff<|'), 'latin1'))
    for (const header of [
      '<|channel|>analysis<|message|>',
      '<|channel|>commentary to=functions.f <|constrain|>json<|message|>',
      ' to=functions.g<|channel|>commentary<|message|>',
    ])
      expect(matches(first!, bytes(header)), header).toBe(true)
    for (const header of [
      '<|channel|>final<|message|>',
      '<|channel|>commentary<|message|>',
      '<|channel|>commentary to=functions.h<|message|>',
    ])
      expect(matches(first!, bytes(header)), header).toBe(false)
    expect(matches(next!, bytes('<|start|>assistant<|channel|>analysis<|message|>'))).toBe(false)
    expect(
      matches(next!, bytes('<|start|>assistant to=functions.f<|channel|>commentary<|message|>')),
    ).toBe(true)
    expect(constraints({ tools })?.headers).toEqual([])
    const own = [...tools, tool('python', false)]
    expect(constraints({ tools: own, tool_choice: 'required' })?.headers).toEqual([])
  })
})
