import { defineProvider } from './provider.ts'

/** https://console.groq.com/docs/openai */
export const groq = defineProvider({
  name: 'groq',
  baseUrl: 'https://api.groq.com/openai/v1',
  models: {
    'openai/gpt-oss-120b': 'openai/gpt-oss-120b',
    'openai/gpt-oss-20b': 'openai/gpt-oss-20b',
  },
  // 400 with `failed_generation`: the model wrote a bad call or bad JSON, the request was fine.
  retryableCodes: ['tool_use_failed', 'json_validate_failed'],
  chat: {
    // 400 "property 'reasoning_content' is unsupported".
    reasoningReplay: 'reasoning',
    // 400 by the compatibility page: logprobs, logit_bias, top_logprobs and messages[].name.
    refuse: ['logprobs', 'top_logprobs', 'logit_bias'],
    refuseInMessages: ['name'],
    includeUsage: true,
  },
})
