// The official SDK's Responses API against the gateway.
import OpenAI from 'openai'
import { beforeEach, describe, expect, it } from 'vitest'
import { checkOrder } from '../oracle/order.ts'
import { features } from './features.ts'
import { event, eventSchema, model, picture, said, scene, weather } from './scene.ts'

const on = scene()
let client: OpenAI
beforeEach(() => {
  client = new OpenAI({ baseURL: on.baseURL, apiKey: 'unused', maxRetries: 0 })
})

const tools = [{ type: 'function' as const, strict: true, ...weather }]
const format = {
  type: 'json_schema' as const,
  name: 'event',
  schema: eventSchema,
  strict: true,
}
const store = false

describe('openai, Responses', () => {
  it(features.text, async () => {
    on.answers({ text: 'Hello there!' })
    const response = await client.responses.create({ model, input: 'Hi', store })
    expect(response.output_text).toBe('Hello there!')
    expect(response).toMatchObject({ object: 'response', status: 'completed' })
  })

  it(features.textStreamed, async () => {
    on.answers({ text: 'Hello there!' })
    const stream = client.responses.stream({ model, input: 'Hi', store })
    const deltas: string[] = []
    stream.on('response.output_text.delta', ({ delta }) => deltas.push(delta))
    expect((await stream.finalResponse()).output_text).toBe('Hello there!')
    expect(deltas.join('')).toBe('Hello there!')
  })

  it(features.system, async () => {
    on.answers({ text: 'Arr.' })
    const input = [
      { role: 'developer' as const, content: 'One word.' },
      { role: 'user' as const, content: 'Hi' },
    ]
    await client.responses.create({ model, instructions: 'Be a pirate.', input, store })
    expect(said(on.asked()[0])).toEqual(['system: Be a pirate.', 'system: One word.', 'user: Hi'])
  })

  it(features.reasoning, async () => {
    on.answers({ reasoning: 'A greeting.', text: 'Hello!' })
    const { output } = await client.responses.create({ model, input: 'Hi', store })
    expect(output).toMatchObject([
      { type: 'reasoning', content: [{ type: 'reasoning_text', text: 'A greeting.' }] },
      { type: 'message' },
    ])
  })

  it(features.reasoningStreamed, async () => {
    on.answers({ reasoning: 'A plain greeting.', text: 'Hello!' })
    let reasoning = ''
    for await (const each of await client.responses.create({
      model,
      input: 'Hi',
      store,
      stream: true,
    })) {
      if (each.type === 'response.reasoning_text.delta') reasoning += each.delta
    }
    expect(reasoning).toBe('A plain greeting.')
  })

  it(features.order, async () => {
    on.answers({
      reasoning: 'Hm. Hm.',
      text: 'Look:',
      calls: [{ name: weather.name, arguments: { city: 'Rome' } }],
    })
    const events: unknown[] = []
    const stream = await client.responses.create({ model, input: 'Hi', tools, store, stream: true })
    for await (const each of stream) events.push(each)
    expect(checkOrder(events)).toEqual([])
    expect(events.length).toBeGreaterThan(15)
  })

  it(features.usage, async () => {
    on.answers({ text: 'Hi' })
    const { usage } = await client.responses.create({ model, input: 'Hi', store })
    expect(usage).toMatchObject({ input_tokens: 11, output_tokens: 7, total_tokens: 18 })
  })

  it(features.usageStreamed, async () => {
    on.answers({ text: 'Hi' })
    const { usage } = await client.responses.stream({ model, input: 'Hi', store }).finalResponse()
    expect(usage).toMatchObject({ input_tokens: 11, output_tokens: 7, total_tokens: 18 })
  })

  it(features.call, async () => {
    on.answers({ calls: [{ name: weather.name, arguments: { city: 'Rome' } }] })
    const { output } = await client.responses.create({ model, input: 'Weather?', tools, store })
    expect(output).toMatchObject([
      { type: 'function_call', name: weather.name, arguments: '{"city":"Rome"}' },
    ])
  })

  it(features.parallelCalls, async () => {
    const calls = ['Rome', 'Paris'].map((city) => ({ name: weather.name, arguments: { city } }))
    on.answers({ calls })
    const stream = client.responses.stream({ model, input: 'Weather?', tools, store })
    const { output } = await stream.finalResponse()
    expect(output.map((item) => item.type === 'function_call' && item.arguments)).toEqual([
      '{"city":"Rome"}',
      '{"city":"Paris"}',
    ])
  })

  it.each([
    [features.toolLoop, false],
    [features.toolLoopStreamed, true],
  ])('%s', async (_, stream) => {
    on.answers({ calls: [{ name: weather.name, arguments: { city: 'Rome' } }] }, { text: 'Sunny.' })
    const input: OpenAI.Responses.ResponseInput = [{ role: 'user', content: 'Weather?' }]
    const ask = () =>
      stream
        ? client.responses.stream({ model, input, tools, store }).finalResponse()
        : client.responses.create({ model, input, tools, store })
    const first = await ask()
    for (const item of first.output) {
      input.push(item as OpenAI.Responses.ResponseInputItem)
      if (item.type !== 'function_call') continue
      input.push({ type: 'function_call_output', call_id: item.call_id, output: '25 degrees' })
    }
    expect((await ask()).output_text).toBe('Sunny.')
    expect(said(on.asked()[1])).toEqual([
      'user: Weather?',
      'assistant: get_weather({"city":"Rome"})',
      'tool: 25 degrees',
    ])
  })

  it(features.reasoningBack, async () => {
    const call = { name: weather.name, arguments: { city: 'Rome' } }
    on.answers({ reasoning: 'Look it up.', calls: [call] }, { text: 'Sunny.' })
    const first = await client.responses.create({ model, input: 'Weather?', tools, store })
    const output = {
      type: 'function_call_output' as const,
      call_id: 'call_get_weather_0',
      output: '25',
    }
    const input = [...(first.output as OpenAI.Responses.ResponseInputItem[]), output]
    const second = await client.responses.create({ model, input, tools, store })
    expect(second.output_text).toBe('Sunny.')
    expect(JSON.stringify(on.asked()[1]?.messages[0])).toContain('Look it up.')
  })

  it(features.freeform, async () => {
    on.answers({ calls: [{ name: 'apply', arguments: { input: 'the patch' } }] })
    const freeform = { type: 'custom' as const, name: 'apply', description: 'Applies a patch.' }
    const stream = client.responses.stream({ model, input: 'Patch it', tools: [freeform], store })
    const { output } = await stream.finalResponse()
    expect(output).toMatchObject([{ type: 'custom_tool_call', name: 'apply', input: 'the patch' }])
  })

  it(features.structured, async () => {
    on.answers({ text: JSON.stringify(event) })
    const response = await client.responses.parse({ model, input: 'Who?', text: { format }, store })
    expect(response.output_parsed).toEqual(event)
    expect(on.asked()[0]?.response_format).toMatchObject({ type: 'json_schema' })
  })

  it(features.structuredStreamed, async () => {
    on.answers({ text: JSON.stringify(event) })
    const stream = client.responses.stream({ model, input: 'Who?', text: { format }, store })
    expect((await stream.finalResponse()).output_parsed).toEqual(event)
  })

  it(features.image, async () => {
    on.answers({ text: 'A dot.' })
    const content = [
      { type: 'input_text' as const, text: 'What is it?' },
      { type: 'input_image' as const, image_url: picture, detail: 'auto' as const },
    ]
    await client.responses.create({ model, input: [{ role: 'user', content }], store })
    expect(on.asked()[0]?.messages[0]?.content).toMatchObject([
      { type: 'text' },
      { type: 'image_url', image_url: { url: picture } },
    ])
  })

  it(features.cutShort, async () => {
    on.answers({ text: 'Once upon a', finish: 'length' })
    const request = { model, input: 'A story', max_output_tokens: 16, store }
    const response = await client.responses.stream(request).finalResponse()
    expect(response.status).toBe('incomplete')
    expect(response.incomplete_details).toEqual({ reason: 'max_output_tokens' })
    expect(on.asked()[0]).toMatchObject({ max_completion_tokens: 16 })
  })

  it(features.largeBody, async () => {
    on.answers({ text: 'Long.' })
    const input = 'word '.repeat(30_000)
    expect((await client.responses.create({ model, input, store })).output_text).toBe('Long.')
    expect(said(on.asked()[0])).toEqual([`user: ${input}`])
  })

  it(features.clientError, async () => {
    const refused = await client.responses
      .create({ model, input: 'Hi', temperature: 9, store })
      .catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(OpenAI.BadRequestError)
    expect(refused).toMatchObject({ status: 400, code: 'invalid_value', param: 'temperature' })
  })

  it(features.upstreamError, async () => {
    on.answers({ status: 429 })
    const refused = await client.responses
      .create({ model, input: 'Hi', store })
      .catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(OpenAI.RateLimitError)
  })

  it(features.brokenStream, async () => {
    on.answers({ text: 'Half of an answer', after: 'break' })
    const types: string[] = []
    const stream = await client.responses.create({ model, input: 'Hi', store, stream: true })
    const end = await (async () => {
      for await (const each of stream) types.push(each.type)
    })().catch((error: unknown) => error)
    expect([types.at(-1) === 'response.failed' || end instanceof Error, types]).toContain(true)
    expect(types).not.toContain('response.completed')
  })

  it(features.abort, async () => {
    on.answers({ text: 'First words', after: 'silence' })
    const stream = await client.responses.create({ model, input: 'Hi', store, stream: true })
    for await (const each of stream) if (each.type === 'response.output_text.delta') break
    expect(await on.abandoned()).toBe(true)
  })

  it(features.models, async () => {
    const ids: string[] = []
    for await (const each of client.models.list()) ids.push(each.id)
    expect(ids).toContain(model)
    expect(await client.models.retrieve(model)).toMatchObject({ id: model, object: 'model' })
  })
})
