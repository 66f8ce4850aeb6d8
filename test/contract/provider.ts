// What every provider must give through both APIs, whatever its own layout is: run over each folder of shapes.
import OpenAI from 'openai'
import { describe, expect, it } from 'vitest'
import type { TestGateway } from '../gateway/harness.ts'
import { json, sse, type TestUpstream } from '../gateway/upstream.ts'
import { checkOrder } from '../oracle/order.ts'
import { readFixture, readManifest } from './fixtures.ts'

export interface ProviderCase {
  /** Provider's name in the gateway. */
  name: string
  /** Folder below test/fixtures/providers. */
  folder: string
  /** What a client writes as model. */
  model: string
  /** What the provider must be asked for. */
  idThere: string
}

interface ErrorCase {
  name: string
  status: number
  headers?: Record<string, string>
  body: unknown
  expect: { status: number; code: string; param?: string | null; retryAfter?: string }
}

type Event = Record<string, unknown> & { type: string }
type Scenario = 'text' | 'tool' | 'tools'
interface Chat {
  completion: OpenAI.Chat.ChatCompletion
  thought: string
}

const text = 'Hello there, friend!'
const input = 'Say hello.'
const messages: OpenAI.Chat.ChatCompletionMessageParam[] = [{ role: 'user', content: input }]
const parameters = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }
const responseTools: OpenAI.Responses.FunctionTool[] = [
  { type: 'function', name: 'get_weather', parameters, strict: false },
]
const chatTools: OpenAI.Chat.ChatCompletionTool[] = [
  { type: 'function', function: { name: 'get_weather', parameters } },
]

/** The JSON of every event but [DONE], which must be the last. */
function eventsOf(text: string): Event[] {
  const data = [...text.matchAll(/^data: (.*)$/gm)].map((match) => match[1] ?? '')
  expect(data.at(-1)).toBe('[DONE]')
  return data.slice(0, -1).map((json) => JSON.parse(json) as Event)
}

function reasoningOf(message: object | undefined): string {
  const fields: Record<string, unknown> = { ...message }
  const said = fields.reasoning ?? fields.reasoning_content
  return typeof said === 'string' ? said : ''
}

