// Reasoning that comes back sealed, in another family of events or padded, over both kinds of upstream.
import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import {
  chatToResponse,
  collectResponse,
  handleResponses,
  idSource,
  type ResponsesEvent,
  ResponseWriter,
} from '../../src/index.ts'
import { type Seal, sealFor, sealKey } from '../../src/seal.ts'
import { encodeEvent } from '../../src/sse/encode.ts'
import type { ReasoningEvents } from '../../src/stream/writer.ts'
import { checkEventSchema } from '../oracle/open-responses.ts'
import { checkOrder } from '../oracle/order.ts'
import { callChunk, chunk, eventsOf, expectInOrder, sse, streamOptions } from './support.ts'
import { candidate, host, json, post, type Script, streamed } from './upstream.ts'

const random = (bytes: number) => new Uint8Array(randomBytes(bytes))
const key = sealKey('a secret')
const ours = sealFor('mine', key, random)
const encoder = new TextEncoder()
const opened = async (seal: Seal, text: unknown) => {
  const bytes = await seal.open('reasoning', String(text))
  return bytes && new TextDecoder().decode(bytes)
}

describe('the seal', () => {
  it('opens for the same tenant, purpose and secret alone', async () => {
    const sealed = await ours.seal('reasoning', encoder.encode('thought'))
    expect(sealed).toMatch(/^sy1\.[\w-]+$/)
    expect(await opened(ours, sealed)).toBe('thought')
    expect(await ours.seal('reasoning', encoder.encode('thought'))).not.toBe(sealed)
    expect(await ours.open('compaction', sealed)).toBeUndefined()
    expect(await opened(sealFor('theirs', key, random), sealed)).toBeUndefined()
    expect(await opened(sealFor('mine', sealKey('another'), random), sealed)).toBeUndefined()
  })

  it('opens nothing that was changed, cut or made up', async () => {
    const sealed = await ours.seal('reasoning', encoder.encode('thought'))
    for (let at = 4; at < sealed.length; at++) {
      const other = sealed[at] === 'A' ? 'B' : 'A'
      const changed = sealed.slice(0, at) + other + sealed.slice(at + 1)
      // The last character of base64 has bits that stand for nothing.
      if (at < sealed.length - 1) expect(await opened(ours, changed)).toBeUndefined()
      expect(await opened(ours, sealed.slice(0, at))).toBeUndefined()
    }
    for (const text of ['sy1.', 'sy1.!', `${sealed} `, sealed.slice(4), `${sealed}=`]) {
      expect(await opened(ours, text)).toBeUndefined()
    }
  })

  it('holds large texts', async () => {
    const large = 'é'.repeat(200_000)
    expect(await opened(ours, await ours.seal('reasoning', encoder.encode(large)))).toBe(large)
  })
})

const ask = {
  model: 'test/model',
  input: 'hi',
  include: ['reasoning.encrypted_content'],
}
const usage = { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 }
const chatChunks = [
  chunk({ role: 'assistant', reasoning: 'h' }),
  chunk({ reasoning: 'm' }),
  chunk({ content: 'Hello' }),
  callChunk({ index: 0, id: 'a', function: { name: 'f', arguments: '{"x":1}' } }),
  chunk({}, 'tool_calls'),
  { choices: [], usage },
  '[DONE]',
]
const completion = {
  choices: [{ message: { role: 'assistant', content: 'Hello', reasoning: 'hm' } }],
  usage,
}

/** What a Responses upstream, such as a node, sends for the same answer. */
function responsesEvents(family: ReasoningEvents = 'reasoning_text'): ResponsesEvent[] {
  const writer = new ResponseWriter(streamOptions({ reasoningEvents: family }))
  return [
    ...writer.start(),
    ...writer.reasoning('h'),
    ...writer.reasoning('m'),
    ...writer.text('Hello'),
    ...writer.complete({ finish: 'stop' }),
  ]
}
const encoded = `${responsesEvents()
  .map((event) => encodeEvent(event.type, event))
  .join('')}data: [DONE]\n\n`

