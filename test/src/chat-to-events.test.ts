// Every known layout of Chat chunks, one piece: a catalogue, each entry fed whole, byte by byte and split.
import { describe, expect, it } from 'vitest'
import { usageToMessages } from '../../src/convert/messages-response.ts'
import { ChatToResponsesStream } from '../../src/convert/stream.ts'
import {
  sumUsage,
  usageFromChat,
  usageFromResponses,
  usageToChat,
} from '../../src/convert/usage.ts'
import type { ResponsesEvent } from '../../src/protocol/events.ts'
import { collectResponse } from '../../src/stream/collect.ts'
import {
  callChunk,
  chunk,
  convert,
  done,
  finalResponse,
  outline,
  streamOptions,
} from './support.ts'

const stop = chunk({}, 'stop')
const calls = chunk({}, 'tool_calls')
const usage = { prompt_tokens: 7, completion_tokens: 5, total_tokens: 12 }

const deltas = (events: ResponsesEvent[], type: ResponsesEvent['type']) =>
  events.flatMap((event) => (event.type === type && 'delta' in event ? [event.delta] : []))

const failure = (events: ResponsesEvent[]) => finalResponse(events).error?.code

describe('text and reasoning', () => {
  it.each(['reasoning', 'reasoning_content', 'thinking'])('reads %s', (field) => {
    const events = convert([
      chunk({ role: 'assistant', content: '', [field]: 'th' }),
      chunk({ [field]: 'ink', content: null }),
      chunk({ content: 'Hel' }),
      chunk({ content: 'lo' }),
      stop,
      done,
    ])
    expect(outline(events)).toEqual([
      ['reasoning', 'think'],
      ['message', 'Hello'],
    ])
    expect(deltas(events, 'response.output_text.delta')).toEqual(['Hel', 'lo'])
    expect(collectResponse(events)).toEqual(finalResponse(events))
  })

  it('reads reasoning_details, and takes the same text under two names once', () => {
    const details = [
      { type: 'reasoning.text', text: 'hm' },
      { type: 'reasoning.encrypted', data: 'x' },
      { type: 'reasoning.summary', summary: ' (in short)' },
    ]
    const events = convert([
      chunk({ reasoning_details: details }),
      chunk({ reasoning: '…', reasoning_content: '…' }),
      chunk({ content: 'a' }),
      stop,
    ])
    expect(outline(events)[0]).toEqual(['reasoning', 'hm (in short)…'])
  })

  it('reads content parts', () => {
    const thinking = { type: 'thinking', thinking: [{ type: 'text', text: 'hm' }] }
    const events = convert([
      chunk({ content: [thinking] }),
      chunk({ content: [{ type: 'text', text: 'a' }] }),
      stop,
    ])
    expect(outline(events)).toEqual([
      ['reasoning', 'hm'],
      ['message', 'a'],
    ])
  })

  it('turns a refusal into a refusal part', () => {
    const events = convert([chunk({ refusal: 'I ' }), chunk({ refusal: 'cannot.' }), stop])
    expect(outline(events)).toEqual([['refusal', 'I cannot.']])
  })

  it('keeps logprobs, with bytes and top logprobs made whole', () => {
    const logprobs = {
      content: [
        { token: 'a', logprob: -0.1, bytes: null, top_logprobs: [{ token: 'b', logprob: -3 }] },
      ],
    }
    const events = convert([{ choices: [{ index: 0, delta: { content: 'a' }, logprobs }] }, stop])
    const delta = events.find((event) => event.type === 'response.output_text.delta')
    expect(delta && 'logprobs' in delta && delta.logprobs).toEqual([
      {
        token: 'a',
        logprob: -0.1,
        bytes: [],
        top_logprobs: [{ token: 'b', logprob: -3, bytes: [] }],
      },
    ])
  })
})

it.each(['stop_reason', 'matched_stop'])('tells the stop string that was hit (%s)', (field) => {
  const request = { model: 'test/model', input: 'hello', stop: ['END'] }
  const ended = (value: unknown) => {
    const choices = [{ index: 0, delta: {}, finish_reason: 'stop', [field]: value }]
    return finalResponse(
      convert([chunk({ content: 'a' }), { id: 'c', choices }, done], { request }),
    )
  }
  expect(ended('END')).toMatchObject({ stop_sequence: 'END' })
  // A token that ends every answer.
  expect(ended(200_002)).not.toHaveProperty('stop_sequence')
})

