import { defineProvider } from './provider.ts'

/** Models of public institutions. */
export const publicai = defineProvider({
  name: 'publicai',
  docs: 'https://huggingface.co/docs/inference-providers/en/providers/publicai',
  baseUrl: 'https://api.publicai.co/v1',
  onHub: true,
  models: { 'swiss-ai/Apertus-8B-Instruct-2509': 'swiss-ai/apertus-8b-instruct' },
  chat: { maxTokens: 'max_tokens', includeUsage: true },
})
