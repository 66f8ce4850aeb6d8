// Anthropic's SDK against the Worker in workerd, with a scripted chat provider behind it.
import Anthropic from '@anthropic-ai/sdk'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startGateway, type TestGateway } from './harness.ts'
import {
  chunk,
  completion,
  json,
  sse,
  startUpstream,
  type TestUpstream,
  textStream,
} from './upstream.ts'

const model = 'acme/chat'
const hello = { model, max_tokens: 100, messages: [{ role: 'user' as const, content: 'hi' }] }
let upstream: TestUpstream
let gateway: TestGateway
let client: Anthropic

beforeAll(async () => {
  upstream = await startUpstream()
  gateway = await startGateway({
    config: {
      providers: {
        fake: {
          baseUrl: `${upstream.origin}/v1`,
          models: { [model]: 'm', 'openai/gpt-oss-20b': 'gpt-oss-20b' },
        },
      },
    },
    bindings: { FAKE_API_KEY: 'k', SWITCHYARD_KEYS: JSON.stringify({ acme: 'sy_secret_key_1' }) },
  })
  client = new Anthropic({ baseURL: gateway.url, apiKey: 'sy_secret_key_1', maxRetries: 0 })
})

afterAll(async () => {
  await gateway.stop()
  await upstream.stop()
})

const bearer = { authorization: 'Bearer sy_secret_key_1' }
const call = (at: number, fields: Record<string, unknown>) => ({
  tool_calls: [{ index: at, ...fields }],
})
const fn = (name: string, args: string) => ({ function: { name, arguments: args } })

async function failure(
  promise: PromiseLike<unknown>,
): Promise<InstanceType<typeof Anthropic.APIError>> {
  const thrown = await Promise.resolve(promise).then(
    () => new Error('it did not fail'),
    (error: unknown) => error,
  )
  if (thrown instanceof Anthropic.APIError) return thrown
  throw thrown
}

describe('messages.create', () => {
  it('answers with a message, its usage and the place that answered', async () => {
    upstream.reply((response) => json(response, 200, completion('Hello there')))
    const { data, response } = await client.messages.create(hello).withResponse()
    expect(data).toMatchObject({
      id: expect.stringMatching(/^msg_/),
      type: 'message',
      role: 'assistant',
      model: 'm',
      content: [{ type: 'text', text: 'Hello there' }],
      stop_reason: 'end_turn',
      stop_sequence: null,
      usage: { input_tokens: 3, output_tokens: 2, cache_read_input_tokens: 0 },
    })
    expect(response.headers.get('request-id')).toBe(response.headers.get('x-request-id'))
    expect(response.headers.get('x-switchyard-provider')).toBe('fake')
    expect(upstream.requests[0]).toMatchObject({
      path: '/v1/chat/completions',
      headers: { authorization: 'Bearer k' },
      body: { model: 'm', max_completion_tokens: 100, messages: [{ role: 'user', content: 'hi' }] },
    })
    expect(JSON.stringify(upstream.requests[0]?.headers)).not.toContain('sy_secret')
  })

  it('sends images by url and base64, and documents, to the provider', async () => {
    upstream.reply((response) => json(response, 200, completion('a cat')))
    await client.messages.create({
      ...hello,
      messages: [
        {
          role: 'user',
          content: [
            { type: 'image', source: { type: 'url', url: 'https://example.com/cat.png' } },
            { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'AAAA' } },
            {
              type: 'document',
              title: 'notes',
              source: { type: 'text', media_type: 'text/plain', data: 'a note' },
            },
            { type: 'text', text: 'What is it?' },
          ],
        },
      ],
    })
    expect(upstream.requests[0]?.body.messages).toEqual([
      {
        role: 'user',
        content: [
          { type: 'image_url', image_url: { url: 'https://example.com/cat.png' } },
          { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } },
          { type: 'text', text: 'notes' },
          { type: 'text', text: 'a note' },
          { type: 'text', text: 'What is it?' },
        ],
      },
    ])
  })
})

