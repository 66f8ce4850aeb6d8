// Structured output at places that promise nothing: asked for, checked, mended once, and an error if it is still wrong. One
// piece: all of it shares one worker and the scripted places at the top.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ChatToResponsesStream } from '../../src/convert/stream.ts'
import { encodeEvent } from '../../src/sse/encode.ts'
import { countingIds, chunk as srcChunk, streamOptions } from '../src/support.ts'
import { type Api, ask, type Question } from '../wall/ask.ts'
import { startGateway, type TestGateway } from './harness.ts'
import { chunk, json, type Reply, sse, startUpstream, type TestUpstream } from './upstream.ts'

type Json = Record<string, unknown>

let upstream: TestUpstream
let other: TestUpstream
let gateway: TestGateway

beforeAll(async () => {
  upstream = await startUpstream()
  other = await startUpstream()
  const baseUrl = `${upstream.origin}/v1`
  const place = (capabilities: Json = {}, more: Json = {}) => ({
    baseUrl,
    models: '*',
    capabilities: { '*': capabilities },
    ...more,
  })
  const providers = {
    effort: place(),
    none: place({ structuredOutput: false }),
    mode: place({ structuredOutput: false, jsonObject: true }),
    sure: place({ structuredOutput: 'guaranteed', strictArguments: true }),
    hasty: place({}, { timeouts: { firstTokenMs: 400, idleMs: 300 } }),
    native: place({}, { dialects: ['responses'] }),
    blind: place({ structuredOutput: false }, { dialects: ['responses'] }),
    spare: { ...place(), baseUrl: `${other.origin}/v1` },
  }
  const routes = { 'two/places': ['effort', 'spare'], 'sure/second': ['effort', 'sure'] }
  gateway = await startGateway({ config: { providers, routes } })
})

afterAll(async () => {
  await gateway.stop()
  await upstream.stop()
  await other.stop()
})

const schema = {
  type: 'object',
  properties: { name: { type: 'string' }, age: { type: 'integer' } },
  required: ['name', 'age'],
  additionalProperties: false,
}
const good = '{"name":"Ann","age":3}'
const wrong = '{"name":"Ann","age":"three"}'

const formatBody = (api: Api, given: object = schema, strict = true): Json => {
  const format = { name: 'person', schema: given, strict }
  return api === 'responses'
    ? { text: { format: { type: 'json_schema', ...format } } }
    : { response_format: { type: 'json_schema', json_schema: format } }
}

const toolBody = (api: Api): Json => {
  const about = { name: 'greet', parameters: schema, strict: true }
  const plain = { name: 'note', parameters: { type: 'object' } }
  return {
    tools: [about, plain].map((each) =>
      api === 'responses' ? { type: 'function', ...each } : { type: 'function', function: each },
    ),
  }
}

const usage = { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 }

/** A turn of the model in the Chat dialect, whole or in pieces. */
function said(message: Json, finish = 'stop'): Reply {
  return (response, { body }) => {
    if (body.stream !== true) {
      const choices = [
        { index: 0, message: { role: 'assistant', ...message }, finish_reason: finish },
      ]
      json(response, 200, {
        id: 'c',
        object: 'chat.completion',
        created: 1,
        model: 'm',
        choices,
        usage,
      })
      return
    }
    const { content, ...rest } = message
    const pieces = String(content ?? '').match(/.{1,3}/gs) ?? []
    const calls = (rest.tool_calls as Json[] | undefined)?.map((call, index) => ({
      ...call,
      index,
    }))
    sse(
      response,
      chunk({ role: 'assistant', content: '' }),
      ...pieces.map((piece) => chunk({ content: piece })),
      ...(calls === undefined ? [] : [chunk({ tool_calls: calls })]),
      chunk({}, finish),
      `data: ${JSON.stringify({ id: 'c1', choices: [], usage })}\n\n`,
      'data: [DONE]\n\n',
    )
  }
}

const text = (content: string, finish?: string) => said({ content }, finish)

