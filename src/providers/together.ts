import { defineProvider } from './provider.ts'

/** https://docs.together.ai/reference/chat-completions-1 */
export const together = defineProvider({
  name: 'together',
  baseUrl: 'https://api.together.xyz/v1',
  models: {
    'openai/gpt-oss-120b': 'openai/gpt-oss-120b',
    'openai/gpt-oss-20b': 'openai/gpt-oss-20b',
  },
  chat: {
    reasoningReplay: 'reasoning',
    // Unknown fields are ignored; the length limit is known by its old name only.
    maxTokens: 'max_tokens',
    includeUsage: true,
  },
})
