// The Responses socket from outside: client → the launcher's relay → workerd → tunnel → node → native engine.
import OpenAI from 'openai'
import { ResponsesWS } from 'openai/resources/responses/ws'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Message, openSocket } from '../gateway/socket-client.ts'
import { chunk, startUpstream, type TestUpstream } from '../gateway/upstream.ts'
import { checkOrder } from '../oracle/order.ts'
import { startUp, type Up } from './up.ts'

const model = 'switchyard/demo'
let up: Up
let upstream: TestUpstream

beforeAll(async () => {
  upstream = await startUpstream()
  const acme = { baseUrl: `${upstream.origin}/v1`, models: { 'acme/model': 'm' } }
  up = await startUp({ config: { providers: { acme } } })
})
afterAll(async () => {
  expect(await up.stop()).toBe(0)
  await upstream.stop()
})

const finalOf = (messages: Message[]) => {
  expect(checkOrder(messages)).toEqual([])
  return messages.at(-1)?.response as OpenAI.Responses.Response
}

describe('the socket of npm start', () => {
  it('answers turn after turn, and goes on from what it said', async () => {
    const client = await openSocket(`${up.base}/v1/responses`)
    client.create({ model, input: 'What is the capital of France?', store: false })
    const first = finalOf(await client.answer())
    expect(first.status).toBe('completed')
    const next = { model, input: 'And of Italy?', previous_response_id: first.id, store: false }
    client.create(next)
    const second = finalOf(await client.answer())
    expect(second.previous_response_id).toBe(first.id)
    // The prompt holds the first turn, too.
    expect(second.usage?.input_tokens).toBeGreaterThan(first.usage?.input_tokens ?? Infinity)
    client.create({ model: 'nobody/nothing', input: 'hi' })
    expect((await client.answer()).at(-1)).toMatchObject({
      status: 404,
      error: { code: 'model_not_found' },
    })
    await client.close()
  })

  it('is what the SDK’s own socket speaks', async () => {
    const socket = new ResponsesWS(new OpenAI({ baseURL: `${up.base}/v1`, apiKey: 'none' }))
    socket.on('error', () => {})
    socket.send({ type: 'response.create', model, input: 'Hello', store: false })
    let text = ''
    for await (const each of socket.stream()) {
      if (each.type === 'error') throw each.error
      if (each.type !== 'message') continue
      if (each.message.type === 'response.output_text.delta') text += each.message.delta
      if (each.message.type === 'response.completed') break
    }
    expect(text).not.toBe('')
    socket.close()
  })

  it('stops the work when the client leaves', async () => {
    upstream.reply((response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(chunk({ role: 'assistant', content: 'first words' }))
    })
    const client = await openSocket(`${up.base}/v1/responses`)
    client.create({ model: 'acme/model', input: 'hi', store: false })
    const request = await upstream.nextRequest()
    await client.next()
    client.socket.terminate()
    expect(await request.ended).toBe(true)
  })
})
