// Both faces over every pair of dialects, one piece: all of it shares one scripted upstream and its clock.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import {
  ApiError,
  collectChat,
  handleChat,
  handleResponses,
  type ResponsesEvent,
  ResponseWriter,
} from '../../src/index.ts'
import { encodeEvent } from '../../src/sse/encode.ts'
import { bestEffort, type Guarantee } from '../../src/tools/structured-contract.ts'
import { checkResponseSchema } from '../oracle/open-responses.ts'
import { checkOrder } from '../oracle/order.ts'
import { callChunk, chunk, eventsOf, expectInOrder, sse, streamOptions } from './support.ts'
import { candidate, host, json, post, refusing, type Script, streamed } from './upstream.ts'

const usage = { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 }
const chatStream = sse([
  chunk({ role: 'assistant', content: '', reasoning: 'hm' }),
  chunk({ content: 'Hello' }),
  callChunk({ index: 0, id: 'a', function: { name: 'f', arguments: '{"x":1}' } }),
  chunk({}, 'tool_calls'),
  { choices: [], usage },
  '[DONE]',
])
const responsesEvents = (() => {
  const writer = new ResponseWriter(streamOptions())
  const events: ResponsesEvent[] = [
    ...writer.start(),
    ...writer.reasoning('hm'),
    ...writer.text('Hel'),
    ...writer.text('lo'),
    ...writer.openCall({ call_id: 'a', name: 'f' }),
    ...writer.callArguments('a', '{"x":1}'),
    ...writer.complete({
      finish: 'tool_calls',
      usage: {
        input_tokens: 3,
        input_tokens_details: { cached_tokens: 0 },
        output_tokens: 4,
        output_tokens_details: { reasoning_tokens: 0 },
        total_tokens: 7,
      },
    }),
  ]
  return events
})()
const encoded = responsesEvents.map((event) => encodeEvent(event.type, event))
const responsesStream = `${encoded.join('')}data: [DONE]\n\n`
const completion = {
  id: 'x',
  object: 'chat.completion',
  choices: [{ index: 0, message: { role: 'assistant', content: 'Hello' }, finish_reason: 'stop' }],
  usage,
}

const ask = { model: 'test/model', input: 'hi' }
const chat = { model: 'test/model', messages: [{ role: 'user', content: 'hi' }] }
const stream = { stream: true }
const responses = { dialects: ['responses' as const] }

/** Everything after `data: ` of a Chat stream, parsed; the flag tells whether [DONE] was last. */
function chunksOf(text: string): { chunks: Record<string, unknown>[]; done: boolean } {
  const datas = text.split('\n\n').flatMap((block) => {
    const lines = block.split('\n').filter((line) => line.startsWith('data: '))
    return lines.length === 0 ? [] : [lines.map((line) => line.slice(6)).join('\n')]
  })
  const done = datas.at(-1) === '[DONE]'
  if (done) datas.pop()
  return { chunks: datas.map((data) => JSON.parse(data)), done }
}

/** Cuts a text into reads at many places. */
function* cuts(text: string): Generator<(string | Uint8Array)[]> {
  const bytes = new TextEncoder().encode(text)
  yield [bytes]
  for (let at = 1; at < bytes.length; at += 97) yield [bytes.subarray(0, at), bytes.subarray(at)]
  const pieces = []
  for (let at = 0; at < bytes.length; at += 150) pieces.push(bytes.subarray(at, at + 150))
  yield pieces
}

