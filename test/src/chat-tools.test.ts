// What a Chat client may ask of tools, held to whatever the upstream makes of it.
import { describe, expect, it } from 'vitest'
import {
  type Candidate,
  collectChat,
  handleChat,
  handleResponses,
  idSource,
  ResponseWriter,
} from '../../src/index.ts'
import { encodeEvent } from '../../src/sse/encode.ts'
import { callChunk, chunk, eventsOf, sse, streamOptions } from './support.ts'
import { candidate, host, json, post, streamed } from './upstream.ts'

const patch = { type: 'custom', custom: { name: 'patch', description: 'Edits.' } }
const functions = ['f', 'g'].map((name) => ({ type: 'function', function: { name } }))
const user = { role: 'user', content: 'hi' }
const chat = { model: 'm', messages: [user] }

function calls(...wanted: [string, string][]) {
  return wanted.map(([name, args], index) => ({
    index,
    id: `c${index}`,
    type: 'function',
    function: { name, arguments: args },
  }))
}

/** The same calls from a Responses upstream. */
function responsesText(...wanted: [string, string][]): string {
  const writer = new ResponseWriter(
    streamOptions({ calls: new Map([['patch', { kind: 'custom', name: 'patch' }]]) }),
  )
  const events = [
    ...writer.start(),
    ...wanted.flatMap(([name, args], index) => [
      ...writer.openCall({ call_id: `c${index}`, name }),
      ...writer.callArguments(`c${index}`, args),
      ...writer.closeCall(`c${index}`),
    ]),
    ...writer.complete({ finish: 'tool_calls' }),
  ]
  return `${events.map((event) => encodeEvent(event.type, event)).join('')}data: [DONE]\n\n`
}

interface Asked {
  place?: Candidate
  body: object
  upstream: [string, string][]
}

/** The completion that a Chat client gets, streamed and whole: they must be the same. */
async function completion({ place = candidate(), body, upstream }: Asked) {
  const isChat = place.dialects[0] === 'chat'
  const stream = isChat
    ? sse([callChunk(...calls(...upstream)), chunk({}, 'tool_calls'), '[DONE]'])
    : responsesText(...upstream)
  const { deps, sent } = host([place, () => streamed([stream])])
  const answer = await handleChat(post({ ...chat, ...body, stream: true }), deps)
  const text = await answer.text()
  const chunks = text
    .split('\n\n')
    .filter((event) => event.startsWith('data: {'))
    .map((event) => JSON.parse(event.slice(6)))
  return { answer, text, chunks, sent: sent[0]?.body }
}

describe.each(['chat', 'responses'] as const)('custom tools over a %s upstream', (dialect) => {
  const place = candidate({ dialects: [dialect] })

  it('are called with their text, as it grows', async () => {
    const { chunks, sent } = await completion({
      place,
      body: { tools: [patch] },
      upstream: [['patch', '{"input":"a\\nb"}']],
    })
    const deltas = chunks.flatMap(({ choices }) => choices[0]?.delta.tool_calls ?? [])
    expect(deltas[0]).toEqual({
      index: 0,
      id: 'c0',
      type: 'custom',
      custom: { name: 'patch', input: '' },
    })
    expect(
      deltas
        .slice(1)
        .map(({ custom }) => custom.input)
        .join(''),
    ).toBe('a\nb')
    expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe('tool_calls')
    if (dialect === 'chat') {
      expect(sent?.tools).toMatchObject([{ type: 'function', function: { name: 'patch' } }])
    } else expect(sent?.tools).toMatchObject([{ type: 'custom', name: 'patch' }])
  })

  it('have their history understood', async () => {
    const messages = [
      user,
      {
        role: 'assistant',
        content: null,
        tool_calls: [{ id: 'c0', type: 'custom', custom: { name: 'patch', input: 'a' } }],
      },
      { role: 'tool', tool_call_id: 'c0', content: 'Done!' },
    ]
    const { sent } = await completion({
      place,
      body: { messages, tools: [patch] },
      upstream: [['patch', '{"input":"b"}']],
    })
    if (dialect === 'chat') {
      expect(sent?.messages).toMatchObject([
        user,
        { tool_calls: [{ id: 'c0', function: { name: 'patch', arguments: '{"input":"a"}' } }] },
        { role: 'tool', tool_call_id: 'c0', content: 'Done!' },
      ])
    } else {
      expect(sent?.input).toMatchObject([
        { role: 'user' },
        { type: 'custom_tool_call', call_id: 'c0', name: 'patch', input: 'a' },
        { type: 'custom_tool_call_output', call_id: 'c0', output: 'Done!' },
      ])
    }
  })

  it('a call that tool_choice rules out is an error, never a call', async () => {
    const tool_choice = {
      type: 'allowed_tools',
      allowed_tools: { mode: 'auto', tools: [{ type: 'custom', custom: { name: 'patch' } }] },
    }
    for (const choice of [tool_choice, 'none']) {
      const { chunks, text } = await completion({
        place,
        body: { tools: [patch, ...functions], tool_choice: choice },
        upstream: [['f', '{}']],
      }).catch((thrown) => Promise.reject(thrown))
      const error = chunks.at(-1)?.error ?? JSON.parse(text).error
      expect(error.code).toBe('tool_choice_not_met')
      expect(text).not.toContain('"tool_calls"')
    }
  })
})