const calling = (...calls: [name: string, given: string][]) =>
  said(
    {
      content: null,
      tool_calls: calls.map(([name, given], at) => ({
        id: `call_${at}`,
        type: 'function',
        function: { name, arguments: given },
      })),
    },
    'tool_calls',
  )

/** One reply after the other. */
function script(...replies: Reply[]): void {
  let at = 0
  upstream.reply(async (response, request) => {
    const reply = replies[at++]
    if (reply === undefined) response.destroy()
    else await reply(response, request)
  })
}

/** The body of a request to the upstream. */
function asked(at: number): { messages: Json[]; response_format: unknown } & Json {
  return { messages: [], response_format: undefined, ...upstream.requests[at]?.body }
}

const usageOf = (value: unknown) => {
  const { total_tokens } = value as Json
  return total_tokens
}

describe.each<Api>(['responses', 'chat'])('%s', (api) => {
  describe.each([false, true])('stream: %s', (stream) => {
    const put = (place: string, more: Partial<Question> = {}) =>
      ask(gateway.url, { api, stream, model: `a/b:${place}`, body: formatBody(api), ...more })

    it.each([
      ['as it should be', good],
      ['in a fence', `\`\`\`json\n${good}\n\`\`\`\n`],
      ['with words around it', `Here you are:\n\n${good}\n\nAnything else?`],
    ])('hands on an answer that is %s', async (_, content) => {
      script(text(content))
      const verdict = await put('effort')
      expect(verdict).toMatchObject({ end: 'completed', text: good, complaints: [] })
      expect(upstream.requests).toHaveLength(1)
      expect(upstream.requests[0]?.body.response_format).toMatchObject({ type: 'json_schema' })
    })

    it('asks once more where nothing of the answer has been told, and adds up the usage', async () => {
      script(text('I am afraid that I cannot say.'), text(good))
      const verdict = await put('effort')
      expect(verdict).toMatchObject({ end: 'completed', text: good, complaints: [] })
      if (!stream || api === 'responses') expect(usageOf(verdict.usage)).toBe(10)
      const { messages, response_format } = asked(1)
      expect(response_format).toMatchObject({ type: 'json_schema' })
      expect(messages.slice(-2)).toMatchObject([
        { role: 'assistant', content: 'I am afraid that I cannot say.' },
        { role: 'user', content: expect.stringContaining('it is not JSON') },
      ])
    })

    it('asks once more after an empty answer, without an empty message', async () => {
      script(text(''), text(good))
      expect(await put('effort')).toMatchObject({ end: 'completed', text: good, complaints: [] })
      expect(upstream.requests[1]?.body.messages).toMatchObject([
        { role: 'user' },
        { role: 'user' },
      ])
    })

    it('is an error before anything was told where the second answer is wrong as well', async () => {
      script(text('No.'), text('No!'))
      const verdict = await put('effort')
      expect(verdict).toMatchObject({
        end: 'refused',
        status: 502,
        code: 'structured_output_invalid',
      })
      expect(verdict.complaints).toEqual([])
      expect(upstream.requests).toHaveLength(2)
    })

    it('gives the next place its turn then', async () => {
      script(text('No.'), text('No!'))
      other.reply(text(good))
      const verdict = await put('effort', { model: 'two/places' })
      expect(verdict).toMatchObject({ end: 'completed', text: good, complaints: [] })
      expect(verdict.headers.get('x-switchyard-tried')).toBe('effort=structured_output_invalid')
    })

    it('leaves alone what is cut at its limit, or refused', async () => {
      script(text('{"name":"An', 'length'))
      const cut = await put('effort')
      expect(cut).toMatchObject({ end: 'incomplete', text: '{"name":"An', complaints: [] })
      script(text('Let me think', 'length'))
      expect(await put('effort')).toMatchObject({ end: 'incomplete', text: 'Let me think' })
      script((response, request) => {
        if (!stream) return said({ content: null, refusal: 'I will not.' })(response, request)
        sse(response, chunk({ refusal: 'I will not.' }), chunk({}, 'stop'), 'data: [DONE]\n\n')
      })
      expect(await put('effort')).toMatchObject({ end: 'completed', complaints: [] })
      expect(upstream.requests).toHaveLength(1)
    })

    it('tells a place that knows no schemas in words', async () => {
      for (const place of ['none', 'mode']) {
        script(text(`Sure: ${good}`))
        expect(await put(place)).toMatchObject({ end: 'completed', text: good, complaints: [] })
        const { messages, response_format } = asked(0)
        const mode = place === 'mode' ? { type: 'json_object' } : undefined
        expect(response_format).toEqual(mode)
        expect(messages).toMatchObject([
          { role: 'system', content: expect.stringContaining(JSON.stringify(schema)) },
          { role: 'user' },
        ])
      }
    })

    it('adds to the instructions that there are', async () => {
      const own =
        api === 'responses'
          ? { instructions: 'Be brief.' }
          : {
              messages: [
                { role: 'system', content: 'Be brief.' },
                { role: 'user', content: 'hi' },
              ],
            }
      script(text('no'), text(good))
      await put('none', { body: { ...formatBody(api), ...own } })
      const [first, second] = upstream.requests.map(({ body }) => body.messages as Json[])
      expect(first?.[0]?.content).toMatch(/^Be brief\.\n\nAnswer with one JSON value/)
      expect(second?.slice(0, 2)).toEqual(first)
    })

    it('passes on what a place guarantees, unread', async () => {
      script(text(wrong))
      expect(await put('sure')).toMatchObject({ end: 'completed', text: wrong, complaints: [] })
      script(calling(['greet', '{}']))
      const called = await put('sure', { body: toolBody(api) })
      expect(called).toMatchObject({ end: 'completed', calls: [{ arguments: '{}' }] })
    })

    it('checks a schema that is not strict even there, as nothing is promised for it', async () => {
      script(text('no'), text(good))
      const body = formatBody(api, schema, false)
      expect(await put('sure', { body })).toMatchObject({ end: 'completed', text: good })
    })

    it('refuses a strict schema that it cannot check, at a place that promises nothing', async () => {
      const far = { $ref: 'https://example.com/schema.json' }
      script(text('{}'))
      const verdict = await put('effort', { body: formatBody(api, far) })
      expect(verdict).toMatchObject({ end: 'refused', status: 400, code: 'invalid_value' })
      const path = api === 'responses' ? 'text.format.schema' : 'response_format.json_schema.schema'
      expect(JSON.parse(verdict.raw)).toMatchObject({ error: { param: path } })
      expect(upstream.requests).toHaveLength(0)
      // One that promises gets it.
      script(text('{}'))
      const sure = await put('effort', { body: formatBody(api, far), model: 'sure/second' })
      expect(sure).toMatchObject({ end: 'completed', text: '{}' })
    })

    it('says so where a schema that is not strict cannot be checked', async () => {
      const far = { $ref: 'https://example.com/schema.json' }
      script(text('{}'))
      const verdict = await put('effort', { body: formatBody(api, far, false) })
      expect(verdict).toMatchObject({ end: 'completed', text: '{}', complaints: [] })
      expect(verdict.headers.get('warning')).toContain('not checked')
    })

    it('holds strict arguments to their schema, and asks again', async () => {
      script(calling(['note', '{}'], ['greet', wrong]), calling(['note', '{}'], ['greet', good]))
      const verdict = await put('effort', { body: toolBody(api) })
      expect(verdict).toMatchObject({ end: 'completed', complaints: [] })
      expect(verdict.calls).toEqual([
        { name: 'note', arguments: '{}' },
        { name: 'greet', arguments: good },
      ])
      const messages = asked(1).messages
      expect(messages.slice(-3)).toMatchObject([
        { role: 'assistant', tool_calls: [{ id: 'call_0' }, { id: 'call_1' }] },
        { role: 'tool', tool_call_id: 'call_0', content: expect.stringContaining('Call it again') },
        { role: 'tool', tool_call_id: 'call_1', content: expect.stringContaining('#/age') },
      ])
    })

    it('hands on no call whose arguments are wrong twice', async () => {
      script(calling(['greet', wrong]), calling(['greet', '{"name":']))
      const verdict = await put('effort', { body: toolBody(api) })
      expect(verdict).toMatchObject({
        end: 'refused',
        code: 'structured_output_invalid',
        calls: [],
      })
      expect(verdict.raw).toContain("function 'greet'")
    })

    it('asks for no JSON beside a call', async () => {
      script(said({ content: 'One moment.', ...callOf('greet', good) }, 'tool_calls'))
      const verdict = await put('effort', { body: { ...formatBody(api), ...toolBody(api) } })
      expect(verdict).toMatchObject({ end: 'completed', text: 'One moment.', complaints: [] })
      expect(verdict.calls).toEqual([{ name: 'greet', arguments: good }])
      expect(upstream.requests).toHaveLength(1)
    })

    it('takes any JSON where the schema does', async () => {
      script(text('42'))
      const body = formatBody(api, { type: 'integer' })
      expect(await put('effort', { body })).toMatchObject({ end: 'completed', text: '42' })
      script(text('[1,2]'))
      const list = formatBody(api, { type: 'array', items: { type: 'integer' } })
      expect(await put('effort', { body: list })).toMatchObject({ end: 'completed', text: '[1,2]' })
    })

    it('does not take the object in a list for the object that was asked for', async () => {
      script(text(`[${good}]`), text(good))
      expect(await put('effort')).toMatchObject({ end: 'completed', text: good, complaints: [] })
    })

    it('ends with the fault of the place where asking again fails', async () => {
      script(text('No.'), (response) => json(response, 500, { error: { message: 'broken' } }))
      expect(await put('effort')).toMatchObject({
        end: 'refused',
        status: 502,
        code: 'upstream_error',
      })
    })

    it('is not the client’s fault where the second question is refused', async () => {
      const error = { message: 'Too long: 5000 tokens.', code: 'context_length_exceeded' }
      script(text('No.'), (response) => json(response, 400, { error }))
      const told = await put('effort')
      const code = 'structured_output_invalid'
      expect(told).toMatchObject({ end: 'refused', status: 502, code })
      expect(told.raw).toContain('could not be asked again: context_length_exceeded')
    })
  })

  it('mends a wrong value in an answer in one piece', async () => {
    script(text(wrong), text(good))
    const body = formatBody(api)
    const verdict = await ask(gateway.url, { api, stream: false, model: 'a/b:effort', body })
    expect(verdict).toMatchObject({ end: 'completed', text: good })
    const messages = asked(1).messages
    expect(messages.at(-1)?.content).toContain('#/age must be integer, not string')
  })

  it('keeps what was told of a stream that turns out wrong, and says so at its end', async () => {
    script(text(`Well: ${wrong}`))
    const body = formatBody(api)
    const verdict = await ask(gateway.url, { api, stream: true, model: 'a/b:effort', body })
    expect(verdict).toMatchObject({ status: 200, end: 'failed', text: wrong, complaints: [] })
    expect(verdict.code).toBe('structured_output_invalid')
    expect(verdict.raw).toContain('#/age must be integer, not string')
    expect(upstream.requests).toHaveLength(1)
  })

  it('tells of reasoning once, and goes on with the second answer in the same stream', async () => {
    const thinking =
      (content: string): Reply =>
      (response) =>
        sse(
          response,
          chunk({ reasoning: 'Hm.' }),
          chunk({ content }),
          chunk({}, 'stop'),
          'data: [DONE]\n\n',
        )
    script(thinking('no'), thinking(good))
    const body = formatBody(api)
    const verdict = await ask(gateway.url, { api, stream: true, model: 'a/b:effort', body })
    expect(verdict).toMatchObject({ end: 'completed', complaints: [] })
    expect(verdict.text).toBe(good)
  })

  it('streams the JSON as it comes', async () => {
    let goOn = () => {}
    const waiting = new Promise<void>((resolve) => {
      goOn = resolve
    })
    upstream.reply(async (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(chunk({ content: '```json\n{"name":' }))
      await waiting
      response.end(
        `${chunk({ content: '"Ann","age":3}\n```' })}${chunk({}, 'stop')}data: [DONE]\n\n`,
      )
    })
    const { path, body } = {
      path: api === 'chat' ? '/v1/chat/completions' : '/v1/responses',
      body: bodyOf(api),
    }
    const response = await gateway.post(path, body)
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
    let raw = ''
    while (!raw.includes('{\\"name\\":')) raw += (await reader?.read())?.value ?? ''
    expect(raw).not.toContain('```')
    goOn()
    for (let next = await reader?.read(); next && !next.done; next = await reader?.read())
      raw += next.value
    expect(raw).not.toContain('```')
    expect(raw).toMatch(/\[DONE\]\n\n$/)
  })
})

