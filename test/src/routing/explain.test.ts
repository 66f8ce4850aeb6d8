import { describe, expect, it } from 'vitest'
import { parseConfig } from '../../../src/config/index.ts'
import { listModels } from '../../../src/routing/catalogue.ts'
import { explain, explainInFull } from '../../../src/routing/explain.ts'
import { findParts } from '../../../src/routing/modalities.ts'
import { Observations } from '../../../src/routing/observations.ts'
import { planRequest } from '../../../src/routing/plan.ts'
import type { NodeWithModels, World } from '../../../src/routing/world.ts'

const gptOss = 'openai/gpt-oss-120b'

function node(
  name: string,
  ids: string[],
  more: Partial<NodeWithModels['models'][number]> = {},
): NodeWithModels {
  return {
    name,
    models: ids.map((id) => ({
      id,
      dialects: ['responses', 'chat'],
      input_modalities: ['text'],
      ...more,
    })),
  }
}

interface Setting {
  config?: unknown
  keys?: string[]
  nodes?: NodeWithModels[]
  recentNodes?: NodeWithModels[]
  pathPin?: string
  observations?: Observations
}

function world({ config, keys = [], nodes = [], ...rest }: Setting): World {
  return {
    config: parseConfig(config === undefined ? undefined : JSON.stringify(config), 'test'),
    obstacle: (provider) =>
      provider.keyOptional || keys.includes(provider.name)
        ? undefined
        : `has no key: ${provider.apiKeyEnv} is not set`,
    nodes,
    now: 1_000_000,
    ...rest,
  }
}

const place = (name: string, model: string) => ({ kind: 'provider', name, model }) as const
const order = (model: string, setting: Setting) => explain(model, world(setting)).candidates
const failure = (model: string, setting: Setting) => explain(model, world(setting)).error

describe('a place with nobody behind it', () => {
  const reason = (setting: Setting) =>
    explainInFull(gptOss, world(setting)).considered.find(({ candidate }) => candidate)?.reason

  it('has long for an answer that is not streamed, and it is said', () => {
    expect(reason({ keys: ['groq'] })).toContain('has 600 s for an answer that is not streamed')
    const timeouts = { headersMs: 20_000 }
    const config = { providers: { groq: { timeouts } } }
    expect(reason({ keys: ['groq'], config })).toContain('has 20 s')
  })

  it('is nothing to tell of where it is asked to stream, or is not alone', () => {
    const config = { providers: { groq: { streamWhole: true } } }
    expect(reason({ keys: ['groq'], config })).not.toContain('streamed')
    expect(reason({ keys: ['groq', 'together'] })).not.toContain('streamed')
    expect(reason({ nodes: [node('rack1', [gptOss])] })).not.toContain('streamed')
  })
})

