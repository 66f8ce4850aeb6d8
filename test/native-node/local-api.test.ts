import OpenAI from 'openai'
import { afterEach, describe, expect, it } from 'vitest'
import { EngineBackend } from '../../native-node/server/engine-backend.ts'
import { type Listening, listen } from '../../native-node/server/listen.ts'
import { createNodeApi, newId } from '../../native-node/server/local-api.ts'
import { createToolHost } from '../../native-node/tools/host.ts'
import { readEvents } from './read-events.ts'
import { type Script, ScriptedEngine } from './scripted-engine.ts'
import { memoryTool } from './tools/function-tool.ts'

const model = 'switchyard/test'
const final = (text: string) =>
  `<|channel|>analysis<|message|>Think.<|end|><|start|>assistant<|channel|>final<|message|>${text}<|return|>`
const callText =
  '<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"city":"Rome"}<|call|>'
const weather = {
  type: 'object',
  properties: { city: { type: 'string' } },
  required: ['city'],
}

function make(script: Script, key?: string, origins?: string[]) {
  const engine = new ScriptedEngine(script)
  const backend = new EngineBackend({ engine, model, now: Date.now, newId })
  const errors: unknown[] = []
  const api = createNodeApi({
    backend,
    onError: (error) => errors.push(error),
    ...(key === undefined ? {} : { key }),
    ...(origins === undefined ? {} : { origins }),
  })
  return { api, engine, errors }
}

let listening: Listening | undefined
afterEach(async () => {
  await listening?.close(true)
  listening = undefined
})

async function client(script: Script) {
  const made = make(script)
  listening = await listen({ fetch: made.api.fetch, host: '127.0.0.1', port: 0, keyed: false })
  const openai = new OpenAI({ baseURL: `${listening.url}/v1`, apiKey: 'none', maxRetries: 0 })
  return { ...made, openai, url: listening.url }
}

