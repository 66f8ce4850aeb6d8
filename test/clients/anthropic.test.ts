// Anthropic's SDK on the gateway's Messages face. The face's own rules are tested in test/gateway/messages.test.ts.
import Anthropic from '@anthropic-ai/sdk'
import { beforeEach, describe, expect, it } from 'vitest'
import { features } from './features.ts'
import { model, picture, said, scene, weather } from './scene.ts'

const on = scene()
let client: Anthropic
beforeEach(() => {
  const baseURL = on.baseURL.replace(/\/v1$/, '')
  client = new Anthropic({ baseURL, apiKey: 'unused', maxRetries: 0 })
})

const messages: Anthropic.MessageParam[] = [{ role: 'user', content: 'Hi' }]
const request = { model, max_tokens: 100, messages }
const input_schema = weather.parameters as Anthropic.Tool.InputSchema
const tools = [{ name: weather.name, description: weather.description, input_schema }]
const call = { name: weather.name, arguments: { city: 'Rome' } }

describe('@anthropic-ai/sdk', () => {
  it(features.text, async () => {
    on.answers({ text: 'Hello there!' })
    const { content, stop_reason } = await client.messages.create(request)
    expect(content).toMatchObject([{ type: 'text', text: 'Hello there!' }])
    expect(stop_reason).toBe('end_turn')
  })

  it(features.textStreamed, async () => {
    on.answers({ text: 'Hello there!' })
    const stream = client.messages.stream(request)
    const deltas: string[] = []
    stream.on('text', (delta) => deltas.push(delta))
    expect(await stream.finalText()).toBe('Hello there!')
    expect(deltas).toEqual(['Hello', ' there!'])
  })

  it(features.system, async () => {
    on.answers({ text: 'Arr.' })
    await client.messages.create({ ...request, system: 'Be a pirate.' })
    expect(said(on.asked()[0])).toEqual(['system: Be a pirate.', 'user: Hi'])
  })

  it(features.reasoning, async () => {
    on.answers({ reasoning: 'A greeting.', text: 'Hello!' })
    const thinking = { type: 'enabled' as const, budget_tokens: 1024 }
    const { content } = await client.messages.create({ ...request, max_tokens: 2000, thinking })
    expect(content).toMatchObject([{ type: 'thinking', thinking: 'A greeting.' }, { type: 'text' }])
  })

  it(features.usage, async () => {
    on.answers({ text: 'Hi' })
    const { usage } = await client.messages.create(request)
    expect(usage).toMatchObject({ input_tokens: 11, output_tokens: 7 })
  })

  it(features.reasoningStreamed, async () => {
    on.answers({ reasoning: 'A plain greeting.', text: 'Hello!' })
    const thinking = { type: 'enabled' as const, budget_tokens: 1024 }
    const stream = client.messages.stream({ ...request, max_tokens: 2000, thinking })
    const deltas: string[] = []
    stream.on('thinking', (delta) => deltas.push(delta))
    await stream.finalMessage()
    expect(deltas).toEqual(['A', ' plain', ' greeting.'])
  })

  it(features.usageStreamed, async () => {
    on.answers({ text: 'Hi' })
    const { usage } = await client.messages.stream(request).finalMessage()
    expect(usage).toMatchObject({ input_tokens: 11, output_tokens: 7 })
  })

  it(features.call, async () => {
    on.answers({ calls: [call] })
    const { content, stop_reason } = await client.messages.create({ ...request, tools })
    expect(content).toMatchObject([
      { type: 'tool_use', name: weather.name, input: { city: 'Rome' } },
    ])
    expect(stop_reason).toBe('tool_use')
  })

  it(features.parallelCalls, async () => {
    const calls = ['Rome', 'Paris'].map((city) => ({ name: weather.name, arguments: { city } }))
    on.answers({ calls })
    const { content } = await client.messages.stream({ ...request, tools }).finalMessage()
    expect(content.map((block) => block.type === 'tool_use' && block.input)).toEqual([
      { city: 'Rome' },
      { city: 'Paris' },
    ])
  })

  it(features.toolLoopStreamed, async () => {
    on.answers({ calls: [call] }, { text: 'Sunny.' })
    const first = await client.messages.stream({ ...request, tools }).finalMessage()
    const results = first.content.flatMap((block) =>
      block.type === 'tool_use'
        ? [{ type: 'tool_result' as const, tool_use_id: block.id, content: '25 degrees' }]
        : [],
    )
    const next: Anthropic.MessageParam[] = [
      ...messages,
      { role: 'assistant', content: first.content },
      { role: 'user', content: results },
    ]
    const second = client.messages.stream({ ...request, messages: next, tools })
    expect(await second.finalText()).toBe('Sunny.')
    expect(said(on.asked()[1])).toEqual([
      'user: Hi',
      'assistant: get_weather({"city":"Rome"})',
      'tool: 25 degrees',
    ])
  })

  it(features.reasoningBack, async () => {
    on.answers({ reasoning: 'Look it up.', calls: [call] }, { text: 'Sunny.' })
    const thinking = { type: 'enabled' as const, budget_tokens: 1024 }
    const asked = { ...request, max_tokens: 2000, thinking, tools }
    const first = await client.messages.create(asked)
    const used = first.content.find((block) => block.type === 'tool_use')
    const result = { type: 'tool_result' as const, tool_use_id: used?.id ?? '', content: '25' }
    const next: Anthropic.MessageParam[] = [
      ...messages,
      { role: 'assistant', content: first.content },
      { role: 'user', content: [result] },
    ]
    await client.messages.create({ ...asked, messages: next })
    expect(JSON.stringify(on.asked()[1]?.messages[1])).toContain('Look it up.')
  })

  it(features.image, async () => {
    on.answers({ text: 'A dot.' })
    const data = picture.split(',')[1] ?? ''
    const source = { type: 'base64' as const, media_type: 'image/png' as const, data }
    const content = [
      { type: 'text' as const, text: 'What is it?' },
      { type: 'image' as const, source },
    ]
    await client.messages.create({ ...request, messages: [{ role: 'user', content }] })
    expect(on.asked()[0]?.messages[0]?.content).toMatchObject([
      { type: 'text' },
      { type: 'image_url', image_url: { url: picture } },
    ])
  })

  it(features.cutShort, async () => {
    on.answers({ text: 'Once upon a', finish: 'length' })
    expect((await client.messages.create(request)).stop_reason).toBe('max_tokens')
  })

  it(features.largeBody, async () => {
    on.answers({ text: 'Long.' })
    const content = 'word '.repeat(30_000)
    await client.messages.create({ ...request, messages: [{ role: 'user', content }] })
    expect(said(on.asked()[0])).toEqual([`user: ${content}`])
  })

  it(features.clientError, async () => {
    const refused = await client.messages
      .create({ ...request, max_tokens: -1 })
      .catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(Anthropic.BadRequestError)
    expect(String(refused)).toContain('max_tokens')
  })

  it(features.upstreamError, async () => {
    on.answers({ status: 429 })
    const refused = await client.messages.create(request).catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(Anthropic.RateLimitError)
  })

  it(features.brokenStream, async () => {
    on.answers({ text: 'Half of an answer', after: 'break' })
    await expect(client.messages.stream(request).finalMessage()).rejects.toBeInstanceOf(
      Anthropic.AnthropicError,
    )
  })

  it(features.abort, async () => {
    on.answers({ text: 'First words', after: 'silence' })
    const stream = client.messages.stream(request)
    for await (const each of stream) if (each.type === 'content_block_delta') break
    expect(await on.abandoned()).toBe(true)
  })

  it(features.models, async () => {
    const ids: string[] = []
    for await (const each of client.models.list()) ids.push(each.id)
    expect(ids).toContain(model)
    expect(await client.models.retrieve(model)).toMatchObject({ id: model, type: 'model' })
  })

  it(features.inputTokens, async () => {
    const { input_tokens } = await client.messages.countTokens({ model, messages })
    expect(input_tokens).toBeGreaterThan(0)
  })
})
