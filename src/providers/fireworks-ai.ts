import { defineProvider } from './provider.ts'

export const fireworksAi = defineProvider({
  name: 'fireworks-ai',
  docs: 'https://docs.fireworks.ai/api-reference/post-chatcompletions',
  baseUrl: 'https://api.fireworks.ai/inference/v1',
  onHub: true,
  models: {
    'openai/gpt-oss-120b': 'accounts/fireworks/models/gpt-oss-120b',
    'openai/gpt-oss-20b': 'accounts/fireworks/models/gpt-oss-20b',
  },
  capabilities: {
    'openai/gpt-oss-120b': { inputModalities: ['text'], contextLength: 131_072 },
    'openai/gpt-oss-20b': { inputModalities: ['text'], contextLength: 131_072 },
  },
  chat: {
    // Reasoning comes and goes back as `reasoning_content` (https://docs.fireworks.ai/guides/reasoning).
    reasoningReplay: 'reasoning_content',
    // 400 "Extra inputs are not permitted, field: '…'" for fields it does not know
    // (https://github.com/FlowiseAI/Flowise/issues/2866). That report of 2024 names stream_options, too; that it is
    // taken by now is assumed.
    refuse: ['store', 'service_tier', 'safety_identifier', 'prompt_cache_retention', 'verbosity'],
    maxTokens: 'max_tokens',
    includeUsage: true,
  },
})
