// Agents on the real thing: SDK → the launcher's relay → workerd → tunnel → node → native engine with the demo model. What
// each client does with each feature is test/clients' matter; here the loops close over a model that really answers.
import { createOpenResponses } from '@ai-sdk/open-responses'
import {
  Agent,
  type Model,
  OpenAIChatCompletionsModel,
  OpenAIResponsesModel,
  OpenAIResponsesWSModel,
  Runner,
  tool,
} from '@openai/agents'
import { tool as aiTool, generateText, jsonSchema, Output, stepCountIs, streamText } from 'ai'
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { startUp, type Up } from './up.ts'

const model = 'switchyard/demo'
const question = 'What is the weather like in Boston today?'
let up: Up
let client: OpenAI
const runner = new Runner({ tracingDisabled: true })

beforeAll(async () => {
  up = await startUp()
  client = new OpenAI({ baseURL: `${up.base}/v1`, apiKey: 'none', maxRetries: 0 })
})
afterAll(async () => {
  expect(await up.stop()).toBe(0)
})

const weather = {
  name: 'get_current_weather',
  description: 'Get the current weather in a given location',
}
const report = (location: string) =>
  JSON.stringify({ location, temperature: 17, unit: 'celsius', description: 'sunny' })

describe('the Agents SDK', () => {
  const models: Record<string, () => Model> = {
    Responses: () => new OpenAIResponsesModel(client, model),
    Chat: () => new OpenAIChatCompletionsModel(client, model),
    socket: () => new OpenAIResponsesWSModel(client, model, { reuseConnection: false }),
  }

  it.each(Object.keys(models))(
    'closes a streamed tool loop with reasoning over %s',
    async (name) => {
      const asked: string[] = []
      const getWeather = tool({
        ...weather,
        parameters: z.object({ location: z.string() }),
        execute: async ({ location }) => {
          asked.push(location)
          return report(location)
        },
      })
      const made = models[name]?.()
      if (made === undefined) throw new Error('no such model')
      const agent = new Agent({ name: 'Guide', model: made, tools: [getWeather] })
      const result = await runner.run(agent, question, { stream: true })
      for await (const _ of result);
      expect(asked).toEqual([expect.stringContaining('Boston')])
      expect(result.newItems.map(({ type }) => type)).toContain('reasoning_item')
      expect(result.finalOutput).toMatch(/Boston|17/)
    },
  )
})

describe('the AI SDK', () => {
  const demo = () =>
    createOpenResponses({ name: 'switchyard', url: `${up.base}/v1/responses` })(model)

  it('closes a streamed tool loop', async () => {
    const get_current_weather = aiTool({
      description: weather.description,
      inputSchema: jsonSchema<{ location: string }>({
        type: 'object',
        properties: { location: { type: 'string' } },
        required: ['location'],
      }),
      execute: async ({ location }) => report(location),
    })
    const tools = { get_current_weather }
    const stopWhen = stepCountIs(3)
    const result = streamText({ model: demo(), prompt: question, tools, stopWhen, maxRetries: 0 })
    expect(await result.text).toMatch(/Boston|17/)
    expect((await result.steps).length).toBe(2)
  })

  it('gets an object by its schema', async () => {
    const schema = jsonSchema<{ name: string }>({
      type: 'object',
      properties: {
        name: { type: 'string' },
        participants: { type: 'array', items: { type: 'string' } },
      },
      required: ['name', 'participants'],
      additionalProperties: false,
    })
    const { output } = await generateText({
      model: demo(),
      instructions: 'Extract the event information.',
      prompt: 'Alice and Bob are going to a science fair on Friday.',
      output: Output.object({ schema }),
      maxRetries: 0,
    })
    expect(output).toEqual({ name: expect.any(String), participants: expect.any(Array) })
  })
})
