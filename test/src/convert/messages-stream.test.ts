// Responses events → Messages events: tables, every cut of the bytes, and folds against whole answers. One piece: streamed and
// whole answers are read beside each other.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { responseToMessage } from '../../../src/convert/messages-response.ts'
import { MessagesStream } from '../../../src/convert/messages-stream.ts'
import { thinkingText } from '../../../src/convert/messages-thinking.ts'
import { handleMessages, type ResponsesEvent, ResponseWriter } from '../../../src/index.ts'
import { SseDecoder } from '../../../src/sse/decode.ts'
import { encodeEvent } from '../../../src/sse/encode.ts'
import { checkMessagesOrder } from '../../oracle/messages-order.ts'
import { callChunk, chunk, convert, finalResponse, sse, streamOptions } from '../support.ts'
import { candidate, host, json, post, refusing, type Script, streamed } from '../upstream.ts'

type Json = Record<string, unknown>
const usage = {
  input_tokens: 9,
  input_tokens_details: { cached_tokens: 4 },
  output_tokens: 5,
  output_tokens_details: { reasoning_tokens: 2 },
  total_tokens: 14,
}
const options = {
  id: 'msg_1',
  model: 'test/model',
  display: 'shown' as const,
  lostCode: 'upstream_error' as const,
}

/** The events of a list; every stream passes the oracle. */
function messages(events: readonly unknown[], overrides: Partial<typeof options> | object = {}) {
  const stream = new MessagesStream({ ...options, ...overrides })
  const all = [...events.flatMap((event) => stream.push(event)), ...stream.end()]
  expect(checkMessagesOrder(all)).toEqual([])
  return all
}

/** What the events amount to, read as the SDK reads them. */
function fold(events: readonly { type: string }[]): Json {
  let message: Json = {}
  const content: Json[] = []
  const inputs: string[] = []
  for (const event of events as (Json & { type: string })[]) {
    const block = content[Number(event.index)] ?? {}
    const delta = (event.delta ?? {}) as Json
    if (event.type === 'message_start') message = event.message as Json
    if (event.type === 'content_block_start') content.push({ ...(event.content_block as Json) })
    if (event.type === 'content_block_delta') {
      for (const key of ['text', 'thinking', 'signature']) {
        if (typeof delta[key] === 'string') block[key] = String(block[key]) + delta[key]
      }
      const at = Number(event.index)
      if (delta.type === 'input_json_delta') inputs[at] = (inputs[at] ?? '') + delta.partial_json
    }
    if (event.type === 'message_delta') {
      message = {
        ...message,
        ...delta,
        usage: { ...(message.usage as Json), ...(event.usage as Json) },
      }
    }
    if (event.type === 'error') return event
  }
  for (const [at, text] of inputs.entries()) {
    const block = content[at]
    if (block && text !== undefined) block.input = JSON.parse(text)
  }
  return { ...message, content }
}

function written(write: (writer: ResponseWriter) => ResponsesEvent[]): ResponsesEvent[] {
  const writer = new ResponseWriter(streamOptions())
  return [...writer.start(), ...write(writer)]
}

const full = written((writer) => [
  ...writer.reasoning('I must '),
  ...writer.reasoning('look.'),
  ...writer.text('Wait', { phase: 'commentary' }),
  ...writer.text('ing.', { phase: 'commentary' }),
  ...writer.openCall({ call_id: 'a', name: 'f' }),
  ...writer.callArguments('a', '{"x":'),
  ...writer.callArguments('a', '"é"}'),
  ...writer.closeCall('a'),
  ...writer.openCall({ call_id: 'b', name: 'g' }),
  ...writer.closeCall('b'),
  ...writer.complete({ usage, finish: 'tool_calls' }),
])

