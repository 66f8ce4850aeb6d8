import { describe, expect, it } from 'vitest'
import { parseConfig } from '../../../src/config/index.ts'
import { explain } from '../../../src/routing/explain.ts'
import { HubModels } from '../../../src/routing/hub-models.ts'
import { Observations } from '../../../src/routing/observations.ts'
import type { Wanted } from '../../../src/routing/wanted.ts'
import type { World } from '../../../src/routing/world.ts'

const gptOss = 'openai/gpt-oss-120b'
const config = parseConfig(undefined, 'test')

/** A world that counts how often it is searched; `keys` are the providers that have one. */
function counted(more: Partial<World> = {}, keys = ['groq', 'cerebras']) {
  const world: World & { searches: number } = {
    searches: 0,
    config,
    obstacle: (provider) => {
      if (provider.name === 'groq') world.searches++
      return keys.includes(provider.name) ? undefined : 'has no key'
    },
    nodes: [],
    now: 1_000_000,
    same: {},
    ...more,
  }
  return world
}

/** How many searches two such questions take. */
function searchesOf(world: ReturnType<typeof counted>, wanted?: Wanted, model = gptOss): number {
  const first = explain(model, world, wanted)
  const { searches } = world
  expect(searches).toBeGreaterThan(0)
  expect(explain(model, world, wanted)).toEqual(first)
  return world.searches / searches
}

describe('a decision', () => {
  it('is found once for a model in a world, and is the one that is found without a memory', () => {
    expect(searchesOf(counted())).toBe(1)
    expect(searchesOf(counted({ same: undefined }))).toBe(2)
    const world = counted()
    explain(gptOss, world)
    expect(explain(gptOss, world)).toEqual(explain(gptOss, counted({ same: undefined })))
  })

  it('is shared by all who live in the same world', () => {
    const same = {}
    expect(explain(gptOss, counted({ same })).candidates).toEqual(['cerebras', 'groq'])
    const other = counted({ same })
    expect(explain(gptOss, other).candidates).toEqual(['cerebras', 'groq'])
    expect(other.searches).toBe(0)
  })

  it('is found anew in another world, for another model, and for other needs', () => {
    const same = {}
    const world = counted({ same })
    explain(gptOss, world)
    const { searches } = world
    expect(explain(gptOss, counted({ same: {} }, ['groq'])).candidates).toEqual(['groq'])
    expect(explain(`${gptOss}:groq`, world).candidates).toEqual(['groq'])
    for (const wanted of [{ tools: true }, { structuredOutput: true }]) {
      explain(gptOss, world, wanted)
    }
    expect(world.searches).toBeGreaterThanOrEqual(searches * 3)
  })

  it('is not kept where it hangs on what a request says, on its parts or on speeds', () => {
    const part = { modality: 'image', type: 'input_image', path: 'input' }
    const preferences = {
      order: ['groq'],
      orderParam: 'provider.order',
      only: undefined,
      ignore: [],
      allowFallbacks: true,
      sort: undefined,
      maxPrice: undefined,
      requireParameters: false,
      models: [],
    }
    expect(searchesOf(counted(), { preferences })).toBe(2)
    expect(searchesOf(counted(), { parts: [part] })).toBe(2)
    for (const policy of ['fastest', 'cheapest']) {
      expect(searchesOf(counted(), undefined, `${gptOss}:${policy}`)).toBe(2)
    }
  })

  it('is not kept where nobody may answer', () => {
    const same = {}
    expect(explain(gptOss, counted({ same }, [])).error?.code).toBe('model_not_found')
    expect(explain(gptOss, counted({ same })).candidates).toEqual(['cerebras', 'groq'])
  })

  it('is told with the health that its places have now', () => {
    const observations = new Observations()
    const world = counted({ observations })
    const [first = '', second = ''] = explain(gptOss, world).candidates
    const place = explain(gptOss, world).considered.find(({ name }) => name === first)
    if (place === undefined) throw new Error('It was not considered.')
    observations.limited(place, 60, world.now)
    expect(explain(gptOss, world).candidates).toEqual([second, first])
    expect(explain(gptOss, { ...world, now: world.now + 61_000 }).candidates[0]).toBe(first)
  })

  it('is found anew once the hub or its router has said more', () => {
    const hub = new HubModels()
    const model = 'moonshotai/Kimi-K3'
    const now = () =>
      explain(
        model,
        counted({
          mapped: (id) => hub.places(id),
          heard: (id) => hub.catalogue(id),
          same: hub.said,
        }),
        { tools: true },
      )
    hub.learned(model, new Map([['groq', 'kimi']]), 1)
    expect(now().candidates).toEqual(['groq'])
    const places = [
      ['groq', 'kimi'],
      ['cerebras', 'k3'],
    ] as const
    hub.learned(model, new Map(places), 2)
    expect(now().candidates).toEqual(['cerebras', 'groq'])
    hub.learnedCatalogue('prices', new Map([[model, new Map([['groq', { tools: false }]])]]), 3)
    expect(now().candidates).toEqual(['cerebras'])
  })

  it('is forgotten when many others were kept since', () => {
    const world = counted()
    explain(gptOss, world)
    const ask = (at: number) => explain(`${gptOss}-${at}:groq`, world)
    for (let at = 0; at < 600; at++) ask(at)
    const { searches } = world
    explain(gptOss, world)
    expect(world.searches).toBeGreaterThan(searches)
  })
})
