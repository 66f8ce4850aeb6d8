// Vercel's AI SDK against the gateway, through each of its providers that can speak to one.
import { createOpenResponses } from '@ai-sdk/open-responses'
import { createOpenAI } from '@ai-sdk/openai'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import {
  generateText,
  jsonSchema,
  type LanguageModel,
  Output,
  stepCountIs,
  streamText,
  tool,
} from 'ai'
import { describe, expect, it } from 'vitest'
import { features } from './features.ts'
import { event, eventSchema, model, picture, said, scene, weather } from './scene.ts'

const on = scene()
const apiKey = 'unused'
/** The one place where this provider looks for reasoning. */
const summaries = { 'x-switchyard-reasoning-events': 'summary' }

const providers: Record<string, () => LanguageModel> = {
  'ai, @ai-sdk/openai Responses': () =>
    createOpenAI({ baseURL: on.baseURL, apiKey, headers: summaries }).responses(model),
  'ai, @ai-sdk/openai Chat': () => createOpenAI({ baseURL: on.baseURL, apiKey }).chat(model),
  'ai, @ai-sdk/openai-compatible': () =>
    createOpenAICompatible({
      name: 'switchyard',
      baseURL: on.baseURL,
      includeUsage: true,
      supportsStructuredOutputs: true,
    }).chatModel(model),
  'ai, @ai-sdk/open-responses': () =>
    createOpenResponses({ name: 'switchyard', url: `${on.baseURL}/responses`, apiKey })(model),
}
/** OpenAI's Chat has no word for reasoning, and its provider reads none. */
const showsReasoning = (name: string) => name !== 'ai, @ai-sdk/openai Chat'

const get_weather = tool({
  description: weather.description,
  inputSchema: jsonSchema<{ city: string }>(weather.parameters),
  execute: async ({ city }) => `25 degrees in ${city}`,
})
const call = { name: weather.name, arguments: { city: 'Rome' } }
const loop = { tools: { get_weather }, stopWhen: stepCountIs(3), prompt: 'Weather?', maxRetries: 0 }

