// The responder over an engine whose answers are written down, one piece: all of it shares the scripts and helpers at the top.
import { describe, expect, it } from 'vitest'
import { Responder } from '../../native-node/server/responder.ts'
import { ApiError } from '../../src/errors.ts'
import { idSource } from '../../src/ids.ts'
import type { ResponsesEvent } from '../../src/protocol/events.ts'
import { parseResponsesRequest, type ResponseObject } from '../../src/protocol/responses.ts'
import { readEvents } from './read-events.ts'
import { type Script, ScriptedEngine } from './scripted-engine.ts'
import { idsOf, o200kVocabulary } from './vocabulary.ts'

const analysis = '<|channel|>analysis<|message|>Think.<|end|><|start|>assistant'
const final = (text: string) => `<|channel|>final<|message|>${text}<|return|>`
const weather = {
  type: 'function',
  name: 'get-weather',
  parameters: {
    type: 'object',
    properties: { city: { type: 'string' } },
    required: ['city'],
    additionalProperties: false,
  },
}
const callText = (args: string, mark = '<|call|>') =>
  `<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>${args}${mark}`

function responder(engine: ScriptedEngine) {
  const newId = idSource((bytes) => crypto.getRandomValues(new Uint8Array(bytes)))
  return new Responder({ engine, model: 'test/model', now: () => Date.UTC(2025, 5, 28, 12), newId })
}

function request(fields: Record<string, unknown> = {}) {
  return parseResponsesRequest({ model: 'test/model', input: 'Hi', ...fields })
}

const { signal } = new AbortController()

async function stream(script: Script | Script[], fields?: Record<string, unknown>) {
  const engine = new ScriptedEngine(...[script].flat())
  const response = await responder(engine).respond(request(fields), { stream: true, signal })
  const events = await readEvents(response)
  const last = events.at(-1)!
  if (!('response' in last)) throw new Error(`ended with ${last.type}`)
  return { events, engine, response: last.response as ResponseObject }
}

async function whole(script: Script | Script[], fields?: Record<string, unknown>) {
  const engine = new ScriptedEngine(...[script].flat())
  const response = await responder(engine).respond(request(fields), { stream: false, signal })
  return (await response.json()) as ResponseObject
}

/** `reasoning: …`, `message: …`, `name(arguments)` */
function brief(response: ResponseObject): string[] {
  return response.output.map(briefItem)
}

function briefItem(item: ResponseObject['output'][number]): string {
  switch (item.type) {
    case 'reasoning':
      return `reasoning: ${item.content?.map(({ text }) => text).join('|')}`
    case 'function_call':
      return `${item.name}(${item.arguments}) ${item.status}`
    case 'message': {
      const text = item.content.map((part) => ('text' in part ? part.text : part.refusal))
      return `${item.phase}: ${text.join('|')}`
    }
    case 'custom_tool_call':
      return `${item.name}: ${item.input} ${item.status}`
    default:
      return `${item.type} ${item.status}`
  }
}

function deltas(events: ResponsesEvent[], type: string): string[] {
  return events.flatMap((event) => (event.type === type && 'delta' in event ? [event.delta] : []))
}