const upstreams: [string, 'chat' | 'responses', Script, Script][] = [
  ['Chat', 'chat', () => streamed([sse(chatChunks)]), () => json(completion)],
  [
    'Responses',
    'responses',
    () => streamed([encoded]),
    () => json(collectResponse(responsesEvents())),
  ],
]

/** The events of an answer, in order, with the seal at hand. */
async function events(
  dialect: 'chat' | 'responses',
  script: Script,
  { body = {}, headers = {}, seal = ours }: { body?: object; headers?: object; seal?: Seal } = {},
) {
  const { deps } = host([candidate({ dialects: [dialect] }), script])
  const request = post(
    { ...ask, stream: true, ...body },
    {
      headers: { 'content-type': 'application/json', ...headers },
    },
  )
  // Real ids: padding is made of them.
  const answer = await handleResponses(request, { ...deps, seal, newId: idSource(random) })
  return eventsOf(await answer.text())
}

describe.each(upstreams)('over a %s upstream', (_, dialect, stream, whole) => {
  it('reasoning comes sealed in its finished item and in the last snapshot, nothing out of order', async () => {
    const list = await events(dialect, stream)
    expect(checkOrder(list)).toEqual([])
    const done = list.find(({ type }) => type === 'response.output_item.done')
    const { item } = done as unknown as { item: Record<string, unknown> }
    expect(item).toMatchObject({ type: 'reasoning', content: [{ text: 'hm' }] })
    expect(await opened(ours, item.encrypted_content)).toBe('{"content":["hm"]}')
    const { response } = list.at(-1) as unknown as { response: { output: unknown[] } }
    expect(response.output[0]).toEqual(item)
    expect(collectResponse(list)).toEqual(response)
  })

  it('comes sealed where bytes trickle and the sealing takes its time', async () => {
    const text = dialect === 'chat' ? sse(chatChunks) : encoded
    const pieces = text.match(/[\s\S]{1,40}/g) ?? []
    const slow: Seal = {
      ...ours,
      seal: async (purpose, bytes) => {
        await new Promise((resolve) => setTimeout(resolve, 5))
        return ours.seal(purpose, bytes)
      },
    }
    const list = await events(dialect, () => streamed(pieces), { seal: slow })
    expect(checkOrder(list)).toEqual([])
    const { response } = list.at(-1) as unknown as {
      response: { output: Record<string, unknown>[] }
    }
    expect(await opened(ours, response.output[0]?.encrypted_content)).toBe('{"content":["hm"]}')
  })

  it('a sealing that fails takes nothing from the answer', async () => {
    const broken: Seal = { ...ours, seal: () => Promise.reject(new Error('no')) }
    const list = await events(dialect, stream, { seal: broken })
    expect(checkOrder(list)).toEqual([])
    expect(list.at(-1)?.type).toBe('response.completed')
  })

  it('comes sealed in one piece, too, and only where it was asked for', async () => {
    for (const include of [ask.include, []]) {
      const { deps } = host([candidate({ dialects: [dialect] }), whole])
      const answer = await handleResponses(post({ ...ask, include }), { ...deps, seal: ours })
      const { output } = (await answer.json()) as { output: Record<string, unknown>[] }
      const sealed = output[0]?.encrypted_content
      if (include.length === 0) expect(sealed).toBeUndefined()
      else expect(await opened(ours, sealed)).toBe('{"content":["hm"]}')
    }
  })

  it.each(['reasoning', 'summary'] as const)('the header chooses the %s family', async (family) => {
    const headers = { 'x-switchyard-reasoning-events': family }
    const list = await events(dialect, stream, { body: { include: [] }, headers })
    expect(checkOrder(list)).toEqual([])
    expect(list.flatMap(checkEventSchema)).toEqual([])
    const types = new Set(list.map(({ type }) => type))
    const name = family === 'summary' ? 'reasoning_summary_text' : 'reasoning'
    expect(types).toContain(`response.${name}.delta`)
    expect(types).toContain(`response.${name}.done`)
    expect(types).not.toContain('response.reasoning_text.delta')
    const { response } = list.at(-1) as unknown as {
      response: { output: Record<string, unknown>[] }
    }
    const [reasoning] = response.output
    const where = family === 'summary' ? 'summary' : 'content'
    expect(reasoning?.[where]).toMatchObject([{ text: 'hm' }])
    expect(collectResponse(list)).toEqual(response)
  })

  it('pads deltas where the client asks for it, to one length', async () => {
    const body = { include: [], stream_options: { include_obfuscation: true } }
    const list = await events(dialect, stream, { body })
    const deltas = list.filter(({ type }) => type.endsWith('.delta'))
    expect(deltas.length).toBeGreaterThan(2)
    for (const { delta, obfuscation } of deltas) {
      expect((String(delta).length + String(obfuscation).length) % 16).toBe(0)
    }
    const plain = await events(dialect, stream, { body: { include: [] } })
    expect(plain.some((event) => 'obfuscation' in event)).toBe(false)
  })
})

