// Requests in both directions, one piece: each table of fields is read beside its mirror in the other dialect.
import { describe, expect, it } from 'vitest'
import { restrictChatTools } from '../../src/convert/tools.ts'
import {
  ApiError,
  chatToResponses,
  parseChatRequest,
  parseResponsesRequest,
  responsesToChat,
} from '../../src/index.ts'

const parameters = { type: 'object', properties: { city: { type: 'string' } } }
const user = { role: 'user', content: 'hi' }

const toChat = (fields: object) =>
  responsesToChat(parseResponsesRequest({ model: 'm', input: 'hi', ...fields }))
const fromChat = (fields: object) =>
  chatToResponses(parseChatRequest({ model: 'm', messages: [user], ...fields }))
const messages = (input: unknown, fields: object = {}) => toChat({ input, ...fields }).body.messages
const items = (list: object[]) => fromChat({ messages: list }).input

function errorOf(run: () => unknown): ApiError {
  try {
    run()
  } catch (thrown) {
    if (thrown instanceof ApiError) return thrown
    throw thrown
  }
  throw new Error('nothing was thrown')
}

describe('Responses request → Chat request', () => {
  it('makes messages of a string and of instructions', () => {
    expect(messages('Say hello.', { instructions: 'Be kind.' })).toEqual([
      { role: 'system', content: 'Be kind.' },
      { role: 'user', content: 'Say hello.' },
    ])
  })

  it('keeps every role, with and without type', () => {
    expect(
      messages([
        { role: 'developer', content: 'Talk like a pirate.' },
        {
          type: 'message',
          role: 'system',
          content: [
            { type: 'input_text', text: 'a' },
            { type: 'input_text', text: 'b' },
          ],
        },
        { role: 'user', content: [{ type: 'input_text', text: 'hi' }] },
        { role: 'assistant', content: [{ type: 'output_text', text: 'Ahoy', annotations: [] }] },
        { role: 'user', content: 'more' },
      ]),
    ).toEqual([
      { role: 'developer', content: 'Talk like a pirate.' },
      { role: 'system', content: 'a\nb' },
      { role: 'user', content: 'hi' },
      { role: 'assistant', content: 'Ahoy' },
      { role: 'user', content: 'more' },
    ])
  })

  it('takes images, files and audio along', () => {
    expect(
      messages([
        {
          role: 'user',
          content: [
            { type: 'input_text', text: 'look', cache_control: { type: 'ephemeral' } },
            { type: 'input_image', image_url: 'data:image/png;base64,AA', detail: 'low' },
            { type: 'input_file', filename: 'a.pdf', file_data: 'data:x' },
            { type: 'input_audio', input_audio: { data: 'AA', format: 'wav' } },
          ],
        },
      ]),
    ).toEqual([
      {
        role: 'user',
        content: [
          { type: 'text', text: 'look', cache_control: { type: 'ephemeral' } },
          { type: 'image_url', image_url: { url: 'data:image/png;base64,AA', detail: 'low' } },
          { type: 'file', file: { filename: 'a.pdf', file_data: 'data:x' } },
          { type: 'input_audio', input_audio: { data: 'AA', format: 'wav' } },
        ],
      },
    ])
  })

  it('gathers reasoning, text and parallel calls into one assistant message, then one tool message each', () => {
    expect(
      messages([
        user,
        {
          type: 'reasoning',
          id: 'rs_1',
          summary: [],
          content: [{ type: 'reasoning_text', text: 'hm' }],
        },
        {
          type: 'message',
          role: 'assistant',
          content: [{ type: 'output_text', text: 'Let me look.' }],
        },
        {
          type: 'function_call',
          id: 'fc_1',
          call_id: 'a',
          name: 'f',
          arguments: '{"x":1}',
          status: 'completed',
        },
        { type: 'function_call', call_id: 'b', name: 'g', arguments: '{}' },
        { type: 'function_call_output', call_id: 'a', output: 'one' },
        {
          type: 'function_call_output',
          call_id: 'b',
          output: [
            { type: 'input_text', text: 'two' },
            { type: 'input_text', text: 'three' },
          ],
        },
        { type: 'reasoning', summary: [{ type: 'summary_text', text: 'so' }] },
        { role: 'assistant', content: 'Done.' },
      ]),
    ).toEqual([
      user,
      {
        role: 'assistant',
        content: 'Let me look.',
        reasoning: 'hm',
        tool_calls: [
          { id: 'a', type: 'function', function: { name: 'f', arguments: '{"x":1}' } },
          { id: 'b', type: 'function', function: { name: 'g', arguments: '{}' } },
        ],
      },
      { role: 'tool', tool_call_id: 'a', content: 'one' },
      { role: 'tool', tool_call_id: 'b', content: 'two\nthree' },
      { role: 'assistant', content: 'Done.', reasoning: 'so' },
    ])
  })

  it('keeps a call together with text and reasoning that come before its output', () => {
    const call = { type: 'function_call', call_id: 'a', name: 'f', arguments: '{}' }
    const sent = messages([
      { type: 'reasoning', summary: [], content: [{ type: 'reasoning_text', text: 'one' }] },
      call,
      { type: 'reasoning', summary: [], content: [{ type: 'reasoning_text', text: 'two' }] },
      { ...call, call_id: 'b' },
      { role: 'assistant', content: 'Wait.' },
      { type: 'function_call_output', call_id: 'a', output: '1' },
      { type: 'function_call_output', call_id: 'b', output: '2' },
    ])
    expect(sent.map(({ role }) => role)).toEqual(['assistant', 'tool', 'tool'])
    expect(sent[0]).toMatchObject({ content: 'Wait.', reasoning: 'one\ntwo' })
  })

  it('keeps two assistant messages in a row apart', () => {
    const sent = messages([
      { role: 'assistant', content: 'one', phase: 'commentary' },
      { role: 'assistant', content: 'two', phase: 'final_answer' },
    ])
    expect(sent).toEqual([
      { role: 'assistant', content: 'one' },
      { role: 'assistant', content: 'two' },
    ])
  })

  it('gives a refusal back as a refusal', () => {
    expect(
      messages([{ role: 'assistant', content: [{ type: 'refusal', refusal: 'no' }] }]),
    ).toEqual([{ role: 'assistant', content: null, refusal: 'no' }])
  })

  it('moves an image of a tool output into a user message after the last output', () => {
    const sent = messages([
      { type: 'function_call', call_id: 'a', name: 'f', arguments: '{}' },
      { type: 'function_call', call_id: 'b', name: 'f', arguments: '{}' },
      {
        type: 'function_call_output',
        call_id: 'a',
        output: [{ type: 'input_image', image_url: 'https://x/y.png' }],
      },
      { type: 'function_call_output', call_id: 'b', output: 'ok' },
    ])
    expect(sent.map(({ role }) => role)).toEqual(['assistant', 'tool', 'tool', 'user'])
    expect(sent[3]?.content).toEqual([{ type: 'image_url', image_url: { url: 'https://x/y.png' } }])
    // An output without a word is refused by some servers, and read as nothing by the rest.
    expect(sent[1]?.content).toBe('(see the attached content)')
  })

  it.each<[string, object, string]>([
    [
      'unsupported_content',
      {
        role: 'user',
        content: [
          { type: 'input_text', text: 'a' },
          { type: 'input_smell', smell_url: 'x' },
        ],
      },
      'input[0].content[1].type',
    ],
    [
      'unsupported_content',
      { role: 'user', content: [{ type: 'input_image', file_id: 'file_1' }] },
      'input[0].content[0]',
    ],
    [
      'unsupported_content',
      { role: 'user', content: [{ type: 'input_file', file_url: 'https://x' }] },
      'input[0].content[0]',
    ],
    ['unsupported_content', { type: 'mystery_call', id: 'my_1' }, 'input[0].type'],
    ['invalid_value', { type: 'item_reference', id: 'msg_1' }, 'input[0].id'],
    [
      'invalid_value',
      { type: 'function_call_output', call_id: 'x', output: '' },
      'input[0].call_id',
    ],
  ])('refuses with %s what Chat cannot say: %j', (code, item, param) => {
    expect(errorOf(() => messages([item]))).toMatchObject({ code, param, status: 400 })
  })

  it('converts tools, and names the ones that Chat has no form for', () => {
    const { body, dropped } = toChat({
      tools: [
        { type: 'function', name: 'f', description: 'd', parameters, strict: true, extra: 1 },
        { type: 'web_search' },
        { type: 'namespace', name: 'n', tools: [] },
        { type: 'function', name: 'g', description: null, parameters: null, strict: null },
      ],
      parallel_tool_calls: false,
    })
    expect(body.tools).toEqual([
      {
        type: 'function',
        function: { name: 'f', description: 'd', parameters, strict: true, extra: 1 },
      },
      { type: 'function', function: { name: 'g' } },
    ])
    expect(body.parallel_tool_calls).toBe(false)
    expect(dropped).toEqual(['tools[1] (web_search)'])
  })

  const tools = ['f', 'g'].map((name) => ({ type: 'function', name }))
  it.each<[unknown, unknown]>([
    ['auto', 'auto'],
    ['none', 'none'],
    ['required', 'required'],
    [
      { type: 'function', name: 'g' },
      { type: 'function', function: { name: 'g' } },
    ],
  ])('converts tool_choice %j', (tool_choice, wanted) => {
    expect(toChat({ tools, tool_choice }).body.tool_choice).toEqual(wanted)
  })

  it('sends on only the tools that allowed_tools lists', () => {
    const tool_choice = {
      type: 'allowed_tools',
      mode: 'required',
      tools: [{ type: 'function', name: 'g' }],
    }
    const { body } = toChat({ tools, tool_choice })
    expect(body.tools?.map((tool) => tool.function.name)).toEqual(['g'])
    expect(body.tool_choice).toBe('required')
  })

  it('sends neither tools nor tool_choice where there is no tool', () => {
    const { body } = toChat({ tools: [], tool_choice: 'auto', parallel_tool_calls: true })
    expect(Object.keys(body)).toEqual(['model', 'messages'])
    expect(errorOf(() => toChat({ tools: [], tool_choice: 'required' })).param).toBe('tool_choice')
    const named = { type: 'function', name: 'missing' }
    expect(errorOf(() => toChat({ tools, tool_choice: named })).param).toBe('tool_choice')
  })

  it('converts structured outputs, effort, verbosity, limits and logprobs', () => {
    const schema = { type: 'object' }
    const { body } = toChat({
      text: {
        format: {
          type: 'json_schema',
          name: 'event',
          schema,
          strict: true,
          description: 'An event',
        },
        verbosity: 'low',
      },
      reasoning: { effort: 'high', summary: 'auto' },
      max_output_tokens: 100,
      include: ['message.output_text.logprobs', 'reasoning.encrypted_content'],
      top_logprobs: 3,
      temperature: 0.2,
      top_p: null,
      stop: ['END'],
      seed: 7,
      metadata: { a: 'b' },
      chat_template_kwargs: { x: 1 },
      previous_response_id: null,
      client_metadata: { x: 1 },
      store: false,
    })
    expect(body).toEqual({
      model: 'm',
      messages: [user],
      response_format: {
        type: 'json_schema',
        json_schema: { name: 'event', schema, strict: true, description: 'An event' },
      },
      verbosity: 'low',
      reasoning_effort: 'high',
      max_completion_tokens: 100,
      logprobs: true,
      top_logprobs: 3,
      temperature: 0.2,
      stop: ['END'],
      seed: 7,
      chat_template_kwargs: { x: 1 },
    })
  })

  it('asks for usage in a stream', () => {
    const { body } = toChat({ stream: true, stream_options: { include_obfuscation: false } })
    expect(body.stream_options).toEqual({ include_usage: true })
  })
})