// ---- upstreams of the Responses dialect

/** A turn of the model in the Responses dialect. */
function responds(content: string): Reply {
  const stream = new ChatToResponsesStream(streamOptions({ id: `resp_${content.length}`, newId }))
  const events = [
    ...stream.start(),
    ...stream.push(srcChunk({ content })),
    ...stream.push(srcChunk({}, 'stop')),
    ...stream.push({ choices: [], usage }),
    ...stream.end(),
  ]
  return (response, { body }) => {
    if (body.stream !== true) json(response, 200, stream.response)
    else sse(response, ...events.map((event) => encodeEvent(event.type, event)), 'data: [DONE]\n\n')
  }
}
const newId = countingIds()

describe.each<Api>(['responses', 'chat'])('%s, where the place speaks Responses', (api) => {
  it.each([false, true])('stream: %s: the same holds', async (stream) => {
    for (const place of ['native', 'blind']) {
      const put = () =>
        ask(gateway.url, { api, stream, model: `a/b:${place}`, body: formatBody(api) })
      script(responds(`Here: ${good}`))
      expect(await put()).toMatchObject({ end: 'completed', text: good, complaints: [] })
      script(responds('no'), responds(good))
      const mended = await put()
      expect(mended).toMatchObject({ end: 'completed', text: good, complaints: [] })
      if (!stream || api === 'responses') expect(usageOf(mended.usage)).toBe(10)
      const { input, text: form, instructions } = asked(1)
      expect(input).toMatchObject([
        { role: 'user' },
        { role: 'assistant', content: 'no' },
        { role: 'user', content: expect.stringContaining('it is not JSON') },
      ])
      const told = place === 'native' ? { type: 'json_schema' } : { type: 'text' }
      expect(form).toMatchObject({ format: told })
      if (place === 'blind') expect(instructions).toContain(JSON.stringify(schema))
      if (api === 'responses') {
        const echo = stream ? mended.raw.slice(mended.raw.lastIndexOf('event: ')) : mended.raw
        if (place === 'native' || !stream) continue
        expect(echo).toContain('"type":"json_schema"')
      }
    }
  })
})

