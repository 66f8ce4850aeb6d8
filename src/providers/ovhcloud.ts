import { defineProvider } from './provider.ts'

/** 400 requests a minute per project and model, then 429. */
export const ovhcloud = defineProvider({
  name: 'ovhcloud',
  docs: 'https://docs.ovhcloud.com/en/guides/public-cloud/ai-machine-learning/ai-endpoints-getting-started',
  baseUrl: 'https://oai.endpoints.kepler.ai.cloud.ovh.net/v1',
  onHub: true,
  models: { 'openai/gpt-oss-20b': 'gpt-oss-20b', 'openai/gpt-oss-120b': 'gpt-oss-120b' },
  capabilities: {
    'openai/gpt-oss-20b': { inputModalities: ['text'], contextLength: 131_072 },
    'openai/gpt-oss-120b': { inputModalities: ['text'], contextLength: 131_072 },
  },
  chat: { reasoningReplay: 'reasoning_content', maxTokens: 'max_tokens', includeUsage: true },
})
