import { defineProvider } from './provider.ts'

export const zaiOrg = defineProvider({
  name: 'zai-org',
  docs: 'https://docs.z.ai/api-reference/llm/chat-completion',
  baseUrl: 'https://api.z.ai/api/paas/v4',
  onHub: true,
  models: { 'zai-org/GLM-5.2': 'glm-5.2' },
  // Else errors may come in Chinese.
  headers: { 'accept-language': 'en-US,en' },
  capabilities: {
    // `response_format` is `text` or `json_object` there.
    '*': { structuredOutput: false, jsonObject: true },
    'zai-org/GLM-5.2': { inputModalities: ['text'], contextLength: 1_000_000, tools: true },
  },
  // https://docs.z.ai/api-reference/api-code: 1113 and 1305 come with 429, 1211 with 400.
  codes: { 1113: 'account', 1211: 'no_model', 1305: 'overloaded' },
  chat: {
    reasoningReplay: 'reasoning_content',
    refuseInMessages: ['name'],
    refuse: [
      'frequency_penalty',
      'presence_penalty',
      'logit_bias',
      'logprobs',
      'top_logprobs',
      'store',
    ],
    maxTokens: 'max_tokens',
    includeUsage: true,
  },
})
