import { describe, expect, it } from 'vitest'
import { type ChatQuirks, chatAdapter } from '../../../src/providers/chat-quirks.ts'
import { providers } from '../../../src/providers/index.ts'
import { openAiCompatible } from '../../../src/providers/provider.ts'

const request = {
  model: 'openai/gpt-oss-120b',
  messages: [
    { role: 'developer', content: 'Be brief.' },
    { role: 'user', name: 'ann', content: 'Hi' },
    { role: 'assistant', content: 'Hello', reasoning_content: 'greet back' },
  ],
  store: false,
  metadata: { a: 'b' },
  logprobs: true,
  max_completion_tokens: 9,
  reasoning_effort: 'xhigh',
  stream: true,
}

describe('adapt', () => {
  it.each(Object.values(providers).map((provider) => [provider.name, provider] as const))(
    '%s: maps role and effort, keeps the request itself unchanged',
    (_, provider) => {
      const before = structuredClone(request)
      const { body } = provider.adapt(request, 'chat')
      expect(request).toEqual(before)
      expect(body.messages).toMatchObject([
        { role: 'system' },
        { role: 'user' },
        { role: 'assistant' },
      ])
      expect(body.reasoning_effort).toBe('high')
    },
  )

  it.each([
    ['cerebras', 'reasoning'],
    ['groq', 'reasoning'],
    ['together', 'reasoning'],
    ['hf', 'reasoning'],
    ['fireworks-ai', 'reasoning_content'],
  ] as const)('%s gets earlier reasoning as `%s` and under no other name', (name, field) => {
    const { body } = providers[name].adapt(request, 'chat')
    const assistant = (body.messages as Record<string, unknown>[])[2]
    expect(assistant).toEqual({ role: 'assistant', content: 'Hello', [field]: 'greet back' })
  })

  it('cerebras gets known fields only, and what was lost is named', () => {
    const { body, dropped } = providers.cerebras.adapt(
      { ...request, metadata: { a: 'b' }, enable_thinking: true },
      'chat',
    )
    expect(Object.keys(body).sort()).toEqual(
      [
        'logprobs',
        'max_completion_tokens',
        'messages',
        'model',
        'reasoning_effort',
        'stream',
      ].sort(),
    )
    // `store: false` asks for nothing, so nothing was lost with it.
    expect(dropped).toEqual(['metadata', 'enable_thinking'])
  })

  it('groq loses logprobs and names', () => {
    const { body, dropped } = providers.groq.adapt(request, 'chat')
    expect(dropped).toEqual(['logprobs'])
    expect((body.messages as Record<string, unknown>[])[1]).toEqual({ role: 'user', content: 'Hi' })
    expect(body.stream_options).toEqual({ include_usage: true })
  })

  it('together and fireworks know the length limit by its old name', () => {
    for (const provider of [providers.together, providers['fireworks-ai']]) {
      const { body } = provider.adapt(request, 'chat')
      expect(body.max_tokens).toBe(9)
      expect(body.max_completion_tokens).toBeUndefined()
    }
  })

  it('leaves the effort of other models alone', () => {
    const { body } = providers.hf.adapt(
      { model: 'qwen/qwen3', reasoning_effort: 'none', messages: [] },
      'chat',
    )
    expect(body.reasoning_effort).toBe('none')
  })

  it('a custom provider gets the body as it is, but for the role that no chat template knows', () => {
    const { body, dropped } = openAiCompatible('acme', 'http://127.0.0.1:1').adapt(request, 'chat')
    expect(dropped).toEqual([])
    expect(body).toMatchObject({ store: false, metadata: { a: 'b' }, max_completion_tokens: 9 })
    expect(body.messages).toMatchObject([
      { role: 'system' },
      { name: 'ann' },
      { reasoning_content: 'greet back' },
    ])
  })

  it('another dialect passes as it is', () => {
    const body = { model: 'm', input: 'hi', store: true }
    expect(providers.groq.adapt(body, 'responses')).toEqual({ body, dropped: [] })
  })
})

describe('replay of reasoning', () => {
  const messages = [
    { role: 'user', content: 'a' },
    { role: 'assistant', content: 'b', reasoning: 'first' },
    { role: 'user', content: 'c' },
    { role: 'assistant', content: null, reasoning_content: 'second', tool_calls: [] },
    { role: 'tool', tool_call_id: 'x', content: '1' },
  ]
  const adapted = (quirks: ChatQuirks) =>
    chatAdapter(quirks)({ model: 'm', messages }, 'chat').body.messages as Record<string, unknown>[]

  it('goes in front of the content where the model reads its own tags', () => {
    expect(adapted({ reasoningReplay: 'think' })).toMatchObject([
      {},
      { content: '<think>\nfirst\n</think>\n\nb' },
      {},
      { content: '<think>\nsecond\n</think>\n\n' },
      {},
    ])
    expect(JSON.stringify(adapted({ reasoningReplay: 'think' }))).not.toContain('"reasoning')
  })

  it('is left to the turn that goes on, where nothing else is wanted', () => {
    const some = adapted({ reasoningReplay: 'reasoning_content', reasoningOfTurn: true })
    expect(some[1]).toEqual({ role: 'assistant', content: 'b' })
    expect(some[3]).toMatchObject({ reasoning_content: 'second' })
  })
})
