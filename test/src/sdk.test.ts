// The official SDK over a real socket, against the faces with a scripted upstream of either dialect.
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { handleChat, handleResponses, ResponseWriter } from '../../src/index.ts'
import { encodeEvent } from '../../src/sse/encode.ts'
import { callChunk, chunk, sse, streamOptions } from './support.ts'
import { candidate, host, json, type Script, streamed } from './upstream.ts'

const usage = { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 }
const event = { name: 'Science fair', date: 'Friday', participants: ['Alice', 'Bob'] }

/** One answer, in the dialect and manner that is asked for. */
interface Answer {
  reasoning?: string
  text?: string
  calls?: { id: string; name: string; arguments: string }[]
}

function asChat({ reasoning, text, calls = [] }: Answer): Script {
  return (call) => {
    const finish_reason = calls.length > 0 ? 'tool_calls' : 'stop'
    const tool_calls = calls.map(({ id, ...definition }, index) => ({
      index,
      id,
      type: 'function',
      function: definition,
    }))
    if (!call.stream) {
      const message = {
        role: 'assistant',
        content: text ?? null,
        reasoning,
        ...(calls.length > 0 ? { tool_calls } : {}),
      }
      return json({
        id: 'x',
        object: 'chat.completion',
        created: 1,
        model: 'm',
        choices: [{ index: 0, message, finish_reason }],
        usage,
      })
    }
    const pieces = Array.from(text ?? '').map((content) => chunk({ content }))
    const reasoned = reasoning === undefined ? [] : [chunk({ reasoning })]
    const called = tool_calls.map((each) => callChunk(each))
    const all = [
      chunk({ role: 'assistant', content: '' }),
      ...reasoned,
      ...pieces,
      ...called,
      chunk({}, finish_reason),
    ]
    return streamed(
      sse([
        ...all,
        { id: 'c', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [], usage },
        '[DONE]',
      ]).split(/(?<=\n\n)/),
    )
  }
}

function asResponses({ reasoning = '', text = '', calls = [] }: Answer): Script {
  return (call) => {
    const writer = new ResponseWriter(streamOptions())
    const events = [...writer.start(), ...writer.reasoning(reasoning)]
    for (const piece of text) events.push(...writer.text(piece))
    for (const { id, name, arguments: args } of calls) {
      events.push(
        ...writer.openCall({ call_id: id, name }),
        ...writer.callArguments(id, args),
        ...writer.closeCall(id),
      )
    }
    const counts = {
      input_tokens_details: { cached_tokens: 0 },
      output_tokens_details: { reasoning_tokens: 0 },
    }
    events.push(
      ...writer.complete({
        finish: 'stop',
        usage: { ...counts, input_tokens: 3, output_tokens: 4, total_tokens: 7 },
      }),
    )
    if (!call.stream) return json(writer.response)
    return streamed([...events.map((each) => encodeEvent(each.type, each)), 'data: [DONE]\n\n'])
  }
}

let server: Server
let client: OpenAI
let script: Script
let dialect: 'chat' | 'responses'

beforeAll(async () => {
  const listener = getRequestListener((request) => {
    const { deps } = host([candidate({ dialects: [dialect] }), (call) => script(call)])
    const handle = new URL(request.url).pathname.endsWith('/responses')
      ? handleResponses
      : handleChat
    return handle(request, deps)
  })
  server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  client = new OpenAI({ apiKey: 'sy_test', baseURL: `http://127.0.0.1:${port}/v1`, maxRetries: 0 })
})
afterAll(() => new Promise((resolve) => server.close(resolve)))

function answers(through: typeof dialect, answer: Answer): void {
  dialect = through
  script = through === 'chat' ? asChat(answer) : asResponses(answer)
}

const call = { id: 'call_1', name: 'get_current_weather', arguments: '{"location":"Paris"}' }
const parameters = {
  type: 'object',
  properties: { location: { type: 'string' } },
  required: ['location'],
  additionalProperties: false,
}