describe('with the official SDK', () => {
  it('answers Responses, streamed and not', async () => {
    const { openai } = await client({ text: final('Hello there!') })
    const response = await openai.responses.create({ model, input: 'Hi' })
    expect(response.output_text).toBe('Hello there!')
    expect(response.output.map(({ type }) => type)).toEqual(['reasoning', 'message'])
    const stream = openai.responses.stream({ model, input: 'Hi' })
    let text = ''
    for await (const event of stream) {
      if (event.type === 'response.output_text.delta') text += event.delta
    }
    expect(text).toBe('Hello there!')
    expect((await stream.finalResponse()).output_text).toBe('Hello there!')
  })

  it('answers Chat Completions, streamed and not', async () => {
    const { openai } = await client({ text: final('Hello there!') })
    const messages = [{ role: 'user' as const, content: 'Hi' }]
    const whole = await openai.chat.completions.create({ model, messages })
    expect(whole.choices[0]).toMatchObject({
      finish_reason: 'stop',
      message: { content: 'Hello there!', reasoning: 'Think.' },
    })
    const stream = openai.chat.completions.stream({
      model,
      messages,
      stream_options: { include_usage: true },
    })
    const completion = await stream.finalChatCompletion()
    expect(completion.choices[0]?.message.content).toBe('Hello there!')
    expect(completion.usage?.prompt_tokens).toBe(whole.usage?.prompt_tokens)
  })

  it('gives tool calls in both dialects', async () => {
    const { openai, engine } = await client({ text: callText })
    const chat = await openai.chat.completions.create({
      model,
      messages: [{ role: 'user', content: 'Weather in Rome?' }],
      tools: [{ type: 'function', function: { name: 'get_weather', parameters: weather } }],
    })
    expect(chat.choices[0]).toMatchObject({
      finish_reason: 'tool_calls',
      message: {
        tool_calls: [{ function: { name: 'get_weather', arguments: '{"city":"Rome"}' } }],
      },
    })
    const response = await openai.responses.create({
      model,
      input: 'Weather in Rome?',
      tools: [{ type: 'function', name: 'get_weather', parameters: weather, strict: true }],
    })
    expect(response.output[0]).toMatchObject({ type: 'function_call', name: 'get_weather' })
    const [first, second] = engine.calls
    expect(first!.prompt).toEqual(second!.prompt)
  })

  it('passes on what is refused, in OpenAI’s shape', async () => {
    const { openai } = await client({ text: final('x') })
    await expect(
      openai.responses.create({
        model,
        input: [
          {
            role: 'user',
            content: [
              { type: 'input_image', image_url: 'data:image/png;base64,AA==', detail: 'auto' },
            ],
          },
        ],
      }),
    ).rejects.toMatchObject({
      status: 400,
      code: 'unsupported_content',
      param: 'input[0].content[0]',
    })
    const image = { type: 'image_url' as const, image_url: { url: 'https://example.com/a.png' } }
    await expect(
      openai.chat.completions.create({
        model,
        messages: [
          { role: 'user', content: 'Hi' },
          { role: 'user', content: [{ type: 'text', text: 'What is this?' }, image] },
        ],
      }),
    ).rejects.toMatchObject({ code: 'unsupported_content', param: 'messages[1].content[1]' })
    await expect(openai.responses.create({ model: 'nope', input: 'x' })).rejects.toMatchObject({
      status: 404,
      code: 'model_not_found',
    })
  })

  it('lists its model by id with slashes, and encoded', async () => {
    const { openai } = await client({ text: final('x') })
    const models = await openai.models.list()
    expect(models.data).toMatchObject([{ id: model, object: 'model', context_length: 4096 }])
    expect((await openai.models.retrieve(model)).id).toBe(model)
    await expect(openai.models.retrieve('no/such')).rejects.toMatchObject({ status: 404 })
  })

  it('stops the engine when the client goes away', async () => {
    const gate = () => new Promise<void>((resolve) => setTimeout(resolve, 2))
    const { openai, engine } = await client({ text: final('word '.repeat(2000)), gate })
    for (const go of [
      async () => {
        const stream = await openai.responses.create({ model, input: 'Hi', stream: true })
        for await (const event of stream) {
          if (event.type === 'response.reasoning_text.delta') break
        }
      },
      async () => {
        const abort = new AbortController()
        const answer = openai.responses.create({ model, input: 'Hi' }, { signal: abort.signal })
        await expect.poll(() => engine.calls.length).toBe(2)
        abort.abort()
        await answer.catch(() => {})
      },
    ]) {
      await go()
      await expect.poll(() => engine.calls.at(-1)!.left).toBe(true)
    }
  })
})