describe('inline reasoning', () => {
  const inline = { inlineReasoning: true }
  const say = (text: string, size: number) => {
    const pieces = []
    for (let at = 0; at < text.length; at += size)
      pieces.push(chunk({ content: text.slice(at, at + size) }))
    return [...pieces, stop]
  }

  it.each([
    [
      '<think>\nhm, 1 < 2\n</think>\n\nYes <b>.',
      [
        ['reasoning', 'hm, 1 < 2'],
        ['message', 'Yes <b>.'],
      ],
    ],
    [
      '<reasoning>why</reasoning>Because',
      [
        ['reasoning', 'why'],
        ['message', 'Because'],
      ],
    ],
    [
      '  <think>a</think><think>b</think>c',
      [
        ['reasoning', 'ab'],
        ['message', 'c'],
      ],
    ],
    ['Use <think> as a tag </think>', [['message', 'Use <think> as a tag </think>']]],
    ['<think>never closed', [['reasoning', 'never closed']]],
    ['<thin', [['message', '<thin']]],
    ['<think></think>x', [['message', 'x']]],
    ['plain', [['message', 'plain']]],
  ])('splits %j at any boundary', (text, wanted) => {
    for (let size = 1; size <= text.length; size++) {
      expect(outline(convert(say(text, size), inline))).toEqual(wanted)
    }
  })

  it('leaves tags alone where the model does not use them', () => {
    expect(outline(convert(say('<think>x</think>', 4)))).toEqual([['message', '<think>x</think>']])
  })
})

