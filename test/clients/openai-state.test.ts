// The official SDK's stored responses, background work and conversations against the gateway.
import OpenAI from 'openai'
import { beforeEach, describe, expect, it } from 'vitest'
import { until } from '../e2e/up.ts'
import { features } from './features.ts'
import { model, said, scene } from './scene.ts'

const on = scene()
let client: OpenAI
beforeEach(() => {
  client = new OpenAI({ baseURL: on.baseURL, apiKey: 'unused', maxRetries: 0 })
})

const gone = (promise: Promise<unknown>) =>
  expect(promise).rejects.toMatchObject({ status: 404, code: 'response_not_found' })

describe('openai, Responses', () => {
  it(features.continuation, async () => {
    on.answers({ text: 'four' }, { text: 'five' })
    const first = await client.responses.create({ model, input: 'two and two?' })
    const next = { model, input: 'plus one?', previous_response_id: first.id }
    const second = await client.responses.stream(next).finalResponse()
    expect(second.previous_response_id).toBe(first.id)
    expect(said(on.asked()[1])).toEqual([
      'user: two and two?',
      'assistant: four',
      'user: plus one?',
    ])
  })

  it(features.stored, async () => {
    on.answers({ text: 'Hello!' })
    const made = await client.responses.create({ model, input: 'Hi', metadata: { topic: 'test' } })
    expect(made).toMatchObject({ store: true })
    expect(await client.responses.retrieve(made.id)).toMatchObject({
      id: made.id,
      output: made.output,
      metadata: { topic: 'test' },
    })
    const items: unknown[] = []
    for await (const item of client.responses.inputItems.list(made.id)) items.push(item)
    expect(items).toMatchObject([{ type: 'message', role: 'user', content: [{ text: 'Hi' }] }])
    await client.responses.delete(made.id)
    await gone(client.responses.retrieve(made.id))
  })

  it(features.background, async () => {
    on.answers({ text: 'Done at last.' }, { text: 'Never done', after: 'silence' })
    const queued = await client.responses.create({ model, input: 'Take it easy', background: true })
    expect(['queued', 'in_progress']).toContain(queued.status)
    const done = await until(async () => {
      const polled = await client.responses.retrieve(queued.id)
      return polled.status === 'completed' ? polled : undefined
    })
    expect(done.output_text).toBe('Done at last.')
    const endless = await client.responses.create({
      model,
      input: 'For ever',
      background: true,
      stream: true,
    })
    let id = ''
    for await (const each of endless) {
      if (each.type === 'response.created') id = each.response.id
      if (each.type === 'response.output_text.delta') break
    }
    expect((await client.responses.cancel(id)).status).toBe('cancelled')
  })

  it(features.resume, async () => {
    on.answers({ text: 'One two three four' })
    const seen: OpenAI.Responses.ResponseStreamEvent[] = []
    for await (const each of client.responses.stream({ model, input: 'Count' })) seen.push(each)
    const first = seen[0]
    if (first?.type !== 'response.created') throw new Error('no beginning')
    const again: OpenAI.Responses.ResponseStreamEvent[] = []
    const request = { stream: true as const, starting_after: 3 }
    for await (const each of await client.responses.retrieve(first.response.id, request)) {
      again.push(each)
    }
    expect(again).toEqual(seen.slice(4).map((each) => expect.objectContaining({ type: each.type })))
    const helper = client.responses.stream({ response_id: first.response.id, starting_after: 3 })
    expect((await helper.finalResponse()).output_text).toBe('One two three four')
  })

  it(features.conversations, async () => {
    on.answers({ text: 'Hello Ada.' }, { text: 'Ada.' })
    const conversation = await client.conversations.create({ metadata: { topic: 'names' } })
    await client.responses.create({
      model,
      input: 'I am Ada.',
      conversation: conversation.id,
    })
    const { output_text } = await client.responses.create({
      model,
      input: 'Who am I?',
      conversation: { id: conversation.id },
    })
    expect(output_text).toBe('Ada.')
    expect(said(on.asked()[1])).toEqual([
      'user: I am Ada.',
      'assistant: Hello Ada.',
      'user: Who am I?',
    ])
    const items: unknown[] = []
    const listed = client.conversations.items.list(conversation.id, { order: 'asc', limit: 3 })
    for await (const item of listed) items.push(item)
    expect(items).toHaveLength(4)
    const update = { metadata: { topic: 'people' } }
    expect(await client.conversations.update(conversation.id, update)).toMatchObject(update)
    await client.conversations.delete(conversation.id)
    await expect(client.conversations.retrieve(conversation.id)).rejects.toMatchObject({
      status: 404,
    })
  })

  it(features.inputTokens, async () => {
    const counted = await client.responses.inputTokens.count({
      model,
      input: 'How many are these?',
    })
    expect(counted.object).toBe('response.input_tokens')
    expect(counted.input_tokens).toBeGreaterThan(0)
  })

  it(features.compact, async () => {
    on.answers({ text: 'A short summary.' }, { text: 'Go on.' })
    const input = [
      { role: 'user' as const, content: 'A long story.' },
      { role: 'assistant' as const, content: 'Indeed.' },
    ]
    const compacted = await client.responses.compact({ model, input })
    expect(compacted.object).toBe('response.compaction')
    const window = compacted.output as OpenAI.Responses.ResponseInputItem[]
    const next = [...window, { role: 'user' as const, content: 'And now?' }]
    const response = await client.responses.create({ model, input: next, store: false })
    expect(response.output_text).toBe('Go on.')
    expect(said(on.asked().at(-1)).join('\n')).toContain('A short summary.')
  })
})
