// What a request says about who may answer: read, checked by name, and obeyed.
import { describe, expect, it } from 'vitest'
import { parseConfig } from '../../../src/config/index.ts'
import { explain } from '../../../src/routing/explain.ts'
import { planRequest } from '../../../src/routing/plan.ts'
import { readPreferences, withModel } from '../../../src/routing/preferences.ts'
import { RetryBudget } from '../../../src/routing/retry-budget.ts'
import type { World } from '../../../src/routing/world.ts'

const model = 'acme/large'
const other = 'acme/small'
const at = (port: number) => ({ baseUrl: `http://127.0.0.1:${port}`, models: { [model]: 'l' } })
const config = {
  providers: {
    one: { ...at(1), pricing: { [model]: { input: 1, output: 4 } } },
    two: {
      ...at(2),
      pricing: { [model]: { input: 1, output: 2 } },
      capabilities: { '*': { tools: false, tokensPerSecond: 50, firstTokenMs: 100 } },
    },
    three: {
      ...at(3),
      models: { [model]: 'l', [other]: 's' },
      capabilities: {
        [model]: { structuredOutput: false, tokensPerSecond: 500, firstTokenMs: 400 },
      },
    },
  },
}
const rack = { name: 'rack1', models: [{ id: model, dialects: ['chat'] }] }

function world(more: Partial<World> = {}): World {
  const parsed = parseConfig(JSON.stringify(config), 'test')
  const named = new Map([...parsed.providers].filter(([name]) => name in config.providers))
  return {
    config: { ...parsed, providers: named },
    obstacle: () => undefined,
    nodes: [],
    now: 0,
    ...more,
  }
}

const request = (more: object) => ({ model, input: 'hi', ...more })
const names = (more: object, header: string | null = null, within = world()) => {
  const preferences = readPreferences(request(more), header)
  return planRequest({ model, request: request(more), preferences }, within).map(({ name }) => name)
}
const provider = (value: object) => names({ provider: value })

describe('the provider object', () => {
  it('orders, picks and leaves out places', () => {
    expect(names({})).toEqual(['one', 'two', 'three'])
    expect(provider({ order: ['three'] })).toEqual(['three', 'one', 'two'])
    expect(provider({ order: ['three', 'one'], allow_fallbacks: false })).toEqual(['three', 'one'])
    expect(provider({ allow_fallbacks: false })).toEqual(['one'])
    expect(provider({ only: ['two', 'three'] })).toEqual(['two', 'three'])
    expect(provider({ ignore: ['one'] })).toEqual(['two', 'three'])
    expect(names({}, 'three, two')).toEqual(['three', 'two', 'one'])
  })

  it('sorts by price, throughput and latency', () => {
    expect(provider({ sort: 'price' })).toEqual(['two', 'one', 'three'])
    // What was never measured comes first.
    expect(provider({ sort: 'throughput' })).toEqual(['one', 'three', 'two'])
    expect(provider({ sort: 'latency' })).toEqual(['one', 'two', 'three'])
  })

  it('keeps to a price, whose absence is no bargain', () => {
    expect(provider({ max_price: { completion: 3 } })).toEqual(['two'])
    expect(provider({ max_price: { prompt: 1, completion: 4 } })).toEqual(['one', 'two'])
  })

  it('means own nodes by `self` or by name', () => {
    const within = world({ nodes: [rack, { ...rack, name: 'rack2' }] })
    expect(names({}, null, within)[0]).toBe('self')
    expect(names({ provider: { only: ['self'] } }, null, within)).toEqual(['self'])
    expect(names({ provider: { ignore: ['self'] } }, null, within)[0]).toBe('one')
    expect(names({ provider: { order: ['one', 'rack2'] } }, null, within)).toEqual([
      'one',
      'rack2',
      'rack1',
      'two',
      'three',
    ])
    expect(names({ provider: { max_price: { completion: 0 } } }, null, within)).toEqual(['self'])
  })

  it.each([
    [{ provider: { order: ['one', 'nobody'] } }, 'provider.order[1]', 'provider_not_found'],
    [{ provider: { only: ['nobody'] } }, 'provider.only[0]', 'provider_not_found'],
    [{ provider: { sort: 'luck' } }, 'provider.sort', 'invalid_value'],
    [{ provider: { order: 'one' } }, 'provider.order', 'invalid_value'],
    [{ provider: { order: [1] } }, 'provider.order[0]', 'invalid_value'],
    [{ provider: { max_price: { prompt: -1 } } }, 'provider.max_price.prompt', 'invalid_value'],
    [
      { provider: { data_collection: 'deny' } },
      'provider.data_collection',
      'unsupported_parameter',
    ],
    [{ provider: 'one' }, 'provider', 'invalid_value'],
    [{ models: [] }, 'models', 'invalid_value'],
    [{ models: [model, 7] }, 'models[1]', 'invalid_value'],
    [{ models: [`${other}:nobody`] }, 'models[0]', 'provider_not_found'],
  ])('refuses %j by its path', (more, param, code) => {
    expect(() => names(more)).toThrow(expect.objectContaining({ status: 400, param, code }))
  })

  it('refuses a header that names nobody known', () => {
    expect(() => names({}, 'one, nobody')).toThrow(
      expect.objectContaining({ status: 400, param: 'x-switchyard-order[1]' }),
    )
    expect(() => names({}, ' , ')).toThrow(expect.objectContaining({ code: 'invalid_value' }))
  })
})

