// Anthropic's SDK → gateway in workerd → tunnel → node → native engine with the demo model, and back.
import Anthropic from '@anthropic-ai/sdk'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { checkMessagesOrder } from '../oracle/messages-order.ts'
import { startUp, type Up } from './up.ts'

const model = 'switchyard/demo'
let up: Up
let client: Anthropic

beforeAll(async () => {
  up = await startUp()
  client = new Anthropic({ baseURL: up.base, apiKey: 'none', maxRetries: 0 })
})

afterAll(async () => {
  expect(await up.stop()).toBe(0)
})

const weather: Anthropic.Tool = {
  name: 'get_current_weather',
  description: 'Get the current weather in a given location',
  input_schema: {
    type: 'object',
    properties: { location: { type: 'string', description: 'The city' } },
    required: ['location'],
  },
}
const ask = {
  model,
  max_tokens: 500,
  temperature: 0,
  thinking: { type: 'adaptive' as const },
  tools: [weather],
  messages: [{ role: 'user' as const, content: 'What is the weather like in Boston today?' }],
}

describe('Messages through a real node', () => {
  it('thinks, calls a tool with copied arguments, and answers with its result', async () => {
    const events: unknown[] = []
    for await (const event of await client.messages.create({ ...ask, stream: true })) {
      events.push(event)
    }
    expect(checkMessagesOrder(events)).toEqual([])
    const first = await client.messages.stream(ask).finalMessage()
    const [thinking, ...rest] = first.content
    const call = rest.find((block) => block.type === 'tool_use')
    expect(thinking).toMatchObject({ type: 'thinking', thinking: expect.stringMatching(/\w/) })
    expect(call).toMatchObject({ name: 'get_current_weather' })
    expect(JSON.stringify(call?.input)).toContain('Boston')
    expect(first.stop_reason).toBe('tool_use')
    // The prompt has been read for the first stream: the node's prefix cache has most of it.
    const { input_tokens, cache_read_input_tokens } = first.usage
    expect(cache_read_input_tokens).toBeGreaterThan(50)
    expect(input_tokens).toBeGreaterThan(0)
    const last = await client.messages.create({
      ...ask,
      messages: [
        ...ask.messages,
        { role: 'assistant', content: first.content },
        {
          role: 'user',
          content: [
            {
              type: 'tool_result',
              tool_use_id: call?.id ?? '',
              content: '{"temperature":22,"unit":"celsius","description":"sunny"}',
            },
          ],
        },
      ],
    })
    expect(last.stop_reason).toBe('end_turn')
    expect(last.content.at(-1)).toMatchObject({
      type: 'text',
      text: expect.stringMatching(/22|sunny/i),
    })
  })

  it('counts exactly what the model will read', async () => {
    const { max_tokens: _, temperature: _t, ...counted } = ask
    const { data, response } = await client.messages.countTokens(counted).withResponse()
    const { usage } = await client.messages.create({ ...ask, max_tokens: 1 })
    expect(data.input_tokens).toBe(usage.input_tokens + (usage.cache_read_input_tokens ?? 0))
    expect(response.headers.get('warning')).toBeNull()
  })

  it('stops at the limit and says so', async () => {
    const { stop_reason, usage } = await client.messages.create({ ...ask, max_tokens: 3 })
    expect([stop_reason, usage.output_tokens]).toEqual(['max_tokens', 3])
  })

  it('lists the model for a client of Anthropic’s', async () => {
    const { data } = await client.models.list()
    expect(data).toContainEqual(expect.objectContaining({ type: 'model', id: model }))
    const one = await client.models.retrieve(model)
    expect(one).toMatchObject({ type: 'model', id: model, max_input_tokens: 4096 })
  })
})