describe('streams', () => {
  it('Responses client, Chat upstream: converted, in order, however the bytes are cut', async () => {
    for (const pieces of cuts(chatStream)) {
      const { deps, sent, outcomes } = host([candidate(), () => streamed(pieces)])
      const answer = await handleResponses(post({ ...ask, ...stream }), deps)
      expect(answer.headers.get('content-type')).toBe('text/event-stream')
      const events = eventsOf(await answer.text())
      expectInOrder(events)
      expect(events.at(-1)).toMatchObject({
        type: 'response.completed',
        response: {
          model: 'model-there',
          output: [{ type: 'reasoning' }, { type: 'message' }, { call_id: 'a' }],
        },
      })
      expect(sent[0]).toMatchObject({
        dialect: 'chat',
        stream: true,
        body: { model: 'model-there', stream: true, stream_options: { include_usage: true } },
      })
      expect(outcomes).toMatchObject([
        { status: 'completed', usage: { input_tokens: 3 }, attempts: [] },
      ])
    }
  })

  it('Chat client, Responses upstream', async () => {
    for (const pieces of cuts(responsesStream)) {
      const { deps, sent, outcomes } = host([candidate(responses), () => streamed(pieces)])
      const body = { ...chat, ...stream, stream_options: { include_usage: true }, stop: ['x'] }
      const { chunks, done } = chunksOf(await (await handleChat(post(body), deps)).text())
      expect(done).toBe(true)
      expect(collectChat(chunks)).toMatchObject({
        choices: [{ finish_reason: 'tool_calls', message: { content: 'Hello', reasoning: 'hm' } }],
        usage,
      })
      expect(sent[0]?.body).toMatchObject({ input: [{ role: 'user' }], stop: ['x'], store: false })
      expect(sent[0]?.body).not.toHaveProperty('stream_options')
      expect(outcomes).toMatchObject([{ status: 'completed' }])
    }
  })

  it('Responses client and upstream: the bytes as they came', async () => {
    for (const pieces of cuts(`: hello\n\n${responsesStream}`)) {
      const { deps, outcomes } = host([candidate(responses), () => streamed(pieces)])
      const answer = await handleResponses(post({ ...ask, ...stream, mystery: 1 }), deps)
      expect(await answer.text()).toBe(`: hello\n\n${responsesStream}`)
      expect(outcomes).toMatchObject([{ status: 'completed', usage: { total_tokens: 7 } }])
    }
  })

  it('Chat client and upstream: the bytes as they came', async () => {
    for (const pieces of cuts(chatStream)) {
      const { deps, outcomes } = host([candidate(), () => streamed(pieces)])
      const body = { ...chat, ...stream, stream_options: { include_usage: true } }
      expect(await (await handleChat(post(body), deps)).text()).toBe(chatStream)
      expect(outcomes).toMatchObject([{ status: 'completed', usage: { total_tokens: 7 } }])
    }
  })

  it('keeps the usage chunk from a Chat client that did not ask for it', async () => {
    for (const pieces of cuts(chatStream)) {
      const { deps, sent, outcomes } = host([candidate(), () => streamed(pieces)])
      const { chunks, done } = chunksOf(
        await (await handleChat(post({ ...chat, ...stream }), deps)).text(),
      )
      expect(done).toBe(true)
      expect(chunks).toHaveLength(4)
      expect(sent[0]?.body.stream_options).toEqual({ include_usage: true })
      expect(outcomes[0]?.usage?.input_tokens).toBe(3)
    }
  })

  it('splits inline reasoning for a Chat client too', async () => {
    const inline = sse([
      chunk({ content: '<thi' }),
      chunk({ content: 'nk>hm</think>Hi' }),
      chunk({}, 'stop'),
      '[DONE]',
    ])
    const { deps } = host([candidate({ inlineReasoning: true }), () => streamed([inline])])
    const { chunks } = chunksOf(await (await handleChat(post({ ...chat, ...stream }), deps)).text())
    expect(collectChat(chunks).choices[0]?.message).toMatchObject({
      content: 'Hi',
      reasoning: 'hm',
    })
  })

  it('adds what an upstream leaves out at the end', async () => {
    const noDone = responsesStream.replace('data: [DONE]\n\n', '')
    const first = host([candidate(responses), () => streamed([noDone])])
    expect(await (await handleResponses(post({ ...ask, ...stream }), first.deps)).text()).toBe(
      responsesStream,
    )
    const bare = sse([chunk({ content: 'a' }, 'stop')])
    const second = host([candidate(), () => streamed([bare])])
    expect(await (await handleChat(post({ ...chat, ...stream }), second.deps)).text()).toBe(
      `${bare}data: [DONE]\n\n`,
    )
    expect(second.outcomes).toMatchObject([{ status: 'completed' }])
  })

  it('drops what comes after the end, and events that are not JSON', async () => {
    const noisy = sse([
      chunk({ content: 'a' }),
      '{broken',
      chunk({}, 'stop'),
      '[DONE]',
      chunk({ content: 'b' }),
    ])
    const { deps } = host([candidate(), () => streamed([noisy])])
    const clean = sse([chunk({ content: 'a' }), chunk({}, 'stop'), '[DONE]'])
    expect(await (await handleChat(post({ ...chat, ...stream }), deps)).text()).toBe(clean)
  })
})

