import { defineProvider } from './provider.ts'

/** Cohere's models behind OpenAI's interface. */
export const cohere = defineProvider({
  name: 'cohere',
  docs: 'https://docs.cohere.com/docs/compatibility-api',
  baseUrl: 'https://api.cohere.com/compatibility/v1',
  onHub: true,
  models: { 'CohereLabs/aya-expanse-32b': 'c4ai-aya-expanse-32b' },
  chat: {
    reasoningReplay: 'drop',
    // The page lists what the compatibility API does not support; what it does with them is not said.
    refuse: [
      'store',
      'metadata',
      'logit_bias',
      'top_logprobs',
      'modalities',
      'prediction',
      'audio',
      'service_tier',
      'parallel_tool_calls',
    ],
    maxTokens: 'max_tokens',
    includeUsage: true,
  },
})
