import { describe, expect, it } from 'vitest'
import { ResponsesToChatStream } from '../../src/convert/chat-stream.ts'
import {
  ApiError,
  chatToResponse,
  collectChat,
  collectResponse,
  type ResponsesEvent,
  ResponseWriter,
  responseToChat,
} from '../../src/index.ts'
import { chatChunkSchema, chatResponseSchema } from '../../src/protocol/chat.ts'
import { ResponseFold } from '../../src/stream/fold.ts'
import { checkResponseSchema } from '../oracle/open-responses.ts'
import { checkOrder } from '../oracle/order.ts'
import {
  callChunk,
  chunk,
  convert,
  expectInOrder,
  finalResponse,
  streamOptions,
} from './support.ts'

const usage = {
  input_tokens: 3,
  input_tokens_details: { cached_tokens: 1 },
  output_tokens: 5,
  output_tokens_details: { reasoning_tokens: 2 },
  total_tokens: 8,
}
const logprob = { token: 'Hel', logprob: -0.5, bytes: [72], top_logprobs: [] }

/** An answer with everything in it. */
function answer(reasoningEvents: 'reasoning_text' | 'reasoning' | 'summary' = 'reasoning_text') {
  const writer = new ResponseWriter(streamOptions({ reasoningEvents }))
  const events = [
    ...writer.start(),
    ...writer.reasoning('hm'),
    ...writer.reasoning('…'),
    ...writer.text('Wait.', { phase: 'commentary' }),
    ...writer.text('Hel', { phase: 'final_answer', logprobs: [logprob] }),
    ...writer.text('lo'),
    ...writer.openCall({ call_id: 'a', name: 'f' }),
    ...writer.openCall({ call_id: 'b', name: 'g' }),
    ...writer.callArguments('a', '{"x":'),
    ...writer.callArguments('a', '1}'),
    ...writer.callArguments('b', '{}'),
    ...writer.complete({ usage, finish: 'tool_calls' }),
  ]
  expectInOrder(events)
  return events
}

const options = {
  id: 'chatcmpl-1',
  model: 'test/model',
  createdAt: 1_700_000_000,
  includeUsage: true,
  includeReasoning: true,
  lostCode: 'upstream_error' as const,
}

function toChunks(events: readonly unknown[], overrides: Partial<typeof options> = {}) {
  const stream = new ResponsesToChatStream({ ...options, ...overrides })
  const chunks: unknown[] = events.flatMap((event) => stream.push(event))
  chunks.push(...stream.end())
  return { chunks, stream }
}