describe('candidates', () => {
  it('are own nodes first, then providers with a key in config order', () => {
    const setting = { keys: ['groq', 'together', 'cerebras'], nodes: [node('rack1', [gptOss])] }
    expect(order(gptOss, setting)).toEqual(['self', 'cerebras', 'groq', 'together'])
    expect(order(gptOss, { ...setting, config: { providers: { together: {} } } })).toEqual([
      'self',
      'together',
      'cerebras',
      'groq',
    ])
  })

  it('are one place when pinned', () => {
    const setting = {
      keys: ['groq', 'together'],
      nodes: [node('rack1', [gptOss]), node('rack2', [gptOss])],
    }
    expect(order(`${gptOss}:groq`, setting)).toEqual(['groq'])
    expect(order(`${gptOss}:rack2`, setting)).toEqual(['rack2'])
    expect(order(`${gptOss}:self`, setting)).toEqual(['self'])
  })

  it('carry the id that the provider knows', () => {
    const [candidate] = planRequest(
      { model: `${gptOss}:fireworks-ai`, request: { model: '', input: 'hi' } },
      world({ keys: ['fireworks-ai'] }),
    )
    expect(candidate).toMatchObject({
      kind: 'provider',
      name: 'fireworks-ai',
      model: 'accounts/fireworks/models/gpt-oss-120b',
      lostCode: 'upstream_error',
    })
  })

  it('follow `routes` and nothing else', () => {
    const config = {
      providers: { acme: { baseUrl: 'http://127.0.0.1:1' } },
      routes: { [gptOss]: ['together', 'rack1', 'acme'] },
    }
    const setting = { config, keys: ['groq', 'together'], nodes: [node('rack1', [gptOss])] }
    expect(order(gptOss, setting)).toEqual(['together', 'rack1', 'acme'])
  })

  it('that a route names and that cannot answer are told with their reasons', () => {
    const providers = { acme: { baseUrl: 'http://127.0.0.1:1', models: { other: 'other' } } }
    const unlisted = { config: { providers, routes: { 'r/x': ['acme', 'groq'] } } }
    const error = failure('r/x', unlisted)
    expect(error).toMatchObject({ code: 'model_not_found', param: 'model' })
    expect(error?.message).toContain("acme does not list 'r/x' (providers.acme.models); groq ")
    // It is there in the config: its node is to come back.
    const away = { config: { routes: { 'r/x': ['rack1'] } } }
    for (const model of ['r/x', 'r/x:cheapest']) {
      expect(failure(model, away)).toMatchObject({ code: 'no_capacity', retryAfter: 1 })
    }
    expect(failure('r/x:groq', away)?.code).toBe('provider_not_configured')
  })

  it('are ranked by price for :cheapest, own nodes being free', () => {
    const config = {
      providers: {
        groq: { pricing: { [gptOss]: { input: 0.15, output: 0.75 } } },
        together: { pricing: { [gptOss]: { input: 0.15, output: 0.6 } } },
      },
    }
    const setting = { config, keys: ['groq', 'together', 'cerebras'] }
    expect(order(`${gptOss}:cheapest`, setting)).toEqual(['together', 'groq', 'cerebras'])
    expect(order(gptOss, { ...setting, config: { ...config, policy: 'cheapest' } })).toEqual([
      'together',
      'groq',
      'cerebras',
    ])
    const nodes = [node('rack1', [gptOss])]
    expect(order(`${gptOss}:cheapest`, { ...setting, nodes })[0]).toBe('self')
  })

  it('are ranked by observed speed for :fastest, the unmeasured first', () => {
    const observations = new Observations()
    observations.spoke(place('cerebras', 'gpt-oss-120b'), 900, 1_000_000)
    observations.spoke(place('groq', gptOss), 40, 1_000_000)
    const setting = { keys: ['cerebras', 'groq', 'together'], observations }
    expect(order(`${gptOss}:fastest`, setting)).toEqual(['together', 'groq', 'cerebras'])
    // Slow to begin, and then much faster: what counts is when a typical answer is complete.
    observations.generated(place('groq', gptOss), 100, 2000, 1_000_000)
    observations.generated(place('cerebras', 'gpt-oss-120b'), 1000, 500, 1_000_000)
    expect(order(`${gptOss}:fastest`, setting)).toEqual(['together', 'cerebras', 'groq'])
    const later = { ...world(setting), now: 1_700_000 }
    expect(explain(`${gptOss}:fastest`, later).considered[0]?.reason).toContain('not measured yet')
  })

  it('start from the speed that the config knows', () => {
    const config = {
      providers: {
        groq: { capabilities: { [gptOss]: { tokensPerSecond: 400, firstTokenMs: 300 } } },
        together: { capabilities: { '*': { tokensPerSecond: 900, firstTokenMs: 300 } } },
      },
    }
    const setting = { config, keys: ['groq', 'together'] }
    expect(order(`${gptOss}:fastest`, setting)).toEqual(['together', 'groq'])
  })

  it('that failed five times within 30 s come last, but for a trial every four seconds', () => {
    const observations = new Observations()
    const cerebras = place('cerebras', 'gpt-oss-120b')
    const setting = { keys: ['cerebras', 'groq'], observations }
    const at = (now: number) => explain(gptOss, { ...world(setting), now }).candidates[0]
    const fail = (now: number) => observations.failed(cerebras, now, undefined, now)
    for (let count = 0; count < 4; count++) fail(1000)
    expect(at(1000)).toBe('cerebras')
    fail(2000)
    expect(at(2000)).toBe('groq')
    expect(at(5999)).toBe('groq')
    expect(at(6000)).toBe('cerebras')
    observations.began(cerebras, 6000)
    expect(at(6001)).toBe('groq')
    observations.spoke(cerebras, 500, 6500)
    expect(at(6501)).toBe('groq')
    expect(at(7500)).toBe('cerebras')
    observations.answered(cerebras, 6000)
    expect(at(6502)).toBe('cerebras')
    // Five failures beside many answers are a busy place and no outage.
    for (let count = 0; count < 9; count++) {
      fail(7000 + count)
      observations.answered(cerebras, 7000 + count)
    }
    expect(at(7100)).toBe('cerebras')
  })

  it('that asked to be left alone come last until then', () => {
    const observations = new Observations()
    observations.limited(place('cerebras', 'gpt-oss-120b'), 5, 1_000_000)
    const setting = { keys: ['cerebras', 'groq'], observations }
    expect(order(gptOss, setting)).toEqual(['groq', 'cerebras'])
    expect(explain(gptOss, { ...world(setting), now: 1_005_000 }).candidates[0]).toBe('cerebras')
  })

  it('take any id where the config says so, and any id of a custom provider that is named', () => {
    const config = {
      providers: {
        acme: { baseUrl: 'http://127.0.0.1:1' },
        zoo: { baseUrl: 'http://127.0.0.1:2', models: '*' },
      },
    }
    expect(order('foo/bar', { config })).toEqual(['zoo'])
    expect(order('foo/bar:acme', { config })).toEqual(['acme'])
    expect(order('foo/bar:baz:hf', { keys: ['hf'] })).toEqual(['hf'])
    expect(order('foo/bar:groq', { keys: ['groq'] })).toEqual(['groq'])
  })

  it('under a path keep to its provider, whose own ids are valid there', () => {
    const setting = { keys: ['cerebras', 'groq'], pathPin: 'cerebras' }
    expect(order(gptOss, setting)).toEqual(['cerebras'])
    expect(order('gpt-oss-120b', setting)).toEqual(['cerebras'])
    expect(order(`${gptOss}:cerebras`, setting)).toEqual(['cerebras'])
    expect(failure(`${gptOss}:groq`, setting)).toMatchObject({ code: 'invalid_value', status: 400 })
    expect(failure(gptOss, { pathPin: 'nowhere' })).toMatchObject({ code: 'provider_not_found' })
  })
})