describe('streams that go wrong', () => {
  const head = sse([chunk({ content: 'Hel' }), chunk({ content: 'lo' })])

  it.each<[string, (string | Error)[]]>([
    ['is cut', [head]],
    ['is cut within an event', [head, 'data: {"choices":[{"delta":{"content":" wor']],
    ['breaks', [head, new Error('reset')]],
    ['says [DONE] without an end', [`${head}data: [DONE]\n\n`]],
    ['sends an error', [head, sse([{ error: { message: 'overloaded', code: 503 } }])]],
    ['sends an error as Cerebras does', [head, 'event: error\ndata: {"message":"boom"}\n\n']],
    ['sends an error as vLLM does', [head, sse([{ object: 'error', message: 'no', code: 500 }])]],
    ['sends nothing but noise', [head, 'data: {x\n\n'.repeat(5)]],
    ['sends an endless event', [head, `data: ${'x'.repeat(2_000_000)}`]],
  ])('a Chat upstream that %s is never a success', async (_name, pieces) => {
    const script: Script = () => streamed(pieces)
    const lost = candidate({ lostCode: 'node_lost' })
    const first = host([lost, script])
    const events = eventsOf(
      await (await handleResponses(post({ ...ask, ...stream }), first.deps)).text(),
    )
    expectInOrder(events)
    expect(events.at(-1)).toMatchObject({
      type: 'response.failed',
      response: { output: [{ content: [{ text: 'Hello' }] }] },
    })
    expect(first.outcomes).toMatchObject([{ status: 'failed' }])
    expect(first.errors).toHaveLength(1)

    const second = host([lost, script])
    const { chunks, done } = chunksOf(
      await (await handleChat(post({ ...chat, ...stream }), second.deps)).text(),
    )
    expect(done).toBe(false)
    expect(chunks.slice(0, 2)).toEqual([chunk({ content: 'Hel' }), chunk({ content: 'lo' })])
    expect(chunks).toHaveLength(3)
    expect(chunks[2]).toHaveProperty('error.message')
    expect(second.outcomes).toMatchObject([{ status: 'failed' }])
  })

  it('a Responses upstream that is cut after any event ends in order for both clients', async () => {
    for (let cut = 3; cut < encoded.length; cut++) {
      const pieces = [encoded.slice(0, cut).join(''), `${encoded[cut]?.slice(0, 30)}`]
      const lost = candidate({ ...responses, lostCode: 'node_lost' })
      const first = host([lost, () => streamed(pieces)])
      const text = await (await handleResponses(post({ ...ask, ...stream }), first.deps)).text()
      expect(text.startsWith(encoded.slice(0, cut).join(''))).toBe(true)
      const events = eventsOf(text)
      expectInOrder(events)
      expect(events.at(-1)).toMatchObject({
        response: { status: 'failed', error: { code: 'node_lost' } },
      })
      const second = host([lost, () => streamed(pieces)])
      const { chunks, done } = chunksOf(
        await (await handleChat(post({ ...chat, ...stream }), second.deps)).text(),
      )
      expect([done, chunks.at(-1)]).toMatchObject([false, { error: { code: 'node_lost' } }])
    }
  })

  it.each<[string, () => Response]>([
    ['an empty stream', () => streamed([])],
    [
      'an error as its first event',
      () => streamed([sse([{ error: { message: 'overloaded', code: 503 } }])]),
    ],
    ['a reset', () => streamed([new Error('reset')])],
    ['a web page', () => json('<html>oops</html>', 'text/html')],
    ['a JSON error with 200', () => json({ error: { message: 'no' } })],
  ])('gives the next candidate its turn after %s', async (_name, broken) => {
    for (const [handle, body] of [
      [handleResponses, ask],
      [handleChat, chat],
    ] as const) {
      const second = candidate({ name: 'second' })
      const { deps, outcomes } = host([candidate(), broken], [second, () => streamed([chatStream])])
      const answer = await handle(post({ ...body, ...stream }), deps)
      await answer.text()
      expect(answer.headers.get('x-switchyard-provider')).toBe('second')
      expect(answer.headers.get('x-switchyard-attempts')).toBe('2')
      expect(outcomes).toMatchObject([
        { status: 'completed', attempts: [{ name: 'first', error: 'upstream_error' }] },
      ])
      const alone = host([candidate(), broken])
      const failed = await handle(post({ ...body, ...stream }), alone.deps)
      expect(failed.status).toBe(502)
      expect(await failed.json()).toMatchObject({ error: { code: 'upstream_error' } })
      expect(alone.outcomes).toMatchObject([{ status: 'failed' }])
    }
  })

  it('a Responses upstream whose first event is an HTTP error body moves on, too', async () => {
    const broken = () => streamed([sse([{ error: { message: 'no', code: 500 } }])])
    const { deps } = host(
      [candidate(responses), broken],
      [candidate({ name: 'second' }), () => streamed([chatStream])],
    )
    const answer = await handleResponses(post({ ...ask, ...stream }), deps)
    expectInOrder(eventsOf(await answer.text()))
    expect(answer.headers.get('x-switchyard-provider')).toBe('second')
  })
})

