// The official SDK's Chat Completions against the gateway.
import OpenAI from 'openai'
import { beforeEach, describe, expect, it } from 'vitest'
import { features } from './features.ts'
import { event, eventSchema, model, picture, said, scene, weather } from './scene.ts'

const on = scene()
let client: OpenAI
beforeEach(() => {
  client = new OpenAI({ baseURL: on.baseURL, apiKey: 'unused', maxRetries: 0 })
})

const messages = [{ role: 'user' as const, content: 'Hi' }]
const tools = [{ type: 'function' as const, function: weather }]
const response_format = {
  type: 'json_schema' as const,
  json_schema: {
    name: 'event',
    schema: eventSchema,
    strict: true,
  },
}

describe('openai, Chat', () => {
  it(features.text, async () => {
    on.answers({ text: 'Hello there!' })
    const { choices } = await client.chat.completions.create({ model, messages })
    expect(choices[0]).toMatchObject({
      finish_reason: 'stop',
      message: { role: 'assistant', content: 'Hello there!' },
    })
  })

  it(features.textStreamed, async () => {
    on.answers({ text: 'Hello there!' })
    const stream = client.chat.completions.stream({ model, messages })
    const deltas: string[] = []
    stream.on('content', (delta) => deltas.push(delta))
    expect(await stream.finalContent()).toBe('Hello there!')
    expect(deltas.join('')).toBe('Hello there!')
  })

  it(features.system, async () => {
    on.answers({ text: 'Arr.' })
    const system = { role: 'system' as const, content: 'Be a pirate.' }
    await client.chat.completions.create({ model, messages: [system, ...messages] })
    expect(said(on.asked()[0])).toEqual(['system: Be a pirate.', 'user: Hi'])
  })

  it(features.reasoning, async () => {
    on.answers({ reasoning: 'A greeting.', text: 'Hello!' })
    const { choices } = await client.chat.completions.create({ model, messages })
    expect(choices[0]?.message).toMatchObject({ reasoning: 'A greeting.', content: 'Hello!' })
  })

  it(features.reasoningStreamed, async () => {
    on.answers({ reasoning: 'A plain greeting.', text: 'Hello!' })
    let reasoning = ''
    for await (const each of await client.chat.completions.create({
      model,
      messages,
      stream: true,
    })) {
      const delta = each.choices[0]?.delta as { reasoning?: string } | undefined
      reasoning += delta?.reasoning ?? ''
    }
    expect(reasoning).toBe('A plain greeting.')
  })

  it(features.usage, async () => {
    on.answers({ text: 'Hi' })
    const { usage } = await client.chat.completions.create({ model, messages })
    expect(usage).toMatchObject({ prompt_tokens: 11, completion_tokens: 7, total_tokens: 18 })
  })

  it(features.usageStreamed, async () => {
    on.answers({ text: 'Hi' })
    const stream_options = { include_usage: true }
    const stream = client.chat.completions.stream({ model, messages, stream_options })
    expect((await stream.finalChatCompletion()).usage).toMatchObject({ total_tokens: 18 })
  })

  it(features.call, async () => {
    on.answers({ calls: [{ name: weather.name, arguments: { city: 'Rome' } }] })
    const { choices } = await client.chat.completions.create({ model, messages, tools })
    expect(choices[0]).toMatchObject({
      finish_reason: 'tool_calls',
      message: { tool_calls: [{ function: { name: weather.name, arguments: '{"city":"Rome"}' } }] },
    })
  })

  it(features.parallelCalls, async () => {
    const calls = ['Rome', 'Paris'].map((city) => ({ name: weather.name, arguments: { city } }))
    on.answers({ calls })
    const message = await client.chat.completions.stream({ model, messages, tools }).finalMessage()
    expect(message.tool_calls).toMatchObject([
      { function: { arguments: '{"city":"Rome"}' } },
      { function: { arguments: '{"city":"Paris"}' } },
    ])
  })

  it.each([
    [features.toolLoop, false],
    [features.toolLoopStreamed, true],
  ])('%s', async (_, stream) => {
    on.answers({ calls: [{ name: weather.name, arguments: { city: 'Rome' } }] }, { text: 'Sunny.' })
    const cities: unknown[] = []
    const run = {
      type: 'function' as const,
      function: {
        ...weather,
        parse: JSON.parse,
        function: (given: { city: string }) => {
          cities.push(given.city)
          return '25 degrees'
        },
      },
    }
    const request = { model, messages, tools: [run] }
    const runner = stream
      ? client.chat.completions.runTools({ ...request, stream: true })
      : client.chat.completions.runTools(request)
    expect(await runner.finalContent()).toBe('Sunny.')
    expect(cities).toEqual(['Rome'])
    expect(said(on.asked()[1])).toEqual([
      'user: Hi',
      'assistant: get_weather({"city":"Rome"})',
      'tool: 25 degrees',
    ])
  })

  it(features.reasoningBack, async () => {
    const call = { name: weather.name, arguments: { city: 'Rome' } }
    on.answers({ reasoning: 'Look it up.', calls: [call] }, { text: 'Sunny.' })
    const first = await client.chat.completions.create({ model, messages, tools })
    const spoken = first.choices[0]?.message
    if (spoken === undefined) throw new Error('no message')
    const tool = { role: 'tool' as const, tool_call_id: 'call_get_weather_0', content: '25' }
    const next = [...messages, spoken, tool]
    const second = await client.chat.completions.create({ model, messages: next, tools })
    expect(second.choices[0]?.message.content).toBe('Sunny.')
    expect(JSON.stringify(on.asked()[1]?.messages[1])).toContain('Look it up.')
  })

  it(features.freeform, async () => {
    on.answers({ calls: [{ name: 'apply', arguments: { input: 'the patch' } }] })
    const freeform = { type: 'custom' as const, custom: { name: 'apply' } }
    const request = { model, messages, tools: [freeform] }
    const { choices } = await client.chat.completions.create(request)
    expect(choices[0]?.message.tool_calls).toMatchObject([
      { type: 'custom', custom: { name: 'apply', input: 'the patch' } },
    ])
  })

  it(features.structured, async () => {
    on.answers({ text: JSON.stringify(event) })
    const { choices } = await client.chat.completions.parse({ model, messages, response_format })
    expect(choices[0]?.message.parsed).toEqual(event)
    expect(on.asked()[0]?.response_format).toMatchObject({ type: 'json_schema' })
  })

  it(features.structuredStreamed, async () => {
    on.answers({ text: JSON.stringify(event) })
    const stream = client.chat.completions.stream({ model, messages, response_format })
    const { choices } = await stream.finalChatCompletion()
    expect(choices[0]?.message.parsed).toEqual(event)
  })

  it(features.image, async () => {
    on.answers({ text: 'A dot.' })
    const content = [
      { type: 'text' as const, text: 'What is it?' },
      { type: 'image_url' as const, image_url: { url: picture } },
    ]
    await client.chat.completions.create({ model, messages: [{ role: 'user', content }] })
    expect(on.asked()[0]?.messages[0]?.content).toEqual(content)
  })

  it(features.cutShort, async () => {
    on.answers({ text: 'Once upon a', finish: 'length' })
    const request = { model, messages, max_completion_tokens: 16 }
    const { choices } = await client.chat.completions.create(request)
    expect(choices[0]?.finish_reason).toBe('length')
  })

  it(features.largeBody, async () => {
    on.answers({ text: 'Long.' })
    const content = 'word '.repeat(30_000)
    await client.chat.completions.create({ model, messages: [{ role: 'user', content }] })
    expect(said(on.asked()[0])).toEqual([`user: ${content}`])
  })

  it(features.clientError, async () => {
    const refused = await client.chat.completions
      .create({ model, messages, temperature: 9 })
      .catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(OpenAI.BadRequestError)
    expect(refused).toMatchObject({ status: 400, code: 'invalid_value', param: 'temperature' })
  })

  it(features.upstreamError, async () => {
    on.answers({ status: 429 })
    const refused = await client.chat.completions
      .create({ model, messages })
      .catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(OpenAI.RateLimitError)
  })

  it(features.brokenStream, async () => {
    on.answers({ text: 'Half of an answer', after: 'break' })
    const stream = client.chat.completions.stream({ model, messages })
    await expect(stream.finalContent()).rejects.toBeInstanceOf(OpenAI.OpenAIError)
  })

  it(features.abort, async () => {
    on.answers({ text: 'First words', after: 'silence' })
    const stream = await client.chat.completions.create({ model, messages, stream: true })
    for await (const each of stream) if (each.choices[0]?.delta.content) break
    expect(await on.abandoned()).toBe(true)
  })
})
