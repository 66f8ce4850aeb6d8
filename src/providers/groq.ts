import { defineProvider } from './provider.ts'

// `strict: true` is constrained decoding for these two models, nothing is said of functions
// (https://console.groq.com/docs/structured-outputs).
const structuredOutput = 'guaranteed'

export const groq = defineProvider({
  name: 'groq',
  docs: 'https://console.groq.com/docs/openai',
  baseUrl: 'https://api.groq.com/openai/v1',
  onHub: true,
  models: {
    'openai/gpt-oss-120b': 'openai/gpt-oss-120b',
    'openai/gpt-oss-20b': 'openai/gpt-oss-20b',
  },
  capabilities: {
    'openai/gpt-oss-120b': { inputModalities: ['text'], contextLength: 131_072, structuredOutput },
    'openai/gpt-oss-20b': { inputModalities: ['text'], contextLength: 131_072, structuredOutput },
  },
  // 400 with `failed_generation`: the model wrote a bad call or bad JSON, the request was fine.
  codes: { tool_use_failed: 'retry', json_validate_failed: 'retry' },
  chat: {
    // 400 "property 'reasoning_content' is unsupported".
    reasoningReplay: 'reasoning',
    // 400 by the compatibility page: logprobs, logit_bias, top_logprobs and messages[].name.
    refuse: ['logprobs', 'top_logprobs', 'logit_bias'],
    refuseInMessages: ['name'],
    includeUsage: true,
  },
})