describe('answers without streaming', () => {
  it('are read to 32 MiB and no further, whatever their length is said to be', async () => {
    const piece = new Uint8Array(1024 * 1024).fill(32)
    let read = 0
    let stopped = false
    const endless = new ReadableStream({
      pull(controller) {
        read++
        controller.enqueue(piece)
      },
      cancel() {
        stopped = true
      },
    })
    const headers = { 'content-type': 'application/json' }
    const { deps } = host([candidate(), () => new Response(endless, { headers })])
    const answer = await handleResponses(post(ask), deps)
    expect([answer.status, stopped]).toEqual([502, true])
    expect(await answer.json()).toMatchObject({ error: { code: 'upstream_error' } })
    expect(read).toBeLessThan(40)
  })

  it('folded of a stream, are whole once their end has come, however the connection breaks', async () => {
    const pieces = [chatStream.replace('data: [DONE]\n\n', ''), new Error('reset')]
    const { deps } = host([
      candidate({ kind: 'provider', streamWhole: true }),
      () => streamed(pieces),
    ])
    const answer = await handleResponses(post(ask), deps)
    expect(await answer.json()).toMatchObject({ status: 'completed' })
  })

  it('converts a completion for a Responses client', async () => {
    const { deps, sent, outcomes } = host([candidate(), () => json(completion)])
    const answer = await handleResponses(post(ask), deps)
    const body = await answer.json()
    expect(body).toMatchObject({
      status: 'completed',
      output: [{ content: [{ text: 'Hello' }] }],
      usage: { total_tokens: 7 },
    })
    expect(checkResponseSchema(body)).toEqual([])
    expect(sent[0]?.stream).toBe(false)
    expect(outcomes).toMatchObject([{ status: 'completed' }])
  })

  it('converts a response for a Chat client', async () => {
    const last = responsesEvents.at(-1)
    const { deps } = host([
      candidate(responses),
      () => json(last && 'response' in last ? last.response : {}),
    ])
    expect(await (await handleChat(post(chat), deps)).json()).toMatchObject({
      object: 'chat.completion',
      choices: [
        {
          finish_reason: 'tool_calls',
          message: { content: 'Hello', reasoning: 'hm', tool_calls: [{ id: 'a' }] },
        },
      ],
    })
  })

  it('passes on the text of the same dialect untouched', async () => {
    const text = `{ "output" : [], "status":"completed", "mystery": 1 }`
    const first = host([candidate(responses), () => json(text)])
    expect(await (await handleResponses(post(ask), first.deps)).text()).toBe(text)
    const other = JSON.stringify({ ...completion, mystery: 1 }, null, 3)
    const second = host([candidate(), () => json(other)])
    expect(await (await handleChat(post(chat), second.deps)).text()).toBe(other)
  })

  it.each<[string, () => Response]>([
    ['a web page', () => json('<html></html>', 'text/html')],
    ['an error in a 200', () => json({ error: { message: 'Network connection lost.' } })],
    ['half of a JSON text', () => json('{"choices":[')],
    ['nothing', () => json('')],
    ['something else', () => json({ hello: 1 })],
    ['a broken connection', () => streamed(['{"choices":', new Error('reset')])],
  ])('takes %s for a failure of the upstream and moves on', async (_name, broken) => {
    for (const dialect of ['chat', 'responses'] as const) {
      const first = candidate({ dialects: [dialect] })
      const { deps } = host(
        [first, broken],
        [candidate({ name: 'second' }), () => json(completion)],
      )
      const answer = await handleResponses(post(ask), deps)
      expect([answer.status, answer.headers.get('x-switchyard-provider')]).toEqual([200, 'second'])
      const alone = host([first, broken])
      expect((await handleChat(post(chat), alone.deps)).status).toBe(502)
    }
  })
})

