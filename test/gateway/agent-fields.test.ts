// Sealed reasoning, agents' tools and bodies through the real Worker.
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { checkOrder } from '../oracle/order.ts'
import { eventsOf } from '../src/support.ts'
import { startGateway, type TestGateway } from './harness.ts'
import { chunk, completion, json, sse, startUpstream, type TestUpstream } from './upstream.ts'

const keys = { ann: 'sy_ann_0123456789abcdef', bob: 'sy_bob_0123456789abcdef' }
let upstream: TestUpstream
let gateway: TestGateway

beforeAll(async () => {
  upstream = await startUpstream()
  gateway = await startGateway({
    config: {
      providers: {
        acme: { baseUrl: `${upstream.origin}/v1`, models: { 'acme/small': 'small' } },
      },
    },
    bindings: { SWITCHYARD_KEYS: JSON.stringify(keys) },
  })
})

afterAll(async () => {
  await gateway.stop()
  await upstream.stop()
})

const as = (tenant: keyof typeof keys, headers = {}) => ({
  authorization: `Bearer ${keys[tenant]}`,
  ...headers,
})

const ask = {
  model: 'acme/small',
  store: false,
  stream: true,
  include: ['reasoning.encrypted_content'],
  input: 'hi',
}

const call = (name: string, args: string) =>
  chunk({ tool_calls: [{ index: 0, id: 'c1', function: { name, arguments: args } }] })

const reasoned = [
  chunk({ reasoning: 'Let me ' }),
  chunk({ reasoning: 'see.' }),
  call('f', '{"x":1}'),
  chunk({}, 'tool_calls'),
  'data: [DONE]\n\n',
]

type Item = Record<string, unknown>

/** The events of a stream, in order. */
async function events(response: Response) {
  expect(response.status).toBe(200)
  const list = eventsOf(await response.text())
  expect(checkOrder(list)).toEqual([])
  return list
}

function outputOf(list: { type: string; [key: string]: unknown }[]): Item[] {
  const response = list.at(-1)?.response as { output: Item[] } | undefined
  return response?.output ?? []
}

describe('sealed reasoning', () => {
  it('goes out with a turn, comes back with the next, and is nothing to another tenant', async () => {
    upstream.reply((response) => sse(response, ...reasoned))
    const list = await events(await gateway.post('/v1/responses', ask, as('ann')))
    const output = outputOf(list)
    const sealed = String(output[0]?.encrypted_content)
    expect(sealed).toMatch(/^sy1\.[\w-]{40,}$/)
    const done = list.find(({ type }) => type === 'response.output_item.done')
    expect(done?.item).toEqual(output[0])

    // As a client without a memory sends it back: no text, only what was sealed.
    const { id, summary, encrypted_content } = output[0] ?? {}
    const next = {
      ...ask,
      input: [
        { role: 'user', content: 'hi' },
        { type: 'reasoning', id, summary, encrypted_content },
        output[1],
        { type: 'function_call_output', call_id: 'c1', output: '2' },
      ],
    }
    upstream.reply((response) => sse(response, ...reasoned))
    await events(await gateway.post('/v1/responses', next, as('ann')))
    expect(upstream.requests[0]?.body.messages).toMatchObject([
      { role: 'user' },
      { role: 'assistant', reasoning: 'Let me see.', tool_calls: [{ id: 'c1' }] },
      { role: 'tool' },
    ])
    expect(JSON.stringify(upstream.requests[0]?.body)).not.toContain('sy1.')

    upstream.reply((response) => sse(response, ...reasoned))
    const stolen = await gateway.post('/v1/responses', next, as('bob'))
    expect(stolen.status).toBe(400)
    expect(await stolen.json()).toMatchObject({
      error: { code: 'invalid_encrypted_content', param: 'input[1].encrypted_content' },
    })
    expect(upstream.requests).toEqual([])
  })

  it('is in the same place for a client of the SDK that does not stream', async () => {
    upstream.reply((response) =>
      json(response, 200, {
        ...completion('Hello'),
        choices: [
          { index: 0, message: { content: 'Hello', reasoning: 'hm' }, finish_reason: 'stop' },
        ],
      }),
    )
    const response = await gateway.openai(keys.ann).responses.create({
      model: 'acme/small',
      input: 'hi',
      store: false,
      include: ['reasoning.encrypted_content'],
    })
    expect(response.output[0]).toMatchObject({
      type: 'reasoning',
      encrypted_content: expect.stringMatching(/^sy1\./),
    })
  })
})