describe('the stream helper', () => {
  it('gives text, thinking, tool input and the final message', async () => {
    upstream.reply((response) =>
      sse(
        response,
        chunk({ role: 'assistant', content: '' }),
        chunk({ reasoning: 'I must ' }),
        chunk({ reasoning: 'look.' }),
        chunk({ content: 'Let me see.' }),
        chunk(call(0, { id: 'call_1', ...fn('get_weather', '{"city":') })),
        chunk(call(0, fn('', '"Oslo"}'))),
        chunk({}, 'tool_calls'),
        `data: ${JSON.stringify({ choices: [], usage: { prompt_tokens: 10, completion_tokens: 7, total_tokens: 17, prompt_tokens_details: { cached_tokens: 4 } } })}\n\n`,
        'data: [DONE]\n\n',
      ),
    )
    const stream = client.messages.stream({
      ...hello,
      thinking: { type: 'enabled', budget_tokens: 2000 },
      tools: [
        {
          name: 'get_weather',
          input_schema: { type: 'object', properties: { city: { type: 'string' } } },
        },
      ],
    })
    const texts: string[] = []
    const thoughts: string[] = []
    stream.on('text', (text) => texts.push(text))
    stream.on('thinking', (text) => thoughts.push(text))
    const message = await stream.finalMessage()
    expect(texts).toEqual(['Let me see.'])
    expect(thoughts).toEqual(['I must ', 'look.'])
    expect(message).toMatchObject({
      content: [
        { type: 'thinking', thinking: 'I must look.', signature: expect.stringMatching(/./) },
        { type: 'text', text: 'Let me see.' },
        { type: 'tool_use', id: 'call_1', name: 'get_weather', input: { city: 'Oslo' } },
      ],
      stop_reason: 'tool_use',
      usage: { input_tokens: 6, cache_read_input_tokens: 4, output_tokens: 7 },
    })
  })

  it('fails with Anthropic’s error event when the upstream is cut after its first words', async () => {
    upstream.reply((response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(chunk({ content: 'Hel' }))
      setTimeout(() => response.destroy(), 20)
    })
    const stream = client.messages.stream(hello)
    const texts: string[] = []
    stream.on('text', (text) => texts.push(text))
    const error = await failure(stream.finalMessage())
    expect(texts).toEqual(['Hel'])
    expect(error.type).toBe('api_error')
    expect(error.error).toMatchObject({
      type: 'error',
      error: { type: 'api_error', details: { error_code: 'upstream_error' } },
      request_id: expect.stringMatching(/^req-/),
    })
  })

  it('stops the upstream when the client leaves', async () => {
    upstream.reply((response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      const timer = setInterval(() => response.write(chunk({ content: 'more' })), 5)
      response.on('close', () => clearInterval(timer))
    })
    const stream = client.messages.stream(hello)
    for await (const event of stream) if (event.type === 'content_block_delta') break
    stream.abort()
    expect(await (await upstream.nextRequest()).ended).toBe(true)
  })
})

