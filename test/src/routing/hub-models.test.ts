import { describe, expect, it } from 'vitest'
import { parseConfig } from '../../../src/config/index.ts'
import { listModels } from '../../../src/routing/catalogue.ts'
import { explain } from '../../../src/routing/explain.ts'
import { readCatalogue } from '../../../src/routing/hub-catalogue.ts'
import { HubModels, hubAddress, isHubId, readPlaces } from '../../../src/routing/hub-models.ts'
import { hubQuestion } from '../../../src/routing/hub-question.ts'
import type { World } from '../../../src/routing/world.ts'

const minute = 60_000
const known = new Set(['groq', 'novita', 'together'])
const kimi = 'moonshotai/Kimi-K3'
const entry = (provider: string, providerId: string, more = {}) => ({
  provider,
  providerId,
  status: 'live',
  task: 'conversational',
  ...more,
})

describe('readPlaces', () => {
  it('reads both forms of the mapping', () => {
    const { provider: _, ...novita } = entry('novita', 'moonshotai/kimi-k3')
    for (const inferenceProviderMapping of [[entry('novita', 'moonshotai/kimi-k3')], { novita }]) {
      const places = readPlaces({ id: kimi, inferenceProviderMapping }, known)
      expect([...places]).toEqual([['novita', 'moonshotai/kimi-k3']])
    }
  })

  it('leaves out what is no chat model, not live, an adapter, or at a stranger', () => {
    const inferenceProviderMapping = [
      entry('groq', 'a', { status: 'staging' }),
      entry('novita', 'b', { task: 'text-to-image' }),
      entry('together', 'c', { adapter: 'lora' }),
      entry('fal-ai', 'd'),
    ]
    expect(readPlaces({ inferenceProviderMapping }, known).size).toBe(0)
  })

  it.each([
    null,
    [],
    'x',
    {},
    { inferenceProviderMapping: null },
    { inferenceProviderMapping: [null, 7, 'x', { provider: 'groq' }] },
    { inferenceProviderMapping: { groq: 'x', __proto__: {} } },
    { inferenceProviderMapping: [entry('groq', 'x'.repeat(300)), entry('groq', '')] },
  ])('survives %j', (answer) => {
    expect(readPlaces(answer, known).size).toBe(0)
  })
})

describe('readCatalogue', () => {
  const list = (...providers: unknown[]) => ({ data: [{ id: kimi, providers }] })
  const place = {
    provider: 'novita',
    status: 'live',
    context_length: 262_144,
    pricing: { input: 1, output: 4 },
    supports_tools: true,
    supports_structured_output: false,
    first_token_latency_ms: 420,
    throughput: 55.5,
    is_model_author: false,
  }

  it('reads what the router tells of each place', () => {
    const catalogue = readCatalogue(list(place, { ...place, provider: 'fal-ai' }), known)
    expect([...(catalogue.get(kimi) ?? [])]).toEqual([
      [
        'novita',
        {
          contextLength: 262_144,
          price: { input: 1, output: 4 },
          tools: true,
          structuredOutput: false,
          firstTokenMs: 420,
          tokensPerSecond: 55.5,
        },
      ],
    ])
  })

  it('leaves out what is not said, and takes free for a price', () => {
    const catalogue = readCatalogue(list({ provider: 'novita', is_free: true }), known)
    expect(catalogue.get(kimi)?.get('novita')).toEqual({ price: { input: 0, output: 0 } })
  })

  it.each([
    null,
    { data: 'x' },
    { data: [null, {}, { id: 7, providers: [place] }, { id: 'a/b', providers: [null, 'x'] }] },
    list({ provider: 'stranger' }),
  ])('survives %j', (answer) => {
    expect(readCatalogue(answer, known).size).toBe(0)
  })

  it('survives values that are none', () => {
    const odd = { provider: 'novita', pricing: { input: '1', output: -1 }, throughput: null }
    expect(readCatalogue(list(odd), known).get(kimi)?.get('novita')).toEqual({})
  })
})

