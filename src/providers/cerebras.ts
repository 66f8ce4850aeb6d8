import { defineProvider } from './provider.ts'

export const cerebras = defineProvider({
  name: 'cerebras',
  docs: 'https://inference-docs.cerebras.ai/api-reference/chat-completions',
  baseUrl: 'https://api.cerebras.ai/v1',
  onHub: true,
  models: { 'openai/gpt-oss-120b': 'gpt-oss-120b' },
  capabilities: {
    // `strict: true` is constrained decoding (https://inference-docs.cerebras.ai/capabilities/structured-outputs).
    '*': { structuredOutput: 'guaranteed' },
    'openai/gpt-oss-120b': { inputModalities: ['text'], contextLength: 131_072 },
  },
  chat: {
    // 400 wrong_api_format "messages.N.assistant.reasoning_content: property is unsupported";
    // `reasoning` is taken (https://github.com/egoist/chatwise-releases/issues/1442).
    reasoningReplay: 'reasoning',
    // 400 wrong_api_format "store: property 'store' is unsupported" for any field it does not know
    // (https://github.com/huggingface/huggingface.js/pull/2268). Usage comes in the last chunk unasked.
    allow: [
      'model',
      'messages',
      'stream',
      'max_completion_tokens',
      'temperature',
      'top_p',
      'stop',
      'seed',
      'user',
      'tools',
      'tool_choice',
      'parallel_tool_calls',
      'response_format',
      'reasoning_effort',
      'logprobs',
      'top_logprobs',
    ],
    maxTokens: 'max_completion_tokens',
  },
})