describe('a tool loop', () => {
  it('replays thinking, calls and results in their order', async () => {
    const tools: Anthropic.Tool[] = [
      {
        name: 'add',
        description: 'Adds.',
        input_schema: { type: 'object', properties: { a: {}, b: {} } },
      },
    ]
    const ask = {
      ...hello,
      model: 'openai/gpt-oss-20b',
      tools,
      thinking: { type: 'adaptive' as const },
    }
    upstream.reply((response) =>
      sse(
        response,
        chunk({ reasoning: 'Two sums.' }),
        chunk(call(0, { id: 'c1', ...fn('add', '{"a":1,"b":2}') })),
        chunk(call(1, { id: 'c2', ...fn('add', '{"a":3,"b":4}') })),
        chunk({}, 'tool_calls'),
        'data: [DONE]\n\n',
      ),
    )
    const first = await client.messages.stream(ask).finalMessage()
    const calls = first.content.filter((block) => block.type === 'tool_use')
    expect(calls.map(({ id, input }) => [id, input])).toEqual([
      ['c1', { a: 1, b: 2 }],
      ['c2', { a: 3, b: 4 }],
    ])
    upstream.reply((response) => sse(response, ...textStream('3 and 7')))
    const last = await client.messages
      .stream({
        ...ask,
        messages: [
          ...ask.messages,
          { role: 'assistant', content: first.content },
          {
            role: 'user',
            content: [
              { type: 'text', text: 'Go on.' },
              { type: 'tool_result', tool_use_id: 'c1', content: '3' },
              {
                type: 'tool_result',
                tool_use_id: 'c2',
                content: [{ type: 'text', text: 'overflow' }],
                is_error: true,
              },
            ],
          },
        ],
      })
      .finalMessage()
    expect(last.content).toMatchObject([{ type: 'text', text: '3 and 7' }])
    expect(upstream.requests[0]?.body.messages).toEqual([
      { role: 'user', content: 'hi' },
      {
        role: 'assistant',
        content: null,
        reasoning: 'Two sums.',
        tool_calls: [
          { id: 'c1', type: 'function', ...fn('add', '{"a":1,"b":2}') },
          { id: 'c2', type: 'function', ...fn('add', '{"a":3,"b":4}') },
        ],
      },
      { role: 'tool', tool_call_id: 'c1', content: '3' },
      { role: 'tool', tool_call_id: 'c2', content: 'Error: overflow' },
      { role: 'user', content: 'Go on.' },
    ])
  })
})

