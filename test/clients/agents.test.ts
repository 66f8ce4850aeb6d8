// OpenAI's Agents SDK against the gateway, over each of its model classes.
import {
  Agent,
  type Model,
  OpenAIChatCompletionsModel,
  OpenAIConversationsSession,
  OpenAIResponsesModel,
  OpenAIResponsesWSModel,
  Runner,
  tool,
} from '@openai/agents'
import OpenAI from 'openai'
import { afterAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { features } from './features.ts'
import { event, model, picture, said, scene, weather } from './scene.ts'

const on = scene()
const client = () => new OpenAI({ baseURL: on.baseURL, apiKey: 'unused', maxRetries: 0 })
const runner = new Runner({ tracingDisabled: true })

const sockets: OpenAIResponsesWSModel[] = []
const models: Record<string, () => Model> = {
  '@openai/agents, Responses': () => new OpenAIResponsesModel(client(), model),
  '@openai/agents, Chat': () => new OpenAIChatCompletionsModel(client(), model),
  '@openai/agents, socket': () => {
    const made = new OpenAIResponsesWSModel(client(), model)
    sockets.push(made)
    return made
  },
}
afterAll(() => Promise.all(sockets.map((each) => each.close())))

const getWeather = tool({
  name: weather.name,
  description: weather.description,
  parameters: z.object({ city: z.string() }),
  execute: async ({ city }) => `25 degrees in ${city}`,
})
const call = { name: weather.name, arguments: { city: 'Rome' } }

describe.each(Object.entries(models))('%s', (_, made) => {
  const agent = () => new Agent({ name: 'Guide', model: made(), tools: [getWeather] })

  it(features.text, async () => {
    on.answers({ text: 'Hello there!' })
    const result = await runner.run(agent(), 'Hi')
    expect(result.finalOutput).toBe('Hello there!')
  })

  it(features.textStreamed, async () => {
    on.answers({ text: 'Hello there!' })
    const result = await runner.run(agent(), 'Hi', { stream: true })
    let text = ''
    for await (const piece of result.toTextStream()) text += piece
    await result.completed
    expect([text, result.finalOutput]).toEqual(['Hello there!', 'Hello there!'])
  })

  it(features.system, async () => {
    on.answers({ text: 'Arr.' })
    const pirate = new Agent({ name: 'Pirate', model: made(), instructions: 'Be a pirate.' })
    await runner.run(pirate, 'Hi')
    expect(said(on.asked()[0])).toEqual(['system: Be a pirate.', 'user: Hi'])
  })

  it(features.usage, async () => {
    on.answers({ text: 'Hi' })
    const result = await runner.run(agent(), 'Hi')
    const { inputTokens, outputTokens, totalTokens } = result.state.usage
    expect([inputTokens, outputTokens, totalTokens]).toEqual([11, 7, 18])
  })

  it(features.reasoning, async () => {
    on.answers({ reasoning: 'A greeting.', text: 'Hello!' })
    const result = await runner.run(agent(), 'Hi')
    const [reasoning] = result.newItems
    expect(reasoning?.type).toBe('reasoning_item')
    expect(JSON.stringify(reasoning?.rawItem)).toContain('A greeting.')
  })

  it(features.reasoningStreamed, async () => {
    on.answers({ reasoning: 'A plain greeting.', text: 'Hello!' })
    const result = await runner.run(agent(), 'Hi', { stream: true })
    let raw = ''
    for await (const each of result) raw += JSON.stringify(each)
    expect(raw).toContain('plain')
    expect(JSON.stringify(result.newItems[0])).toContain('A plain greeting.')
  })

  it(features.usageStreamed, async () => {
    on.answers({ text: 'Hi' })
    const result = await runner.run(agent(), 'Hi', { stream: true })
    await result.completed
    expect(result.state.usage.totalTokens).toBe(18)
  })

  it(features.image, async () => {
    on.answers({ text: 'A dot.' })
    const content = [
      { type: 'input_text' as const, text: 'What is it?' },
      { type: 'input_image' as const, image: picture },
    ]
    await runner.run(agent(), [{ role: 'user', content }])
    expect(on.asked()[0]?.messages[0]?.content).toMatchObject([
      { type: 'text' },
      { type: 'image_url', image_url: { url: picture } },
    ])
  })

  it(features.largeBody, async () => {
    on.answers({ text: 'Long.' })
    const input = 'word '.repeat(30_000)
    expect((await runner.run(agent(), input)).finalOutput).toBe('Long.')
    expect(said(on.asked()[0])).toEqual([`user: ${input}`])
  })

  it(features.abort, async () => {
    on.answers({ text: 'First words', after: 'silence' })
    const controller = new AbortController()
    const { signal } = controller
    const result = await runner.run(agent(), 'Hi', { stream: true, signal })
    const read = (async () => {
      for await (const each of result) {
        if (JSON.stringify(each).includes('First')) controller.abort()
      }
    })()
    expect(await on.abandoned()).toBe(true)
    await Promise.allSettled([read, result.completed])
  })

  it.each([
    [features.toolLoop, false],
    [features.toolLoopStreamed, true],
  ])('%s', async (_, stream) => {
    on.answers({ calls: [call] }, { text: 'Sunny.' })
    if (stream) {
      const result = await runner.run(agent(), 'Weather?', { stream: true })
      for await (const _ of result);
      expect(result.finalOutput).toBe('Sunny.')
    } else {
      expect((await runner.run(agent(), 'Weather?')).finalOutput).toBe('Sunny.')
    }
    expect(said(on.asked()[1])).toEqual([
      'user: Weather?',
      'assistant: get_weather({"city":"Rome"})',
      'tool: 25 degrees in Rome',
    ])
  })

  it(features.parallelCalls, async () => {
    const calls = ['Rome', 'Paris'].map((city) => ({ name: weather.name, arguments: { city } }))
    on.answers({ calls }, { text: 'Sunny.' })
    const result = await runner.run(agent(), 'Weather?', { stream: true })
    await result.completed
    expect(said(on.asked()[1]).slice(1)).toEqual([
      'assistant: get_weather({"city":"Rome"}) get_weather({"city":"Paris"})',
      'tool: 25 degrees in Rome',
      'tool: 25 degrees in Paris',
    ])
  })

  it(features.reasoningBack, async () => {
    on.answers({ reasoning: 'Look it up.', calls: [call] }, { text: 'Sunny.' })
    const result = await runner.run(agent(), 'Weather?', { stream: true })
    await result.completed
    expect(result.finalOutput).toBe('Sunny.')
    expect(JSON.stringify(on.asked()[1]?.messages[1])).toContain('Look it up.')
  })

  it(features.structured, async () => {
    on.answers({ text: JSON.stringify(event) })
    const outputType = z.object({ name: z.string(), participants: z.array(z.string()) })
    const scribe = new Agent({ name: 'Scribe', model: made(), outputType })
    expect((await runner.run(scribe, 'Who?')).finalOutput).toEqual(event)
    expect(on.asked()[0]?.response_format).toMatchObject({ type: 'json_schema' })
  })

  it(features.handoff, async () => {
    const expert = new Agent({ name: 'Expert', model: made(), instructions: 'Know all.' })
    const desk = Agent.create({ name: 'Desk', model: made(), handoffs: [expert] })
    on.answers({ calls: [{ name: 'transfer_to_Expert', arguments: {} }] }, { text: 'I know.' })
    const result = await runner.run(desk, 'Help')
    expect([result.lastAgent?.name, result.finalOutput]).toEqual(['Expert', 'I know.'])
    expect(said(on.asked()[1])[0]).toBe('system: Know all.')
  })

  it(features.upstreamError, async () => {
    on.answers({ status: 400 })
    // On a socket the SDK keeps the words to itself.
    await expect(runner.run(agent(), 'Hi')).rejects.toThrow(/not in the mood|state "error"/)
  })

  it(features.brokenStream, async () => {
    on.answers({ text: 'Half of an answer', after: 'break' })
    const broken = (async () => {
      const result = await runner.run(agent(), 'Hi', { stream: true })
      for await (const _ of result);
      await result.completed
      return result.finalOutput
    })()
    await expect(broken).rejects.toThrow()
  })
})

describe.each(Object.entries(models).filter(([name]) => !name.endsWith('Chat')))(
  '%s',
  (_, made) => {
    const agent = () => new Agent({ name: 'Guide', model: made() })

    it(features.continuation, async () => {
      on.answers({ text: 'four' }, { text: 'five' })
      const first = await runner.run(agent(), 'two and two?')
      const previousResponseId = first.lastResponseId
      if (previousResponseId === undefined) throw new Error('no response id')
      const second = await runner.run(agent(), 'plus one?', { previousResponseId })
      expect(second.finalOutput).toBe('five')
      expect(said(on.asked()[1])).toEqual([
        'user: two and two?',
        'assistant: four',
        'user: plus one?',
      ])
    })

    it(features.conversations, async () => {
      on.answers({ text: 'Hello Ada.' }, { text: 'Ada.' })
      const session = new OpenAIConversationsSession({ client: client() })
      await runner.run(agent(), 'I am Ada.', { session })
      await runner.run(agent(), 'Who am I?', { session })
      expect(said(on.asked()[1])).toEqual([
        'user: I am Ada.',
        'assistant: Hello Ada.',
        'user: Who am I?',
      ])
    })
  },
)