describe('Chat request → Responses request', () => {
  it('makes items of every role', () => {
    const call = { id: 'a', type: 'function', function: { name: 'f', arguments: '{}' } }
    expect(
      items([
        { role: 'system', content: 'Be kind.' },
        { role: 'developer', content: [{ type: 'text', text: 'Arr.' }] },
        {
          role: 'user',
          name: 'ann',
          content: [
            { type: 'text', text: 'see' },
            { type: 'image_url', image_url: { url: 'https://x', detail: 'high' } },
          ],
        },
        { role: 'assistant', content: null, reasoning_content: 'hm', tool_calls: [call] },
        { role: 'tool', tool_call_id: 'a', content: [{ type: 'text', text: 'ok' }] },
        { role: 'assistant', content: 'Done.' },
      ]),
    ).toEqual([
      { type: 'message', role: 'system', content: 'Be kind.' },
      { type: 'message', role: 'developer', content: [{ type: 'input_text', text: 'Arr.' }] },
      {
        type: 'message',
        role: 'user',
        name: 'ann',
        content: [
          { type: 'input_text', text: 'see' },
          { type: 'input_image', image_url: 'https://x', detail: 'high' },
        ],
      },
      {
        type: 'reasoning',
        id: 'rs_3',
        summary: [],
        content: [{ type: 'reasoning_text', text: 'hm' }],
      },
      { type: 'function_call', call_id: 'a', name: 'f', arguments: '{}' },
      { type: 'function_call_output', call_id: 'a', output: [{ type: 'input_text', text: 'ok' }] },
      { type: 'message', role: 'assistant', content: 'Done.' },
    ])
  })

  it('converts tools and every tool_choice', () => {
    const tools = [
      { type: 'function', function: { name: 'f', parameters } },
      { type: 'custom', custom: { name: 'c', format: { type: 'text' } } },
    ]
    const { tools: converted } = fromChat({ tools })
    expect(converted).toEqual([
      { type: 'function', name: 'f', description: null, parameters, strict: false },
      { type: 'custom', name: 'c', format: { type: 'text' } },
    ])
    const choice = (tool_choice: unknown) => fromChat({ tools, tool_choice }).tool_choice
    expect(choice('required')).toBe('required')
    expect(choice({ type: 'function', function: { name: 'f' } })).toEqual({
      type: 'function',
      name: 'f',
    })
    const allowed = { mode: 'auto', tools: [{ type: 'function', function: { name: 'f' } }] }
    expect(choice({ type: 'allowed_tools', allowed_tools: allowed })).toEqual({
      type: 'allowed_tools',
      mode: 'auto',
      tools: [{ type: 'function', name: 'f' }],
    })
  })

  it('converts parameters and keeps the ones that have no word there', () => {
    const json_schema = { name: 'n', schema: { type: 'object' }, strict: true }
    expect(
      fromChat({
        response_format: { type: 'json_schema', json_schema },
        verbosity: 'high',
        reasoning_effort: 'low',
        logprobs: true,
        top_logprobs: 2,
        max_tokens: 50,
        max_completion_tokens: 60,
        stop: 'x',
        seed: 1,
        logit_bias: { '5': 1 },
        top_k: 3,
        metadata: { a: 'b' },
        mystery: { kept: true },
      }),
    ).toEqual({
      model: 'm',
      input: [{ type: 'message', ...user }],
      text: { format: { type: 'json_schema', ...json_schema }, verbosity: 'high' },
      reasoning: { effort: 'low' },
      include: ['message.output_text.logprobs'],
      top_logprobs: 2,
      max_output_tokens: 60,
      stop: 'x',
      seed: 1,
      logit_bias: { '5': 1 },
      top_k: 3,
      metadata: { a: 'b' },
      mystery: { kept: true },
    })
  })

  it('refuses n above 1', () => {
    expect(errorOf(() => fromChat({ n: 2 }))).toMatchObject({
      code: 'unsupported_parameter',
      param: 'n',
    })
    expect(fromChat({ n: 1 })).not.toHaveProperty('n')
  })

  it('gives a Chat conversation back unchanged', () => {
    const conversation = [
      { role: 'system', content: 'Be kind.' },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'see' },
          { type: 'image_url', image_url: { url: 'https://x' } },
        ],
      },
      {
        role: 'assistant',
        content: 'Looking.',
        reasoning: 'hm',
        tool_calls: [
          { id: 'a', type: 'function', function: { name: 'f', arguments: '{}' } },
          { id: 'b', type: 'function', function: { name: 'g', arguments: '{"x":[1]}' } },
        ],
      },
      { role: 'tool', tool_call_id: 'a', content: 'one' },
      { role: 'tool', tool_call_id: 'b', content: 'two' },
      { role: 'assistant', content: 'Done.' },
      { role: 'user', name: 'ann', content: 'Thanks.' },
      { role: 'assistant', content: null, refusal: 'No.' },
    ]
    const request = {
      model: 'm',
      messages: conversation,
      tools: [{ type: 'function', function: { name: 'f', parameters, strict: false } }],
      tool_choice: 'auto',
      seed: 3,
      mystery: [1, { two: null }],
    }
    expect(responsesToChat(chatToResponses(parseChatRequest(request))).body).toEqual(request)
  })

  it('restricts the tools of a Chat request that stays Chat', () => {
    const tools = ['f', 'g'].map((name) => ({ type: 'function' as const, function: { name } }))
    const allowed_tools = {
      mode: 'required' as const,
      tools: [{ type: 'function', function: { name: 'g' } }],
    }
    const request = parseChatRequest({
      model: 'm',
      messages: [user],
      tools,
      tool_choice: { type: 'allowed_tools', allowed_tools },
    })
    expect(restrictChatTools(request)).toMatchObject({ tools: [tools[1]], tool_choice: 'required' })
  })
})

