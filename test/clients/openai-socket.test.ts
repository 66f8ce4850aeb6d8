// The official SDK's socket (`ResponsesWS`) against the gateway.
import OpenAI from 'openai'
import { ResponsesWS } from 'openai/resources/responses/ws'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { checkOrder } from '../oracle/order.ts'
import { features } from './features.ts'
import { model, said, scene, weather } from './scene.ts'

const on = scene()
let socket: ResponsesWS
let events: AsyncIterator<OpenAI.Responses.ResponsesServerEvent>
beforeEach(() => {
  const client = new OpenAI({ baseURL: on.baseURL, apiKey: 'unused', maxRetries: 0 })
  socket = new ResponsesWS(client)
  // Errors come through the iterator, too; without a listener the SDK makes them unhandled rejections.
  socket.on('error', () => {})
  events = messagesOf(socket)
})
afterEach(() => socket.close())

async function* messagesOf(from: ResponsesWS) {
  for await (const each of from.stream()) {
    if (each.type === 'message') yield each.message
    else if (each.type === 'error' && each.error.error) yield each.error.error
  }
}

function create(fields: Partial<OpenAI.Responses.ResponsesClientEvent.ResponseCreate>): void {
  socket.send({ type: 'response.create', model, store: false, ...fields })
}

/** The response that an answer ends with. */
async function final(lane?: string): Promise<OpenAI.Responses.Response> {
  for (;;) {
    const { value, done } = await events.next()
    if (done) throw new Error('the socket was closed')
    if (lane !== undefined && value.stream_id !== lane) continue
    if (value.type === 'error') throw Object.assign(new Error('an error event'), value)
    if (value.type === 'response.completed' || value.type === 'response.failed')
      return value.response
  }
}

const textOf = ({ output }: OpenAI.Responses.Response) =>
  output
    .flatMap((item) => (item.type === 'message' ? item.content : []))
    .map((part) => part.type === 'output_text' && part.text)
    .join('')

describe('openai, socket', () => {
  it(features.socket, async () => {
    on.answers({ text: 'One.' }, { reasoning: 'Hm.', text: 'Two.' })
    create({ input: 'Count' })
    expect(textOf(await final())).toBe('One.')
    create({ input: 'Count' })
    const second = await final()
    expect(second.output.map(({ type }) => type)).toEqual(['reasoning', 'message'])
    expect(second.usage).toMatchObject({ total_tokens: 18 })
  })

  it(features.order, async () => {
    on.answers({
      reasoning: 'Hm. Hm.',
      text: 'Look:',
      calls: [{ name: weather.name, arguments: {} }],
    })
    create({ input: 'Hi' })
    const seen: unknown[] = []
    for (let type = ''; type !== 'response.completed'; ) {
      const { value } = await events.next()
      type = value.type
      seen.push(value)
    }
    expect(checkOrder(seen)).toEqual([])
    expect(seen.length).toBeGreaterThan(15)
  })

  it(features.socketContinuation, async () => {
    on.answers({ calls: [{ name: weather.name, arguments: { city: 'Rome' } }] }, { text: 'Sunny.' })
    const tools = [{ type: 'function' as const, strict: true, ...weather }]
    create({ input: 'Prepare.', generate: false })
    const warm = await final()
    create({ input: 'Weather?', tools, previous_response_id: warm.id })
    const first = await final()
    const call = first.output.find((item) => item.type === 'function_call')
    const output = {
      type: 'function_call_output' as const,
      call_id: call?.call_id ?? '',
      output: '25',
    }
    create({ input: [output], tools, previous_response_id: first.id })
    expect(textOf(await final())).toBe('Sunny.')
    expect(said(on.asked()[1])).toEqual([
      'user: Prepare.',
      'user: Weather?',
      'assistant: get_weather({"city":"Rome"})',
      'tool: 25',
    ])
  })

  it(features.socketLanes, async () => {
    on.answers({ text: 'Yes.' }, { text: 'Yes.' })
    create({ input: 'Ready?', stream_id: 'planner' })
    expect(textOf(await final('planner'))).toBe('Yes.')
    create({ input: 'Ready?', stream_id: 'critic' })
    expect(textOf(await final('critic'))).toBe('Yes.')
  })

  it(features.socketError, async () => {
    on.answers({ text: 'Fine.' })
    create({ input: 'Hi', temperature: 9 })
    await expect(final()).rejects.toMatchObject({
      status: 400,
      error: { code: 'invalid_value', param: 'temperature' },
    })
    create({ input: 'Hi' })
    expect(textOf(await final())).toBe('Fine.')
  })
})