describe('Responses events → Chat chunks', () => {
  it('streams reasoning under both names, text, parallel calls, finish and usage', () => {
    const { chunks } = toChunks(answer())
    for (const each of chunks) expect(chatChunkSchema.safeParse(each).error).toBeUndefined()
    const shown = chunks.map((each) => {
      const { choices, usage: counts } = chatChunkSchema.parse(each)
      return choices[0] === undefined ? counts : [choices[0].delta, choices[0].finish_reason]
    })
    expect(shown).toEqual([
      [{ role: 'assistant', reasoning: 'hm', reasoning_content: 'hm' }, null],
      [{ reasoning: '…', reasoning_content: '…' }, null],
      [{ content: 'Wait.' }, null],
      [{ content: '\nHel' }, null],
      [{ content: 'lo' }, null],
      [
        {
          tool_calls: [
            { index: 0, id: 'a', type: 'function', function: { name: 'f', arguments: '' } },
          ],
        },
        null,
      ],
      [{ tool_calls: [{ index: 0, function: { arguments: '{"x":' } }] }, null],
      [{ tool_calls: [{ index: 0, function: { arguments: '1}' } }] }, null],
      [
        {
          tool_calls: [
            { index: 1, id: 'b', type: 'function', function: { name: 'g', arguments: '' } },
          ],
        },
        null,
      ],
      [{ tool_calls: [{ index: 1, function: { arguments: '{}' } }] }, null],
      [{}, 'tool_calls'],
      {
        prompt_tokens: 3,
        completion_tokens: 5,
        total_tokens: 8,
        prompt_tokens_details: { cached_tokens: 1 },
        completion_tokens_details: { reasoning_tokens: 2 },
      },
    ])
    expect(chunks[3]).toMatchObject({ choices: [{ logprobs: { content: [logprob] } }] })
  })

  it.each(['reasoning_text', 'reasoning', 'summary'] as const)(
    'folds to what the whole response converts to (%s)',
    (family) => {
      const events = answer(family)
      const whole = responseToChat(finalResponse(events), {
        id: options.id,
        includeReasoning: true,
      })
      const { service_tier: _, ...expected } = whole
      expect(collectChat(toChunks(events).chunks)).toEqual(expected)
      expect(chatResponseSchema.safeParse(whole).error).toBeUndefined()
    },
  )

  it('sends usage only when asked, and reasoning unless asked not to', () => {
    const { chunks } = toChunks(answer(), { includeUsage: false, includeReasoning: false })
    expect(JSON.stringify(chunks)).not.toMatch(/usage|reasoning/)
    expect(chunks[0]).toMatchObject({
      choices: [{ delta: { role: 'assistant', content: 'Wait.' } }],
    })
  })

  it('reads servers that say everything only in the finished items', () => {
    const events = answer().filter(
      ({ type }) => !/delta|content_part|\.added|\w_text\.done/.test(type),
    )
    expect(collectChat(toChunks(events).chunks)).toEqual(collectChat(toChunks(answer()).chunks))
  })

  it.each([
    ['length', 'length'],
    ['content_filter', 'content_filter'],
    ['stop', 'stop'],
  ] as const)('ends %s with finish_reason %s', (finish, wanted) => {
    const writer = new ResponseWriter(streamOptions())
    const events = [...writer.start(), ...writer.text('a'), ...writer.complete({ finish })]
    const { chunks, stream } = toChunks(events)
    expect(chunks.at(-1)).toMatchObject({ choices: [{ delta: {}, finish_reason: wanted }] })
    expect(stream.status).toBe(finish === 'stop' ? 'completed' : 'incomplete')
  })

  it('ends a failed response with one error chunk and no finish_reason', () => {
    const writer = new ResponseWriter(streamOptions())
    const failed = [
      ...writer.start(),
      ...writer.text('a'),
      ...writer.fail({ code: 'node_lost', message: 'gone' }),
    ]
    const { chunks, stream } = toChunks(failed)
    expect(chunks).toHaveLength(2)
    expect(chunks[1]).toEqual({
      error: { message: 'gone', type: 'server_error', param: null, code: 'node_lost' },
    })
    expect(stream.status).toBe('failed')
  })

  it('takes a stream without a terminal event for lost', () => {
    const cut = answer().slice(0, -1)
    const { chunks, stream } = toChunks(cut, { lostCode: 'upstream_error' })
    expect(chunks.at(-1)).toMatchObject({ error: { code: 'upstream_error' } })
    expect(stream.error?.code).toBe('upstream_error')
  })

  it('reads an error event in either shape', () => {
    for (const error of [
      { type: 'error', code: 'rate_limit_exceeded', message: 'slow', param: null },
      {
        type: 'error',
        error: { type: 'x', code: 'rate_limit_exceeded', message: 'slow', param: null },
      },
    ]) {
      expect(toChunks([error]).chunks).toMatchObject([
        { error: { message: 'slow', code: 'rate_limit_exceeded' } },
      ])
    }
  })

  it('passes over events and items that it does not know, and over nonsense', () => {
    const odd = [
      null,
      5,
      {},
      { type: 'acme:trace' },
      { type: 'response.output_item.added', item: null },
      {
        type: 'response.output_item.done',
        output_index: 0,
        item: { type: 'web_search_call', id: 'ws_1' },
      },
      { type: 'response.output_text.delta', delta: 7 },
      { type: 'response.function_call_arguments.delta', output_index: 9, delta: 'x' },
      { type: 'response.completed' },
    ]
    expect(toChunks(odd).chunks).toHaveLength(1)
  })
})

describe('whole answers', () => {
  const completion = {
    id: 'x',
    object: 'chat.completion',
    choices: [
      {
        index: 0,
        finish_reason: 'tool_calls',
        message: {
          role: 'assistant',
          reasoning_content: 'hm',
          content: 'Let me look.',
          tool_calls: [
            { id: 'a', type: 'function', function: { name: 'f', arguments: '{"x":1}' } },
            { id: 'b', type: 'function', function: { name: 'g', arguments: '{}' } },
          ],
        },
      },
    ],
    usage: { prompt_tokens: 3, completion_tokens: 5, total_tokens: 8 },
  }

  it('converts a completion to the response that its stream would have given', () => {
    const whole = chatToResponse(completion, streamOptions())
    const streamed = convert([
      chunk({ reasoning: 'hm' }),
      chunk({ content: 'Let me ' }),
      chunk({ content: 'look.' }),
      callChunk({ index: 0, id: 'a', function: { name: 'f', arguments: '{"x"' } }),
      callChunk({ index: 0, function: { arguments: ':1}' } }),
      callChunk({ index: 1, id: 'b', function: { name: 'g', arguments: '{}' } }),
      chunk({}, 'tool_calls'),
      { choices: [], usage: completion.usage },
    ])
    expect(whole).toEqual(finalResponse(streamed))
    expect(whole).toEqual(collectResponse(streamed))
    expect(checkResponseSchema(whole)).toEqual([])
  })

  it('takes a missing finish_reason for an end, as JSON is not cut in silence', () => {
    const response = chatToResponse({ choices: [{ message: { content: 'a' } }] }, streamOptions())
    expect(response.status).toBe('completed')
  })

  it.each<[string, unknown, string]>([
    ['an error', { error: { message: 'no', code: 'x' } }, 'upstream_error'],
    ['another object', { hello: 1 }, 'upstream_error'],
    ['a string', 'hello', 'upstream_error'],
    [
      'a choice that is an error',
      { choices: [{ message: {}, finish_reason: 'error' }] },
      'upstream_error',
    ],
  ])('refuses %s in place of a completion', (_name, json, code) => {
    expect(() => chatToResponse(json, streamOptions())).toThrow(ApiError)
    expect(() => chatToResponse(json, streamOptions())).toThrow(expect.objectContaining({ code }))
  })

  it.each([
    [{ hello: 1 }],
    [null],
    [{ output: [], status: 'failed', error: { code: 'server_error', message: 'no' } }],
  ])('refuses %j in place of a response', (json) => {
    expect(() => responseToChat(json, { id: 'x', includeReasoning: true })).toThrow(ApiError)
  })

  it('reads a response with refusals, summaries and no content', () => {
    const response = {
      created_at: 5.5,
      model: 'm',
      status: 'completed',
      output: [
        {
          type: 'reasoning',
          summary: [
            { type: 'summary_text', text: 'a' },
            { type: 'summary_text', text: 'b' },
          ],
        },
        { type: 'message', content: [{ type: 'refusal', refusal: 'No.' }] },
        { type: 'web_search_call' },
        null,
      ],
    }
    expect(
      responseToChat(response, { id: 'x', includeReasoning: true }).choices[0]?.message,
    ).toEqual({
      role: 'assistant',
      content: null,
      refusal: 'No.',
      reasoning: 'a\nb',
      reasoning_content: 'a\nb',
    })
  })
})