describe('checks', () => {
  const responses = (fields: object) =>
    errorOf(() => parseResponsesRequest({ model: 'm', input: 'x', ...fields }))
  const chat = (fields: object) =>
    errorOf(() => parseChatRequest({ model: 'm', messages: [user], ...fields }))
  const many = (count: number, each: unknown) => Array.from({ length: count }, () => each)

  it.each<[object, string, string]>([
    [{ model: undefined }, 'missing_required_parameter', 'model'],
    [{ model: 5 }, 'invalid_value', 'model'],
    [{ input: undefined }, 'missing_required_parameter', 'input'],
    [{ input: 5 }, 'invalid_value', 'input'],
    [{ input: [{ role: 'user' }] }, 'missing_required_parameter', 'input[0].content'],
    [{ input: [{ role: 'robot', content: 'x' }] }, 'invalid_value', 'input[0].role'],
    [{ input: ['x'] }, 'invalid_value', 'input[0]'],
    [
      { input: [{ type: 'function_call', call_id: 'a', name: 'f' }] },
      'missing_required_parameter',
      'input[0].arguments',
    ],
    [{ tools: many(129, { type: 'function', name: 'f' }) }, 'invalid_value', 'tools'],
    [{ tools: [{ type: 'function' }] }, 'missing_required_parameter', 'tools[0].name'],
    [{ tool_choice: 'maybe' }, 'invalid_value', 'tool_choice'],
    [{ tool_choice: { type: 'function' } }, 'missing_required_parameter', 'tool_choice.name'],
    [
      { text: { format: { type: 'json_schema', name: 'n' } } },
      'missing_required_parameter',
      'text.format.schema',
    ],
    [{ reasoning: { effort: 'huge' } }, 'invalid_value', 'reasoning.effort'],
    [{ temperature: 3 }, 'invalid_value', 'temperature'],
    [{ max_output_tokens: 1.5 }, 'invalid_value', 'max_output_tokens'],
    [
      { metadata: Object.fromEntries(many(17, 0).map((_, i) => [`k${i}`, 'v'])) },
      'invalid_value',
      'metadata',
    ],
    [{ stream: 'yes' }, 'invalid_value', 'stream'],
  ])('names the field of a bad Responses request %#', (fields, code, param) => {
    expect(responses(fields)).toMatchObject({
      code,
      param,
      status: 400,
      type: 'invalid_request_error',
    })
  })

  it.each<[object, string, string]>([
    [{ messages: undefined }, 'missing_required_parameter', 'messages'],
    [{ messages: [] }, 'invalid_value', 'messages'],
    [
      { messages: [{ role: 'user', content: [{ type: 'text', text: 'a' }, {}] }] },
      'missing_required_parameter',
      'messages[0].content[1].type',
    ],
    [
      { messages: [{ role: 'user', content: [{ type: 'text', text: 'a' }, { type: 5 }] }] },
      'invalid_value',
      'messages[0].content[1].type',
    ],
    [
      { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: 'x' }] }] },
      'invalid_value',
      'messages[0].content[0].image_url',
    ],
    [{ messages: [{ role: 'robot', content: 'x' }] }, 'invalid_value', 'messages[0].role'],
    [{ messages: [{ role: 'user' }] }, 'missing_required_parameter', 'messages[0].content'],
    [
      { messages: [{ role: 'tool', content: 'x' }] },
      'missing_required_parameter',
      'messages[0].tool_call_id',
    ],
    [
      {
        messages: [
          {
            role: 'assistant',
            tool_calls: [{ id: 'a', type: 'function', function: { name: 'f' } }],
          },
        ],
      },
      'missing_required_parameter',
      'messages[0].tool_calls[0].function.arguments',
    ],
    [{ stop: many(5, 'x') }, 'invalid_value', 'stop'],
    [{ top_logprobs: 21 }, 'invalid_value', 'top_logprobs'],
    [{ n: 0 }, 'invalid_value', 'n'],
    [
      { tools: [{ type: 'function', name: 'f' }] },
      'missing_required_parameter',
      'tools[0].function',
    ],
    [
      { response_format: { type: 'json_schema', json_schema: {} } },
      'missing_required_parameter',
      'response_format.json_schema.name',
    ],
  ])('names the field of a bad Chat request %#', (fields, code, param) => {
    expect(chat(fields)).toMatchObject({ code, param, status: 400 })
  })

  it('looks no further than the first bad element of a list or map', () => {
    let looked = 0
    const bad = () => ({
      get role() {
        looked++
        return 'robot'
      },
    })
    const keys = Object.fromEntries(many(1000, 0).map((_, i) => [`${i}`, 'x']))
    expect(chat({ messages: [user, ...many(500, 0).map(bad)] }).param).toBe('messages[1].role')
    expect(looked).toBeLessThan(12)
    expect(chat({ logit_bias: keys }).param).toBe('logit_bias.0')
    // As many issues would overflow the stack.
    expect(chat({ messages: many(400_000, 0) }).param).toBe('messages[0]')
    expect(responses({ input: many(400_000, 0) }).param).toBe('input[0]')
    expect(responses({ include: many(400_000, 0) }).param).toBe('include[0]')
  })

  it('quotes no more of a client than a person would read', () => {
    const { message, param } = responses({ metadata: { ['k'.repeat(1_000_000)]: 5 } })
    expect(message.length).toBeLessThan(5000)
    expect(param?.length).toBeLessThan(1000)
    const key = chat({ logit_bias: { ['k'.repeat(1_000_000)]: 'x' } })
    expect(key.message.length).toBeLessThan(5000)
    expect(key.param).toMatch(/^logit_bias\.k{100,600}…$/)
  })

  it.each([null, [], 'x', 5])('refuses the body %j', (body) => {
    expect(errorOf(() => parseChatRequest(body)).code).toBe('invalid_value')
    expect(errorOf(() => parseResponsesRequest(body)).code).toBe('invalid_value')
  })

  it('takes null wherever OpenAI does', () => {
    const empty = [
      'tools',
      'tool_choice',
      'temperature',
      'top_p',
      'stop',
      'seed',
      'metadata',
      'stream',
      'user',
    ]
    const nulls = Object.fromEntries(empty.map((key) => [key, null]))
    const more = {
      text: null,
      reasoning: { effort: null },
      instructions: null,
      max_output_tokens: null,
    }
    expect(() => parseResponsesRequest({ model: 'm', input: 'x', ...nulls, ...more })).not.toThrow()
    expect(() =>
      parseChatRequest({ model: 'm', messages: [user], ...nulls, max_tokens: null }),
    ).not.toThrow()
  })

  it('keeps unknown fields, items, parts and tools, and the very object', () => {
    const body = {
      model: 'm',
      input: [
        { type: 'mystery_call', id: 'my_1', input: 'x' },
        { role: 'user', content: [{ type: 'input_smell', x: 1 }] },
      ],
      tools: [{ type: 'custom', name: 'apply_patch' }, { type: 'web_search' }],
      mystery: 1,
    }
    expect(parseResponsesRequest(body)).toBe(body)
  })
})