describe('a whole answer', () => {
  it('becomes blocks in order, thinking signed, usage without what the cache had', () => {
    const events = messages(full)
    expect(events.slice(0, 6)).toEqual([
      {
        type: 'message_start',
        message: expect.objectContaining({ id: 'msg_1', content: [], stop_reason: null }),
      },
      { type: 'ping' },
      {
        type: 'content_block_start',
        index: 0,
        content_block: { type: 'thinking', thinking: '', signature: '' },
      },
      {
        type: 'content_block_delta',
        index: 0,
        delta: { type: 'thinking_delta', thinking: 'I must ' },
      },
      {
        type: 'content_block_delta',
        index: 0,
        delta: { type: 'thinking_delta', thinking: 'look.' },
      },
      {
        type: 'content_block_delta',
        index: 0,
        delta: { type: 'signature_delta', signature: expect.stringMatching(/./) },
      },
    ])
    expect(fold(events)).toMatchObject({
      content: [
        { type: 'thinking', thinking: 'I must look.' },
        { type: 'text', text: 'Waiting.', citations: null },
        { type: 'tool_use', id: 'a', name: 'f', input: { x: 'é' }, caller: { type: 'direct' } },
        { type: 'tool_use', id: 'b', name: 'g', input: {} },
      ],
      stop_reason: 'tool_use',
      stop_sequence: null,
      usage: {
        input_tokens: 5,
        cache_read_input_tokens: 4,
        cache_creation_input_tokens: 0,
        output_tokens: 5,
        output_tokens_details: { thinking_tokens: 2 },
      },
    })
  })

  it.each(['shown', 'omitted', 'none'] as const)(
    'is the same whole as streamed (%s)',
    (display) => {
      const whole = responseToMessage(finalResponse(full), { ...options, display })
      expect(fold(messages(full, { display }))).toEqual(whole)
    },
  )

  it('hides thinking from clients that ask for none', () => {
    expect(fold(messages(full, { display: 'none' })).content).toMatchObject([
      { type: 'text' },
      { type: 'tool_use' },
      { type: 'tool_use' },
    ])
  })

  it('puts thinking that is omitted into its signature, from which it comes back', () => {
    const [block] = fold(messages(full, { display: 'omitted' })).content as Json[]
    expect(block).toMatchObject({ type: 'thinking', thinking: '' })
    const signature = String(block?.signature)
    expect(thinkingText({ type: 'thinking', thinking: '', signature })).toBe('I must look.')
    expect(thinkingText({ type: 'thinking', thinking: '', signature: 'EqQBCgIYAhIM' })).toBe('')
    expect(thinkingText({ type: 'thinking', thinking: '', signature: 'sy1.text.%%%' })).toBe('')
    expect(thinkingText({ type: 'thinking', thinking: 'x', signature })).toBe('x')
  })
})

const ends: [string, Parameters<ResponseWriter['complete']>[0], object, string][] = [
  ['the end of the turn', { finish: 'stop', usage }, {}, 'end_turn'],
  ['a limit', { finish: 'length', usage }, {}, 'max_tokens'],
  ['the limit that was asked for', { finish: 'length', usage }, { exactLimit: 5 }, 'max_tokens'],
  [
    'the end of the context, before the limit',
    { finish: 'length', usage },
    { exactLimit: 6 },
    'model_context_window_exceeded',
  ],
  ['a limit without counts', { finish: 'length' }, { exactLimit: 6 }, 'max_tokens'],
  ['a content filter', { finish: 'content_filter', usage }, {}, 'refusal'],
]

