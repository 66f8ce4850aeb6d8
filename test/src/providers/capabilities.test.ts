import { expect, it } from 'vitest'
import { parseConfig } from '../../../src/config/index.ts'
import { capabilitiesOf } from '../../../src/providers/capabilities.ts'

function acme(more: unknown) {
  const providers = { acme: { baseUrl: 'https://acme.example/v1', ...(more as object) } }
  const provider = parseConfig(JSON.stringify({ providers }), 'x').providers.get('acme')
  if (!provider) throw new Error('no acme')
  return provider
}

it("takes a model's own entry over that of every model", () => {
  const provider = acme({
    capabilities: {
      '*': { tools: true, inputModalities: ['text'], contextLength: 8192 },
      'a/b': { tools: false },
    },
    pricing: { '*': { input: 1, output: 2 }, 'a/b': { input: 3, output: 4 } },
  })
  expect(capabilitiesOf(provider, 'a/b')).toEqual({
    tools: false,
    inputModalities: ['text'],
    contextLength: 8192,
    price: { input: 3, output: 4 },
  })
  expect(capabilitiesOf(provider, 'c/d')).toMatchObject({
    tools: true,
    price: { input: 1, output: 2 },
  })
})

it('knows nothing where nothing was said, whatever the id', () => {
  for (const id of ['a/b', 'constructor', 'toString']) {
    expect(capabilitiesOf(acme({}), id)).toEqual({})
  }
})

it('refuses a capability that does not exist', () => {
  expect(() => acme({ capabilities: { 'a/b': { vision: true } } })).toThrow(
    /providers\.acme\.capabilities\["a\/b"\]\.vision/,
  )
})
