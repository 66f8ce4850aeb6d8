import { defineProvider } from './provider.ts'

export const deepinfra = defineProvider({
  name: 'deepinfra',
  docs: 'https://docs.deepinfra.com/chat/overview',
  baseUrl: 'https://api.deepinfra.com/v1/openai',
  onHub: true,
  models: {
    'openai/gpt-oss-120b': 'openai/gpt-oss-120b',
    'deepseek-ai/DeepSeek-V4-Flash-0731': 'deepseek-ai/DeepSeek-V4-Flash-0731',
  },
  capabilities: { 'openai/gpt-oss-120b': { inputModalities: ['text'], contextLength: 131_072 } },
  chat: {
    reasoningReplay: 'reasoning_content',
    maxTokens: 'max_tokens',
    includeUsage: true,
  },
})