describe('answers', () => {
  it('streams reasoning and text token by token', async () => {
    const { events, response } = await stream({ text: `${analysis}${final('Hello there!')}` })
    expect(deltas(events, 'response.reasoning_text.delta')).toEqual(['Think', '.'])
    expect(deltas(events, 'response.output_text.delta')).toEqual(['Hello', ' there', '!'])
    expect(brief(response)).toEqual(['reasoning: Think.', 'final_answer: Hello there!'])
    expect(response).toMatchObject({ status: 'completed', model: 'test/model', object: 'response' })
  })

  it('gives the same without a stream', async () => {
    const script = { text: `${analysis}${final('Hello there!')}`, perStep: 5 }
    const { response } = await stream(script)
    const { output, usage } = await whole(script)
    const bare = (items: ResponseObject['output']) => items.map(({ id: _, ...item }) => item)
    expect(bare(output)).toEqual(bare(response.output))
    expect(usage).toEqual(response.usage)
  })

  it('counts every token, and what was thought', async () => {
    const text = `${analysis}${final('Hello')}`
    const { response, engine } = await stream({ text })
    // Think, ".", <|end|>
    const reasoning = 3
    const output = idsOf(text).length
    const input = engine.calls[0]!.prompt.length
    expect(response.usage).toEqual({
      input_tokens: input,
      input_tokens_details: { cached_tokens: 3, cache_write_tokens: 0 },
      output_tokens: output,
      output_tokens_details: { reasoning_tokens: reasoning },
      total_tokens: input + output,
    })
  })

  it('gives a call under the name that the client declared', async () => {
    const { events, response } = await stream(
      { text: `${analysis}${callText('{"city":"Rome"}')}` },
      { tools: [weather] },
    )
    expect(brief(response)).toEqual(['reasoning: Think.', 'get-weather({"city":"Rome"}) completed'])
    const call = response.output[1]
    expect(call).toMatchObject({ call_id: expect.stringMatching(/^call_/) })
    expect(deltas(events, 'response.function_call_arguments.delta').join('')).toBe(
      '{"city":"Rome"}',
    )
    expect(response.status).toBe('completed')
  })

  it('keeps a preamble as commentary', async () => {
    const preamble = '<|channel|>commentary<|message|>One moment.<|end|><|start|>assistant'
    const { response } = await stream(
      { text: `${preamble}${callText('{"city":"Rome"}')}` },
      { tools: [weather] },
    )
    expect(brief(response)).toEqual([
      'commentary: One moment.',
      'get-weather({"city":"Rome"}) completed',
    ])
  })

  it.each([
    ['{"city":"Rome"} and so on', '<|call|>', '{"city":"Rome"}'],
    ['{"city":"Rome"}', '<|end|>', '{"city":"Rome"}'],
    ['{"city":"Rome"}', '', '{"city":"Rome"}'],
    ['{"city":"{\\"}', '<|call|>', '{"city":"{\\"}'],
    ['Rome', '<|call|>', 'Rome'],
    ['', '<|call|>', '{}'],
  ])('takes arguments %j ended by %j', async (args, mark, expected) => {
    const { response } = await stream({ text: callText(args, mark) }, { tools: [weather] })
    expect(brief(response)).toEqual([`get-weather(${expected}) completed`])
    expect(response.status).toBe('completed')
  })

  it('stops after one call, whatever the model would go on to say', async () => {
    const text = `${callText('{"city":"Rome"}', '<|end|>')}<|start|>functions.get_weather to=assistant<|channel|>commentary<|message|>20<|end|>`
    const { response, engine } = await stream({ text }, { tools: [weather] })
    expect(brief(response)).toEqual(['get-weather({"city":"Rome"}) completed'])
    expect(engine.calls[0]!.left).toBe(true)
  })

  it('marks what the token limit cut as incomplete', async () => {
    const cut = await stream(
      { text: '<|channel|>final<|message|>Hello', finish: 'length' },
      { max_output_tokens: 4 },
    )
    expect(cut.engine.calls[0]!.params.maxTokens).toBe(4)
    expect(cut.response).toMatchObject({
      status: 'incomplete',
      incomplete_details: { reason: 'max_output_tokens' },
      output: [{ status: 'incomplete' }],
    })
    const call = await stream(
      { text: callText('{"city":"Ro', ''), finish: 'length' },
      { tools: [weather] },
    )
    expect(brief(call.response)).toEqual(['get-weather({"city":"Ro) incomplete'])
    expect(call.response.status).toBe('incomplete')
  })
})