describe('the door', () => {
  const post = (headers: Record<string, string>) => ({
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ model, input: 'Hi' }),
  })
  const status = async (api: ReturnType<typeof make>['api'], path: string, init?: RequestInit) => {
    const response = await api.fetch(new Request(`http://127.0.0.1${path}`, init))
    const body = response.status === 200 ? undefined : await response.json()
    return { status: response.status, code: body?.error.code, headers: response.headers }
  }

  it('is open to this machine and to no foreign page while there is no key', async () => {
    const { api } = make({ text: final('x') })
    expect(await status(api, '/v1/responses', post({ host: 'localhost:8788' }))).toMatchObject({
      status: 200,
    })
    for (const headers of [
      { host: 'evil.example' },
      { host: '127.0.0.1.evil.example' },
      { host: '[::1]:1', origin: 'https://evil.example' },
      { origin: 'null' },
    ]) {
      const refused = { status: 403, code: 'origin_not_allowed' }
      expect(await status(api, '/v1/responses', post(headers))).toMatchObject(refused)
      // Which models there are is nothing for a page either.
      for (const path of ['/health', '/v1/models', '/nothing']) {
        expect(await status(api, path, { headers })).toMatchObject(refused)
      }
    }
    const form = post({ 'content-type': 'text/plain' })
    expect(await status(api, '/v1/responses', form)).toMatchObject({ status: 415 })
  })

  it('is open to the pages that are listed, and tells the browser so', async () => {
    const origin = 'https://app.example'
    const { api } = make({ text: final('x') }, undefined, [origin, '*'])
    const told = ({ headers }: Response) => headers.get('access-control-allow-origin')
    const ask = (path: string, init: RequestInit) =>
      api.fetch(new Request(`http://127.0.0.1${path}`, init))
    const first = await ask('/v1/responses', {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'POST' },
    })
    expect([first.status, told(first)]).toEqual([204, origin])
    const answer = await ask('/v1/responses', post({ origin }))
    expect([answer.status, told(answer)]).toEqual([200, origin])
    const missed = await ask('/nothing', { headers: { origin } })
    expect([missed.status, told(missed)]).toEqual([404, origin])
    const foreign = await ask('/v1/responses', post({ origin: 'https://evil.example' }))
    expect([foreign.status, told(foreign)]).toEqual([403, null])
  })

  it('asks for the key where there is one, except for its health', async () => {
    const { api } = make({ text: final('x') }, 'sesame')
    expect(await status(api, '/v1/models')).toMatchObject({ status: 401, code: 'invalid_api_key' })
    for (const [authorization, expected] of [
      ['Bearer sesame', 200],
      ['bearer  sesame', 200],
      ['Bearer sesam', 401],
      ['Bearer sesamee', 401],
      ['Basic sesame', 401],
    ] as const) {
      const init = post({ authorization, host: 'node.example' })
      expect(await status(api, '/v1/responses', init)).toMatchObject({ status: expected })
    }
    // A supervisor reaches it by whatever name the node has there.
    const probe = { headers: { host: 'node.example' } }
    expect(await status(api, '/health', probe)).toMatchObject({ status: 200 })
  })

  it('is not opened to a network without a key', async () => {
    const { api } = make({ text: final('x') })
    await expect(
      listen({ fetch: api.fetch, host: '0.0.0.0', port: 0, keyed: false }),
    ).rejects.toMatchObject({ code: 'invalid_argument' })
  })

  it('answers unknown paths and methods in OpenAI’s shape', async () => {
    const { api } = make({ text: final('x') })
    expect(await status(api, '/v1/nothing')).toMatchObject({ status: 404, code: 'not_found' })
    const wrong = await status(api, '/v1/responses')
    expect(wrong).toMatchObject({ status: 405, code: 'method_not_allowed' })
    expect(wrong.headers.get('allow')).toBe('POST')
    expect(await status(api, '/v1/responses/resp_1')).toMatchObject({
      status: 404,
      code: 'response_not_found',
    })
  })

  it('tells its health', async () => {
    const { api } = make({ text: final('x') })
    const response = await api.fetch(new Request('http://127.0.0.1/health'))
    expect(await response.json()).toMatchObject({ status: 'ok', models: [model], running: 0 })
  })
})