it('asks the hub for ids that it could have, and for nothing that leads elsewhere', () => {
  for (const id of ['org/name', 'zai-org/GLM-5.2', 'a_b/c-d.e']) expect(isHubId(id)).toBe(true)
  for (const id of [
    'name',
    'a/b/c',
    '../x',
    'a/..',
    'a/b?c',
    'a/b#c',
    'a/b:c',
    'a b/c',
    '/b',
    'a/',
  ])
    expect(isHubId(id)).toBe(false)
  expect(hubAddress('https://huggingface.co', 'org/name')).toBe(
    'https://huggingface.co/api/models/org/name?expand[]=inferenceProviderMapping',
  )
})

describe('HubModels', () => {
  const places = new Map([['groq', 'x']])

  it('takes an answer for an hour, then serves it while asking again', () => {
    const hub = new HubModels()
    expect(hub.knowledge('a/b', 0)).toBe('unknown')
    hub.learned('a/b', places, 0)
    expect(hub.knowledge('a/b', 59 * minute)).toBe('known')
    expect(hub.knowledge('a/b', 61 * minute)).toBe('stale')
    expect(hub.places('a/b')).toBe(places)
  })

  it('believes for ten minutes that nobody serves a model', () => {
    const hub = new HubModels()
    hub.learned('a/b', new Map(), 0)
    expect(hub.knowledge('a/b', 9 * minute)).toBe('known')
    expect(hub.knowledge('a/b', 11 * minute)).toBe('stale')
  })

  it('asks once at a time for a model, few at once, and not while the hub does not answer', () => {
    const hub = new HubModels()
    expect(hub.mayAsk('a/b', 0)).toBe(true)
    hub.asked('a/b', 0)
    expect(hub.mayAsk('a/b', 0)).toBe(false)
    expect(hub.mayAsk('c/d', 0)).toBe(true)
    hub.failed('a/b', 0)
    expect(hub.mayAsk('c/d', 1000)).toBe(false)
    expect(hub.mayAsk('c/d', 31_000)).toBe(true)
    for (let count = 0; count < 16; count++) hub.asked(`m/${count}`, 31_000)
    expect(hub.mayAsk('c/d', 31_000)).toBe(false)
    // A question that got lost with its request does not block for ever.
    hub.asked('e/f', 90_000)
    expect(hub.mayAsk('c/d', 90_000)).toBe(true)
  })

  it('keeps what it knew when the hub falls silent, and no more than its bound', () => {
    const hub = new HubModels()
    hub.learned('a/b', places, 0)
    hub.failed('a/b', 100 * minute)
    expect(hub.places('a/b')).toBe(places)
    for (let count = 0; count < 2000; count++) hub.learned(`m/${count}`, places, 0)
    expect(hub.places('a/b')).toBeUndefined()
    expect(hub.places('m/1999')).toBe(places)
  })
})