// ---- what may go wrong on the way

describe('a stream that is checked', () => {
  const put = (more: Partial<Question> = {}) =>
    ask(gateway.url, {
      api: 'responses',
      stream: true,
      model: 'a/b:effort',
      body: formatBody('responses'),
      ...more,
    })

  it('is a failure where it is cut, and keeps what was told', async () => {
    upstream.reply((response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(chunk({ content: '{"name":' }))
      setTimeout(() => response.destroy(), 100)
    })
    const verdict = await put()
    expect(verdict).toMatchObject({ end: 'failed', text: '{"name":', complaints: [] })
    expect(verdict.code).toBe('upstream_error')
  })

  it('is another place’s where it is cut before any of its answer was told', async () => {
    upstream.reply((response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(chunk({ content: 'Well, let me see: ' }))
      setTimeout(() => response.destroy(), 100)
    })
    other.reply(text(good))
    const verdict = await put({ model: 'two/places' })
    expect(verdict).toMatchObject({ end: 'completed', text: good, complaints: [] })
    expect(verdict.headers.get('x-switchyard-tried')).toBe('effort=upstream_error')
  })

  it('is held to the limits of its place, before its first output and between two', async () => {
    for (const first of ['', 'Well, ', '{"name":']) {
      upstream.reply((response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' })
        response.write(chunk({ role: 'assistant', content: first }))
      })
      const verdict = await put({ model: 'a/b:hasty' })
      expect(verdict.code).toBe('upstream_timeout')
      expect(verdict.complaints).toEqual([])
    }
  })

  it('lets the upstream go when the client leaves, in the second turn as in the first', async () => {
    for (const replies of [[], [text('no')]]) {
      let gone: Promise<boolean> | undefined
      let arrived = () => {}
      const waiting = new Promise<void>((resolve) => {
        arrived = resolve
      })
      script(...replies, (response, { ended }) => {
        gone = ended
        response.writeHead(200, { 'content-type': 'text/event-stream' })
        response.write(chunk({ content: '{"name":' }))
        arrived()
      })
      const client = new AbortController()
      const asking = put({ signal: client.signal }).catch(() => {})
      await waiting
      client.abort()
      await asking
      expect(await gone).toBe(true)
    }
  })

  it('is kept as it was told', async () => {
    script(text('no'), text(`Sure: ${good}`))
    const told = await put()
    const id = /"id":"(resp_[^"]+)"/.exec(told.raw)?.[1]
    const kept = (await (await gateway.ask(`/v1/responses/${id}`)).json()) as { output: Json[] }
    expect(kept.output).toMatchObject([{ content: [{ text: good }] }])
  })
})

