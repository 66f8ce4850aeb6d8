// No route avoids the egress guard: every field of every API that can carry a URL, through the Worker, on every way in.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import WebSocket from 'ws'
import { startGateway, type TestGateway } from './harness.ts'
import { completion, json, startUpstream, type TestUpstream } from './upstream.ts'

let upstream: TestUpstream
let gateway: TestGateway
let listed: TestGateway

beforeAll(async () => {
  upstream = await startUpstream()
  const both = { baseUrl: `${upstream.origin}/v1`, models: '*', dialects: ['responses', 'chat'] }
  const providers = { acme: both, chatty: { ...both, dialects: ['chat'] } }
  gateway = await startGateway({ config: { providers } })
  listed = await startGateway({
    config: { providers, egress: { allowHosts: ['pics.internal:9000'] } },
  })
})

afterAll(async () => {
  await gateway.stop()
  await listed.stop()
  await upstream.stop()
})

type Case = [path: string, param: string, bodyOf: (url: string) => Record<string, unknown>]

const user = (...content: object[]) => [{ role: 'user', content }]
const text = { type: 'input_text', text: 'what is http://localhost/ ?' }
const responses = (param: string, ...input: ((url: string) => object)[]): Case => [
  '/v1/responses',
  param,
  (url) => ({ model: 'm', input: input.map((item) => item(url)) }),
]
const call = () => ({ type: 'function_call', call_id: 'c', name: 'f', arguments: '{}' })
const inMessage = (part: (url: string) => object) => (url: string) => ({
  role: 'user',
  content: [text, part(url)],
})
const chat = (param: string, part: (url: string) => object): Case => [
  '/v1/chat/completions',
  param,
  (url) => ({ model: 'm', messages: user({ type: 'text', text: 'x' }, part(url)) }),
]
const messages = (param: string, ...content: ((url: string) => object)[]): Case => [
  '/v1/messages',
  param,
  (url) => ({ model: 'm', max_tokens: 9, messages: user(...content.map((block) => block(url))) }),
]
const image = (url: string) => ({ type: 'image', source: { type: 'url', url } })
const document = (url: string) => ({ type: 'document', source: { type: 'url', url } })

/** Every URL field of the three request schemas, and fields that they have never heard of. */
const cases: Case[] = [
  responses(
    'input[0].content[1].image_url',
    inMessage((url) => ({ type: 'input_image', image_url: url })),
  ),
  responses(
    'input[0].content[1].file_url',
    inMessage((url) => ({ type: 'input_file', file_url: url })),
  ),
  responses(
    'input[0].content[1].file_data',
    inMessage((url) => ({ type: 'input_file', filename: 'x', file_data: url })),
  ),
  responses(
    'input[0].content[1].video_url.url',
    inMessage((url) => ({ type: 'video_url', video_url: { url } })),
  ),
  responses('input[1].output[0].image_url', call, (url) => ({
    type: 'function_call_output',
    call_id: 'c',
    output: [{ type: 'input_image', image_url: url }],
  })),
  responses('input[1].output[0].file_url', call, (url) => ({
    type: 'function_call_output',
    call_id: 'c',
    output: [{ type: 'input_file', file_url: url }],
  })),
  responses('input[0].output.image_url', (url) => ({
    type: 'computer_call_output',
    call_id: 'c',
    output: { type: 'computer_screenshot', image_url: url },
  })),
  [
    '/v1/responses',
    'tools[0].server_url',
    (url) => ({
      model: 'm',
      input: 'x',
      tools: [{ type: 'mcp', server_label: 'l', server_url: url }],
    }),
  ],
  ['/v1/responses', 'callback_url', (url) => ({ model: 'm', input: 'x', callback_url: url })],
  chat('messages[0].content[1].image_url.url', (url) => ({
    type: 'image_url',
    image_url: { url },
  })),
  chat('messages[0].content[1].file.file_data', (url) => ({
    type: 'file',
    file: { filename: 'x', file_data: url },
  })),
  [
    '/v1/chat/completions',
    'messages[1].content[0].image_url.url',
    (url) => ({
      model: 'm',
      messages: [
        {
          role: 'assistant',
          tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: '{}' } }],
        },
        { role: 'tool', tool_call_id: 'c', content: [{ type: 'image_url', image_url: { url } }] },
      ],
    }),
  ],
  messages('messages[0].content[0].source.url', image),
  messages('messages[0].content[0].source.url', document),
  messages('messages[0].content[0].source.url', (url) => ({
    type: 'document',
    source: { type: 'content', content: [image(url)] },
  })),
  [
    '/v1/messages',
    'messages[1].content[0].content[0].source.url',
    (url) => ({
      model: 'm',
      max_tokens: 9,
      messages: [
        { role: 'assistant', content: [{ type: 'tool_use', id: 'c', name: 'f', input: {} }] },
        ...user({ type: 'tool_result', tool_use_id: 'c', content: [image(url)] }),
      ],
    }),
  ],
]