describe('hubQuestion', () => {
  function world(keys: string[], config: unknown = {}, more: Partial<World> = {}): World {
    return {
      config: parseConfig(JSON.stringify(config), 'test'),
      obstacle: ({ name, keyOptional }) =>
        keyOptional || keys.includes(name) ? undefined : 'has no key',
      nodes: [],
      now: 0,
      ...more,
    }
  }
  const ask = (model: string, at: World, hub = new HubModels()) => hubQuestion(model, at, hub)
  const rack = {
    name: 'rack',
    models: [{ id: kimi, dialects: ['chat'] }],
  }

  it('is worth a wait where nothing else serves the model', () => {
    expect(ask(kimi, world(['novita']))).toEqual({ id: kimi, wait: true })
    expect(ask(`${kimi}:novita`, world(['novita']))).toEqual({ id: kimi, wait: true })
    expect(ask(`${kimi}:cheapest`, world(['novita']))).toEqual({ id: kimi, wait: true })
  })

  it('is asked beside the request where something does', () => {
    expect(ask(kimi, world(['novita', 'hf']))).toEqual({ id: kimi, wait: false })
    expect(ask('openai/gpt-oss-120b', world(['groq', 'novita']))).toMatchObject({ wait: false })
  })

  it('never makes a request wait for what is stale', () => {
    const hub = new HubModels()
    hub.learned(kimi, new Map(), -20 * minute)
    expect(ask(kimi, world(['novita']), hub)).toEqual({ id: kimi, wait: false })
    hub.learned(kimi, new Map(), 0)
    expect(ask(kimi, world(['novita']), hub)).toBeUndefined()
  })

  it.each([
    ['no provider of the hub has a key', kimi, world(['openai', 'hf'])],
    ['mapping is off', kimi, world(['novita'], { modelMapping: 'off' })],
    [
      'the provider has an address of its own',
      kimi,
      world(['novita'], { providers: { novita: { baseUrl: 'https://proxy.example/v1' } } }),
    ],
    [
      'the config has the id',
      kimi,
      world(['novita'], { providers: { novita: { models: { [kimi]: 'k3' } } } }),
    ],
    ['an own node is meant', `${kimi}:self`, world(['novita'], {}, { nodes: [rack] })],
    ['the pinned provider is not at the hub', `${kimi}:openai`, world(['novita', 'openai'])],
    ['an own node serves it', kimi, world(['novita'], {}, { nodes: [rack] })],
    ['an own node served it', kimi, world(['novita'], {}, { recentNodes: [rack] })],
    [
      'a provider of the config has it',
      kimi,
      world(['novita'], {
        providers: { acme: { baseUrl: 'http://127.0.0.1:1', models: { [kimi]: 'k' } } },
      }),
    ],
    ['a route leads elsewhere', kimi, world(['novita', 'hf'], { routes: { [kimi]: ['hf'] } })],
    ['the id is none of the hub', 'llama3', world(['novita'])],
    ['the reference names nothing', `${kimi}:nowhere`, world(['novita'])],
  ])('is none where %s', (_, model, at) => {
    expect(ask(model, at)).toBeUndefined()
  })

  it("ranks by the router's list, over which the config has the last word", () => {
    const catalogue = readCatalogue(
      {
        data: [
          {
            id: 'openai/gpt-oss-120b',
            providers: [
              { provider: 'groq', pricing: { input: 1, output: 5 }, throughput: 500 },
              { provider: 'together', pricing: { input: 1, output: 2 }, throughput: 100 },
            ],
          },
        ],
      },
      known,
    )
    const at = (config: unknown) =>
      world(['groq', 'together'], config, { heard: (id) => catalogue.get(id) })
    const order = (suffix: string, config = {}) =>
      explain(`openai/gpt-oss-120b:${suffix}`, at(config)).candidates
    expect(order('cheapest')).toEqual(['together', 'groq'])
    expect(order('fastest')).toEqual(['groq', 'together'])
    const pricing = { 'openai/gpt-oss-120b': { input: 0, output: 1 } }
    expect(order('cheapest', { providers: { groq: { pricing } } })).toEqual(['groq', 'together'])
  })

  it('lists all that the router told of at the router, and at others what they have', () => {
    const answer = {
      data: [
        {
          id: kimi,
          architecture: { input_modalities: ['text', 'image'], output_modalities: ['text'] },
          providers: [{ provider: 'novita', context_length: 262_144 }],
        },
      ],
    }
    const catalogue = readCatalogue(answer, known)
    const heard = { heard: (id: string) => catalogue.get(id), heardIds: () => catalogue.keys() }
    const listed = (keys: string[], more = {}) =>
      listModels(world(keys, {}, { ...heard, ...more })).find(({ id }) => id === kimi)
    expect(listed(['hf', 'novita'])).toMatchObject({
      architecture: { input_modalities: ['text', 'image'] },
      providers: [{ provider: 'hf' }],
    })
    expect(listed(['novita'])).toBeUndefined()
    expect(listed(['hf', 'groq'], { pathPin: 'groq' })).toBeUndefined()
  })

  it('answered, gives candidates their ids there, and the model its places', () => {
    const mapped = () => new Map([['novita', 'moonshotai/kimi-k3']])
    const at = world(['novita', 'groq'], {}, { mapped })
    expect(explain(kimi, at).considered.filter(({ candidate }) => candidate)).toMatchObject([
      { name: 'novita', model: 'moonshotai/kimi-k3' },
    ])
    const listed = listModels(at, kimi).find(({ id }) => id === kimi)
    expect(listed).toMatchObject({ owned_by: 'moonshotai', providers: [{ provider: 'novita' }] })
    expect(listModels(at).some(({ id }) => id === kimi)).toBe(false)
  })
})