describe('ResponseFold', () => {
  it.each(['reasoning_text', 'reasoning', 'summary'] as const)(
    'closes a stream that is cut after any event (%s)',
    (family) => {
      const events: ResponsesEvent[] = answer(family)
      const first = events[0]
      const initial = first !== undefined && 'response' in first ? first.response : {}
      for (let cut = 0; cut < events.length; cut++) {
        const fold = new ResponseFold()
        const received = events.slice(0, cut)
        for (const event of received) fold.push(event)
        const ending = fold.fail(new ApiError('node_lost', 'gone'), { ...initial })
        expect(checkOrder([...received, ...ending])).toEqual([])
        expect(ending.at(-1)?.type).toBe('response.failed')
        expect(fold.fail(new ApiError('node_lost', 'again'), {})).toEqual([])
      }
    },
  )

  it('adds nothing to a stream that has ended', () => {
    const fold = new ResponseFold()
    for (const event of answer()) fold.push(event)
    expect(fold.fail(new ApiError('node_lost', 'gone'), {})).toEqual([])
    expect(fold.response).toEqual(finalResponse(answer()))
  })

  it('follows an error event of the upstream with response.failed that says the same', () => {
    const fold = new ResponseFold()
    const writer = new ResponseWriter(streamOptions())
    for (const event of writer.start()) fold.push(event)
    fold.push({
      type: 'error',
      sequence_number: 2,
      code: 'rate_limit_exceeded',
      message: 'slow',
      param: null,
    })
    const ending = fold.fail(new ApiError('upstream_error', 'cut'), {})
    expect(ending).toMatchObject([
      {
        type: 'response.failed',
        sequence_number: 3,
        response: { error: { code: 'rate_limit_exceeded', message: 'slow' } },
      },
    ])
  })

  it('puts the answer together where the last snapshot has no output', () => {
    const events = answer().map((event) =>
      event.type === 'response.completed'
        ? { ...event, response: { ...event.response, output: [] } }
        : event,
    )
    expect(collectResponse(events).output).toEqual(finalResponse(answer()).output)
    expect(() => collectResponse(answer().slice(0, -1))).toThrow(/no terminal event/)
  })
})

describe('very many logprobs', () => {
  const many = Array.from({ length: 200_000 }, () => logprob)

  it('fit a completion', () => {
    const content = [{ type: 'output_text', text: 'Hel', annotations: [], logprobs: many }]
    const response = { status: 'completed', output: [{ type: 'message', id: 'm', content }] }
    const { choices } = responseToChat(response, { id: 'c', includeReasoning: false })
    expect(choices[0]?.logprobs?.content).toHaveLength(200_000)
  })

  it('are gathered delta by delta, and a response that was shown before stays as it was', () => {
    const fold = new ResponseFold()
    const at = { output_index: 0, item_id: 'm', content_index: 0 }
    const part = { type: 'output_text', text: '', annotations: [], logprobs: [] }
    fold.push({ type: 'response.created', response: { id: 'r', output: [] } })
    const item = { type: 'message', id: 'm', content: [] }
    fold.push({ type: 'response.output_item.added', output_index: 0, item })
    fold.push({ type: 'response.content_part.added', ...at, part })
    const delta = { type: 'response.output_text.delta', ...at, delta: 'Hel', logprobs: [logprob] }
    fold.push(delta)
    const before = fold.response
    fold.push({ ...delta, logprobs: many })
    const shown = (response: typeof before) => JSON.stringify(response).split('"token"').length - 1
    expect([shown(before), shown(fold.response)]).toEqual([1, 200_001])
    expect(part.logprobs).toEqual([])
  })
})