describe('stop strings', () => {
  it('cut the answer, never the thinking, and stop the engine', async () => {
    const text = `<|channel|>analysis<|message|>END of it.<|end|><|start|>assistant${final('One two END three')}`
    for (const perStep of [1, 100]) {
      const { response, engine } = await stream({ text, perStep }, { stop: ['END', 'zzz'] })
      expect(brief(response)).toEqual(['reasoning: END of it.', 'final_answer: One two '])
      expect(response.status).toBe('completed')
      expect(engine.calls[0]!.left).toBe(true)
    }
  })

  it('hold back what may become one, and give it when it does not', async () => {
    const { response, events } = await stream({ text: final('a ## b ### c') }, { stop: '####' })
    expect(brief(response)).toEqual(['final_answer: a ## b ### c'])
    expect(deltas(events, 'response.output_text.delta').join('')).toBe('a ## b ### c')
    const end = await stream({ text: final('so ##') }, { stop: ['###'] })
    expect(brief(end.response)).toEqual(['final_answer: so ##'])
  })

  it('are limited in length', async () => {
    await expect(whole({ text: final('x') }, { stop: 'x'.repeat(300) })).rejects.toMatchObject({
      code: 'invalid_value',
      param: 'stop',
    })
  })
})

describe('logprobs', () => {
  it('come with the text that they belong to', async () => {
    const { response, events } = await stream(
      { text: `${analysis}${final('Hi 🙂🏽 END no')}`, logprobs: true },
      { top_logprobs: 1, stop: ['END'] },
    )
    const message = response.output[1]
    const part = message?.type === 'message' ? message.content[0] : undefined
    const logprobs = part && 'logprobs' in part ? part.logprobs : []
    const ids = idsOf('Hi 🙂🏽 ')
    expect(logprobs.slice(0, 4).map(({ bytes }) => bytes)).toEqual(
      ids.slice(0, 4).map((id) => Array.from(o200kVocabulary().tokenBytes(id))),
    )
    expect(logprobs[0]).toEqual({
      token: 'Hi',
      logprob: -ids[0]! / 1e6,
      bytes: [72, 105],
      top_logprobs: [{ token: 'Hi', logprob: -ids[0]! / 1e6, bytes: [72, 105] }],
    })
    const streamed = events.flatMap((event) =>
      event.type === 'response.output_text.delta' ? event.logprobs : [],
    )
    expect(streamed).toEqual(logprobs)
    expect(logprobs.some(({ token }) => token.includes('no'))).toBe(false)
  })

  it('are asked for by include as well, and are absent otherwise', async () => {
    const asked = await stream(
      { text: final('Hi'), logprobs: true },
      { include: ['message.output_text.logprobs'] },
    )
    expect(asked.engine.calls[0]!.params.topLogprobs).toBe(0)
    const plain = await stream({ text: final('Hi'), logprobs: true })
    expect(plain.engine.calls[0]!.params.topLogprobs).toBeUndefined()
    expect(plain.response.output[0]).toMatchObject({ content: [{ logprobs: [] }] })
  })
})

describe('tools that nobody declared', () => {
  const stray = '<|channel|>analysis to=python code<|message|>print(1)<|call|>'

  it('are refused once, and the model goes on', async () => {
    const { response, engine } = await stream([{ text: stray }, { text: final('It is 1.') }], {
      max_output_tokens: 50,
    })
    expect(brief(response)).toEqual(['reasoning: print(1)', 'final_answer: It is 1.'])
    const [first, second] = engine.calls
    const told = idsOf(
      "<|start|>python to=assistant<|channel|>commentary<|message|>Error: there is no tool 'python'.<|end|><|start|>assistant",
    )
    expect(second!.prompt).toEqual([...first!.prompt, ...idsOf(stray), ...told])
    expect(second!.params.maxTokens).toBe(50 - idsOf(stray).length)
    expect(response.usage?.output_tokens).toBe(
      idsOf(stray).length + idsOf(final('It is 1.')).length,
    )
  })

  it('do not go round for ever', async () => {
    const { response, engine } = await stream({ text: stray })
    expect(engine.calls).toHaveLength(2)
    expect(brief(response)).toEqual(['reasoning: print(1)\n\nprint(1)'])
    expect(response.status).toBe('completed')
  })
})