it('a response in the background has what its client chose', async () => {
  upstream.reply((response) => sse(response, ...reasoned))
  const body = { ...ask, stream: false, store: true, background: true }
  const headers = as('ann', { 'x-switchyard-reasoning-events': 'summary' })
  const started = await gateway.post('/v1/responses', body, headers)
  const { id } = (await started.json()) as { id: string }
  let response: Item = {}
  for (let tries = 0; tries < 100 && response.status !== 'completed'; tries++) {
    const asked = await gateway.ask(`/v1/responses/${id}`, { headers: as('ann') })
    response = (await asked.json()) as Item
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const [reasoning] = response.output as Item[]
  expect(reasoning).toMatchObject({
    summary: [{ type: 'summary_text', text: 'Let me see.' }],
    encrypted_content: expect.stringMatching(/^sy1\./),
  })
})

describe("agents' tools", () => {
  it('Codex: its request is taken whole, and a call comes back in its namespace', async () => {
    const fixture = new URL('../fixtures/codex/tool-turn.json', import.meta.url)
    const { body } = JSON.parse(readFileSync(fixture, 'utf8')) as { body: object }
    upstream.reply((response) =>
      sse(
        response,
        call('multi_agent_v1__close_agent', '{"target":"a"}'),
        chunk({}, 'tool_calls'),
        'data: [DONE]\n\n',
      ),
    )
    const response = await gateway.post(
      '/v1/responses',
      { ...body, model: 'acme/small' },
      as('ann', { 'x-switchyard-reasoning-events': 'summary' }),
    )
    expect(response.headers.get('warning')).toContain('tools[8] (web_search)')
    expect(outputOf(await events(response))).toMatchObject([
      {
        type: 'function_call',
        namespace: 'multi_agent_v1',
        name: 'close_agent',
        arguments: '{"target":"a"}',
      },
    ])
  })

  it('a freeform tool reaches a client of the SDK as events and as an item', async () => {
    upstream.reply((response) =>
      sse(
        response,
        call('patch', '{"input":"*** '),
        chunk({ tool_calls: [{ index: 0, function: { arguments: 'Begin\\nPatch"}' } }] }),
        chunk({}, 'tool_calls'),
        'data: [DONE]\n\n',
      ),
    )
    const stream = gateway.openai(keys.ann).responses.stream({
      model: 'acme/small',
      input: 'hi',
      store: false,
      tools: [{ type: 'custom', name: 'patch', description: 'Edits files.' }],
    })
    let text = ''
    for await (const event of stream) {
      if (event.type === 'response.custom_tool_call_input.delta') text += event.delta
    }
    expect(text).toBe('*** Begin\nPatch')
    const { output } = await stream.finalResponse()
    expect(output).toMatchObject([{ type: 'custom_tool_call', name: 'patch', input: text }])
    expect(upstream.requests[0]?.body.tools).toMatchObject([{ type: 'function' }])
  })
})

describe('bodies', () => {
  const large = (mebibytes: number) => ({
    model: 'acme/small',
    store: false,
    input: 'x'.repeat(mebibytes * 1024 * 1024),
  })

  it('of 9 MiB are taken, of 11 MiB refused', async () => {
    upstream.reply((response) => json(response, 200, completion('ok')))
    expect((await gateway.post('/v1/responses', large(9), as('ann'))).status).toBe(200)
    const refused = await gateway.post('/v1/responses', large(11), as('ann'))
    expect(refused.status).toBe(413)
    expect(await refused.json()).toMatchObject({
      error: { code: 'body_too_large', type: 'invalid_request_error' },
    })
  })

  it.each([
    ['64 levels deep', `${'['.repeat(62)}${']'.repeat(62)}`, 200],
    ['deeper', `${'['.repeat(64)}${']'.repeat(64)}`, 400],
    ['with a prototype key', '{"__proto__":{"x":1}}', 400],
  ])('%s', async (_, metadata, status) => {
    upstream.reply((response) => json(response, 200, completion('ok')))
    const body = `{"model":"acme/small","store":false,"input":"hi","mystery":${metadata}}`
    const response = await gateway.ask('/v1/responses', {
      method: 'POST',
      headers: as('ann', { 'content-type': 'application/json' }),
      body,
    })
    expect(response.status).toBe(status)
    if (status === 400) {
      expect(await response.json()).toMatchObject({ error: { code: 'invalid_json' } })
    }
  })
})