describe('no candidate', () => {
  it('is 404 for a model that nobody lists', () => {
    expect(failure('no/such', { keys: ['groq'] })).toMatchObject({
      code: 'model_not_found',
      status: 404,
      param: 'model',
    })
  })

  it('is 503 for a pinned provider without its key, and says which', () => {
    expect(failure(`${gptOss}:groq`, {})).toMatchObject({
      code: 'provider_not_configured',
      status: 503,
      message: expect.stringContaining('GROQ_API_KEY'),
    })
  })

  it('is 404 when no provider that lists the model has a key, and explain says why', () => {
    const told = explain(gptOss, world({}))
    expect(told.error).toMatchObject({ code: 'model_not_found' })
    expect(told.considered.find((place) => place.name === 'groq')).toMatchObject({
      candidate: false,
      reason: 'has no key: GROQ_API_KEY is not set',
    })
  })

  it('is 400 for an unknown suffix', () => {
    expect(failure(`${gptOss}:nowhere`, { keys: ['groq'] })).toMatchObject({
      code: 'provider_not_found',
      status: 400,
    })
  })

  it('is 503 with Retry-After while a node that served the model is away', () => {
    const recentNodes = [node('demo', ['switchyard/demo'])]
    for (const model of ['switchyard/demo', 'switchyard/demo:self', 'switchyard/demo:demo']) {
      expect(failure(model, { recentNodes })).toMatchObject({
        code: 'no_capacity',
        status: 503,
        retryAfter: 1,
      })
    }
  })

  it('is 400 with the path of the part that a text model cannot take', () => {
    const image = { type: 'input_image', image_url: 'data:,' } as const
    const input = [
      { role: 'user' as const, content: [{ type: 'input_text' as const, text: 'see' }, image] },
    ]
    const parts = findParts({ input })
    const nodes = [node('demo', ['switchyard/demo'])]
    expect(explain('switchyard/demo', world({ nodes }), { parts }).error).toMatchObject({
      code: 'unsupported_content',
      status: 400,
      param: 'input[0].content[1]',
    })
    // A provider, and a node that says that it sees, get the part.
    const config = { providers: { acme: { baseUrl: 'http://127.0.0.1:1', models: '*' } } }
    expect(explain('switchyard/demo', world({ nodes, config }), { parts }).candidates).toEqual([
      'acme',
    ])
    const seeing = node('eye', ['switchyard/demo'], { input_modalities: ['text', 'image'] })
    expect(
      explain('switchyard/demo', world({ nodes: [...nodes, seeing] }), { parts }).candidates,
    ).toEqual(['eye'])
  })
})

