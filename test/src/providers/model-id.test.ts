import { describe, expect, it } from 'vitest'
import { endpointOf } from '../../../src/providers/endpoint.ts'
import { providers } from '../../../src/providers/index.ts'
import { idAt } from '../../../src/providers/model-id.ts'
import type { Provider } from '../../../src/providers/provider.ts'

const nothing = { named: false, ownIds: false, mapped: undefined }

describe('idAt', () => {
  const { groq, cerebras, hf, openai } = providers

  it('takes the list before the hub, and the hub before the id as it is', () => {
    const asked = { named: true, ownIds: false, mapped: 'mapped' }
    expect(idAt(cerebras, 'openai/gpt-oss-120b', asked)).toBe('gpt-oss-120b')
    expect(idAt(cerebras, 'a/b', asked)).toBe('mapped')
    expect(idAt(cerebras, 'a/b', { ...asked, mapped: undefined })).toBe('a/b')
  })

  it('hands an unknown id only to a provider that is named, or that takes any', () => {
    expect(idAt(groq, 'a/b', nothing)).toBeUndefined()
    expect(idAt(groq, 'a/b', { ...nothing, named: true })).toBe('a/b')
    expect(idAt(hf, 'a/b', nothing)).toBe('a/b')
    expect(idAt(groq, 'constructor', nothing)).toBeUndefined()
  })

  it("knows a provider's own ids under its own path", () => {
    expect(idAt(cerebras, 'gpt-oss-120b', nothing)).toBeUndefined()
    expect(idAt(cerebras, 'gpt-oss-120b', { ...nothing, ownIds: true })).toBe('gpt-oss-120b')
  })

  it('leaves the owner off where the owner is the provider', () => {
    expect(idAt(openai, 'openai/gpt-4.1', { ...nothing, named: true })).toBe('gpt-4.1')
    expect(idAt(openai, 'gpt-4.1', { ...nothing, named: true })).toBe('gpt-4.1')
  })
})

describe('the built-in providers', () => {
  const all: Provider[] = Object.values(providers)
  const names = Object.keys(providers)

  it.each(all.map((provider) => [provider.name, provider] as const))('%s', (name, provider) => {
    expect(names).toContain(name)
    expect(provider.docs).toMatch(/^https:\/\//)
    expect(provider.baseUrl).toMatch(/^https:\/\/[^/]+\/.*[^/]$/)
    expect(provider.keyOptional).toBe(false)
    expect(provider.apiKeyEnv).toMatch(/^[A-Z0-9_]+_(API_KEY|TOKEN)$/)
    for (const model of [...Object.keys(provider.models), 'org/name']) {
      const endpoint = endpointOf(provider, 'chat', provider.models[model] ?? model)
      expect(new URL(endpoint).origin).toBe(new URL(provider.baseUrl).origin)
      expect(endpoint).toMatch(/\/chat\/completions$/)
    }
    for (const model of Object.keys(provider.capabilities)) {
      if (model !== '*') expect(Object.keys(provider.models)).toContain(model)
    }
  })

  it('are addressed as Hugging Face addresses them', () => {
    const urls = Object.fromEntries(
      all.map((provider) => [provider.name, endpointOf(provider, 'chat', 'org/name')]),
    )
    expect(urls).toMatchObject({
      baseten: 'https://inference.baseten.co/v1/chat/completions',
      cohere: 'https://api.cohere.com/compatibility/v1/chat/completions',
      deepinfra: 'https://api.deepinfra.com/v1/openai/chat/completions',
      'fireworks-ai': 'https://api.fireworks.ai/inference/v1/chat/completions',
      'hf-inference':
        'https://router.huggingface.co/hf-inference/models/org/name/v1/chat/completions',
      novita: 'https://api.novita.ai/v3/openai/chat/completions',
      'zai-org': 'https://api.z.ai/api/paas/v4/chat/completions',
    })
  })
})