it('a custom tool may be the one that must be called', async () => {
  const entry = { type: 'custom', custom: { name: 'patch' } }
  const required = { type: 'allowed_tools', allowed_tools: { mode: 'required', tools: [entry] } }
  for (const tool_choice of [required, entry]) {
    const { sent } = await completion({
      body: { tools: [patch, ...functions], tool_choice, seed: 3 },
      upstream: [['patch', '{"input":"x"}']],
    })
    const tools = (sent?.tools ?? []) as { function: { name: string } }[]
    const names = tools.map((each) => each.function.name)
    expect(names).toContain('patch')
    if (tool_choice === required) expect(names).toEqual(['patch'])
    expect(sent?.tool_choice).toEqual(
      tool_choice === required ? 'required' : { type: 'function', function: { name: 'patch' } },
    )
    expect(sent?.seed).toBe(3)
  }
})

it('a custom call in one piece', async () => {
  const message = {
    role: 'assistant',
    content: null,
    tool_calls: calls(['patch', '{"input":"x"}']),
  }
  const { deps } = host([candidate(), () => json({ choices: [{ message }] })])
  const answer = await handleChat(post({ ...chat, tools: [patch] }), deps)
  expect(await answer.json()).toMatchObject({
    choices: [
      {
        finish_reason: 'tool_calls',
        message: { tool_calls: [{ type: 'custom', custom: { name: 'patch', input: 'x' } }] },
      },
    ],
  })
})

it('a grammar that Chat nests reaches a Responses upstream in its own form', async () => {
  const grammar = { syntax: 'regex', definition: 'a+' }
  const tool = { type: 'custom', custom: { name: 'patch', format: { type: 'grammar', grammar } } }
  const { sent } = await completion({
    place: candidate({ dialects: ['responses'] }),
    body: { tools: [tool] },
    upstream: [['patch', '{"input":"a"}']],
  })
  expect(sent?.tools).toEqual([
    { type: 'custom', name: 'patch', format: { type: 'grammar', ...grammar } },
  ])
})

it('one call at a time, where the client takes no more', async () => {
  const upstream: [string, string][] = [
    ['f', '{}'],
    ['g', '{}'],
  ]
  const names = async (body: object) => {
    const { chunks } = await completion({ body: { tools: functions, ...body }, upstream })
    const made = collectChat(chunks).choices[0]?.message.tool_calls ?? []
    return made.map((call) => (call.type === 'function' ? call.function.name : ''))
  }
  expect(await names({})).toEqual(['f', 'g'])
  expect(await names({ parallel_tool_calls: false })).toEqual(['f'])
})

describe('a completion in one piece keeps what its server says beyond the API', () => {
  const allowed = {
    type: 'allowed_tools',
    allowed_tools: { mode: 'auto', tools: [{ type: 'function', function: { name: 'f' } }] },
  }
  const answer = (...made: [string, string][]) => ({
    choices: [{ message: { content: null, tool_calls: calls(...made) }, matched_stop: 7 }],
    system_fingerprint: 'fp',
    timings: { predicted_ms: 3 },
  })
  const asked = async (body: object, from: object) => {
    const { deps } = host([candidate(), () => json(from)])
    const response = await handleChat(post({ ...chat, tools: functions, ...body }), deps)
    return (await response.json()) as Record<string, unknown>
  }

  it.each([
    ['one call at a time', { parallel_tool_calls: false }, answer(['g', '{}'])],
    ['no call', { tool_choice: 'none' }, answer()],
    ['calls that are allowed', { tool_choice: allowed }, answer(['f', '{}'], ['f', '{}'])],
    ['no freeform call', { tools: [patch, ...functions] }, answer()],
  ])('with %s', async (_, body, from) => {
    expect(await asked(body, from)).toEqual(from)
  })

  it.each([
    ['a call too many', { parallel_tool_calls: false }, answer(['f', '{}'], ['g', '{}'])],
    ['a call that is ruled out', { tool_choice: allowed }, answer(['g', '{}'])],
    ['a call where none may be', { tool_choice: 'none' }, answer(['f', '{}'])],
    ['a freeform call', { tools: [patch] }, answer(['functions.patch', '{"input":"x"}'])],
    [
      'a call in a choice that nobody asked for',
      { tool_choice: 'none' },
      {
        ...answer(),
        choices: [
          { message: { content: 'No.' } },
          { index: 1, message: { content: null, tool_calls: calls(['f', '{}']) } },
        ],
      },
    ],
    [
      'a call beside a delta',
      { tool_choice: 'none' },
      {
        ...answer(),
        choices: [{ delta: { content: 'No.' }, message: { tool_calls: calls(['f', '{}']) } }],
      },
    ],
  ])('but not with %s', async (_, body, from) => {
    expect(await asked(body, from)).not.toHaveProperty('timings')
  })
})