describe('stop reasons', () => {
  it.each(ends)('%s', (_, end, overrides, expected) => {
    const events = written((writer) => [...writer.text('x'), ...writer.complete(end)])
    expect(fold(messages(events, overrides))).toMatchObject({ stop_reason: expected })
    const whole = responseToMessage(finalResponse(events), { ...options, ...overrides })
    expect(whole.stop_reason).toBe(expected)
  })

  it('a refusal is its text and its reason', () => {
    const events = written((writer) => [
      ...writer.refusal('I will not.'),
      ...writer.complete({ finish: 'stop', usage }),
    ])
    const expected = { stop_reason: 'refusal', content: [{ type: 'text', text: 'I will not.' }] }
    expect(fold(messages(events))).toMatchObject(expected)
    expect(responseToMessage(finalResponse(events), options)).toMatchObject(expected)
  })

  it('a stop sequence is told where the place tells it', () => {
    const events = written((writer) => writer.complete({ finish: 'stop', usage }))
    const last = events.at(-1) as unknown as { response: Json }
    last.response = { ...last.response, stop_sequence: 'END' }
    const expected = { stop_reason: 'stop_sequence', stop_sequence: 'END' }
    expect(fold(messages(events))).toMatchObject(expected)
    expect(responseToMessage(last.response, options)).toMatchObject(expected)
  })
})

describe('other servers’ streams', () => {
  const created = { type: 'response.created', response: { id: 'r', output: [] } }
  const item = (output_index: number, type: string, fields: object) => ({
    type: `response.output_item.${type}`,
    output_index,
    item: fields,
  })
  const completed = { type: 'response.completed', response: { status: 'completed', usage } }

  it('items that are told only when they are done', () => {
    const events = messages([
      created,
      item(0, 'done', { type: 'reasoning', summary: [{ text: 'a' }, { text: 'b' }] }),
      item(1, 'done', { type: 'message', content: [{ type: 'output_text', text: 'Hi' }] }),
      item(2, 'done', { type: 'function_call', call_id: 'c', name: 'f', arguments: '{"a":1}' }),
      completed,
    ])
    expect(fold(events).content).toMatchObject([
      { type: 'thinking', thinking: 'a\nb' },
      { type: 'text', text: 'Hi' },
      { type: 'tool_use', input: { a: 1 } },
    ])
  })

  it('items that interleave are put one after the other, and lose nothing', () => {
    const call = (call_id: string) => ({ type: 'function_call', call_id, name: 'f', arguments: '' })
    const args = (output_index: number, delta: string) => ({
      type: 'response.function_call_arguments.delta',
      output_index,
      delta,
    })
    const events = messages([
      created,
      item(0, 'added', call('a')),
      item(1, 'added', call('b')),
      args(1, '{"b":'),
      args(0, '{"a":'),
      item(2, 'added', call('c')),
      args(0, '1}'),
      args(1, '2}'),
      item(1, 'done', { ...call('b'), arguments: '{"b":2}' }),
      item(0, 'done', { ...call('a'), arguments: '{"a":1}' }),
      completed,
    ])
    expect(fold(events).content).toMatchObject([
      { id: 'a', input: { a: 1 } },
      { id: 'b', input: { b: 2 } },
      { id: 'c', input: {} },
    ])
  })

  it('a summary beside the text is not said twice; unknown items and events pass by', () => {
    const events = messages([
      created,
      item(0, 'added', { type: 'reasoning' }),
      { type: 'response.reasoning_text.delta', output_index: 0, content_index: 0, delta: 'one' },
      {
        type: 'response.reasoning_summary_text.delta',
        output_index: 0,
        summary_index: 0,
        delta: 'I',
      },
      { type: 'response.reasoning_text.delta', output_index: 0, content_index: 1, delta: 'two' },
      item(0, 'done', { type: 'reasoning' }),
      item(1, 'added', { type: 'web_search_call' }),
      item(1, 'done', { type: 'web_search_call' }),
      { type: 'response.surprise' },
      { type: 'response.output_text.delta', output_index: 0, content_index: 0, delta: 'late' },
      completed,
    ])
    expect(fold(events).content).toMatchObject([{ type: 'thinking', thinking: 'one\ntwo' }])
  })

  it('input that is no JSON object keeps its text', () => {
    const output = [{ type: 'function_call', call_id: 'c', name: 'f', arguments: '[1' }]
    const message = responseToMessage({ status: 'completed', output }, options)
    expect(message.content).toMatchObject([{ input: { INVALID_JSON: '[1' } }])
  })

  it('a failure ends with an error event, whatever its form, and nothing follows it', () => {
    for (const events of [
      [
        created,
        { type: 'error', message: 'broke', code: 'server_error' },
        { type: 'response.failed', response: {} },
      ],
      [created, { type: 'response.failed', response: { error: { message: 'broke' } } }, completed],
    ]) {
      const all = messages(events, { requestId: 'req-1' })
      expect(all.at(-1)).toMatchObject({
        type: 'error',
        error: { type: 'api_error', message: expect.stringContaining('broke') },
        request_id: 'req-1',
      })
    }
    expect(messages([created]).at(-1)).toMatchObject({
      type: 'error',
      error: { details: { error_code: 'upstream_error' } },
    })
    expect(() => responseToMessage({ status: 'failed', output: [] }, options)).toThrow()
    expect(() => responseToMessage({ choices: [] }, options)).toThrow('no response')
  })
})