describe('a request as Claude Code sends it', () => {
  const request = {
    model,
    max_tokens: 32_000,
    stream: true,
    system: [
      { type: 'text', text: 'x-anthropic-billing-header: cc_version=2.1.330.572;' },
      { type: 'text', text: 'You are an agent.', cache_control: { type: 'ephemeral' } },
      { type: 'text', text: 'Rule. '.repeat(5000), cache_control: { type: 'ephemeral' } },
    ],
    tools: [
      ...Array.from({ length: 40 }, (_, at) => ({
        name: `Tool${at}`,
        description: 'Does it. '.repeat(50),
        input_schema: {
          $schema: 'https://json-schema.org/draft/2020-12/schema',
          type: 'object',
          properties: { path: { type: 'string' } },
          required: ['path'],
          additionalProperties: false,
        },
      })),
      {
        name: 'Deferred',
        description: 'Later.',
        input_schema: { type: 'object' },
        defer_loading: true,
      },
      { type: 'web_search_20250305', name: 'web_search', max_uses: 8 },
    ],
    messages: [
      {
        role: 'user',
        content: [
          { type: 'text', text: '<system-reminder>\nToday.\n</system-reminder>' },
          { type: 'text', text: 'Say hello', cache_control: { type: 'ephemeral' } },
        ],
      },
      {
        role: 'system',
        content: [{ type: 'text', text: '# Environment', cache_control: { type: 'ephemeral' } }],
      },
    ],
    metadata: { user_id: JSON.stringify({ device_id: 'd'.repeat(64), session_id: 's' }) },
    thinking: { type: 'adaptive', display: 'omitted' },
    context_management: { edits: [{ type: 'clear_thinking_20251015', keep: 'all' }] },
    output_config: { effort: 'high' },
  }
  const headers = {
    'x-api-key': 'sy_secret_key_1',
    'anthropic-version': '2023-06-01',
    'anthropic-beta':
      'claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27',
  }

  it('is answered; what the provider cannot take is named in a warning', async () => {
    upstream.reply((response) =>
      sse(response, chunk({ reasoning: 'Simple.' }), ...textStream('Hello')),
    )
    const response = await gateway.post('/v1/messages?beta=true', request, headers)
    expect(response.status).toBe(200)
    const text = await response.text()
    expect(text).toContain('"text_delta","text":"Hello"')
    expect(text).not.toContain('thinking_delta')
    expect(text).toContain('signature_delta')
    const warning = response.headers.get('warning') ?? ''
    for (const name of [
      'context_management',
      'metadata.user_id',
      'tools[41]',
      'output_config.effort',
    ])
      expect(warning).toContain(name)
    const body = upstream.requests[0]?.body as {
      messages: { role: string; content: unknown }[]
      tools: { function: { name: string } }[]
    }
    expect(body.messages.map(({ role }) => role)).toEqual(['system', 'user'])
    expect(body.messages[0]?.content).toMatch(/^You are an agent\.\n\nRule\. .*\n\n# Environment$/s)
    expect(body.tools.map((tool) => tool.function.name)).toEqual(
      Array.from({ length: 40 }, (_, at) => `Tool${at}`),
    )
    for (const field of [
      'system',
      'thinking',
      'context_management',
      'metadata',
      'output_config',
      'user',
    ])
      expect(body).not.toHaveProperty(field)
  })

  it('keeps its effort where the model takes one, and the thinking that was not shown', async () => {
    const gptOss = { ...request, model: 'openai/gpt-oss-20b' }
    upstream.reply((response) =>
      sse(
        response,
        chunk({ reasoning: 'Hm.' }),
        chunk(call(0, { id: 'c', ...fn('Tool1', '{}') })),
        chunk({}, 'tool_calls'),
        'data: [DONE]\n\n',
      ),
    )
    const message = await client.messages
      .stream(gptOss as Anthropic.MessageStreamParams)
      .finalMessage()
    expect(upstream.requests[0]?.body).toMatchObject({ reasoning_effort: 'high' })
    expect(message.content[0]).toMatchObject({ type: 'thinking', thinking: '' })
    upstream.reply((response) => sse(response, ...textStream('done')))
    const next = {
      ...gptOss,
      messages: [
        ...gptOss.messages,
        { role: 'assistant', content: message.content },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'c', content: 'ok' }] },
        { role: 'system', content: 'Be brief.' },
      ],
    }
    await (await gateway.post('/v1/messages?beta=true', next, headers)).text()
    const replayed = upstream.requests[0]?.body.messages as object[] | undefined
    expect(replayed?.slice(2)).toEqual([
      {
        role: 'assistant',
        content: null,
        reasoning: 'Hm.',
        tool_calls: [{ id: 'c', type: 'function', ...fn('Tool1', '{}') }],
      },
      { role: 'tool', tool_call_id: 'c', content: 'ok' },
      { role: 'user', content: '<system-reminder>\nBe brief.\n</system-reminder>' },
    ])
  })
})

describe('count_tokens', () => {
  it('estimates, and says so', async () => {
    const { data, response } = await client.messages
      .countTokens({ model, messages: [{ role: 'user', content: 'word '.repeat(400) }] })
      .withResponse()
    expect(data.input_tokens).toBeGreaterThan(300)
    expect(data.input_tokens).toBeLessThan(600)
    expect(response.headers.get('warning')).toContain('estimate')
    expect(response.headers.get('request-id')).toMatch(/^req-/)
  })

  it('knows no model that is not served', async () => {
    const error = await failure(client.messages.countTokens({ ...hello, model: 'no/body' }))
    expect([error.status, error.type]).toEqual([404, 'not_found_error'])
  })
})

