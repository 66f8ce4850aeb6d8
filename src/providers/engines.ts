// Servers that people run themselves, as `kind` of a provider in the config: where they listen by default, and how their chat
// API differs from OpenAI's.
import type { ChatQuirks } from './chat-quirks.ts'

export interface Engine {
  docs: string
  /** Where it listens unless told otherwise. */
  baseUrl: string
  chat: ChatQuirks
}

const engine = (docs: string, port: number, chat: ChatQuirks = {}): Engine => ({
  docs,
  baseUrl: `http://127.0.0.1:${port}/v1`,
  // Without the question none of them counts a stream's tokens.
  chat: { includeUsage: true, ...chat },
})

export const engines = {
  vllm: engine('https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html', 8000),
  sglang: engine('https://docs.sglang.ai/basic_usage/openai_api_completions.html', 30_000, {
    reasoningReplay: 'reasoning_content',
  }),
  'llama-server': engine(
    'https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md',
    8080,
    { reasoningReplay: 'reasoning_content' },
  ),
  ollama: engine('https://docs.ollama.com/api/openai-compatibility', 11_434, {
    reasoningReplay: 'reasoning',
    maxTokens: 'max_tokens',
  }),
  'lm-studio': engine('https://lmstudio.ai/docs/developer/openai-compat', 1234, {
    maxTokens: 'max_tokens',
  }),
} as const satisfies Record<string, Engine>

/** What `kind` may say in the config. */
export type EngineName = keyof typeof engines