describe('sealed reasoning that comes back', () => {
  const sealed = ours.seal('reasoning', encoder.encode('{"content":["hm"]}'))
  const turn = (encrypted_content: unknown, more: object = {}) => ({
    model: 'm',
    input: [
      { role: 'user', content: 'hi' },
      { type: 'reasoning', id: 'rs_1', summary: [], encrypted_content, ...more },
      { type: 'function_call', call_id: 'a', name: 'f', arguments: '{}' },
      { type: 'function_call_output', call_id: 'a', output: '1' },
    ],
  })

  it('is opened for a Chat upstream and for an engine, and never sent on', async () => {
    for (const place of [
      candidate(),
      candidate({ kind: 'node', dialects: ['responses'] }),
      candidate({ dialects: ['responses'] }),
    ]) {
      const whole = place.dialects[0] === 'chat' ? completion : collectResponse(responsesEvents())
      const { deps, sent } = host([place, () => json(whole)])
      const answer = await handleResponses(post(turn(await sealed)), { ...deps, seal: ours })
      expect(answer.status).toBe(200)
      const body = JSON.stringify(sent[0]?.body)
      expect(body).toContain('"hm"')
      expect(body).not.toContain('sy1.')
      if (place.dialects[0] === 'chat') {
        expect(sent[0]?.body.messages).toMatchObject([
          { role: 'user' },
          { role: 'assistant', reasoning: 'hm', tool_calls: [{ id: 'a' }] },
          { role: 'tool' },
        ])
      }
    }
  })

  it.each([
    ['changed', async () => `${(await sealed).slice(0, -6)}AAAAAA`],
    ['cut', async () => (await sealed).slice(0, 20)],
    [
      "another tenant's",
      () => sealFor('theirs', key, random).seal('reasoning', encoder.encode('{"content":["x"]}')),
    ],
    ['of another kind', () => ours.seal('compaction', encoder.encode('{"content":["x"]}'))],
  ])('is refused by name where it is %s', async (_, make) => {
    const { deps, sent } = host([candidate(), () => json(completion)])
    const answer = await handleResponses(post(turn(await make())), { ...deps, seal: ours })
    expect(answer.status).toBe(400)
    expect(await answer.json()).toMatchObject({
      error: { code: 'invalid_encrypted_content', param: 'input[1].encrypted_content' },
    })
    expect(sent).toEqual([])
  })

  it("another maker's goes on to a provider that speaks Responses, and to nobody else", async () => {
    const chat = candidate()
    const native = candidate({ name: 'second', dialects: ['responses'] })
    const node = candidate({ name: 'third', kind: 'node', dialects: ['responses'] })
    const response = collectResponse(responsesEvents())
    const both = host([chat, () => json(completion)], [native, () => json(response)])
    const answer = await handleResponses(post(turn('gAAAA')), { ...both.deps, seal: ours })
    expect(answer.headers.get('x-switchyard-provider')).toBe('second')
    expect(both.sent).toHaveLength(1)
    expect(JSON.stringify(both.sent[0]?.body)).toContain('gAAAA')
    for (const place of [chat, node]) {
      const alone = host([place, () => json(completion)])
      const refused = await handleResponses(post(turn('gAAAA')), { ...alone.deps, seal: ours })
      expect(refused.status).toBe(400)
      expect(await refused.json()).toMatchObject({
        error: { param: 'input[1].encrypted_content' },
      })
    }
  })

  it("another maker's is no obstacle where the text is there as well", async () => {
    const content = [{ type: 'reasoning_text', text: 'plain' }]
    const { deps, sent } = host([candidate(), () => json(completion)])
    await handleResponses(post(turn('gAAAA', { content })), { ...deps, seal: ours })
    expect(JSON.stringify(sent[0]?.body)).toContain('plain')
  })

  it('cannot be had from a host without a secret, and the answer says so', async () => {
    const { deps } = host([candidate(), () => json(completion)])
    const answer = await handleResponses(post(ask), deps)
    expect(answer.status).toBe(200)
    expect(answer.headers.get('warning')).toContain('reasoning.encrypted_content')
  })
})

