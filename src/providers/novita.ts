import { defineProvider } from './provider.ts'

/** Its newer documentation has /openai/v1 for /v3/openai; huggingface.js uses the latter (August 2026). */
export const novita = defineProvider({
  name: 'novita',
  docs: 'https://novita.ai/docs/api-reference/model-apis-llm-create-chat-completion',
  baseUrl: 'https://api.novita.ai/v3/openai',
  onHub: true,
  models: { 'deepseek-ai/DeepSeek-V4-Flash-0731': 'deepseek/deepseek-v4-flash-0731' },
  // {code: 403, reason: "NOT_ENOUGH_BALANCE", message}: the number is the status, the reason the code.
  codes: { MODEL_NOT_FOUND: 'no_model', NOT_ENOUGH_BALANCE: 'account' },
  chat: {
    // DeepSeek's models answer 400 after tool calls unless it comes back under this name.
    reasoningReplay: 'reasoning_content',
    maxTokens: 'max_tokens',
    includeUsage: true,
  },
})
