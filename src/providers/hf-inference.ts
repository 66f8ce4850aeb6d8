import { notServed } from './hf.ts'
import { defineProvider } from './provider.ts'

/** Hugging Face's own machines, by now for small models: the model is part of the path and its id that of the hub. */
export const hfInference = defineProvider({
  name: 'hf-inference',
  docs: 'https://huggingface.co/docs/inference-providers/providers/hf-inference',
  baseUrl: 'https://router.huggingface.co/hf-inference/models/{model}/v1',
  apiKeyEnv: 'HF_TOKEN',
  onHub: true,
  passHeaders: ['x-hf-bill-to'],
  codes: notServed,
  chat: { maxTokens: 'max_tokens', includeUsage: true },
})
