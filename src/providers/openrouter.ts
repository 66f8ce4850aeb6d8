import { defineProvider } from './provider.ts'

/** Itself a router, with ids of its own in the manner of the hub's; `reasoning_details` go both ways as they are. */
export const openrouter = defineProvider({
  name: 'openrouter',
  docs: 'https://openrouter.ai/docs/api/reference/streaming',
  baseUrl: 'https://openrouter.ai/api/v1',
  models: {
    'openai/gpt-oss-120b': 'openai/gpt-oss-120b',
    'openai/gpt-oss-20b': 'openai/gpt-oss-20b',
  },
  chat: { reasoningReplay: 'reasoning', includeUsage: true },
})