describe.each(Object.entries(providers))('%s', (name, provider) => {
  it(features.text, async () => {
    on.answers({ text: 'Hello there!' })
    const { text, finishReason } = await generateText({ model: provider(), prompt: 'Hi' })
    expect([text, finishReason]).toEqual(['Hello there!', 'stop'])
  })

  it(features.textStreamed, async () => {
    on.answers({ text: 'Hello there!' })
    const deltas: string[] = []
    const { textStream, finishReason } = streamText({ model: provider(), prompt: 'Hi' })
    for await (const delta of textStream) deltas.push(delta)
    expect(deltas).toEqual(['Hello', ' there!'])
    expect(await finishReason).toBe('stop')
  })

  it(features.system, async () => {
    on.answers({ text: 'Arr.' })
    await generateText({ model: provider(), instructions: 'Be a pirate.', prompt: 'Hi' })
    expect(said(on.asked()[0])).toEqual([
      'system: Be a pirate.',
      expect.stringMatching(/^user: (?:Hi|\[\{"type":"text","text":"Hi"\}\])$/),
    ])
  })

  it.runIf(showsReasoning(name))(features.reasoning, async () => {
    on.answers({ reasoning: 'A greeting.', text: 'Hello!' })
    const { text, reasoningText } = await generateText({ model: provider(), prompt: 'Hi' })
    expect([reasoningText, text]).toEqual(['A greeting.', 'Hello!'])
  })

  it.runIf(showsReasoning(name))(features.reasoningStreamed, async () => {
    on.answers({ reasoning: 'A plain greeting.', text: 'Hello!' })
    const result = streamText({ model: provider(), prompt: 'Hi' })
    let reasoning = ''
    for await (const part of result.fullStream) {
      if (part.type === 'reasoning-delta') reasoning += part.text
    }
    expect(reasoning).toBe('A plain greeting.')
  })

  it(features.usage, async () => {
    on.answers({ text: 'Hi' })
    const { usage } = await generateText({ model: provider(), prompt: 'Hi' })
    expect(usage).toMatchObject({ inputTokens: 11, outputTokens: 7, totalTokens: 18 })
  })

  it(features.usageStreamed, async () => {
    on.answers({ text: 'Hi' })
    const { usage } = streamText({ model: provider(), prompt: 'Hi' })
    expect(await usage).toMatchObject({ inputTokens: 11, outputTokens: 7, totalTokens: 18 })
  })

  it(features.call, async () => {
    on.answers({ calls: [call] })
    const { execute: _, ...declared } = get_weather
    const tools = { get_weather: declared as typeof get_weather }
    const result = await generateText({ model: provider(), prompt: 'Weather?', tools })
    expect(result.toolCalls).toMatchObject([{ toolName: 'get_weather', input: { city: 'Rome' } }])
    expect(result.finishReason).toBe('tool-calls')
  })

  it(features.parallelCalls, async () => {
    const calls = ['Rome', 'Paris'].map((city) => ({ name: weather.name, arguments: { city } }))
    on.answers({ calls })
    const result = streamText({ model: provider(), prompt: 'Weather?', tools: { get_weather } })
    expect((await result.toolResults).map(({ output }) => output)).toEqual([
      '25 degrees in Rome',
      '25 degrees in Paris',
    ])
  })

  it(features.toolLoop, async () => {
    on.answers({ calls: [call] }, { text: 'Sunny.' })
    const { text, steps } = await generateText({ model: provider(), ...loop })
    expect([text, steps.length]).toEqual(['Sunny.', 2])
    expect(said(on.asked()[1]).slice(1)).toEqual([
      'assistant: get_weather({"city":"Rome"})',
      'tool: 25 degrees in Rome',
    ])
  })

  it(features.toolLoopStreamed, async () => {
    on.answers({ calls: [call] }, { text: 'Sunny.' })
    const result = streamText({ model: provider(), ...loop })
    expect(await result.text).toBe('Sunny.')
    expect(said(on.asked()[1]).at(-1)).toBe('tool: 25 degrees in Rome')
  })

  it.runIf(showsReasoning(name))(features.reasoningBack, async () => {
    on.answers({ reasoning: 'Look it up.', calls: [call] }, { text: 'Sunny.' })
    const result = streamText({ model: provider(), ...loop })
    expect(await result.text).toBe('Sunny.')
    expect(JSON.stringify(on.asked()[1]?.messages[1])).toContain('Look it up.')
  })

  it(features.structured, async () => {
    on.answers({ text: JSON.stringify(event) })
    const output = Output.object({ schema: jsonSchema<typeof event>(eventSchema) })
    const result = await generateText({ model: provider(), prompt: 'Who?', output })
    expect(result.output).toEqual(event)
    expect(on.asked()[0]?.response_format).toMatchObject({ type: 'json_schema' })
  })

  it(features.structuredStreamed, async () => {
    on.answers({ text: JSON.stringify(event) })
    const output = Output.object({ schema: jsonSchema<typeof event>(eventSchema) })
    const result = streamText({ model: provider(), prompt: 'Who?', output })
    expect(await result.output).toEqual(event)
  })

  it(features.image, async () => {
    on.answers({ text: 'A dot.' })
    const content = [
      { type: 'text' as const, text: 'What is it?' },
      { type: 'file' as const, mediaType: 'image/png', data: picture },
    ]
    await generateText({ model: provider(), messages: [{ role: 'user', content }] })
    expect(on.asked()[0]?.messages[0]?.content).toMatchObject([
      { type: 'text' },
      { type: 'image_url', image_url: { url: picture } },
    ])
  })

  it(features.cutShort, async () => {
    on.answers({ text: 'Once upon a', finish: 'length' })
    const result = streamText({ model: provider(), prompt: 'A story', maxOutputTokens: 16 })
    expect([await result.text, await result.finishReason]).toEqual(['Once upon a', 'length'])
  })

  it(features.largeBody, async () => {
    on.answers({ text: 'Long.' })
    const prompt = 'word '.repeat(30_000)
    expect((await generateText({ model: provider(), prompt })).text).toBe('Long.')
    expect(said(on.asked()[0])[0]).toContain(prompt)
  })

  it(features.clientError, async () => {
    const refused = await generateText({
      model: provider(),
      prompt: 'Hi',
      topP: 9,
      maxRetries: 0,
    }).catch((error: unknown) => error)
    expect(refused).toMatchObject({ statusCode: 400, message: expect.stringContaining('top_p') })
  })

  it(features.upstreamError, async () => {
    on.answers({ status: 429 })
    const refused = await generateText({ model: provider(), prompt: 'Hi', maxRetries: 0 }).catch(
      (error: unknown) => error,
    )
    expect(refused).toMatchObject({ statusCode: 429, isRetryable: true })
  })

  it(features.brokenStream, async () => {
    on.answers({ text: 'Half of an answer', after: 'break' })
    const errors: unknown[] = []
    const result = streamText({
      model: provider(),
      prompt: 'Hi',
      onError: ({ error }) => void errors.push(error),
    })
    const reason = await Promise.resolve(result.finishReason).catch((error: unknown) => error)
    expect(reason).not.toBe('stop')
    expect(errors.length > 0 || reason === 'error').toBe(true)
  })

  it(features.abort, async () => {
    on.answers({ text: 'First words', after: 'silence' })
    const controller = new AbortController()
    const result = streamText({
      model: provider(),
      prompt: 'Hi',
      abortSignal: controller.signal,
    })
    for await (const part of result.fullStream) {
      if (part.type === 'text-delta') controller.abort()
    }
    expect(await on.abandoned()).toBe(true)
  })
})

describe('ai, @ai-sdk/openai Responses', () => {
  it(features.continuation, async () => {
    on.answers({ text: 'four' }, { text: 'five' })
    const made = createOpenAI({ baseURL: on.baseURL, apiKey }).responses(model)
    const first = await generateText({ model: made, prompt: 'two and two?' })
    const previousResponseId = String(first.providerMetadata?.openai?.responseId)
    const providerOptions = { openai: { previousResponseId } }
    const second = await generateText({ model: made, prompt: 'plus one?', providerOptions })
    expect(second.text).toBe('five')
    expect(said(on.asked()[1])).toEqual([
      expect.stringContaining('two and two?'),
      'assistant: four',
      expect.stringContaining('plus one?'),
    ])
  })
})