describe('demands on the output', () => {
  const schema = {
    type: 'object',
    properties: { name: { type: 'string' } },
    required: ['name'],
  }
  const format = { text: { format: { type: 'json_schema', name: 'person', schema } } }
  const strict = { tools: [{ ...weather, strict: true }] }

  it('are checked', async () => {
    const good = await stream({ text: final('{"name":"Ann"}') }, format)
    expect(good.response.status).toBe('completed')
    const called = await stream({ text: callText('{"city":"Rome"}') }, { ...format, ...strict })
    expect(called.response.status).toBe('completed')
  })

  it.each([
    [final('{"name":1}'), format, 'structured_output_invalid'],
    [final('Ann'), format, 'structured_output_invalid'],
    [final('[1]'), { text: { format: { type: 'json_object' } } }, 'structured_output_invalid'],
    [callText('{"town":"Rome"}'), strict, 'structured_output_invalid'],
    [final('Hi'), { tools: [weather], tool_choice: 'required' }, 'tool_choice_not_met'],
    [
      final('Hi'),
      { tools: [weather], tool_choice: { type: 'function', name: 'get-weather' } },
      'tool_choice_not_met',
    ],
  ])('%s with %j fails as %s', async (text, fields, code) => {
    const { events, response } = await stream({ text }, fields)
    expect(events.map(({ type }) => type).slice(-2)).toEqual(['error', 'response.failed'])
    expect(response).toMatchObject({ status: 'failed', error: { code } })
    await expect(whole({ text }, fields)).rejects.toMatchObject({ code, status: 500 })
  })

  it('are not held against an answer that was cut', async () => {
    const { response } = await stream(
      { text: '<|channel|>final<|message|>{"na', finish: 'length' },
      format,
    )
    expect(response.status).toBe('incomplete')
  })

  it('that can not be checked are refused before anything runs', async () => {
    const engine = new ScriptedEngine({ text: final('x') })
    const format = (schema: object) => ({
      text: { format: { type: 'json_schema', name: 'x', schema } },
    })
    const strictTool = (parameters: object) => ({
      tools: [{ ...weather, strict: true, parameters }],
    })
    for (const [fields, param] of [
      [format({ $ref: '#' }), 'text.format.schema.$ref'],
      [format({ type: 'zzz' }), 'text.format.schema.type'],
      [strictTool({ type: 'object', required: 'city' }), 'tools[0].parameters.required'],
      [strictTool({ type: 'string' }), 'tools[0].parameters.type'],
    ] as const) {
      await expect(
        responder(engine).respond(request(fields), { stream: true, signal }),
      ).rejects.toMatchObject({ code: 'invalid_value', status: 400, param })
    }
    await expect(whole({ text: final('x') }, { tool_choice: 'required' })).rejects.toMatchObject({
      code: 'invalid_value',
      param: 'tool_choice',
    })
    expect(engine.calls).toHaveLength(0)
  })
})