/** Runs the suite; the two servers exist once the tests run. */
export function providerContract(
  provider: ProviderCase,
  servers: () => { gateway: TestGateway; upstream: TestUpstream },
): void {
  const fixture = (name: string) => readFixture(provider.folder, name)
  const { model } = provider
  // What the provider says of its tokens and thoughts differs; what it says must arrive.
  const said = JSON.parse(fixture('text.json')) as OpenAI.Chat.ChatCompletion
  const reasoning = reasoningOf(said.choices[0]?.message)
  const cached = said.usage?.prompt_tokens_details?.cached_tokens ?? 0
  const thoughtTokens = said.usage?.completion_tokens_details?.reasoning_tokens ?? 0
  const withThought = (type: string) => (reasoning === '' ? [type] : ['reasoning', type])
  const tools = JSON.parse(fixture('tools.json')) as OpenAI.Chat.ChatCompletion
  const callsFinish = tools.choices[0]?.finish_reason

  /** The provider answers with the scenario's fixture, as a stream or whole, as it is asked. */
  function play(scenario: Scenario): void {
    servers().upstream.reply((response, { body }) => {
      if (body.stream === true) sse(response, fixture(`${scenario}.sse`))
      else json(response, 200, fixture(`${scenario}.json`))
    })
  }

  /** Read off the wire: the SDK throws at the first `error` event and would hide what follows it. */
  async function streamed(): Promise<{ events: Event[]; response: OpenAI.Responses.Response }> {
    const body = { model, input, tools: responseTools, stream: true }
    const answer = await servers().gateway.post('/v1/responses', body)
    expect(answer.headers.get('content-type')).toContain('text/event-stream')
    const events = eventsOf(await answer.text())
    expect(checkOrder(events)).toEqual([])
    const { response } = events.at(-1) as unknown as { response: OpenAI.Responses.Response }
    return { events, response }
  }

  async function both(): Promise<OpenAI.Responses.Response[]> {
    const { response } = await streamed()
    const whole = await servers()
      .gateway.openai()
      .responses.create({ model, input, tools: responseTools })
    return [response, whole]
  }

  async function bothChats(): Promise<Chat[]> {
    const client = servers().gateway.openai()
    const body = { model, messages, tools: chatTools }
    const stream = client.chat.completions.stream({
      ...body,
      stream_options: { include_usage: true },
    })
    // The SDK keeps the last piece of a field that it does not know, and loses the usage of a stream without an id.
    let thought = ''
    let usage: OpenAI.CompletionUsage | undefined
    stream.on('chunk', (chunk) => {
      thought += reasoningOf(chunk.choices[0]?.delta)
      usage = chunk.usage ?? usage
    })
    const final = await stream.finalChatCompletion()
    const streamed = usage === undefined ? final : { ...final, usage }
    const whole = await client.chat.completions.create(body)
    return [
      { completion: streamed, thought },
      { completion: whole, thought: reasoningOf(whole.choices[0]?.message) },
    ]
  }

  describe(`${provider.name}, Responses API`, () => {
    it('asks its endpoint for its own model id', async () => {
      play('text')
      await servers()
        .gateway.openai()
        .responses.create({ model, input, store: true, metadata: { a: 'b' } })
      const [request] = servers().upstream.requests
      expect(request?.path).toBe(`/${provider.name}/v1/chat/completions`)
      expect(request?.body.model).toBe(provider.idThere)
    })

    it('gives reasoning, text and usage', async () => {
      play('text')
      for (const response of await both()) {
        expect(response.status).toBe('completed')
        expect(response.output.map((item) => item.type)).toEqual(withThought('message'))
        const thought = response.output.find((item) => item.type === 'reasoning')
        const message = response.output.find((item) => item.type === 'message')
        expect(thought?.content?.map((part) => part.text).join('') ?? '').toBe(reasoning)
        const part = message?.content[0]
        expect(part?.type === 'output_text' && part.text).toBe(text)
        expect(response.usage).toEqual({
          input_tokens: 72,
          input_tokens_details: { cached_tokens: cached, cache_write_tokens: 0 },
          output_tokens: 18,
          output_tokens_details: { reasoning_tokens: thoughtTokens },
          total_tokens: 90,
        })
      }
    })

    it('sends the text on piece by piece, under the names that the API has for it', async () => {
      play('text')
      const { events } = await streamed()
      const joined = (type: string) =>
        events
          .filter((event) => event.type === type)
          .map((event) => event.delta)
          .join('')
      expect(joined('response.output_text.delta')).toBe(text)
      expect(joined('response.reasoning_text.delta')).toBe(reasoning)
      expect(
        events.filter((event) => event.type === 'response.output_text.delta').length,
      ).toBeGreaterThan(1)
    })

    it('gives a function call after reasoning', async () => {
      play('tool')
      for (const response of await both()) {
        expect(response.output.map((item) => item.type)).toEqual(withThought('function_call'))
        expect(response.output.at(-1)).toMatchObject({
          name: 'get_weather',
          arguments: '{"city":"Paris"}',
          status: 'completed',
        })
      }
    })

    it('keeps parallel calls apart', async () => {
      play('tools')
      for (const response of await both()) {
        const calls = response.output.filter((item) => item.type === 'function_call')
        expect(calls.map((call) => JSON.parse(call.arguments))).toEqual([
          { city: 'Paris' },
          { city: 'Tokyo' },
        ])
        expect(new Set(calls.map((call) => call.call_id)).size).toBe(2)
        expect(response.usage).toMatchObject({ input_tokens: 90, output_tokens: 40 })
      }
    })

    it('reads the stream byte by byte', async () => {
      const bytes = Buffer.from(fixture('text.sse'))
      servers().upstream.reply(async (response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' })
        for (let at = 0; at < bytes.length; at++) {
          response.write(bytes.subarray(at, at + 1))
          if (at % 20 === 0) await new Promise((resolve) => setImmediate(resolve))
        }
        response.end()
      })
      const { response } = await streamed()
      expect(response.output_text ?? response.output.length).toBeTruthy()
      expect(response).toMatchObject({ status: 'completed', usage: { output_tokens: 18 } })
    })

    it('fails a stream that is cut, and calls it nothing else', async () => {
      const events = fixture('text.sse').split('\n\n')
      const half = `${events.slice(0, Math.ceil(events.length / 2)).join('\n\n')}\n\n`
      for (const cut of ['end', 'reset'] as const) {
        servers().upstream.reply((response) => {
          response.writeHead(200, { 'content-type': 'text/event-stream' })
          response.write(half, () => (cut === 'end' ? response.end() : response.destroy()))
        })
        const { events: got, response } = await streamed()
        expect(got.at(-1)?.type).toBe('response.failed')
        expect(response).toMatchObject({ status: 'failed', error: { code: 'upstream_error' } })
      }
    })
  })

  describe(`${provider.name}, Chat Completions API`, () => {
    it('gives reasoning, text and usage', async () => {
      play('text')
      for (const { completion, thought } of await bothChats()) {
        const choice = completion.choices[0]
        expect(choice).toMatchObject({
          finish_reason: 'stop',
          message: { role: 'assistant', content: text },
        })
        expect(completion.usage).toMatchObject({
          prompt_tokens: 72,
          completion_tokens: 18,
          total_tokens: 90,
        })
        expect(thought).toBe(reasoning)
      }
    })

    it('gives one call and several', async () => {
      for (const [scenario, cities] of [
        ['tool', ['Paris']],
        ['tools', ['Paris', 'Tokyo']],
      ] as const) {
        play(scenario)
        for (const { completion } of await bothChats()) {
          const choice = completion.choices[0]
          expect(choice?.finish_reason).toBe(callsFinish)
          const calls = choice?.message.tool_calls ?? []
          expect(
            calls.map(
              (call) => call.type === 'function' && JSON.parse(call.function.arguments).city,
            ),
          ).toEqual(cities)
          expect(new Set(calls.map((call) => call.id)).size).toBe(cities.length)
        }
      }
    })

    it('never ends a cut stream as if it were whole', async () => {
      const events = fixture('text.sse').split('\n\n')
      servers().upstream.reply((response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' })
        response.end(`${events.slice(0, 3).join('\n\n')}\n\n`)
      })
      const response = await servers().gateway.post('/v1/chat/completions', {
        model,
        messages,
        stream: true,
      })
      const body = await response.text()
      expect(body).toContain('"error"')
      expect(body).not.toContain('"finish_reason":"stop"')
    })
  })

  describe(`${provider.name}, an error in the middle of a stream`, () => {
    const { midStreamError } = readManifest(provider.folder)
    const play = () =>
      servers().upstream.reply((response) => sse(response, fixture('mid-stream-error.sse')))

    it('fails the response, what came before it kept', async () => {
      play()
      const { events, response } = await streamed()
      expect(events.map((event) => event.type).slice(-2)).toEqual(['error', 'response.failed'])
      expect(response.error?.message).toContain(midStreamError)
      const message = response.output.find((item) => item.type === 'message')
      const kept = message?.content[0]?.type === 'output_text' ? message.content[0].text : ''
      expect(message?.status).toBe('incomplete')
      expect(kept).toMatch(/^Hello/)
      expect(text).toContain(kept)
    })

    it("is thrown by OpenAI's client of the Chat API", async () => {
      play()
      const client = servers().gateway.openai()
      const stream = await client.chat.completions.create({ model, messages, stream: true })
      let received = ''
      const read = async () => {
        for await (const { choices } of stream) received += choices[0]?.delta?.content ?? ''
      }
      await expect(read()).rejects.toThrow(OpenAI.APIError)
      expect(received).toMatch(/^Hello/)
    })
  })

  describe(`${provider.name}, errors`, () => {
    const cases = JSON.parse(fixture('errors.json')) as ErrorCase[]
    const requests = [
      ['/v1/responses', { model, input }],
      ['/v1/responses', { model, input, stream: true }],
      ['/v1/chat/completions', { model, messages }],
      ['/v1/chat/completions', { model, messages, stream: true }],
    ] as const

    it.each(cases.map((one) => [one.name, one] as const))('%s', async (_, one) => {
      for (const [path, body] of requests) {
        servers().upstream.reply((response) => json(response, one.status, one.body, one.headers))
        const response = await servers().gateway.post(path, body)
        const { error } = (await response.json()) as { error: Record<string, unknown> }
        expect({ status: response.status, code: error.code }).toEqual({
          status: one.expect.status,
          code: one.expect.code,
        })
        if (one.expect.param !== undefined) expect(error.param).toBe(one.expect.param)
        if (one.expect.retryAfter !== undefined) {
          expect(response.headers.get('retry-after')).toBe(one.expect.retryAfter)
        }
        expect(error.message).not.toMatch(/<\w/)
      }
    })
  })
}