describe('tool calls', () => {
  const one = { name: 'f', arguments: '{"a":1}' }
  const two = { name: 'g', arguments: '{"b":2}' }
  const wanted = [
    ['call f', '{"a":1}'],
    ['call g', '{"b":2}'],
  ]
  const half = (index: number | undefined, id: string | undefined, args: string) =>
    callChunk({ index, id, function: { arguments: args } })

  it.each<[string, object[]]>([
    [
      'whole calls in one chunk',
      [callChunk({ index: 0, id: 'a', function: one }, { index: 1, id: 'b', function: two })],
    ],
    [
      'whole calls without index',
      [callChunk({ id: 'a', function: one }, { id: 'b', function: two })],
    ],
    ['whole calls with neither index nor id', [callChunk({ function: one }, { function: two })]],
    [
      'one after the other, neither index nor id',
      [callChunk({ function: one }), callChunk({ function: two })],
    ],
    [
      'index only, arguments in pieces',
      [
        callChunk({ index: 0, function: { name: 'f', arguments: '' } }),
        half(0, undefined, '{"a"'),
        half(0, undefined, ':1}'),
        callChunk({ index: 1, function: { name: 'g' } }),
        half(1, undefined, '{"b":2}'),
      ],
    ],
    [
      'id only, in every delta',
      [
        callChunk({ id: 'a', function: { name: 'f', arguments: '{"a"' } }),
        half(undefined, 'a', ':1}'),
        callChunk({ id: 'b', function: { name: 'g', arguments: '{"b"' } }),
        half(undefined, 'b', ':2}'),
      ],
    ],
    [
      'id first, then neither',
      [
        callChunk({ id: 'a', function: { name: 'f', arguments: '{"a"' } }),
        half(undefined, undefined, ':1}'),
        callChunk({ id: 'b', function: { name: 'g', arguments: '{"b"' } }),
        half(undefined, undefined, ':2}'),
      ],
    ],
    [
      'interleaved by index',
      [
        callChunk({ index: 0, id: 'a', function: { name: 'f', arguments: '{"a"' } }),
        callChunk({ index: 1, id: 'b', function: { name: 'g', arguments: '{"b"' } }),
        half(0, undefined, ':1}'),
        half(1, undefined, ':2}'),
      ],
    ],
    [
      'a new id on the same index',
      [
        callChunk({ index: 0, id: 'a', function: one }),
        callChunk({ index: 0, id: 'b', function: two }),
      ],
    ],
    [
      'another name on the same index, null ids',
      [
        callChunk({ index: 0, id: null, function: one }),
        callChunk({ index: 0, id: null, function: two }),
      ],
    ],
    [
      'a name that comes late, after arguments',
      [
        callChunk({ index: 0, id: 'a', function: { arguments: '{"a"' } }),
        callChunk({ index: 0, function: { name: 'f', arguments: ':1}' } }),
        callChunk({ index: 1, id: 'b', function: two }),
      ],
    ],
    [
      'repeated and empty names',
      [
        callChunk({ index: 0, id: 'a', function: { name: 'f', arguments: '' } }),
        callChunk({ index: 0, id: '', function: { name: '', arguments: '{"a"' } }),
        callChunk({ index: 0, id: 'a', function: { name: 'f', arguments: ':1}' } }),
        callChunk({ index: 5, id: 'b', function: two }),
      ],
    ],
    [
      'a made-up id in every delta',
      [
        callChunk({ index: 0, id: 'x1', function: { name: 'f', arguments: '{"a"' } }),
        half(0, 'x2', ':1}'),
        callChunk({ index: 1, id: 'x3', function: { name: 'g', arguments: '{"b"' } }),
        half(1, 'x4', ':2}'),
      ],
    ],
    [
      'arguments as an object',
      [
        callChunk({ index: 0, function: { name: 'f', arguments: { a: 1 } } }),
        callChunk({ index: 1, function: two }),
      ],
    ],
    [
      'empty lists of calls beside content',
      [
        chunk({ content: null, tool_calls: [] }),
        callChunk({ index: 0, id: 'a', function: one }),
        chunk({ content: '', tool_calls: [] }),
        callChunk({ index: 1, id: 'b', function: two }),
      ],
    ],
  ])('reads %s', (_name, chunks) => {
    for (const finish of [calls, stop]) {
      const events = convert([...chunks, finish, done])
      expect(outline(events)).toEqual(wanted)
      expect(finalResponse(events).status).toBe('completed')
    }
  })

  it('gives the same name twice as two calls', () => {
    const events = convert([
      callChunk({ index: 0, id: 'a', function: one }),
      callChunk({ index: 1, id: 'b', function: one }),
      calls,
    ])
    expect(outline(events)).toEqual([wanted[0], wanted[0]])
  })

  it('makes call ids unique', () => {
    const events = convert([
      callChunk({ index: 0, id: 'same', function: one }),
      callChunk({ index: 1, id: 'same', function: two }),
      callChunk({ index: 2, function: one }),
      calls,
    ])
    const ids = finalResponse(events).output.map(
      (item) => item.type === 'function_call' && item.call_id,
    )
    expect(new Set(ids).size).toBe(3)
    expect(ids[0]).toBe('same')
  })

  it('streams the first call while it grows, and the next one once the first is whole', () => {
    const stream = new ChatToResponsesStream(streamOptions())
    stream.start()
    const first = stream.push(
      callChunk({ index: 0, id: 'a', function: { name: 'f', arguments: '{' } }),
    )
    expect(first.map(({ type }) => type)).toEqual([
      'response.output_item.added',
      'response.function_call_arguments.delta',
    ])
    stream.push(half(0, undefined, '}'))
    const second = stream.push(
      callChunk({ index: 1, id: 'b', function: { name: 'g', arguments: '{' } }),
    )
    expect(second.map(({ type }) => type)).toContain('response.output_item.added')
  })

  it('keeps text that comes in the middle of a call out of the way', () => {
    const events = convert([
      chunk({ content: 'Let me look.' }),
      callChunk({ index: 0, id: 'a', function: { name: 'f', arguments: '{"a"' } }),
      chunk({ content: ' And' }),
      half(0, undefined, ':1}'),
      chunk({ content: ' then.' }),
      calls,
    ])
    expect(outline(events)).toEqual([
      ['message', 'Let me look.'],
      ['call f', '{"a":1}'],
      ['message', ' And then.'],
    ])
  })

  it('makes no message of white space around calls', () => {
    const events = convert([
      callChunk({ index: 0, id: 'a', function: { name: 'f', arguments: '{' } }),
      chunk({ content: '\n' }),
      half(0, undefined, '}'),
      calls,
    ])
    expect(outline(events)).toEqual([['call f', '{}']])
  })

  it.each([
    ['search<|channel|>commentary', 'search'],
    ['functions.search', 'search'],
    ['functions.unknown', 'functions.unknown'],
    ['odd<|name', 'odd<|name'],
  ])('cleans the name %s to %s', (name, cleaned) => {
    const tools = [
      { type: 'function' as const, name: 'search' },
      { type: 'function' as const, name: 'odd<|name' },
    ]
    const events = convert(
      [callChunk({ index: 0, id: 'a', function: { name, arguments: '{}' } }), calls],
      {
        request: { model: 'm', input: 'x', tools },
      },
    )
    expect(outline(events)).toEqual([[`call ${cleaned}`, '{}']])
  })

  it('takes the old function_call for a call', () => {
    const events = convert([
      chunk({ function_call: { name: 'f', arguments: '{"a"' } }),
      chunk({ function_call: { arguments: ':1}' } }),
      chunk({}, 'function_call'),
    ])
    expect(outline(events)).toEqual([wanted[0]])
  })

  it.each(['none', 'allowed'])(
    'suppresses a call that tool_choice does not allow (%s)',
    (choice) => {
      const tools = [
        { type: 'function' as const, name: 'f' },
        { type: 'function' as const, name: 'g' },
      ]
      const tool_choice =
        choice === 'none'
          ? ('none' as const)
          : {
              type: 'allowed_tools' as const,
              mode: 'auto' as const,
              tools: [{ type: 'function', name: 'f' }],
            }
      const events = convert([callChunk({ index: 0, id: 'b', function: two }), calls, done], {
        request: { model: 'm', input: 'x', tools, tool_choice },
      })
      expect(failure(events)).toBe('tool_choice_not_met')
      expect(finalResponse(events).output).toEqual([])
    },
  )

  it('fails for a call without a name, and for one that goes on after its end', () => {
    expect(
      failure(convert([callChunk({ index: 0, id: 'a', function: { arguments: '{}' } }), calls])),
    ).toBe('upstream_error')
    const glued = [
      callChunk({ index: 0, id: 'a', function: one }),
      callChunk({ index: 1, id: 'b', function: two }),
      half(0, undefined, '{"again":1}'),
      calls,
    ]
    expect(failure(convert(glued))).toBe('upstream_error')
  })
})