describe('parameters', () => {
  it('reach the engine, and only those that were given', async () => {
    const { engine } = await stream(
      { text: final('x') },
      {
        temperature: 0.5,
        top_p: 0.9,
        top_k: -1,
        min_p: 0.1,
        seed: -1,
        frequency_penalty: 1,
        presence_penalty: -1,
        repetition_penalty: 1.1,
        logit_bias: { 5: -100 },
      },
    )
    expect(engine.calls[0]!.params).toEqual({
      temperature: 0.5,
      topP: 0.9,
      topK: 0,
      minP: 0.1,
      seed: 18446744073709551615n,
      frequencyPenalty: 1,
      presencePenalty: -1,
      repetitionPenalty: 1.1,
      logitBias: [[5, -100]],
    })
    expect((await stream({ text: final('x') })).engine.calls[0]!.params).toEqual({})
  })

  it('are echoed as they were used: the model’s own where the request has none', async () => {
    const engine = new ScriptedEngine({ text: final('x') })
    Object.assign(engine.defaults, { temperature: 0, topP: 0.8 })
    const respond = async (fields: Record<string, unknown>) => {
      const response = await responder(engine).respond(request(fields), { stream: false, signal })
      return (await response.json()) as ResponseObject
    }
    expect(await respond({})).toMatchObject({ temperature: 0, top_p: 0.8 })
    expect(await respond({ temperature: 0.5 })).toMatchObject({ temperature: 0.5, top_p: 0.8 })
  })

  it.each(['', 'abc', '0x10', '1e2', ' 5', '+5', '-1', '5.0', '٣'])(
    'logit_bias takes no %j for a token id',
    async (id) => {
      await expect(
        whole({ text: final('x') }, { logit_bias: { 7: 1, [id]: 1 } }),
      ).rejects.toMatchObject({
        code: 'invalid_value',
        param: 'logit_bias',
        message: expect.stringContaining(`'${id}'`),
      })
    },
  )

  it('of a wrong type are refused where no schema looks', async () => {
    await expect(whole({ text: final('x') }, { repetition_penalty: '1.1' })).rejects.toMatchObject({
      code: 'invalid_value',
      param: 'repetition_penalty',
    })
  })

  it.each([
    [{ n: 2 }, 'n'],
    [{ background: true }, 'background'],
    [{ functions: [{ name: 'f' }] }, 'functions'],
    [{ function_call: 'auto' }, 'function_call'],
    [{ audio: { voice: 'x' } }, 'audio'],
    [{ web_search_options: {} }, 'web_search_options'],
    [{ modalities: ['text', 'audio'] }, 'modalities'],
    [{ text: { format: { type: 'grammar', definition: '' } } }, 'text.format'],
    [{ tools: [weather], tool_choice: { type: 'web_search_preview' } }, 'tool_choice'],
  ])('%j is refused', async (fields, param) => {
    await expect(whole({ text: final('x') }, fields)).rejects.toMatchObject({
      code: 'unsupported_parameter',
      param,
    })
  })
})

describe('failure and abort', () => {
  it('reports an engine error with what was said before it', async () => {
    const script = {
      text: '<|channel|>final<|message|>Hello',
      error: new ApiError('server_error', 'The engine failed while it answered.'),
    }
    const { events, response } = await stream(script)
    expect(events.at(-2)).toMatchObject({ type: 'error', code: 'server_error' })
    expect(brief(response)).toEqual(['final_answer: Hello'])
    await expect(whole(script)).rejects.toMatchObject({ code: 'server_error', status: 500 })
  })

  it('leaves the engine at once when the reader goes', async () => {
    const gate = () => new Promise<void>((resolve) => setTimeout(resolve, 1))
    const engine = new ScriptedEngine({ text: final('word '.repeat(500)), gate })
    const response = await responder(engine).respond(request(), { stream: true, signal })
    const reader = response.body!.getReader()
    await reader.read()
    await reader.cancel()
    await expect.poll(() => engine.calls[0]!.left).toBe(true)
  })

  it('leaves the engine when the request is aborted, streamed or not', async () => {
    for (const streamed of [true, false]) {
      const gate = () => new Promise<void>((resolve) => setTimeout(resolve, 1))
      const engine = new ScriptedEngine({ text: final('word '.repeat(500)), gate })
      const abort = new AbortController()
      const answer = responder(engine)
        .respond(request(), { stream: streamed, signal: abort.signal })
        .then((response) => response.text())
      await expect.poll(() => engine.calls.length).toBe(1)
      abort.abort()
      await expect(answer).rejects.toMatchObject({ name: 'AbortError' })
      await expect.poll(() => engine.calls[0]!.left).toBe(true)
    }
  })

  it('sends what a step brought before the next step is made', async () => {
    let release: () => void = () => {}
    const gate = () => new Promise<void>((resolve) => (release = resolve))
    const engine = new ScriptedEngine({ text: final('One two'), gate })
    const response = await responder(engine).respond(request(), { stream: true, signal })
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
    expect((await reader.read()).value).toContain('response.created')
    for (const word of ['One', ' two']) {
      const next = reader.read()
      let text: string | undefined
      next.then(({ value }) => (text = value))
      while (text === undefined) {
        release()
        await new Promise((resolve) => setImmediate(resolve))
      }
      expect(text).toContain(JSON.stringify(word))
    }
    await reader.cancel()
  })
})

