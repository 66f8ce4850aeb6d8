import { defineProvider } from './provider.ts'

/** Hugging Face's router, itself a gateway: it takes any model id, with its own `:provider` suffix. https://huggingface.co/docs/inference-providers */
export const hf = defineProvider({
  name: 'hf',
  baseUrl: 'https://router.huggingface.co/v1',
  apiKeyEnv: 'HF_TOKEN',
  models: {
    'openai/gpt-oss-120b': 'openai/gpt-oss-120b',
    'openai/gpt-oss-20b': 'openai/gpt-oss-20b',
  },
  otherModels: 'always',
  // Bills an organisation instead of the token's owner.
  passHeaders: ['x-hf-bill-to'],
  chat: {
    // The router hands the body on as it is. Groq and Cerebras behind it refuse `reasoning_content` (400), and
    // Cerebras refuses `store` (https://github.com/huggingface/huggingface.js/pull/2268).
    reasoningReplay: 'reasoning',
    refuse: ['store'],
    includeUsage: true,
  },
})