describe('a provider without a key behind a router with one', () => {
  it('is asked through it when it is named', () => {
    const told = explain(`${gptOss}:groq`, world({ keys: ['hf'] }))
    expect(told.candidates).toEqual(['hf'])
    expect(told.considered).toMatchObject([{ model: `${gptOss}:groq`, candidate: true }])
    expect(order(gptOss, { keys: ['hf'], pathPin: 'groq' })).toEqual(['hf'])
  })

  it('is asked itself when it has a key, and not at all by a route or through a stranger', () => {
    expect(order(`${gptOss}:groq`, { keys: ['hf', 'groq'] })).toEqual(['groq'])
    expect(
      order(gptOss, { keys: ['hf'], config: { routes: { [gptOss]: ['groq', 'hf'] } } }),
    ).toEqual(['hf'])
    expect(failure('x/y:openai', { keys: ['hf'] })).toMatchObject({
      code: 'provider_not_configured',
    })
  })
})

describe('listModels', () => {
  it('tells what is known of a model at each place, and what was measured', () => {
    const observations = new Observations()
    const place = { kind: 'provider', name: 'acme', model: 'b' } as const
    observations.spoke(place, 123.4, 1_000_000)
    observations.generated(place, 100, 987, 1_000_000)
    const acme = {
      baseUrl: 'http://127.0.0.1:1',
      models: { 'a/b': 'b', 'a/c:7b': 'c' },
      capabilities: {
        '*': { contextLength: 8192 },
        'a/b': { tools: true, structuredOutput: false, inputModalities: ['text', 'image'] },
      },
      pricing: { 'a/b': { input: 0.1, output: 0.4 } },
    }
    const models = listModels(world({ config: { providers: { acme } }, observations }))
    expect(models).toEqual([
      {
        id: 'a/b',
        object: 'model',
        created: 0,
        owned_by: 'a',
        architecture: { input_modalities: ['text', 'image'], output_modalities: ['text'] },
        providers: [
          {
            provider: 'acme',
            status: 'live',
            context_length: 8192,
            pricing: { input: 0.1, output: 0.4 },
            supports_tools: true,
            supports_structured_output: false,
            first_token_latency_ms: 123,
            throughput: 101.3,
          },
        ],
      },
      {
        id: 'a/c:7b',
        object: 'model',
        created: 0,
        owned_by: 'a',
        providers: [{ provider: 'acme', status: 'live', context_length: 8192 }],
      },
    ])
  })

  it('says of a place that failed again and again that it is in error', () => {
    const observations = new Observations()
    const acme = { baseUrl: 'http://127.0.0.1:1', models: { 'a/b': 'b' } }
    for (let count = 0; count < 5; count++)
      observations.failed(
        { kind: 'provider', name: 'acme', model: 'b' },
        1_000_000,
        undefined,
        1_000_000,
      )
    const models = listModels(world({ config: { providers: { acme } }, observations }))
    expect(models[0]?.providers).toMatchObject([{ status: 'error' }])
  })

  it('refuses a path that names no place', () => {
    expect(() => listModels(world({ nodes: [node('box', ['a/b'])], pathPin: 'nope' }))).toThrow(
      expect.objectContaining({ code: 'provider_not_found', status: 400 }),
    )
    expect(listModels(world({ nodes: [node('box', ['a/b'])], pathPin: 'box' }))).toHaveLength(1)
  })

  it('lists own nodes and configured providers, and no provider without a key', () => {
    const nodes = [node('demo', ['switchyard/demo']), node('rack1', [gptOss])]
    const models = listModels(world({ nodes, keys: ['groq'] }))
    expect(models.map((model) => model.id)).toEqual([
      gptOss,
      'openai/gpt-oss-20b',
      'switchyard/demo',
    ])
    expect(models[0]?.providers.map((place) => place.provider)).toEqual(['rack1', 'groq'])
    expect(models[2]).toMatchObject({
      object: 'model',
      owned_by: 'switchyard',
      architecture: { input_modalities: ['text'], output_modalities: ['text'] },
      providers: [{ provider: 'demo', status: 'live' }],
    })
  })
})