describe('the oracle', () => {
  it('refuses what is out of order', () => {
    const events = messages(full)
    const cases: [number, unknown[]][] = events.map((_, at) => [at, events.toSpliced(at, 1)])
    for (const [at, without] of cases) {
      const type = events[at]?.type
      // Deltas and pings may be missing: they are just less text. A signature may not.
      const isPlain = type === 'ping' || type === 'content_block_delta'
      const delta = (events[at] as { delta?: { type?: string } }).delta?.type
      if (isPlain && delta !== 'signature_delta') continue
      expect(checkMessagesOrder(without), `without event ${at} (${type})`).not.toEqual([])
    }
    for (const at of events.keys()) {
      expect(checkMessagesOrder(events.slice(0, at)), `cut at ${at}`).not.toEqual([])
    }
  })
})

// ---- the face: bytes in, bytes out

const ask = {
  model: 'test/model',
  max_tokens: 100,
  stream: true,
  thinking: { type: 'adaptive' },
  messages: [{ role: 'user', content: 'hi' }],
}

/** Events of an answer's text; each has its type as its name. */
function eventsOf(text: string): { type: string }[] {
  const decoder = new SseDecoder()
  const all = [...decoder.push(new TextEncoder().encode(text)), ...decoder.end()]
  return all.map(({ event, data }) => {
    const parsed = JSON.parse(data)
    expect(parsed.type).toBe(event)
    return parsed
  })
}

const chatStream = sse([
  chunk({ role: 'assistant', content: '', reasoning: 'hm' }),
  chunk({ content: 'Grüße ' }),
  chunk({ content: '🙂' }),
  callChunk({ index: 0, id: 'a', function: { name: 'f', arguments: '{"x":' } }),
  callChunk({ index: 0, function: { arguments: '1}' } }),
  chunk({}, 'tool_calls'),
  { choices: [], usage: { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 } },
  '[DONE]',
])
const responsesStream = `${full.map((event) => encodeEvent(event.type, event)).join('')}data: [DONE]\n\n`

async function answer(script: Script, dialect: 'chat' | 'responses', body: object = ask) {
  const { deps, sent } = host([candidate({ dialects: [dialect] }), script])
  const response = await handleMessages(post(body), deps, 'req-7')
  return { response, sent, text: await response.text() }
}