/** The text of the first prompt. */
function promptOf({ vocabulary, calls }: ScriptedEngine): string {
  return Buffer.concat((calls[0]?.prompt ?? []).map((id) => vocabulary.tokenBytes(id))).toString()
}

describe('tools of agents', () => {
  const patch = { type: 'custom', name: 'apply_patch', description: 'Edits files.' }
  const call = (name: string, args: string) =>
    `<|channel|>commentary to=functions.${name} <|constrain|>json<|message|>${args}<|call|>`

  it('a freeform tool is offered as a function and called as itself', async () => {
    const { events, response, engine } = await stream(
      { text: call('apply_patch', '{"input":"*** Begin\\nPatch"}'), perStep: 1 },
      { tools: [patch, { type: 'web_search' }] },
    )
    expect(brief(response)).toEqual(['apply_patch: *** Begin\nPatch completed'])
    expect(deltas(events, 'response.custom_tool_call_input.delta').join('')).toBe(
      '*** Begin\nPatch',
    )
    expect(response.tools).toEqual([patch, { type: 'web_search' }])
    const prompt = promptOf(engine)
    expect(prompt).toContain('type apply_patch = (_: {')
  })

  it('a namespace is flattened and restored; a local shell has its own item', async () => {
    const agents = {
      type: 'namespace',
      name: 'agents',
      tools: [{ type: 'function', name: 'spawn', parameters: weather.parameters }],
    }
    const spawned = await whole(
      { text: call('agents__spawn', '{"city":"x"}') },
      { tools: [agents] },
    )
    expect(spawned.output).toMatchObject([
      { type: 'function_call', name: 'spawn', namespace: 'agents' },
    ])
    const shell = { tools: [{ type: 'local_shell' }] }
    const ran = await whole({ text: call('local_shell', '{"command":["ls"]}') }, shell)
    expect(ran.output).toMatchObject([{ type: 'local_shell_call', action: { command: ['ls'] } }])
    await expect(
      whole({ text: call('local_shell', '{"command":1}') }, shell),
    ).rejects.toMatchObject({
      code: 'structured_output_invalid',
    })
  })
})

describe('truncation', () => {
  const turn = (n: number) => [
    { role: 'user', content: `question ${n} ${'word '.repeat(300)}` },
    { role: 'assistant', content: `answer ${n}` },
  ]
  const input = [
    { role: 'developer', content: 'Be kind.' },
    ...Array.from({ length: 20 }, (_, n) => turn(n)).flat(),
    { role: 'user', content: 'the last question' },
  ]

  it('auto leaves out the oldest turns, as few as will do, and never the instructions', async () => {
    const { engine } = await stream({ text: final('ok') }, { input, truncation: 'auto' })
    const prompt = promptOf(engine)
    expect(prompt).toContain('Be kind.')
    expect(prompt).toContain('the last question')
    expect(prompt).not.toContain('question 0 ')
    expect(prompt).not.toContain('answer 0')
    expect(prompt).toContain('question 19 ')
    const { length } = engine.calls[0]!.prompt
    expect(length).toBeLessThanOrEqual(4096 - 1024)
    expect(length).toBeGreaterThan(4096 - 1024 - 400)
  })

  it('disabled leaves out nothing: what fits no context is refused, before work for its answer', async () => {
    await expect(stream({ text: final('ok') }, { input })).rejects.toMatchObject({
      code: 'context_length_exceeded',
      param: 'input',
      message: expect.stringContaining('4096'),
    })
  })
})
