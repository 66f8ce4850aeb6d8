import { defineProvider } from './provider.ts'

/**
 * Thousands of community models under their ids at the hub. 429 when a plan's concurrent requests are in use, 403 for a gated
 * model whose licence the account has not accepted (https://featherless.ai/docs/api-reference-error-codes).
 */
export const featherlessAi = defineProvider({
  name: 'featherless-ai',
  docs: 'https://featherless.ai/docs/api-overview-and-common-options',
  baseUrl: 'https://api.featherless.ai/v1',
  onHub: true,
  models: { 'meta-llama/Llama-3.3-70B-Instruct': 'meta-llama/Llama-3.3-70B-Instruct' },
  capabilities: {
    'meta-llama/Llama-3.3-70B-Instruct': { inputModalities: ['text'], contextLength: 32_768 },
  },
  chat: { maxTokens: 'max_tokens', includeUsage: true },
})
