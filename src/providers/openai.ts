import { defineProvider } from './provider.ts'

/** `openai/gpt-…` is `gpt-…` there. */
export const openai = defineProvider({
  name: 'openai',
  docs: 'https://platform.openai.com/docs/api-reference',
  baseUrl: 'https://api.openai.com/v1',
  dialects: ['responses', 'chat'],
  ownPrefix: 'openai/',
  // https://platform.openai.com/docs/guides/structured-outputs promises both where `strict` is set.
  capabilities: { '*': { structuredOutput: 'guaranteed', strictArguments: true } },
  runsTools: true,
  // 429, but waiting does not help.
  codes: { insufficient_quota: 'account' },
  chat: {
    // Chat Completions has no field for earlier reasoning.
    reasoningReplay: 'drop',
    // Reasoning models refuse max_tokens: 400 unsupported_parameter.
    maxTokens: 'max_completion_tokens',
    includeUsage: true,
  },
})
