import { defineProvider } from './provider.ts'

/**
 * 400 {"error": "Model not supported by provider together"}, without a code
 * (https://github.com/huggingface/huggingface.js/pull/2225).
 */
export const notServed = { 'Model not supported by provider': 'no_model' } as const

/** Hugging Face's router, itself a gateway: it takes any model id, with its own `:provider` suffix. */
export const hf = defineProvider({
  name: 'hf',
  docs: 'https://huggingface.co/docs/inference-providers',
  baseUrl: 'https://router.huggingface.co/v1',
  apiKeyEnv: 'HF_TOKEN',
  models: {
    'openai/gpt-oss-120b': 'openai/gpt-oss-120b',
    'openai/gpt-oss-20b': 'openai/gpt-oss-20b',
  },
  otherModels: 'always',
  // Bills an organisation instead of the token's owner.
  passHeaders: ['x-hf-bill-to'],
  // 400 "The requested model 'X' is not supported by any provider you have enabled."
  // (https://github.com/huggingface/smolagents/issues/2584)
  codes: { model_not_supported: 'no_model', ...notServed },
  chat: {
    // The router hands the body on as it is. Groq and Cerebras behind it refuse `reasoning_content` (400), and
    // Cerebras refuses `store` (https://github.com/huggingface/huggingface.js/pull/2268).
    reasoningReplay: 'reasoning',
    refuse: ['store'],
    includeUsage: true,
  },
})
