import { defineProvider } from './provider.ts'

export const scaleway = defineProvider({
  name: 'scaleway',
  docs: 'https://www.scaleway.com/en/docs/generative-apis/api-cli/using-chat-api/',
  baseUrl: 'https://api.scaleway.ai/v1',
  onHub: true,
  models: { 'zai-org/GLM-5.2': 'glm-5.2', 'openai/gpt-oss-120b': 'gpt-oss-120b' },
  capabilities: {
    'zai-org/GLM-5.2': { inputModalities: ['text'], contextLength: 256_000, tools: true },
    // "the Chat Completions API does not yet support tool-calling for this model"
    // (https://www.scaleway.com/en/docs/generative-apis/reference-content/supported-models/)
    'openai/gpt-oss-120b': { inputModalities: ['text'], contextLength: 128_000, tools: false },
  },
  // 422 "Model Not Found" (https://www.scaleway.com/en/docs/generative-apis/api-cli/understanding-errors/).
  codes: { 422: 'no_model' },
  chat: {
    reasoningReplay: 'reasoning_content',
    // "Unsupported parameters" of the page above.
    refuse: ['frequency_penalty', 'n', 'top_logprobs', 'logit_bias', 'user'],
    maxTokens: 'max_tokens',
    includeUsage: true,
  },
})