describe('errors are Anthropic’s on these paths', () => {
  const cases: [string, Record<string, unknown>, number, string, RegExp][] = [
    ['max_tokens missing', { max_tokens: undefined }, 400, 'invalid_request_error', /max_tokens/],
    ['an unknown model', { model: 'no/body' }, 404, 'not_found_error', /no\/body/],
    [
      'a bad block',
      { messages: [{ role: 'user', content: [{ type: 'text' }] }] },
      400,
      'invalid_request_error',
      /messages\[0\]\.content\[0\]\.text/,
    ],
    [
      'a result without a call',
      { messages: [{ role: 'user', content: [{ type: 'tool_result', tool_use_id: 'x' }] }] },
      400,
      'invalid_request_error',
      /'x'/,
    ],
    [
      'servers of MCP',
      { mcp_servers: [{ type: 'url', url: 'https://x', name: 'x' }] },
      400,
      'invalid_request_error',
      /mcp_servers/,
    ],
    [
      'a prefill',
      {
        messages: [
          { role: 'user', content: 'a' },
          { role: 'assistant', content: 'b' },
        ],
      },
      400,
      'invalid_request_error',
      /messages\[1\]/,
    ],
  ]
  it.each(cases)('%s', async (_, fields, status, type, message) => {
    const body = { ...hello, ...fields }
    const error = await failure(
      client.messages.create(body as Anthropic.MessageCreateParamsNonStreaming),
    )
    expect([error.status, error.type]).toEqual([status, type])
    expect(error.message).toMatch(message)
    expect(error.requestID).toMatch(/^req-/)
    expect(error.error).toMatchObject({ type: 'error', request_id: error.requestID })
  })

  it('the field at fault is named in the client’s words', async () => {
    const error = await failure(
      client.messages.create({
        ...hello,
        messages: [
          {
            role: 'user',
            content: [
              { type: 'text', text: 'x' },
              { type: 'tool_result', tool_use_id: 'nobody' },
            ],
          },
        ],
      }),
    )
    expect(error.error).toMatchObject({
      error: { details: { param: 'messages[0].content[1].tool_use_id' } },
    })
  })

  it.each([
    [429, { error: { message: 'slow down' } }, 429, 'rate_limit_error'],
    [500, { error: { message: 'broken' } }, 502, 'api_error'],
    [
      400,
      {
        error: {
          message: 'maximum context length is 8192 tokens',
          code: 'context_length_exceeded',
        },
      },
      400,
      'invalid_request_error',
    ],
  ])('an upstream’s %i', async (status, body, told, type) => {
    upstream.reply((response) => json(response, status, body))
    const error = await failure(client.messages.create(hello))
    expect([error.status, error.type]).toEqual([told, type])
    if (status === 400) expect(error.message).toMatch(/prompt is too long/)
  })

  it('no key, a wrong key, a wrong method, a wrong path, a body that is no JSON', async () => {
    const wrong = new Anthropic({ baseURL: gateway.url, apiKey: 'sy_wrong', maxRetries: 0 })
    const error = await failure(wrong.messages.create(hello))
    expect([error.status, error.type]).toEqual([401, 'authentication_error'])
    const answers = await Promise.all([
      gateway.post('/v1/messages', hello),
      gateway.ask('/v1/messages', { headers: bearer }),
      gateway.post('/v1/messages/batches', {}, bearer),
      gateway.post('/v1/messages', hello, { ...bearer, 'content-type': 'text/plain' }),
      gateway.post('/fake/v1/messages', 'no object', bearer),
    ])
    expect(answers.map(({ status }) => status)).toEqual([401, 405, 404, 415, 400])
    for (const answer of answers) {
      const body = await answer.json()
      expect(body).toMatchObject({ type: 'error', error: { message: expect.any(String) } })
      expect((body as { request_id: string }).request_id).toBe(answer.headers.get('request-id'))
    }
  })

  it('x-api-key is the key of these paths alone; a bearer token works, too', async () => {
    upstream.reply((response) => json(response, 200, completion('ok')))
    expect((await gateway.post('/v1/messages', hello, bearer)).status).toBe(200)
    expect((await gateway.post('/fake/v1/messages', hello, bearer)).status).toBe(200)
    const key = { 'x-api-key': 'sy_secret_key_1' }
    const chat = { model, messages: [{ role: 'user', content: 'hi' }] }
    expect((await gateway.post('/v1/chat/completions', chat, key)).status).toBe(401)
  })
})