it('stored turns are read by their text, and places are counted in the own input', async () => {
  const old = await sealFor('mine', sealKey('a secret that is gone'), random).seal(
    'reasoning',
    encoder.encode('{"content":["old"]}'),
  )
  const items = [
    { type: 'message', role: 'user', content: 'a' },
    {
      type: 'reasoning',
      id: 'rs_1',
      summary: [],
      content: [{ type: 'reasoning_text', text: 'old' }],
      encrypted_content: old,
    },
    { type: 'message', role: 'assistant', content: 'b' },
  ]
  const state = {
    history: async () => ({ items, status: 'completed', responses: ['resp_1'] }),
    items: async () => new Map(),
    begin: () => undefined,
  }
  const send = async (input: unknown) => {
    const { deps, sent } = host([candidate(), () => json(completion)])
    const body = { model: 'm', previous_response_id: 'resp_1', input }
    const answer = await handleResponses(post(body), { ...deps, seal: ours, state })
    return { answer, sent }
  }
  const fine = await send('c')
  expect(fine.answer.status).toBe(200)
  expect(JSON.stringify(fine.sent[0]?.body)).toContain('old')
  expect(JSON.stringify(fine.sent[0]?.body)).not.toContain('sy1.')
  const wrong: [unknown, string][] = [
    [{ type: 'reasoning', summary: [], encrypted_content: old }, 'input[0].encrypted_content'],
    [{ type: 'reasoning', summary: [], encrypted_content: 'gAAA' }, 'input[0].encrypted_content'],
    [{ type: 'function_call_output', call_id: 'x', output: '' }, 'input[0].call_id'],
  ]
  for (const [item, param] of wrong) {
    const { answer } = await send([item])
    expect(await answer.json()).toMatchObject({ error: { param } })
  }
})

it('a header that names no family is refused', async () => {
  const { deps } = host([candidate(), () => json(completion)])
  const headers = { 'content-type': 'application/json', 'x-switchyard-reasoning-events': 'all' }
  const answer = await handleResponses(post(ask, { headers }), deps)
  expect(answer.status).toBe(400)
  expect(await answer.json()).toMatchObject({ error: { param: 'x-switchyard-reasoning-events' } })
})

it('streams of the Open Responses family are in order and in its schema', () => {
  expectInOrder(responsesEvents('reasoning'))
  const whole = chatToResponse(completion, streamOptions({ reasoningEvents: 'reasoning' }))
  expect(whole.output[0]).toMatchObject({ type: 'reasoning', content: [{ text: 'hm' }] })
})