describe('candidates', () => {
  const good: Script = () => json(completion)

  it('moves on only while the fault is not the client’s, three times at most', async () => {
    const names = ['a', 'b', 'c', 'd'].map((name) => candidate({ name }))
    const [a, b, c, d] = names
    if (!a || !b || !c || !d) throw new Error('unreachable')
    const bad = refusing('no_capacity', true)
    const moved = host([a, bad], [b, refusing('upstream_timeout', true)], [c, good])
    const answer = await handleResponses(post(ask), moved.deps)
    expect(answer.headers.get('x-switchyard-attempts')).toBe('3')
    const spent = host([a, bad], [b, bad], [c, bad], [d, good])
    const refused = await handleResponses(post(ask), spent.deps)
    expect(spent.sent).toHaveLength(3)
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '7'])
    expect(refused.headers.get('x-switchyard-attempts')).toBe('3')
    const stopped = host([a, refusing('context_length_exceeded', false)], [b, good])
    expect((await handleResponses(post(ask), stopped.deps)).status).toBe(400)
    expect(stopped.sent).toHaveLength(1)
  })

  it('skips one that cannot carry the content', async () => {
    const file = {
      model: 'm',
      input: [
        { role: 'user', content: [{ type: 'input_file', file_url: 'https://example.com/x.pdf' }] },
      ],
    }
    const native = candidate({ ...responses, name: 'native' })
    const { deps, sent } = host(
      [candidate(), good],
      [native, () => json({ output: [], status: 'completed' })],
    )
    expect((await handleResponses(post(file), deps)).headers.get('x-switchyard-provider')).toBe(
      'native',
    )
    expect(sent).toHaveLength(1)
    const alone = host([candidate(), good])
    const refused = await handleResponses(post(file), alone.deps)
    expect(await refused.json()).toMatchObject({
      error: { code: 'unsupported_content', param: 'input[0].content[0]' },
    })
  })

  it('lets the candidate adapt the body, and says what was left out', async () => {
    const adapted = candidate({
      adapt: (body, dialect) => ({ body: { ...body, adapted: dialect }, dropped: ['logit_bias'] }),
    })
    const { deps, sent } = host([adapted, good])
    const body = { ...ask, tools: [{ type: 'web_search' }] }
    const answer = await handleResponses(post(body), deps)
    expect(sent[0]?.body).toMatchObject({ adapted: 'chat' })
    expect(answer.headers.get('warning')).toContain('tools[0] (web_search), logit_bias')
  })

  it('names no field as left out that goes up to an engine behind a node', async () => {
    const odd = { chat_template_kwargs: { a: 1 }, service_tier: 'flex' }
    const answered = () => json({ output: [], status: 'completed' })
    const behind = (structured: Guarantee) =>
      host([candidate({ ...responses, kind: 'node', structured }), answered])
    for (const [face, body] of [
      [handleResponses, { ...ask, ...odd }],
      [handleChat, { model: 'm', messages: [{ role: 'user', content: 'hi' }], ...odd }],
    ] as const) {
      const other = behind(bestEffort)
      const warning = (await face(post(body), other.deps)).headers.get('warning') ?? ''
      expect(warning).not.toContain('chat_template_kwargs')
      expect(other.sent[0]?.body).toMatchObject({ chat_template_kwargs: { a: 1 } })
      const tier = 'service_tier' in (other.sent[0]?.body ?? {})
      expect(warning.includes('service_tier')).toBe(!tier)
      const own = behind({ ...bestEffort, checksItself: true })
      const told = (await face(post(body), own.deps)).headers.get('warning')
      expect(told).toContain('chat_template_kwargs')
    }
  })

  it('copies raw bytes where the candidate says so', async () => {
    const raw = candidate({ ...responses, raw: true, adapt: () => ({ body: {}, dropped: ['x'] }) })
    const odd = 'data: {"anything":1}\n\n'
    const { deps, sent, outcomes } = host([raw, () => streamed([odd])])
    const answer = await handleResponses(post({ ...ask, ...stream }), deps)
    expect(await answer.text()).toBe(odd)
    expect(sent[0]?.body).toMatchObject({ input: 'hi', model: 'model-there' })
    expect(outcomes).toHaveLength(1)
  })

  it('gives an unexpected fault as a 500 without its message', async () => {
    const { deps, errors } = host([
      candidate(),
      () => {
        throw new Error('secret detail')
      },
    ])
    const answer = await handleResponses(post(ask), deps)
    expect(answer.status).toBe(500)
    expect(await answer.text()).not.toContain('secret')
    expect(errors).toHaveLength(1)
  })
})