describe('the face', () => {
  it.each([
    ['chat', chatStream],
    ['responses', responsesStream],
  ] as const)('%s upstream: the same events however the bytes are cut', async (dialect, text) => {
    const bytes = new TextEncoder().encode(text)
    const whole = await answer(() => streamed([bytes]), dialect)
    const expected = eventsOf(whole.text)
    expect(checkMessagesOrder(expected)).toEqual([])
    expect(whole.response.headers.get('request-id')).toBe('req-7')
    expect(fold(expected)).toMatchObject({ stop_reason: 'tool_use' })
    // A byte at a time, all in one turn of the loop or two.
    const single = Array.from(bytes, (_, at) => bytes.subarray(at, at + 1))
    const joined = new Response(
      new ReadableStream({
        start(controller) {
          for (const piece of single) controller.enqueue(piece)
          controller.close()
        },
      }),
      { headers: { 'content-type': 'text/event-stream' } },
    )
    expect((await answer(() => joined, dialect)).text).toBe(whole.text)
    for (let at = 1; at < bytes.length; at += bytes.length > 5000 ? 211 : 31) {
      const cut = await answer(() => streamed([bytes.subarray(0, at), bytes.subarray(at)]), dialect)
      expect(cut.text).toBe(whole.text)
    }
  })

  it('a stream that is cut anywhere is never a success', async () => {
    const bytes = new TextEncoder().encode(chatStream)
    const end = chatStream.indexOf('"finish_reason":"tool_calls"')
    for (let at = 1; at < end; at += 41) {
      const { response, text } = await answer(() => streamed([bytes.subarray(0, at)]), 'chat')
      const events = response.ok ? eventsOf(text) : [JSON.parse(text)]
      expect(events.at(-1)?.type, `cut at ${at}`).toBe('error')
      if (response.ok) expect(checkMessagesOrder(events)).toEqual([])
    }
  })

  it('answers JSON from either dialect with the same message', async () => {
    const body = { ...ask, stream: false }
    const completion = {
      choices: [
        {
          message: {
            content: 'Hello',
            reasoning: 'hm',
            tool_calls: [
              { id: 'a', type: 'function', function: { name: 'f', arguments: '{"x":1}' } },
            ],
          },
          finish_reason: 'tool_calls',
        },
      ],
      usage: { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 },
    }
    const events = convert([
      chunk({ reasoning: 'hm' }),
      chunk({ content: 'Hello' }),
      callChunk({ index: 0, id: 'a', function: { name: 'f', arguments: '{"x":1}' } }),
      chunk({}, 'tool_calls'),
      { choices: [], usage: completion.usage },
      '[DONE]',
    ])
    const chat = await answer(() => json(completion), 'chat', body)
    const own = await answer(() => json(finalResponse(events)), 'responses', body)
    const [one, other] = [JSON.parse(chat.text), JSON.parse(own.text)]
    expect({ ...one, id: '' }).toEqual({ ...other, id: '' })
    expect(one).toMatchObject({ content: [{ type: 'thinking' }, { text: 'Hello' }, { id: 'a' }] })
    expect(own.sent[0]?.body).toMatchObject({
      input: [{ role: 'user', content: 'hi' }],
      store: false,
    })
  })

  it('takes the candidate’s first dialect, and never passes bytes through', async () => {
    const both = candidate({ dialects: ['responses', 'chat'], raw: true })
    const { deps, sent } = host([both, () => streamed([responsesStream])])
    const text = await (await handleMessages(post(ask), deps)).text()
    expect(sent[0]?.dialect).toBe('responses')
    expect(checkMessagesOrder(eventsOf(text))).toEqual([])
  })

  it('tries the next candidate, then says the last error in Anthropic’s shape', async () => {
    const { deps } = host(
      [candidate(), refusing('upstream_error', true)],
      [candidate({ name: 'second' }), refusing('no_capacity', false)],
    )
    const response = await handleMessages(post(ask), deps, 'req-9')
    expect(response.status).toBe(503)
    expect(response.headers.get('retry-after')).toBe('7')
    expect(response.headers.get('x-switchyard-attempts')).toBe('2')
    expect(await response.json()).toMatchObject({
      type: 'error',
      error: { type: 'overloaded_error', details: { error_code: 'no_capacity' } },
      request_id: 'req-9',
    })
  })

  it.each([
    ['END', 'stop_sequence', 'END'],
    ['end_turn', 'end_turn', null],
    [null, 'end_turn', null],
  ])('an upstream that stopped with %j', async (stop_reason, expected, stop_sequence) => {
    const choice = { index: 0, delta: { content: 'Hi' }, finish_reason: 'stop', stop_reason }
    const body = { ...ask, stop_sequences: ['X', 'END'] }
    const script = () => streamed([sse([{ choices: [choice] }, '[DONE]'])])
    const events = eventsOf((await answer(script, 'chat', body)).text)
    expect(checkMessagesOrder(events)).toEqual([])
    expect(fold(events)).toMatchObject({ stop_reason: expected, stop_sequence })
    const whole = await answer(script, 'chat', { ...body, stream: false })
    expect(JSON.parse(whole.text)).toMatchObject({ stop_reason: expected, stop_sequence })
    expect(whole.sent[0]?.body).toMatchObject({ stop: ['X', 'END'] })
  })

  it('lets no model call what the choice forbids, whole or streamed', async () => {
    const tools = [{ name: 'f', input_schema: { type: 'object' } }]
    for (const stream of [true, false]) {
      const script = () => (stream ? streamed([responsesStream]) : json(finalResponse(full)))
      const body = { ...ask, stream, tools, tool_choice: { type: 'none' } }
      const { response, text } = await answer(script, 'responses', body)
      const events: unknown[] = stream && response.ok ? eventsOf(text) : [JSON.parse(text)]
      expect(events.at(-1)).toMatchObject({
        type: 'error',
        error: { details: { error_code: 'tool_choice_not_met' } },
      })
    }
  })

  it('tells a client that a model thinks unseen, every ten seconds', async () => {
    const thoughts = Array.from({ length: 40 }, (_, at) => sse([chunk({ reasoning: `${at}` })]))
    const pieces = [...thoughts, sse([chunk({ content: 'x' }, 'stop'), '[DONE]'])]
    const { deps } = host([candidate(), () => streamed(pieces)])
    let now = 0
    // Each look at the clock is half a second later.
    const clock = { ...deps, now: () => (now += 500) }
    const body = { ...ask, thinking: { type: 'adaptive', display: 'omitted' } }
    const events = eventsOf(await (await handleMessages(post(body), clock)).text())
    expect(checkMessagesOrder(events)).toEqual([])
    const pings = events.filter(({ type }) => type === 'ping').length
    expect(pings).toBeGreaterThan(2)
    expect(pings).toBeLessThan(20)
    const plain = eventsOf(await (await handleMessages(post(body), deps)).text())
    expect(plain.filter(({ type }) => type === 'ping')).toHaveLength(1)
  })

  it('breaks a long silence with a ping of the dialect’s own', async () => {
    const { deps } = host([candidate(), () => streamed([chatStream])])
    const text = await (await handleMessages(post(ask), deps)).text()
    expect(text.startsWith('event: message_start\n')).toBe(true)
    expect(text).toContain('event: ping\ndata: {"type":"ping"}\n\n')
  })
})

