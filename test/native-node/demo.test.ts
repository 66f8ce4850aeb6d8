// A real conversation: official SDK → HTTP → faces → harmony → native engine with the demo model, and back.
// What the model knows is measured elsewhere; here the way must hold.
import { existsSync } from 'node:fs'
import type OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { demoDir, type ServedDemo, serveDemo } from './serve-demo.ts'

const model = 'switchyard/demo'
const weather = {
  type: 'function' as const,
  name: 'get_current_weather',
  description: 'Get the current weather in a given location',
  strict: false,
  parameters: {
    type: 'object',
    properties: { location: { type: 'string', description: 'The city' } },
    required: ['location'],
  },
}

// Without the files there is nothing to talk to; npm start says so as well.
describe.skipIf(!existsSync(`${demoDir}/config.json`))('the demo model', () => {
  let demo: ServedDemo
  let openai: ServedDemo['openai']

  beforeAll(async () => {
    demo = await serveDemo(model)
    openai = demo.openai
  })
  afterAll(async () => {
    await demo?.close()
  })

  it('thinks and answers, in both dialects alike', async () => {
    const response = await openai.responses.create({ model, input: 'Who are you?' })
    expect(response.output.map(({ type }) => type)).toEqual(['reasoning', 'message'])
    const chat = await openai.chat.completions.create({
      model,
      messages: [{ role: 'user', content: 'Who are you?' }],
    })
    expect(chat.choices[0]?.message.content).toBe(response.output_text)
    expect(chat.usage?.completion_tokens).toBe(response.usage?.output_tokens)
  })

  it('calls a tool and goes on with its output', async () => {
    const question = { role: 'user' as const, content: 'What is the weather like in Boston today?' }
    const first = await openai.responses.create({ model, input: [question], tools: [weather] })
    const call = first.output.find((item) => item.type === 'function_call')
    expect(call?.name).toBe('get_current_weather')
    const second = await openai.responses.create({
      model,
      tools: [weather],
      input: [
        question,
        ...(first.output as OpenAI.Responses.ResponseInputItem[]),
        { type: 'function_call_output', call_id: call!.call_id, output: '{"temperature":21}' },
      ],
    })
    expect(second.output_text).toMatch(/\w/)
  })

  it('gives each of four streams what it gives it alone', async () => {
    const inputs = ['cats', 'owls', 'rivers', 'bread'].map((topic) => ({
      model,
      input: `Tell me a fun fact about ${topic}.`,
      max_output_tokens: 100,
    }))
    const alone = []
    for (const input of inputs) alone.push((await openai.responses.create(input)).output_text)
    const together = await Promise.all(inputs.map((input) => openai.responses.create(input)))
    expect(together.map((response) => response.output_text)).toEqual(alone)
  })
})