describe('requests that are refused', () => {
  const never: Script = () => {
    throw new Error('nothing should be sent')
  }

  it.each<[object, number, string, string | null]>([
    [
      { ...ask, previous_response_id: 'resp_1' },
      404,
      'previous_response_not_found',
      'previous_response_id',
    ],
    [{ ...ask, conversation: 'conv_1' }, 400, 'unsupported_parameter', 'conversation'],
    [{ ...ask, background: true }, 400, 'unsupported_parameter', 'background'],
    [{ ...ask, prompt: { id: 'pmpt_1' } }, 400, 'unsupported_parameter', 'prompt'],
    [{ model: 'm', prompt: { id: 'pmpt_1' } }, 400, 'unsupported_parameter', 'prompt'],
    [{ input: 'x' }, 400, 'missing_required_parameter', 'model'],
    [
      { ...ask, input: [{ role: 'user', content: [{ text: 'x' }] }] },
      400,
      'missing_required_parameter',
      'input[0].content[0].type',
    ],
  ])('Responses %#', async (body, status, code, param) => {
    const { deps, sent } = host([candidate(), never])
    const answer = await handleResponses(post(body), deps)
    expect(answer.status).toBe(status)
    expect(await answer.json()).toMatchObject({
      error: { code, param, type: 'invalid_request_error' },
    })
    expect(sent).toEqual([])
  })

  it.each([
    ['input[0].content[1]', 'messages[0].content[1]'],
    ['input[4].output[0]', 'messages[2].content[0]'],
    ['input[4].call_id', 'messages[2].tool_call_id'],
    ['input[5].content', 'messages[3].content'],
    ['tools[1].parameters', 'tools[1].function.parameters'],
    ['max_output_tokens', 'max_tokens'],
    ['reasoning.effort', 'reasoning_effort'],
    ['text.format', 'response_format'],
    ['text.format.schema.required', 'response_format.json_schema.schema.required'],
    ['tools[1].parameters.properties.$&', 'tools[1].function.parameters.properties.$&'],
    ['temperature', 'temperature'],
  ])('tells a Chat client of %s as %s', async (canonical, param) => {
    const script: Script = () => {
      throw new ApiError('unsupported_content', `No '${canonical}' here.`, { param: canonical })
    }
    const call = (id: string) => ({
      id,
      type: 'function',
      function: { name: 'f', arguments: '{}' },
    })
    const { deps } = host([candidate(), script])
    const messages = [
      {
        role: 'user',
        content: [
          { type: 'text', text: 'a' },
          { type: 'text', text: 'b' },
        ],
      },
      { role: 'assistant', reasoning: 'hm', tool_calls: [call('a'), call('b')] },
      { role: 'tool', tool_call_id: 'a', content: 'x' },
      { role: 'user', content: 'c' },
    ]
    const answer = await handleChat(post({ model: 'm', messages }), deps)
    expect(await answer.json()).toMatchObject({ error: { param, message: `No '${param}' here.` } })
  })

  it('Chat, and bodies that are no JSON', async () => {
    const { deps } = host([candidate(), never])
    expect((await handleChat(post({ ...chat, n: 2 }), deps)).status).toBe(400)
    expect((await handleChat(post('{'), deps)).status).toBe(400)
    expect((await handleChat(post('x'.repeat(200_000)), deps)).status).toBe(413)
    const plain = { headers: { 'content-type': 'text/plain' } }
    expect((await handleChat(post(chat, plain), deps)).status).toBe(415)
  })
})