// ---- properties

const piece = fc.oneof(
  fc.record({ reasoning: fc.string({ minLength: 1, maxLength: 8 }) }),
  fc.record({ content: fc.string({ minLength: 1, maxLength: 8 }) }),
  fc.record({ refusal: fc.string({ minLength: 1, maxLength: 8 }) }),
)
const calls = fc.uniqueArray(fc.record({ id: fc.uuid(), n: fc.integer() }), {
  maxLength: 3,
  selector: ({ id }) => id,
})

describe('any answer', () => {
  it('streams in order, and whole is what the stream amounts to', () => {
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 8 }),
        calls,
        fc.constantFrom('stop', 'length', 'content_filter'),
        fc.constantFrom('shown', 'omitted', 'none'),
        (deltas, called, finish, display) => {
          const events = convert([
            ...deltas.map((delta) => chunk(delta)),
            ...called.map(({ id, n }, index) =>
              callChunk({ index, id, function: { name: 'f', arguments: JSON.stringify({ n }) } }),
            ),
            chunk({}, finish),
            '[DONE]',
          ])
          const whole = responseToMessage(finalResponse(events), { ...options, display })
          expect(fold(messages(events, { display }))).toEqual(whole)
        },
      ),
      { numRuns: 100 },
    )
  })
})
