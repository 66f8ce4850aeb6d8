// A stream folded for a client that asked for none is what the upstream would have sent in one piece.
import { describe, expect, it } from 'vitest'
import { FoldedAnswer } from '../../src/faces/fold-answer.ts'
import { ResponseWriter } from '../../src/index.ts'
import { encodeEvent } from '../../src/sse/encode.ts'
import { callChunk, chunk, sse, streamOptions } from './support.ts'

const usage = { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 }

function fold(text: string, dialect: 'chat' | 'responses' = 'chat', step = 7) {
  const folded = new FoldedAnswer(dialect)
  const bytes = new TextEncoder().encode(text)
  const begun: boolean[] = []
  for (let at = 0; at < bytes.length; at += step) {
    folded.push(bytes.subarray(at, at + step))
    begun.push(folded.begun)
  }
  return { json: folded.end(), begun, folded }
}

describe('Chat chunks', () => {
  it('become the completion, with what this server alone knows', () => {
    const { json, begun } = fold(
      sse([
        { ...chunk({ role: 'assistant', content: '', reasoning: 'hm' }), service: 'fast' },
        chunk({ content: 'Héllo', annotations: [1] }),
        chunk({ content: '!', annotations: [2], score: 1 }),
        callChunk({ index: 0, id: 'a', function: { name: 'f', arguments: '{"x":' } }),
        callChunk({ index: 0, function: { arguments: '1}' } }),
        chunk({}, 'tool_calls'),
        { choices: [], usage },
        '[DONE]',
      ]),
    )
    expect(json).toMatchObject({
      object: 'chat.completion',
      service: 'fast',
      usage,
      choices: [
        {
          finish_reason: 'tool_calls',
          message: {
            role: 'assistant',
            content: 'Héllo!',
            reasoning: 'hm',
            annotations: [1, 2],
            score: 1,
            tool_calls: [
              { id: 'a', type: 'function', function: { name: 'f', arguments: '{"x":1}' } },
            ],
          },
        },
      ],
    })
    expect([begun[0], begun.at(-1)]).toEqual([false, true])
  })

  it('are no answer without an end, and an error where one came', () => {
    expect(fold(sse([chunk({ content: 'Hel' })])).json).toBeUndefined()
    expect(fold(sse([chunk({ content: 'Hel' }), '[DONE]'])).json).toBeUndefined()
    expect(fold(sse([chunk({ content: 'Hel' }), chunk({}, '')])).json).toBeUndefined()
    expect(fold(sse([chunk({ content: 'Hel' }), chunk({}, ''), '[DONE]'])).json).toBeDefined()
    const error = { error: { message: 'lost it', code: 503 } }
    expect(fold(sse([chunk({ content: 'Hel' }), error])).json).toEqual(error)
  })

  it('count as whole once the model has said that it is done', () => {
    expect(fold(sse([chunk({ content: 'Hello' }), chunk({}, 'stop')])).folded.finished).toBe(true)
    expect(fold(sse([chunk({ content: 'Hello' })])).folded.finished).toBe(false)
  })
})

it('Responses events become the response of their end, and nothing without one', () => {
  const writer = new ResponseWriter(streamOptions())
  const events = [
    ...writer.start(),
    ...writer.text('Hello'),
    ...writer.complete({ finish: 'stop', usage: undefined }),
  ].map((event) => encodeEvent(event.type, event))
  const { json, folded } = fold(events.join(''), 'responses')
  expect(json).toEqual(writer.response)
  expect(folded.complete).toBe(true)
  expect(fold(events.slice(0, -1).join(''), 'responses').json).toBeUndefined()
  const wrong = sse([{ error: { message: 'not here' } }])
  expect(() => fold(wrong, 'responses', 1000)).toThrow(expect.objectContaining({ retryable: true }))
})