describe('clients that leave', () => {
  /** An upstream that says one thing and then nothing; tells when it is stopped. */
  function hanging(first: string) {
    const stopped: string[] = []
    const script: Script = (call) => {
      call.signal.addEventListener('abort', () => stopped.push('signal'))
      const body = new ReadableStream<Uint8Array>({
        start: (controller) => controller.enqueue(new TextEncoder().encode(first)),
        cancel: () => {
          stopped.push('cancel')
        },
      })
      return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
    }
    return { script, stopped }
  }

  it.each(['body', 'signal'])(
    'stops the upstream when the %s says so, and that is no error',
    async (how) => {
      for (const [handle, body, dialects, first] of [
        [handleResponses, ask, 'chat', sse([chunk({ content: 'a' })])],
        [handleChat, chat, 'chat', sse([chunk({ content: 'a' })])],
        [handleResponses, ask, 'responses', encoded.slice(0, 5).join('')],
      ] as const) {
        const { script, stopped } = hanging(first)
        const { deps, outcomes, errors } = host([candidate({ dialects: [dialects] }), script])
        const left = new AbortController()
        const answer = await handle(post({ ...body, ...stream }, { signal: left.signal }), deps)
        const reader = answer.body?.getReader()
        expect((await reader?.read())?.value?.length).toBeGreaterThan(0)
        if (how === 'body') await reader?.cancel()
        else left.abort()
        expect(stopped.sort()).toEqual(['cancel', 'signal'])
        expect(outcomes).toMatchObject([{ status: 'cancelled' }])
        expect(errors).toEqual([])
      }
    },
  )

  it('stops a request that has had no answer yet', async () => {
    const left = new AbortController()
    const { deps, outcomes, errors, sent } = host([
      candidate(),
      (call) =>
        new Promise((_resolve, reject) => {
          call.signal.addEventListener('abort', () =>
            reject(new DOMException('gone', 'AbortError')),
          )
          left.abort()
        }),
    ])
    await handleResponses(post(ask, { signal: left.signal }), deps)
    expect(sent[0]?.signal.aborted).toBe(true)
    expect(outcomes).toMatchObject([{ status: 'cancelled' }])
    expect(errors).toEqual([])
  })

  it('stops reading a JSON answer', async () => {
    const left = new AbortController()
    const { script, stopped } = hanging('{"choices":')
    const { deps, outcomes, errors } = host(
      [candidate(), script],
      [candidate({ name: 'second' }), script],
    )
    const pending = handleResponses(post(ask, { signal: left.signal }), deps)
    await new Promise((resolve) => setTimeout(resolve, 10))
    left.abort()
    await pending
    expect(stopped.sort()).toEqual(['cancel', 'signal'])
    expect(outcomes).toMatchObject([{ status: 'cancelled' }])
    expect(errors).toEqual([])
  })

  it('reads no further than a slow client', async () => {
    let pulled = 0
    const endless = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          pulled++
          controller.enqueue(
            new TextEncoder().encode(sse([chunk({ content: 'x'.repeat(10_000) })])),
          )
        },
      },
      { highWaterMark: 0 },
    )
    const answer = () => new Response(endless, { headers: { 'content-type': 'text/event-stream' } })
    const { deps } = host([candidate(), answer])
    const { body } = await handleResponses(post({ ...ask, ...stream }), deps)
    const before = pulled
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(pulled).toBeLessThanOrEqual(before + 1)
    const reader = body?.getReader()
    await reader?.read()
    await reader?.read()
    expect(pulled).toBeGreaterThan(before)
    await reader?.cancel()
  })
})