it('pads chunks where the client asks for it, and the provider never hears of it', async () => {
  const { deps, sent } = host([
    candidate(),
    () => streamed([sse([chunk({ content: 'Hello' }), chunk({}, 'stop'), '[DONE]'])]),
  ])
  const stream_options = { include_obfuscation: true }
  const random = (bytes: number) => crypto.getRandomValues(new Uint8Array(bytes))
  const answer = await handleChat(post({ ...chat, stream: true, stream_options }), {
    ...deps,
    newId: idSource(random),
  })
  expect(await answer.text()).toContain('"obfuscation":"')
  expect(sent[0]?.body.stream_options).toEqual({ include_usage: true })
})

describe('fields that only Chat has', () => {
  it.each([
    ['functions', [{ name: 'f' }]],
    ['function_call', 'auto'],
    ['audio', { voice: 'a' }],
    ['modalities', ['text', 'audio']],
    ['web_search_options', {}],
    ['moderation', { model: 'm' }],
  ])('%s goes to a Chat provider and is refused elsewhere', async (field, value) => {
    const one = host([candidate(), () => json({ choices: [{ message: { content: 'x' } }] })])
    const taken = await handleChat(post({ ...chat, [field]: value }), one.deps)
    expect(taken.status).toBe(200)
    expect(one.sent[0]?.body).toMatchObject({ [field]: value })
    const other = host([candidate({ kind: 'node', dialects: ['responses'] }), () => json({})])
    const refused = await handleChat(post({ ...chat, [field]: value }), other.deps)
    expect(refused.status).toBe(400)
    expect(await refused.json()).toMatchObject({
      error: { code: 'unsupported_parameter', param: field },
    })
  })

  it('hints that nobody there can use are named', async () => {
    const { deps, sent } = host([
      candidate({ kind: 'node', dialects: ['responses'] }),
      () => json({ output: [], status: 'completed' }),
    ])
    const body = { ...chat, prediction: { type: 'content', content: 'x' }, service_tier: 'flex' }
    const answer = await handleChat(post({ ...body, modalities: ['text'], store: false }), deps)
    expect(answer.headers.get('warning')).toMatch(/left out: service_tier\W*$/)
    expect(sent[0]?.body).toMatchObject({ prediction: body.prediction })
  })

  it('a thousand of them do not fit a header: the first are named, and how many more', async () => {
    const answered = { choices: [{ message: { content: 'hi' }, finish_reason: 'stop' }] }
    const { deps } = host([candidate(), () => json(answered)])
    const searches = Array.from({ length: 1000 }, (_, at) => ({
      type: 'web_search_call',
      id: `ws_${at}`,
      status: 'completed',
    }))
    const input = [...searches, { role: 'user', content: 'hi' }]
    const answer = await handleResponses(post({ model: 'test/model', input }), deps)
    const warning = answer.headers.get('warning') ?? ''
    const [, named = '', more] = /left out: (.*) and (\d+) more"$/.exec(warning) ?? []
    expect(named.length).toBeLessThanOrEqual(1000)
    expect(named.split(', ').length + Number(more)).toBe(1000)
  })
})

it('a Responses upstream that ignores allowed_tools is stopped for its own clients, too', async () => {
  const place = candidate({ dialects: ['responses'] })
  const body = {
    model: 'm',
    input: 'hi',
    tools: ['f', 'g'].map((name) => ({ type: 'function', name, parameters: null, strict: false })),
    tool_choice: { type: 'allowed_tools', mode: 'auto', tools: [{ type: 'function', name: 'g' }] },
  }
  const { deps } = host([place, () => streamed([responsesText(['f', '{}'])])])
  const answer = await handleResponses(post({ ...body, stream: true }), deps)
  if (answer.status === 200) {
    const events = eventsOf(await answer.text())
    expect(events.at(-1)?.type).toBe('response.failed')
    expect(JSON.stringify(events)).not.toContain('"function_call"')
  } else expect(await answer.json()).toMatchObject({ error: { code: 'tool_choice_not_met' } })
  const fine = host([place, () => streamed([responsesText(['g', '{}'])])])
  const passed = await handleResponses(post({ ...body, stream: true }), fine.deps)
  expect(eventsOf(await passed.text()).at(-1)?.type).toBe('response.completed')
})