describe('the end', () => {
  it.each<[string, object[]]>([
    ['in a chunk without choices', [stop, { choices: [], usage }]],
    ['in the finish chunk', [{ ...chunk({}, 'stop'), usage }]],
    ['from x_groq', [{ ...chunk({}, 'stop'), x_groq: { usage } }]],
    [
      'after nulls',
      [
        { ...stop, usage: null },
        { choices: [], usage },
      ],
    ],
    [
      'before the finish',
      [
        { ...chunk({ content: '!' }), usage: { prompt_tokens: 1 } },
        { ...stop, usage },
      ],
    ],
    ['in a chunk after the end with an empty delta', [stop, { ...chunk({}), usage }]],
  ])('takes usage %s', (_name, end) => {
    const events = convert([chunk({ content: 'hi' }), ...end, done])
    expect(finalResponse(events).usage).toEqual({
      input_tokens: 7,
      input_tokens_details: { cached_tokens: 0, cache_write_tokens: 0 },
      output_tokens: 5,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: 12,
    })
  })

  it('reads the details of usage', () => {
    const details = {
      prompt_tokens_details: { cached_tokens: 3 },
      completion_tokens_details: { reasoning_tokens: 2 },
    }
    const events = convert([
      chunk({ content: 'a' }),
      stop,
      { choices: [], usage: { ...usage, ...details } },
    ])
    expect(finalResponse(events).usage).toMatchObject({
      input_tokens_details: { cached_tokens: 3 },
      output_tokens_details: { reasoning_tokens: 2 },
    })
  })

  it('keeps what was written to a cache, there and back, and adds it up', () => {
    const prompt_tokens_details = { cached_tokens: 2, cache_write_tokens: 3 }
    const read = usageFromChat({ ...usage, prompt_tokens_details })
    if (read === undefined) throw new Error('no usage')
    expect(read.input_tokens_details).toEqual(prompt_tokens_details)
    expect(usageFromResponses(read)).toEqual(read)
    expect(usageToChat(read).prompt_tokens_details).toEqual(prompt_tokens_details)
    expect(sumUsage(read, read).input_tokens_details.cache_write_tokens).toBe(6)
    // In Anthropic's words, what went through a cache is no part of the input.
    expect(usageToMessages(read)).toMatchObject({
      input_tokens: 2,
      cache_read_input_tokens: 2,
      cache_creation_input_tokens: 3,
    })
  })

  it('keeps what became of a prediction, there and back, and adds it up', () => {
    const counts = { accepted_prediction_tokens: 8, rejected_prediction_tokens: 0 }
    const completion_tokens_details = { reasoning_tokens: 2, ...counts }
    const read = usageFromChat({ ...usage, completion_tokens_details })
    if (read === undefined) throw new Error('no usage')
    expect(read.output_tokens_details).toEqual(completion_tokens_details)
    expect(usageFromResponses(read)).toEqual(read)
    expect(usageToChat(read)).toMatchObject({ completion_tokens_details })
    expect(sumUsage(read, read).output_tokens_details).toEqual({
      reasoning_tokens: 4,
      accepted_prediction_tokens: 16,
      rejected_prediction_tokens: 0,
    })
    const without = usageFromChat(usage)
    expect(without?.output_tokens_details).toEqual({ reasoning_tokens: 0 })
    expect(sumUsage(without, read).output_tokens_details).toEqual(completion_tokens_details)
  })

  it('holds the terminal event until usage or [DONE]', () => {
    const stream = new ChatToResponsesStream(streamOptions())
    stream.start()
    stream.push(chunk({ content: 'hi' }))
    expect(stream.push(stop)).toEqual([])
    expect(stream.done().at(-1)?.type).toBe('response.completed')
    const other = new ChatToResponsesStream(streamOptions())
    other.push(stop)
    expect(other.push({ choices: [], usage }).at(-1)?.type).toBe('response.completed')
  })

  it.each([
    ['stop', 'completed', undefined],
    ['eos', 'completed', undefined],
    ['tool_calls', 'completed', undefined],
    ['length', 'incomplete', 'max_output_tokens'],
    ['content_filter', 'incomplete', 'content_filter'],
  ])('maps finish_reason %s to %s', (reason, status, why) => {
    const response = finalResponse(convert([chunk({ content: 'a' }), chunk({}, reason)]))
    expect(response.status).toBe(status)
    expect(response.incomplete_details?.reason).toBe(why)
  })

  it('takes an empty finish_reason for an end only with [DONE]', () => {
    const chunks = [chunk({ content: 'a' }, ''), chunk({ content: 'b' }, '')]
    expect(finalResponse(convert([...chunks, done])).status).toBe('completed')
    expect(failure(convert(chunks))).toBe('upstream_error')
  })

  it.each([
    ['nothing at all', []],
    ['text', [chunk({ content: 'half a' })]],
    [
      'a growing call',
      [callChunk({ index: 0, id: 'a', function: { name: 'f', arguments: '{"a' } })],
    ],
    ['text and [DONE]', [chunk({ content: 'half' }), done] as (object | typeof done)[]],
  ])('never takes a stream that ends after %s for a success', (_name, chunks) => {
    const events = convert(chunks, { lostCode: 'node_lost' })
    expect(finalResponse(events).status).toBe('failed')
    expect(failure(events)).toBe('node_lost')
  })

  it('cuts a call at the token limit as incomplete', () => {
    const events = convert([
      callChunk({ index: 0, id: 'a', function: { name: 'f', arguments: '{"a' } }),
      chunk({}, 'length'),
    ])
    expect(finalResponse(events).output[0]).toMatchObject({
      status: 'incomplete',
      arguments: '{"a',
    })
  })

  it('ignores what comes after the end, and a second finish', () => {
    const events = convert([
      chunk({ content: 'a' }),
      stop,
      stop,
      done,
      chunk({ content: 'b' }),
      done,
    ])
    expect(outline(events)).toEqual([['message', 'a']])
  })

  it.each<[object, string]>([
    [{ error: { message: 'overloaded', type: 'server_error', code: 503 } }, 'upstream_error'],
    [{ error: 'plain' }, 'upstream_error'],
    [{ object: 'error', message: 'vLLM', code: 400 }, 'upstream_error'],
    [{ message: 'Cerebras', type: 'x', code: 'wrong_api_format' }, 'upstream_error'],
    [{ error: { message: 'slow down', code: 429 } }, 'rate_limit_exceeded'],
    [
      { error: { message: 'too long', code: 'context_length_exceeded' } },
      'context_length_exceeded',
    ],
    [{ error: { message: 'bad key', code: 401 } }, 'provider_auth'],
    [{ error: { message: 'gone', code: 'node_lost' } }, 'node_lost'],
    [chunk({}, 'error'), 'upstream_error'],
  ])('fails on the in-band error %j', (error, code) => {
    const events = convert([chunk({ content: 'a' }), error, done])
    expect(failure(events)).toBe(code)
    expect(outline(events)).toEqual([['message', 'a']])
  })

  it('never throws, whatever a chunk holds', () => {
    const odd: unknown[] = [
      null,
      1,
      'x',
      [],
      {},
      { choices: 3 },
      { choices: [null, 4, { delta: 7 }] },
    ]
    odd.push({
      choices: [{ delta: { tool_calls: [null, 5, { function: 'x' }], content: 9, reasoning: {} } }],
    })
    odd.push({ usage: 'x', choices: [{ index: 1, delta: { content: 'other choice' } }] })
    const stream = new ChatToResponsesStream(streamOptions())
    expect(() => odd.map((each) => stream.push(each))).not.toThrow()
    expect(stream.response.output).toEqual([])
  })
})
