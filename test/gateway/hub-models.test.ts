// Ids that the hub maps, through the Worker with a hub on loopback: cold, warm, silent, slow.
import type { ServerResponse } from 'node:http'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { startGateway, type TestGateway } from './harness.ts'
import { completion, json, startUpstream, type TestUpstream } from './upstream.ts'

const kimi = 'moonshotai/Kimi-K3'
let upstream: TestUpstream
let hub: TestUpstream
let gateway: TestGateway

beforeAll(async () => {
  upstream = await startUpstream()
  hub = await startUpstream()
})

// A fresh isolate each time: what the hub said is remembered.
beforeEach(async () => {
  const at = (name: string) => ({ baseUrl: `${upstream.origin}/${name}/v1` })
  gateway = await startGateway({
    config: {
      providers: {
        novita: at('novita'),
        deepinfra: at('deepinfra'),
        house: at('house'),
        hf: { baseUrl: `${hub.origin}/router/v1` },
      },
      routes: { 'house/best': ['house'] },
      modelMapping: { hubUrl: hub.origin },
    },
    bindings: { NOVITA_API_KEY: 'novita-key', DEEPINFRA_API_KEY: 'deepinfra-key' },
  })
  upstream.reply((response) => json(response, 200, completion('hi')))
  hub.reply(answer)
})

afterEach(() => gateway.stop())
afterAll(async () => {
  await upstream.stop()
  await hub.stop()
})

const asked = (path: RegExp) => hub.requests.filter((request) => path.test(request.path))

function answer(response: ServerResponse, { path }: { path: string }): void {
  json(response, 200, path === '/router/v1/models' ? prices : mapping)
}

const live = { status: 'live', task: 'conversational' }
const mapping = {
  id: kimi,
  inferenceProviderMapping: [
    { ...live, provider: 'novita', providerId: 'moonshotai/kimi-k3' },
    { ...live, provider: 'deepinfra', providerId: kimi },
    { ...live, provider: 'baseten', providerId: kimi },
  ],
}

const prices = {
  object: 'list',
  data: [
    {
      id: kimi,
      providers: [
        { provider: 'novita', status: 'live', pricing: { input: 1, output: 4 } },
        {
          provider: 'deepinfra',
          status: 'live',
          pricing: { input: 1, output: 3 },
          context_length: 262_144,
          supports_tools: true,
          throughput: 55,
        },
      ],
    },
  ],
}

const ask = (model: string) =>
  gateway.post('/v1/chat/completions', { model, messages: [{ role: 'user', content: 'hi' }] })

describe('a model that only the hub knows', () => {
  it('goes to a provider of the hub under its id there, and is asked for once', async () => {
    expect((await ask(kimi)).status).toBe(200)
    expect((await ask(`${kimi}:deepinfra`)).status).toBe(200)
    expect(upstream.requests.map(({ path, body }) => [path, body.model])).toEqual([
      ['/novita/v1/chat/completions', 'moonshotai/kimi-k3'],
      ['/deepinfra/v1/chat/completions', kimi],
    ])
    expect(hub.requests.map(({ path }) => path)).toEqual([
      `/api/models/${kimi}?expand[]=inferenceProviderMapping`,
    ])
  })

  it('is asked for without any key', async () => {
    await ask(kimi)
    expect(JSON.stringify(hub.requests[0]?.headers)).not.toContain('key')
    expect(hub.requests[0]?.headers.authorization).toBeUndefined()
  })

  it('is told with its places, by its id', async () => {
    const model = await gateway.openai().models.retrieve(kimi)
    expect(model).toMatchObject({
      id: kimi,
      providers: [
        { provider: 'novita', status: 'live' },
        { provider: 'deepinfra', status: 'live', context_length: 262_144, supports_tools: true },
      ],
    })
  })

  it("is ranked by the router's prices, which are asked for once", async () => {
    for (let count = 0; count < 2; count++) {
      expect((await ask(`${kimi}:cheapest`)).headers.get('x-switchyard-provider')).toBe('deepinfra')
    }
    expect(asked(/router/)).toHaveLength(1)
    expect(asked(/router/)[0]?.headers.authorization).toBeUndefined()
  })

  it("is not on the list without hf, and the list is one for OpenAI's client", async () => {
    const listed = async (path: string) => {
      const client = gateway.openai()
      client.baseURL = `${gateway.url}${path}`
      const ids: string[] = []
      for await (const model of client.models.list()) ids.push(model.id)
      return ids
    }
    const all = await listed('/v1')
    expect(all).toContain('openai/gpt-oss-120b')
    expect(all).toEqual([...all].sort())
    expect(all).not.toContain(kimi)
    expect(await listed('/novita/v1')).toEqual(['deepseek-ai/DeepSeek-V4-Flash-0731'])
  })

  it('is explained', async () => {
    const told = await gateway.ask(`/v1/explain?model=${encodeURIComponent(kimi)}`)
    expect(await told.json()).toMatchObject({ candidates: ['novita', 'deepinfra'] })
  })

  it('is asked for although another name was refused', async () => {
    hub.reply((response, { path }) =>
      path.includes('bad--name')
        ? json(response, 400, { error: 'no name' })
        : json(response, 500, {}),
    )
    expect((await ask('no/bad--name')).status).toBe(404)
    expect((await ask('no/other')).status).toBe(404)
    expect(asked(/bad--name/)).toHaveLength(1)
    expect(asked(/other/)).toHaveLength(1)
  })

  it('is 404 where the hub does not know it either', async () => {
    hub.reply((response) => json(response, 401, { error: 'Repository not found' }))
    expect((await ask('no/such')).status).toBe(404)
    expect((await ask('no/such')).status).toBe(404)
    expect(asked(/api/)).toHaveLength(1)
  })
})

describe('a hub that does not answer', () => {
  it.each([
    ['refuses', (response: ServerResponse) => void response.socket?.destroy()],
    ['is broken', (response: ServerResponse) => json(response, 500, 'x')],
    ['sends no JSON', (response: ServerResponse) => json(response, 200, '<html>')],
    ['sends too much', (response: ServerResponse) => json(response, 200, 'x'.repeat(2_000_000))],
    ['says nothing', () => {}],
  ])('that %s costs a request a moment, then nothing, and no answer', async (_, reply) => {
    hub.reply(reply)
    expect((await ask(kimi)).status).toBe(404)
    expect((await ask(`${kimi}:novita`)).status).toBe(200)
    // As it is: the provider itself may know it.
    expect(upstream.requests.map(({ body }) => body.model)).toEqual([kimi])
    expect(asked(/api/)).toHaveLength(1)
    expect((await gateway.ask('/v1/models')).status).toBe(200)
  })
})

describe('the hub is not asked', () => {
  it.each(['house/best', 'any/model:house', 'single'])('about %s', async (model) => {
    await ask(model)
    expect(hub.requests).toEqual([])
  })
})
