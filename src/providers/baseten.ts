import { defineProvider } from './provider.ts'

/** Its Responses API is stateless (https://docs.baseten.co/reference/inference-api/responses): by config, `dialects`. */
export const baseten = defineProvider({
  name: 'baseten',
  docs: 'https://docs.baseten.co/reference/inference-api/chat-completions',
  baseUrl: 'https://inference.baseten.co/v1',
  onHub: true,
  models: {
    'deepseek-ai/DeepSeek-V4-Flash-0731': 'deepseek-ai/DeepSeek-V4-Flash-0731',
    'openai/gpt-oss-120b': 'openai/gpt-oss-120b',
  },
  chat: {
    // DeepSeek, Kimi and GLM want it back under this name after tool calls (400 elsewhere; assumed here).
    reasoningReplay: 'reasoning_content',
    includeUsage: true,
  },
})