describe('a request that nobody is left for', () => {
  it.each([
    [{ only: ['two'], ignore: ['two'] }, 'two is in provider.ignore'],
    [{ only: [] }, 'one is not in provider.only'],
    [{ max_price: { completion: 1 } }, 'three has no known price'],
  ])('says why: %j', (value, why) => {
    expect(() => provider(value)).toThrow(
      expect.objectContaining({
        code: 'model_not_found',
        param: 'provider',
        message: expect.stringContaining(why),
      }),
    )
  })

  it('is none where no price is said', () => {
    expect(provider({ max_price: {} })).toEqual(['one', 'two', 'three'])
    expect(provider({ max_price: { prompt: null } })).toEqual(['one', 'two', 'three'])
  })
})

describe('models', () => {
  it('fall back in their order, behind the first, each once', () => {
    const preferences = readPreferences(request({ models: [model, other] }), null)
    const planned = planRequest({ model, request: request({}), preferences }, world())
    expect(planned.map(({ name, model: there, publicId }) => [name, there, publicId])).toEqual([
      ['one', 'l', model],
      ['two', 'l', model],
      ['three', 'l', model],
      ['three', 's', other],
    ])
  })

  it('lead to each place once, however its name is spelt', () => {
    const preferences = readPreferences(
      request({ models: [`${model}:two`, model, `${model}:cheapest`] }),
      null,
    )
    const planned = planRequest(
      { model: `${model}:two`, request: request({}), preferences },
      world(),
    )
    expect(planned.map(({ name }) => name)).toEqual(['two', 'one', 'three'])
  })

  it('may stand alone, and may hold one that nobody serves', () => {
    expect(withModel({ models: [other, model] })).toMatchObject({ model: other })
    expect(withModel({ model, models: [other] })).toEqual({ model, models: [other] })
    const preferences = readPreferences(request({ models: ['no/such', other] }), null)
    const planned = planRequest({ model: 'no/such', request: request({}), preferences }, world())
    expect(planned.map(({ publicId }) => publicId)).toEqual([other])
    const nothing = readPreferences(request({ models: ['no/such'] }), null)
    const plan = () =>
      planRequest({ model: 'no/one', request: request({}), preferences: nothing }, world())
    expect(plan).toThrow(expect.objectContaining({ code: 'model_not_found' }))
  })
})

describe('what is known to fail', () => {
  it('is not sent there while another place remains', () => {
    expect(explain(model, world(), { tools: true }).candidates).toEqual(['one', 'three'])
    expect(explain(model, world(), { structuredOutput: true }).candidates).toEqual(['one', 'two'])
    const told = explain(model, world(), { tools: true }).considered
    expect(told.find(({ name }) => name === 'two')?.reason).toBe('is known to fail with tools')
    // Its owner pinned it, and may know better.
    expect(explain(`${model}:two`, world(), { tools: true }).candidates).toEqual(['two'])
  })

  it('counts for own nodes as well', () => {
    const toolless = { ...rack, models: [{ ...rack.models[0]!, supports_tools: false }] }
    const within = world({ nodes: [toolless] })
    expect(explain(model, within).candidates[0]).toBe('self')
    expect(explain(model, within, { tools: true }).candidates).toEqual(['one', 'three'])
  })
})

describe('the retry budget', () => {
  it('has a floor that grows back, and a tenth of the calls above it', () => {
    const budget = new RetryBudget()
    const take = (now: number) => [1, 2, 3, 4].map(() => budget.take(now)).filter(Boolean).length
    expect(take(0)).toBe(3)
    expect(take(1)).toBe(0)
    expect(take(20_000)).toBe(3)
    for (let count = 0; count < 40; count++) budget.called()
    expect(take(20_000)).toBe(4)
    for (let count = 0; count < 10_000; count++) budget.called()
    expect([1, 2, 3].map(() => take(20_000))).toEqual([4, 4, 2])
  })
})