describe('through the tunnel', () => {
  const request = (path: string, body: unknown, signal?: AbortSignal) =>
    new Request(`http://node${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      ...(signal ? { signal } : {}),
    })

  it('the canonical dialect is served as it is, without a key', async () => {
    const { api } = make({ text: final('Hello') }, 'sesame')
    const streamed = await api.handle(
      request('/v1/responses', { model, input: 'Hi', stream: true }),
    )
    const events = await readEvents(streamed)
    expect(events.at(-1)?.type).toBe('response.completed')
    const whole = await api.handle(request('/v1/responses', { model, input: 'Hi' }))
    expect(await whole.json()).toMatchObject({ status: 'completed' })
  })

  it.each([
    ['/v1/chat/completions', { model, messages: [] }, 404, 'not_found'],
    ['/v1/models', {}, 404, 'not_found'],
    ['/v1/responses', { model: 'other', input: 'x' }, 404, 'model_not_found'],
    ['/v1/responses', { input: 'x' }, 400, 'missing_required_parameter'],
    ['/v1/responses', [], 400, 'invalid_request'],
    ['/v1/responses', { model, input: [] }, 400, 'missing_required_parameter'],
  ])('%s with %j is refused', async (path, body, status, code) => {
    const { api } = make({ text: final('x') })
    const response = await api.handle(request(path, body))
    expect(response.status).toBe(status)
    expect(await response.json()).toMatchObject({ error: { code } })
  })

  it('a bug becomes a 500 without its text, and is logged', async () => {
    const { api, errors } = make({ text: '', error: new Error('secret') })
    const response = await api.handle(request('/v1/responses', { model, input: 'x' }))
    expect(response.status).toBe(500)
    expect(await response.text()).not.toContain('secret')
    expect(errors).toHaveLength(1)
  })
})

it('seals reasoning, and opens it when it comes back', async () => {
  const engine = new ScriptedEngine({ text: final('Hello') })
  const backend = new EngineBackend({ engine, model, now: Date.now, newId })
  const api = createNodeApi({ backend, sealSecret: 'a secret' })
  const ask = (body: object) =>
    api.fetch(
      new Request('http://127.0.0.1/v1/responses', {
        method: 'POST',
        headers: { 'content-type': 'application/json', host: '127.0.0.1' },
        body: JSON.stringify({ model, store: false, ...body }),
      }),
    )
  const first = await ask({ input: 'Hi', include: ['reasoning.encrypted_content'] })
  const { output } = (await first.json()) as { output: Record<string, unknown>[] }
  const encrypted_content = String(output[0]?.encrypted_content)
  expect(encrypted_content).toMatch(/^sy1\./)
  const reasoning = { type: 'reasoning', summary: [], encrypted_content }
  const call = { type: 'function_call', call_id: 'a', name: 'f', arguments: '{}' }
  const result = { type: 'function_call_output', call_id: 'a', output: '1' }
  const input = [{ role: 'user', content: 'Hi' }, reasoning, call, result]
  expect((await ask({ input })).status).toBe(200)
  const prompt = (engine.calls[1]?.prompt ?? []).map((id) => engine.vocabulary.tokenBytes(id))
  expect(Buffer.concat(prompt).toString()).toContain('Think.')
  const forged = { ...reasoning, encrypted_content: `${encrypted_content.slice(0, -4)}AAAA` }
  expect(await (await ask({ input: [forged] })).json()).toMatchObject({
    error: { code: 'invalid_encrypted_content', param: 'input[0].encrypted_content' },
  })
})

describe('hosted tools', () => {
  it('are called through the tunnel, and never on the port that clients reach', async () => {
    const tools = createToolHost({ tools: [memoryTool()] })
    const backend = new EngineBackend({
      engine: new ScriptedEngine({ text: final('x') }),
      model,
      now: Date.now,
      newId,
    })
    const api = createNodeApi({ backend, tools })
    const call = { tool: 'code_interpreter', action: 'run', arguments: { code: 'x = 1' } }
    const ask = () =>
      new Request('http://127.0.0.1/v1/tools/call', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(call),
      })
    expect(await (await api.handle(ask())).json()).toMatchObject({ text: '1', isError: false })
    expect((await api.fetch(ask())).status).toBe(404)
    const without = createNodeApi({ backend })
    expect((await without.handle(ask())).status).toBe(404)
    await tools.close()
  })
})

describe('every answer', () => {
  it('is named, and nothing that a page of another site could make use of', async () => {
    const { api } = make({ text: final('Hello!') })
    const ask = (path: string, init?: RequestInit) =>
      api.fetch(new Request(`http://127.0.0.1${path}`, init))
    const json = { method: 'POST', headers: { 'content-type': 'application/json' } }
    const answers = [
      await ask('/v1/models'),
      await ask('/v1/responses', { ...json, body: JSON.stringify({ model, input: 'Hi' }) }),
      await ask('/v1/responses', { ...json, body: '{' }),
      await ask('/nowhere'),
      await ask('/v1/models', { headers: { origin: 'https://evil.example' } }),
    ]
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 400, 404, 403])
    const ids = answers.map(({ headers }) => headers.get('x-request-id'))
    for (const id of ids) expect(id).toMatch(/^req-\w{8,}$/)
    expect(new Set(ids).size).toBe(ids.length)
    for (const { headers } of answers) {
      expect(headers.get('cross-origin-resource-policy')).toBe('same-origin')
      expect(headers.get('x-content-type-options')).toBe('nosniff')
    }
    const refused = await ask('/v1/messages', { ...json, body: '{}' })
    const told = (await refused.json()) as { request_id?: string }
    expect(told.request_id).toBe(refused.headers.get('x-request-id'))
  })
})
