// The contract of test/contract/provider.ts over every built-in provider and a custom one, each in its own wire layout.
import { readdirSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { providers } from '../../src/providers/index.ts'
import { providerContract } from '../contract/provider.ts'
import { startGateway, type TestGateway } from './harness.ts'
import { startUpstream, type TestUpstream } from './upstream.ts'

const gptOss = 'openai/gpt-oss-120b'
let upstream: TestUpstream
let gateway: TestGateway

beforeAll(async () => {
  upstream = await startUpstream()
  const names = [...Object.keys(providers), 'custom']
  const at = (name: string) => ({ baseUrl: `${upstream.origin}/${name}/v1` })
  gateway = await startGateway({
    config: { providers: Object.fromEntries(names.map((name) => [name, at(name)])) },
    bindings: Object.fromEntries(
      Object.values(providers).map((provider) => [provider.apiKeyEnv, `key-of-${provider.name}`]),
    ),
  })
})

afterAll(async () => {
  await gateway.stop()
  await upstream.stop()
})

for (const provider of Object.values(providers)) {
  providerContract(
    {
      name: provider.name,
      folder: provider.name,
      model: `${gptOss}:${provider.name}`,
      idThere: provider.models[gptOss] ?? '',
    },
    () => ({ gateway, upstream }),
  )
}
providerContract(
  {
    name: 'custom',
    folder: 'openai-compatible',
    model: 'any/model:custom',
    idThere: 'any/model',
    callsFinish: 'stop',
  },
  () => ({ gateway, upstream }),
)

describe('fixtures', () => {
  const root = new URL('../fixtures/', import.meta.url)
  const folders = [...Object.keys(providers), 'openai-compatible']

  it.each(folders)('%s: every file says where it comes from', (folder) => {
    const sources = JSON.parse(
      readFileSync(new URL(`${folder}/sources.json`, root), 'utf8'),
    ) as Record<string, { origin: string; url: string; note: string }>
    const files = readdirSync(new URL(folder, root)).filter((file) => file !== 'sources.json')
    expect(Object.keys(sources).sort()).toEqual(files.sort())
    for (const { origin, url } of Object.values(sources)) {
      expect(['recorded', 'documented', 'assumed']).toContain(origin)
      expect(url).toMatch(/^https:\/\//)
    }
  })
})