it('joins what one turn brings into one write', async () => {
  const pieces = chatStream.split(/(?<=\n\n)/).map((piece) => new TextEncoder().encode(piece))
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const piece of pieces) controller.enqueue(piece)
      controller.close()
    },
  })
  const answer = () => new Response(body, { headers: { 'content-type': 'text/event-stream' } })
  const { deps } = host([candidate(), answer])
  const reader = (await handleResponses(post({ ...ask, ...stream }), deps)).body?.getReader()
  let writes = 0
  const seen: Uint8Array[] = []
  for (let read = await reader?.read(); read?.value; read = await reader?.read()) {
    writes++
    seen.push(read.value)
  }
  expect(writes).toBeLessThan(pieces.length)
  expect(checkOrder(eventsOf(Buffer.concat(seen).toString()))).toEqual([])
})

describe('silence', () => {
  beforeEach(() => {
    vi.useFakeTimers()
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  it('sends headers when the upstream stays silent, then a comment every 15 s, none in the middle of an event', async () => {
    let say = (_text: string) => {}
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        say = (text) => controller.enqueue(new TextEncoder().encode(text))
      },
    })
    const answer = () => new Response(body, { headers: { 'content-type': 'text/event-stream' } })
    const { deps, sent } = host([candidate(), answer])
    const pending = handleChat(post({ ...chat, ...stream }), deps)
    // Until the request is read and sent on, which takes turns of the event loop that no timer counts.
    while (sent.length === 0) await vi.advanceTimersByTimeAsync(0)
    // And until its answer is being read.
    await vi.advanceTimersByTimeAsync(0)
    await vi.advanceTimersByTimeAsync(5_000)
    const reader = (await pending).body?.pipeThrough(new TextDecoderStream()).getReader()
    const next = async (ms: number) => {
      const read = reader?.read()
      await vi.advanceTimersByTimeAsync(ms)
      return (await read)?.value
    }
    expect(await next(15_000)).toBe(': ping\n\n')
    const event = sse([chunk({ content: 'Hello' })])
    say(event.slice(0, 20))
    expect(await next(16_000)).toBe(': ping\n\n')
    say(event.slice(20))
    expect(await next(10)).toBe(event)
    await reader?.cancel()
  })
})
