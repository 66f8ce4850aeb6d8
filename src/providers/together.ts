import { defineProvider } from './provider.ts'

export const together = defineProvider({
  name: 'together',
  docs: 'https://docs.together.ai/reference/chat-completions-1',
  baseUrl: 'https://api.together.xyz/v1',
  onHub: true,
  models: {
    'openai/gpt-oss-120b': 'openai/gpt-oss-120b',
    'openai/gpt-oss-20b': 'openai/gpt-oss-20b',
  },
  capabilities: {
    'openai/gpt-oss-120b': { inputModalities: ['text'], contextLength: 131_072 },
    'openai/gpt-oss-20b': { inputModalities: ['text'], contextLength: 131_072 },
  },
  chat: {
    // Some of its models send `reasoning_content` (https://docs.together.ai/docs/glm-5.3-quickstart).
    reasoningReplay: 'reasoning',
    // Unknown fields are ignored; the length limit is known by its old name only.
    maxTokens: 'max_tokens',
    includeUsage: true,
  },
})