describe('what else asks', () => {
  it('Messages’ strict tools are held to their schemas', async () => {
    const body = {
      model: 'a/b:effort',
      max_tokens: 100,
      messages: [{ role: 'user', content: 'hi' }],
      tools: [{ name: 'greet', input_schema: schema, strict: true }],
    }
    for (const stream of [false, true]) {
      script(calling(['greet', wrong]), calling(['greet', good]))
      const response = await gateway.post('/v1/messages', { ...body, stream })
      const raw = await response.text()
      expect(upstream.requests).toHaveLength(2)
      expect(raw).toContain('Ann')
      expect(raw).not.toContain('three')
    }
  })

  it('require_parameters leaves out a place that knows no schemas', async () => {
    script(text(good))
    const body = { ...formatBody('chat'), provider: { require_parameters: true } }
    const verdict = await ask(gateway.url, { api: 'chat', stream: false, model: 'a/b:none', body })
    expect(verdict).toMatchObject({ status: 400, code: 'unsupported_parameter' })
    expect(JSON.parse(verdict.raw)).toMatchObject({ error: { param: 'response_format' } })
    expect(upstream.requests).toHaveLength(0)
  })

  it('an answer that is too much to be checked passes with a warning', async () => {
    const tree = { anyOf: [1, 2].map(() => ({ minItems: 1, items: { $ref: '#' } })) }
    const deep = `${'['.repeat(60)}${']'.repeat(60)}`
    script(text(deep))
    const body = formatBody('responses', tree)
    const question: Question = { api: 'responses', stream: false, model: 'a/b:effort', body }
    const verdict = await ask(gateway.url, question)
    expect(verdict).toMatchObject({ end: 'completed', text: deep })
    expect(verdict.headers.get('warning')).toContain('too deep or too large to be checked')
  })
})

const callOf = (name: string, given: string) => ({
  tool_calls: [{ id: 'call_0', type: 'function', function: { name, arguments: given } }],
})

const bodyOf = (api: Api): Json => ({
  model: 'a/b:effort',
  stream: true,
  ...(api === 'chat' ? { messages: [{ role: 'user', content: 'hi' }] } : { input: 'hi' }),
  ...formatBody(api),
})