const bad = [
  'http://169.254.169.254/latest/meta-data/',
  'http://0x7f.1/',
  'http://[::ffff:10.0.0.1]/',
  'https://127.0.0.1.nip.io/x.png',
  'http://user:pass@example.com/x.png',
  'file:///etc/passwd',
  'http://example.com:6379/',
]

interface Told {
  error: { param?: string; message: string; details?: { param: string } }
}

describe('every URL field', () => {
  it.each(cases)('%s %s', async (path, param, bodyOf) => {
    upstream.reply((response) => json(response, 200, completion('seen')))
    for (const url of bad) {
      for (const model of ['m:acme', 'm:chatty']) {
        for (const stream of [false, true]) {
          const response = await gateway.post(path, { ...bodyOf(url), model, stream })
          expect([response.status, url]).toEqual([400, url])
          const { error } = (await response.json()) as Told
          expect(error.param ?? error.details?.param).toBe(param)
          expect(error.message).toContain(param)
          expect(error.message).not.toContain(url)
        }
      }
    }
    expect(upstream.requests).toEqual([])
  })

  it('in the path of a place, too', async () => {
    for (const [path, , bodyOf] of cases) {
      const response = await gateway.post(`/chatty${path}`, bodyOf('http://10.0.0.1/'))
      expect(response.status).toBe(400)
    }
    expect(upstream.requests).toEqual([])
  })

  it('where tokens are counted, and where a conversation is compacted', async () => {
    const counted: Record<string, string[]> = {
      '/v1/responses': ['/v1/responses/input_tokens', '/v1/responses/compact'],
      '/v1/messages': ['/v1/messages/count_tokens'],
    }
    for (const [path, param, bodyOf] of cases) {
      // The fields beside the conversation are none of a compaction's.
      if (!/^(?:input|messages)/.test(param)) continue
      const { max_tokens: _, ...body } = bodyOf('http://10.0.0.1/')
      for (const other of counted[path] ?? []) {
        expect([other, (await gateway.post(other, body)).status]).toEqual([other, 400])
      }
    }
    expect(upstream.requests).toEqual([])
  })

  it('in the background, and in a conversation that was made before', async () => {
    for (const [path, param, bodyOf] of cases) {
      if (path !== '/v1/responses') continue
      const body = { ...bodyOf('http://10.0.0.1/'), background: true }
      const response = await gateway.post(path, body)
      expect([response.status, ((await response.json()) as Told).error.param]).toEqual([400, param])
    }
    const items = [
      { type: 'message', ...user({ type: 'input_image', image_url: 'http://10.0.0.1/' })[0] },
    ]
    const made = (await (await gateway.post('/v1/conversations', { items })).json()) as {
      id: string
    }
    const body = { model: 'm', conversation: made.id, input: 'and now?' }
    const response = await gateway.post('/v1/responses', body)
    expect([response.status, upstream.requests]).toEqual([400, []])
  })

  it('over the socket', async () => {
    const socket = new WebSocket(`${gateway.url.replace('http', 'ws')}/v1/responses`)
    await new Promise((resolve) => socket.once('open', resolve))
    for (const [path, param, bodyOf] of cases) {
      if (path !== '/v1/responses') continue
      const answer = new Promise<string>((resolve) => {
        socket.once('message', (data) => resolve(String(data)))
      })
      socket.send(
        JSON.stringify({ type: 'response.create', ...bodyOf('http://10.0.0.1/'), model: 'm:acme' }),
      )
      expect(await answer).toContain(param)
    }
    socket.close()
    expect(upstream.requests).toEqual([])
  })
})

describe('what may pass', () => {
  const picture = (url: string) => ({
    model: 'm:chatty',
    messages: user({ type: 'image_url', image_url: { url } }),
  })

  it('public URLs and data reach the upstream as they are', async () => {
    upstream.reply((response) => json(response, 200, completion('seen')))
    for (const url of ['https://example.com/x.png?a=b', 'data:image/png;base64,iVBORw0KGgo=']) {
      expect((await gateway.post('/v1/chat/completions', picture(url))).status).toBe(200)
      expect(JSON.stringify(upstream.requests.at(-1)?.body)).toContain(url)
    }
  })

  it('with an allow-list, its hosts and nothing else', async () => {
    upstream.reply((response) => json(response, 200, completion('seen')))
    const statusOf = async (url: string) =>
      (await listed.post('/v1/chat/completions', picture(url))).status
    expect(await statusOf('http://pics.internal:9000/x.png')).toBe(200)
    expect(await statusOf('http://pics.internal/x.png')).toBe(400)
    expect(await statusOf('https://example.com/x.png')).toBe(400)
  })
})