describe.each(['chat', 'responses'] as const)('through a %s upstream', (through) => {
  it('responses.create and responses.stream give text and reasoning', async () => {
    answers(through, { reasoning: 'A greeting.', text: 'Hello, world!' })
    const whole = await client.responses.create({ model: 'm', input: 'Say hello to the world.' })
    expect(whole.output_text).toBe('Hello, world!')
    expect(whole.output.map(({ type }) => type)).toEqual(['reasoning', 'message'])
    const stream = client.responses.stream({ model: 'm', input: 'Say hello to the world.' })
    let text = ''
    stream.on('response.output_text.delta', ({ delta }) => {
      text += delta
    })
    const final = await stream.finalResponse()
    expect([text, final.output_text]).toEqual(['Hello, world!', 'Hello, world!'])
    expect(final.usage?.total_tokens).toBe(7)
  })

  it('responses.stream gives function calls, in parallel too', async () => {
    answers(through, {
      reasoning: 'Both.',
      calls: [call, { ...call, id: 'call_2', arguments: '{"location":"Rome"}' }],
    })
    const tools = [{ type: 'function' as const, name: call.name, parameters, strict: true }]
    const final = await client.responses
      .stream({ model: 'm', input: 'Weather?', tools })
      .finalResponse()
    expect(
      final.output.flatMap((item) =>
        item.type === 'function_call' ? [[item.call_id, item.arguments]] : [],
      ),
    ).toEqual([
      ['call_1', '{"location":"Paris"}'],
      ['call_2', '{"location":"Rome"}'],
    ])
  })

  it('responses.parse gives structured output', async () => {
    answers(through, { text: JSON.stringify(event) })
    const schema = { type: 'object', properties: {}, additionalProperties: true }
    const parsed = await client.responses.parse({
      model: 'm',
      input: 'Alice and Bob are going to a science fair on Friday.',
      text: { format: { type: 'json_schema', name: 'event', schema, strict: true } },
    })
    expect(parsed.output_parsed).toEqual(event)
  })

  it('chat.completions.create and stream give text and usage', async () => {
    answers(through, { reasoning: 'hm', text: 'Hello!' })
    const messages = [{ role: 'user' as const, content: 'hi' }]
    const whole = await client.chat.completions.create({ model: 'm', messages })
    expect(whole.choices[0]?.message).toMatchObject({ content: 'Hello!', reasoning: 'hm' })
    const options = { model: 'm', messages, stream_options: { include_usage: true } }
    const stream = client.chat.completions.stream(options)
    const final = await stream.finalChatCompletion()
    expect(final.choices[0]).toMatchObject({
      finish_reason: 'stop',
      message: { content: 'Hello!' },
    })
    expect(final.usage).toMatchObject(usage)
  })

  it('chat.completions.stream gives tool calls', async () => {
    answers(through, { text: 'Let me look.', calls: [call, { ...call, id: 'call_2' }] })
    const tools = [{ type: 'function' as const, function: { name: call.name, parameters } }]
    const messages = [{ role: 'user' as const, content: 'Weather?' }]
    const stream = client.chat.completions.stream({ model: 'm', messages, tools })
    const message = await stream.finalMessage()
    expect(message.content).toBe('Let me look.')
    expect(message.tool_calls?.map(({ id }) => id)).toEqual(['call_1', 'call_2'])
  })

  it('a stream that is cut is an error in both APIs', async () => {
    dialect = through
    const start = through === 'chat' ? [sse([chunk({ content: 'Hel' })])] : cutResponses()
    script = () => streamed(start)
    // The SDK throws at the `error` event; response.failed, which follows, is for clients that do not.
    const stream = client.responses.stream({ model: 'm', input: 'hi' })
    await expect(stream.finalResponse()).rejects.toThrow(/before the answer was complete/)
    const chunks = await client.chat.completions.create({
      model: 'm',
      messages: [{ role: 'user', content: 'hi' }],
      stream: true,
    })
    await expect(async () => {
      for await (const _ of chunks);
    }).rejects.toThrow(/before the answer was complete/)
  })
})

function cutResponses(): string[] {
  const writer = new ResponseWriter(streamOptions())
  return [...writer.start(), ...writer.text('Hel')].map((each) => encodeEvent(each.type, each))
}

it('errors arrive as the SDK knows them', async () => {
  answers('chat', { text: 'x' })
  const bad = { model: 'm', input: [{ role: 'robot', content: 'x' }] }
  await expect(client.responses.create(bad as never)).rejects.toMatchObject({
    status: 400,
    code: 'invalid_value',
    param: 'input[0].role',
    type: 'invalid_request_error',
  })
})
