// Stored responses on the gateway as it is deployed: chains, resuming, background work, what another tenant sees. One piece:
// all of it shares one worker, its storage and the helpers at the top.
import { mkdtempSync, rmSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventsIn } from '../contract/store.ts'
import { checkOrder } from '../oracle/order.ts'
import { startGateway, type TestGateway } from './harness.ts'
import {
  chunk,
  completion,
  json,
  sse,
  startUpstream,
  type TestUpstream,
  textStream,
} from './upstream.ts'

const keys = { one: 'sy_key_of_tenant_one', two: 'sy_key_of_tenant_two' }
const folder = mkdtempSync(join(tmpdir(), 'switchyard-stored-'))
let upstream: TestUpstream
let gateway: TestGateway

const start = () =>
  startGateway({
    config: {
      providers: {
        acme: { baseUrl: `${upstream.origin}/v1`, models: { m: 'm' } },
        native: {
          baseUrl: `${upstream.origin}/native/v1`,
          dialects: ['responses'],
          models: { native: 'theirs' },
        },
      },
    },
    bindings: { SWITCHYARD_KEYS: JSON.stringify(keys) },
    persist: folder,
  })

beforeAll(async () => {
  upstream = await startUpstream()
  gateway = await start()
})

afterAll(async () => {
  await gateway.stop()
  await upstream.stop()
  rmSync(folder, { recursive: true })
})

type Tenant = keyof typeof keys
type Json = Record<string, unknown>

const bearer = (tenant: Tenant = 'one') => ({ authorization: `Bearer ${keys[tenant]}` })
const create = (body: Json, tenant?: Tenant) =>
  gateway.post('/v1/responses', { model: 'm', ...body }, bearer(tenant))
const ask = (path: string, method = 'GET', tenant?: Tenant) =>
  gateway.ask(`/v1${path}`, { method, headers: bearer(tenant) })

async function made(body: Json): Promise<Json & { id: string }> {
  const response = await create(body)
  expect(response.status).toBe(200)
  return (await response.json()) as Json & { id: string }
}

async function refusal(response: Response) {
  const { error } = (await response.json()) as { error: { code: string; param: string | null } }
  return { status: response.status, code: error.code, param: error.param }
}

/** Polls until the response has left these statuses. */
async function settled(id: string): Promise<Json> {
  for (;;) {
    const response = (await (await ask(`/responses/${id}`)).json()) as Json
    if (response.status !== 'queued' && response.status !== 'in_progress') return response
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

const text = async (response: Response | Promise<Response>) => (await response).text()
const idIn = (events: string) => /"id":"(resp_[0-9a-f]{48})"/.exec(events)?.[1] ?? ''
const said = () => upstream.requests.map(({ body }) => body.messages)

/** An upstream that says one word after another, as the test lets it. */
function heldStream() {
  const writing = new Promise<ServerResponse>((resolve) => {
    upstream.reply((response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(chunk({ role: 'assistant', content: '' }))
      resolve(response)
    })
  })
  return {
    say: async (...words: string[]) => {
      const response = await writing
      for (const word of words) response.write(chunk({ content: word }))
    },
    end: async () => (await writing).end(`${chunk({}, 'stop')}data: [DONE]\n\n`),
    ended: async () => (await upstream.nextRequest()).ended,
  }
}

/** Reads a stream until it holds that text; the rest is read by `rest`. */
function reading(response: Response) {
  const reader = response.body?.getReader()
  const decoder = new TextDecoder()
  let got = ''
  return {
    async until(wanted: string): Promise<string> {
      while (!got.includes(wanted)) {
        const read = await reader?.read()
        if (read === undefined || read.done) throw new Error(`ended without ${wanted}: ${got}`)
        got += decoder.decode(read.value, { stream: true })
      }
      return got
    },
    async rest(): Promise<string> {
      for (;;) {
        const read = await reader?.read()
        if (read === undefined || read.done) return got
        got += decoder.decode(read.value, { stream: true })
      }
    },
    leave: () => reader?.cancel(),
  }
}

describe('chains', () => {
  it('send everything that was said before, in order, without the earlier instructions', async () => {
    upstream.reply((response) => json(response, 200, completion('four')))
    const first = await made({ input: 'two and two?', instructions: 'Be brief.' })
    expect(first).toMatchObject({ store: true, previous_response_id: null })
    upstream.reply((response) => sse(response, ...textStream('fi', 've')))
    const stream = await text(
      create({ input: 'plus one?', previous_response_id: first.id, stream: true }),
    )
    expect(said()).toEqual([
      [
        { role: 'user', content: 'two and two?' },
        { role: 'assistant', content: 'four' },
        { role: 'user', content: 'plus one?' },
      ],
    ])
    const events = eventsIn(stream)
    expect(checkOrder(events)).toEqual([])
    for (const { response } of events.filter((event) => 'response' in event)) {
      expect(response).toMatchObject({ previous_response_id: first.id, store: true })
    }
    upstream.reply((response) => json(response, 200, completion('six')))
    const third = { input: 'and one more?', previous_response_id: idIn(stream), store: false }
    expect(await made(third)).toMatchObject({ store: false, previous_response_id: idIn(stream) })
    expect((said()[0] as unknown[]).length).toBe(5)
  })

  it('are refused for ids that are unknown, deleted, or of another tenant', async () => {
    upstream.reply((response) => json(response, 200, completion('x')))
    const { id } = await made({ input: 'a' })
    const unstored = await made({ input: 'a', store: false })
    const wanted = {
      status: 404,
      code: 'previous_response_not_found',
      param: 'previous_response_id',
    }
    const next = (previous_response_id: string, tenant?: Tenant) =>
      create({ input: 'b', previous_response_id }, tenant).then(refusal)
    expect(await next(id, 'two')).toEqual(wanted)
    expect(await next(unstored.id)).toEqual(wanted)
    expect(await next('resp_nonsense')).toEqual(wanted)
    for (const [path, method] of [
      [`/responses/${id}`, 'GET'],
      [`/responses/${id}?stream=true`, 'GET'],
      [`/responses/${id}/input_items`, 'GET'],
      [`/responses/${id}/cancel`, 'POST'],
      [`/responses/${id}`, 'DELETE'],
    ] as const) {
      expect(await refusal(await ask(path, method, 'two'))).toMatchObject({
        status: 404,
        code: 'response_not_found',
      })
    }
    const gone = await ask(`/responses/${id}`, 'DELETE')
    expect(await gone.json()).toEqual({ id, object: 'response', deleted: true })
    expect(await next(id)).toEqual(wanted)
  })

  it('resolve references to items of earlier answers', async () => {
    upstream.reply((response) => json(response, 200, completion('blue')))
    const { output } = (await made({ input: 'colour?' })) as unknown as { output: { id: string }[] }
    const input = [
      { role: 'user', content: 'colour?' },
      { type: 'item_reference', id: output[0]?.id },
      { role: 'user', content: 'why?' },
    ]
    await made({ input })
    expect(said().at(-1)).toEqual([
      { role: 'user', content: 'colour?' },
      { role: 'assistant', content: 'blue' },
      { role: 'user', content: 'why?' },
    ])
    expect(await create({ input }, 'two').then(refusal)).toMatchObject({ param: 'input[1].id' })
  })

  it('do not let a short request stand for a huge one', async () => {
    const id = 'long_one'
    const items = [{ id, type: 'message', role: 'user', content: 'x'.repeat(1_000_000) }]
    expect((await gateway.post('/v1/conversations', { items }, bearer())).status).toBe(200)
    const naming = (ids: string[]) =>
      create({ input: ids.map((id) => ({ type: 'item_reference', id })) }).then(refusal)
    upstream.reply((response) => json(response, 200, completion('x')))
    expect(await naming(Array.from({ length: 40 }, () => id))).toEqual({
      status: 400,
      code: 'context_length_exceeded',
      param: 'input',
    })
    expect(await naming(Array.from({ length: 1001 }, (_, at) => `unknown_${at}`))).toEqual({
      status: 400,
      code: 'invalid_value',
      param: 'input',
    })
    expect(upstream.requests).toEqual([])
  })

  it('refuse ids of items that no row could hold', async () => {
    const id = 'i'.repeat(3_000_000)
    const items = [{ id, type: 'message', role: 'user', content: 'x' }]
    const status = 400
    expect(await create({ input: items }).then(refusal)).toMatchObject({
      status,
      param: 'input[0].id',
    })
    expect(
      await refusal(await gateway.post('/v1/conversations', { items }, bearer())),
    ).toMatchObject({ status, param: 'items[0].id' })
    expect(await create({ input: [{ type: 'item_reference', id }] }).then(refusal)).toMatchObject({
      status: 404,
      param: 'input[0].id',
    })
  })

  it('do not begin at a response that is still made', async () => {
    const held = heldStream()
    const { id } = await made({ input: 'x', background: true })
    await upstream.nextRequest()
    expect(await create({ input: 'y', previous_response_id: id }).then(refusal)).toMatchObject({
      status: 409,
      param: 'previous_response_id',
    })
    await held.end()
    await settled(id)
  })

  it.each([
    [{ background: true, store: false }, 'background'],
    [{ previous_response_id: 'resp_x', conversation: 'conv_x' }, 'conversation'],
    [{ conversation: 7 }, 'conversation'],
    [{ conversation: 'conv_unknown' }, 'conversation'],
  ])('%j is refused', async (body, param) => {
    expect(await create({ input: 'x', ...body }).then(refusal)).toMatchObject({ param })
  })
})

describe('an upstream that speaks Responses', () => {
  const theirs = (status: string) => ({
    id: 'resp_theirs',
    object: 'response',
    created_at: 5,
    status,
    model: 'theirs',
    store: true,
    previous_response_id: null,
    output: status === 'completed' ? [message] : [],
  })
  const message = {
    id: 'msg_theirs',
    type: 'message',
    role: 'assistant',
    status: 'completed',
    content: [{ type: 'output_text', text: 'Bonjour', annotations: [] }],
  }
  const event = (type: string, n: number, fields: object) =>
    `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: n, ...fields })}\n\n`

  it('is asked to keep nothing, and its ids and state are ours', async () => {
    upstream.reply((response) => json(response, 200, theirs('completed')))
    const first = await made({ model: 'native', input: 'hello' })
    expect(first.id).toMatch(/^resp_[0-9a-f]{48}$/)
    expect(first).toMatchObject({ store: true, model: 'theirs', output: [message] })
    upstream.reply((response) =>
      sse(
        response,
        event('response.created', 0, { response: theirs('in_progress') }),
        event('response.in_progress', 1, { response: theirs('in_progress') }),
        event('response.output_item.added', 2, { output_index: 0, item: message }),
        event('response.output_item.done', 3, { output_index: 0, item: message }),
        event('response.completed', 4, { response: theirs('completed') }),
      ),
    )
    const stream = await text(
      create({ model: 'native', input: 'again', previous_response_id: first.id, stream: true }),
    )
    const { body } = await upstream.nextRequest()
    expect(body).toMatchObject({ store: false })
    expect(body).not.toHaveProperty('previous_response_id')
    expect(body.input).toHaveLength(3)
    expect(stream).not.toContain('resp_theirs')
    const id = idIn(stream)
    for (const { response } of eventsIn(stream).filter((each) => 'response' in each))
      expect(response).toMatchObject({ id, store: true, previous_response_id: first.id })
    expect(await text(ask(`/responses/${id}?stream=true`))).toBe(stream)
    expect(await (await ask(`/responses/${id}`)).json()).toMatchObject({ id, output: [message] })
  })
})

describe('an upstream that ends its answers oddly', () => {
  const odd = (response: ServerResponse) => {
    const answer = { id: 'resp_theirs', object: 'response', status: 'in_progress', output: [] }
    const event = (type: string) =>
      `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: -3, response: answer })}\n\n`
    sse(response, event('response.created'), event('response.completed'))
  }

  it.each([false, true])('leaves nothing in progress (background: %s)', async (background) => {
    upstream.reply(odd)
    const given = await text(create({ model: 'native', input: 'x', stream: true, background }))
    const events = eventsIn(given)
    expect(events.map(({ type }) => type)).toEqual(['response.created', 'response.completed'])
    expect(events.at(-1)?.response).toMatchObject({ status: 'completed', store: true })
    const id = idIn(given)
    expect(await text(ask(`/responses/${id}?stream=true`))).toBe(given)
    expect(await (await ask(`/responses/${id}`)).json()).toMatchObject({ status: 'completed' })
  })
})

describe('streams', () => {
  it('are given again, event for event, from any one on', async () => {
    upstream.reply((response) => sse(response, ...textStream('one ', 'two ', 'three')))
    const stream = await text(create({ input: 'count', stream: true }))
    const id = idIn(stream)
    const blocks = stream.split(/(?<=\n\n)/)
    for (let after = 0; after < blocks.length - 2; after++) {
      const again = await text(ask(`/responses/${id}?stream=true&starting_after=${after}`))
      expect(again).toBe(blocks.slice(after + 1).join(''))
    }
    expect(await text(ask(`/responses/${id}?stream=true`))).toBe(stream)
  })

  it('can be followed from any event on while they are made, by several readers', async () => {
    const held = heldStream()
    const response = await create({ input: 'slowly', stream: true, background: true })
    const first = reading(response)
    const id = idIn(await first.until('response.created'))
    await held.say('one ', 'two ')
    const soFar = await first.until('two ')
    const count = eventsIn(soFar).length
    const later = await Promise.all(
      Array.from({ length: count }, (_, after) =>
        ask(`/responses/${id}?stream=true&starting_after=${after}`),
      ),
    )
    await first.leave()
    await held.say('three')
    await held.end()
    const rests = await Promise.all(later.map(text))
    const whole = await text(ask(`/responses/${id}?stream=true`))
    const blocks = whole.split(/(?<=\n\n)/)
    expect(checkOrder(eventsIn(whole))).toEqual([])
    expect(rests).toEqual(rests.map((_, after) => blocks.slice(after + 1).join('')))
    expect(await settled(id)).toMatchObject({ status: 'completed', background: true })
  })

  it('stop with the client that waits for them, and keep what had come', async () => {
    const held = heldStream()
    const body = JSON.stringify({ model: 'm', input: 'x', stream: true })
    const socket = connect(gateway.port, '127.0.0.1')
    socket.setEncoding('utf8')
    socket.on('error', () => {})
    socket.write(
      `POST /v1/responses HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${keys.one}\r\n` +
        `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    )
    await held.say('half ', 'of it')
    let got = ''
    await new Promise<void>((resolve) => {
      socket.on('data', (piece) => {
        got += piece
        if (got.includes('of it')) resolve()
      })
    })
    socket.resetAndDestroy()
    expect(await held.ended()).toBe(true)
    const id = idIn(got)
    expect(await settled(id)).toMatchObject({ status: 'cancelled', store: true })
    const kept = await text(ask(`/responses/${id}?stream=true`))
    expect(checkOrder(eventsIn(kept))).toEqual([])
    expect(eventsIn(kept).at(-1)?.type).toBe('response.incomplete')
    expect(kept).toContain('of it')
  })

  it('say so where the record could not be kept, and lose nothing', async () => {
    const held = heldStream()
    const first = reading(await create({ input: 'x', stream: true }))
    await held.say('word')
    const id = idIn(await first.until('word'))
    expect((await ask(`/responses/${id}`, 'DELETE')).status).toBe(200)
    await held.end()
    const events = eventsIn(await first.rest())
    expect(checkOrder(events)).toEqual([])
    expect(events.at(-1)).toMatchObject({
      type: 'response.completed',
      response: { id, store: false, output: [{ content: [{ text: 'word' }] }] },
    })
    expect((await ask(`/responses/${id}`)).status).toBe(404)
  })

  it('are only to be had of responses that were made as streams', async () => {
    upstream.reply((response) => json(response, 200, completion('x')))
    const { id } = await made({ input: 'x' })
    const path = `/responses/${id}`
    expect(await refusal(await ask(`${path}?stream=true`))).toMatchObject({ param: 'stream' })
    expect(await refusal(await ask(`${path}?starting_after=1`))).toMatchObject({
      param: 'starting_after',
    })
    expect(await refusal(await ask(`${path}?stream=true&starting_after=x`))).toMatchObject({
      param: 'starting_after',
    })
    expect(await refusal(await ask(`${path}/cancel`, 'POST'))).toMatchObject({ status: 400 })
    expect(await refusal(await ask(`${path}/input_items?limit=0`))).toMatchObject({
      param: 'limit',
    })
    expect(await refusal(await ask(`${path}/nothing`))).toMatchObject({ status: 404 })
    expect(await refusal(await ask(path, 'PATCH'))).toMatchObject({ status: 405 })
  })
})

describe('background', () => {
  it('answers at once and goes on without its client', async () => {
    const held = heldStream()
    const queued = await made({ input: 'x', background: true, metadata: { a: 'b' } })
    expect(queued).toMatchObject({ status: 'queued', background: true, output: [] })
    await held.say('done')
    await held.end()
    const done = await settled(queued.id)
    expect(done).toMatchObject({
      id: queued.id,
      status: 'completed',
      background: true,
      store: true,
      created_at: queued.created_at,
      metadata: { a: 'b' },
      output: [{ content: [{ text: 'done' }] }],
    })
  })

  it('is cancelled: the upstream stops, what had come is kept, a second cancel changes nothing', async () => {
    const held = heldStream()
    const { id } = await made({ input: 'x', background: true })
    await held.say('so far')
    const follower = reading(await ask(`/responses/${id}?stream=true`))
    await follower.until('so far')
    const cancelled = await ask(`/responses/${id}/cancel`, 'POST')
    expect(await cancelled.json()).toMatchObject({ id, status: 'cancelled' })
    expect(await held.ended()).toBe(true)
    const events = eventsIn(await follower.rest())
    expect(checkOrder(events)).toEqual([])
    expect(events.at(-1)?.type).toBe('response.incomplete')
    const again = await ask(`/responses/${id}/cancel`, 'POST')
    expect(await again.json()).toMatchObject({ id, status: 'cancelled' })
  })

  it('tells of a model that nobody serves at once, and of an upstream that fails by its status', async () => {
    expect(
      await create({ model: 'nobody/has-this', input: 'x', background: true }).then(refusal),
    ).toMatchObject({ status: 404, code: 'model_not_found' })
    upstream.reply((response) => json(response, 400, { error: { message: 'no', type: 'x' } }))
    const { id } = await made({ input: 'x', background: true })
    expect(await settled(id)).toMatchObject({ status: 'failed', error: { message: /no/ } })
  })

  it('is deleted while it runs', async () => {
    const held = heldStream()
    const { id } = await made({ input: 'x', background: true })
    await upstream.nextRequest()
    expect((await ask(`/responses/${id}`, 'DELETE')).status).toBe(200)
    expect(await held.ended()).toBe(true)
    expect((await ask(`/responses/${id}`)).status).toBe(404)
  })
})

describe('conversations', () => {
  it('are gone on with and added to', async () => {
    const post = (path: string, body: Json, tenant?: Tenant) =>
      gateway.post(`/v1/conversations${path}`, body, bearer(tenant))
    const talk = (await (
      await post('', { metadata: { a: 'b' }, items: [{ role: 'user', content: 'I am Ada.' }] })
    ).json()) as { id: string }
    expect(talk).toMatchObject({ object: 'conversation', metadata: { a: 'b' } })
    upstream.reply((response) => json(response, 200, completion('Hello Ada.')))
    const answer = await made({ input: 'Hello', conversation: talk.id })
    expect(answer).toMatchObject({ conversation: { id: talk.id }, store: true })
    await made({ input: 'Who am I?', conversation: { id: talk.id } })
    expect(said().at(-1)).toEqual([
      { role: 'user', content: 'I am Ada.' },
      { role: 'user', content: 'Hello' },
      { role: 'assistant', content: 'Hello Ada.' },
      { role: 'user', content: 'Who am I?' },
    ])
    const items = (await (
      await ask(`/conversations/${talk.id}/items?order=asc&limit=2`)
    ).json()) as { data: { id: string }[] }
    expect(items).toMatchObject({ object: 'list', has_more: true, data: [{}, {}] })
    const item = `/conversations/${talk.id}/items/${items.data[0]?.id}`
    expect(await (await ask(item)).json()).toEqual(items.data[0])
    expect((await ask(item, 'DELETE')).status).toBe(200)
    expect((await ask(item)).status).toBe(404)
    const updated = await post(`/${talk.id}`, { metadata: { c: 'd' } })
    expect(await updated.json()).toMatchObject({ metadata: { c: 'd' } })
    expect((await post(`/${talk.id}`, { metadata: {} }, 'two')).status).toBe(404)
    const added = await post(`/${talk.id}/items`, { items: [{ role: 'user', content: 'Bye' }] })
    expect(await added.json()).toMatchObject({ data: [{ role: 'user', status: 'completed' }] })
    expect(await (await ask(`/conversations/${talk.id}`, 'DELETE')).json()).toEqual({
      id: talk.id,
      object: 'conversation.deleted',
      deleted: true,
    })
    expect(await create({ input: 'x', conversation: talk.id }).then(refusal)).toMatchObject({
      status: 404,
    })
  })

  it.each([
    { type: 'reasoning', summary: [], encrypted_content: 'sy1.forged' },
    { type: 'compaction', encrypted_content: 'sy1.forged' },
    { role: 'user', content: [{ type: 'input_image', image_url: 'http://127.0.0.1/x' }] },
    { type: 'of_nobody' },
  ])('are named where an item of theirs is at fault: %j', async (item) => {
    const kept = await gateway.post('/v1/conversations', { items: [item] }, bearer())
    const { id: conversation } = (await kept.json()) as { id: string }
    const wanted = { status: 400, param: 'conversation' }
    expect(await create({ input: 'x', conversation }).then(refusal)).toMatchObject(wanted)
    const later = await create({ input: 'x', conversation, background: true })
    if (later.status !== 200) return expect(await refusal(later)).toMatchObject(wanted)
    const { error } = (await settled(((await later.json()) as { id: string }).id)) as {
      error: { message: string }
    }
    expect(error.message).toContain("'conversation'")
  })

  it('are no responses, and responses are no conversations', async () => {
    upstream.reply((response) => json(response, 200, completion('x')))
    const talk = (await (await gateway.post('/v1/conversations', {}, bearer())).json()) as {
      id: string
    }
    const { id } = await made({ input: 'a' })
    expect(await create({ input: 'b', previous_response_id: talk.id }).then(refusal)).toEqual({
      status: 404,
      code: 'previous_response_not_found',
      param: 'previous_response_id',
    })
    for (const conversation of [id, { id }]) {
      expect(await create({ input: 'b', conversation }).then(refusal)).toEqual({
        status: 404,
        code: 'not_found',
        param: 'conversation',
      })
    }
  })

  it.each([
    [{ items: 'x' }, 'items'],
    [{ items: Array.from({ length: 21 }, () => ({ role: 'user', content: 'x' })) }, 'items'],
    [{ items: [{ role: 'nobody', content: 'x' }] }, 'items[0].role'],
    [{ metadata: { a: 1 } }, 'metadata.a'],
    [{ items: [{ type: 'item_reference', id: 'msg_1' }] }, 'items[0]'],
    [{ items: [{ id: 'msg_1' }] }, 'items[0]'],
  ])('refuse %j', async (body, param) => {
    const response = await gateway.post('/v1/conversations', body, bearer())
    expect(await refusal(response)).toMatchObject({ status: 400, param })
  })
})

describe('an eviction', () => {
  it('loses nothing', async () => {
    upstream.reply((response) => json(response, 200, completion('kept')))
    const kept = await made({ input: 'x' })
    const shard = Number.parseInt(kept.id.slice(5, 7), 16)
    await gateway.evict('ResponseStore', JSON.stringify(['one', shard]))
    expect(await (await ask(`/responses/${kept.id}`)).json()).toEqual(kept)
    await made({ input: 'y', previous_response_id: kept.id })
    expect(said().at(-1)).toHaveLength(3)
  })
})

describe('a restart', () => {
  it('keeps what was complete, and fails what was not', async () => {
    upstream.reply((response) => json(response, 200, completion('kept')))
    const kept = await made({ input: 'x' })
    const held = heldStream()
    const running = await made({ input: 'x', background: true })
    await held.say('half')
    await reading(await ask(`/responses/${running.id}?stream=true`)).until('half')
    await gateway.stop()
    gateway = await start()
    expect(await (await ask(`/responses/${kept.id}`)).json()).toEqual(kept)
    const failed = (await (await ask(`/responses/${running.id}`)).json()) as Json
    expect(failed).toMatchObject({ status: 'failed', error: { code: 'server_error' } })
    expect(failed).toMatchObject({
      output: [{ status: 'incomplete', content: [{ text: 'half' }] }],
    })
    const events = eventsIn(await text(ask(`/responses/${running.id}?stream=true`)))
    expect(checkOrder(events)).toEqual([])
    upstream.reply((response) => json(response, 200, completion('on')))
    await made({ input: 'y', previous_response_id: kept.id })
    expect(said()[0]).toHaveLength(3)
  })
})

describe('what a request would be', () => {
  const post = (path: string, body: Json) =>
    gateway.post(`/v1/responses/${path}`, { model: 'm', ...body }, bearer())

  it('in tokens: an estimate for other people’s models, history included', async () => {
    upstream.reply((response) => json(response, 200, completion('word '.repeat(500))))
    const { id } = await made({ input: 'x' })
    const count = async (body: Json) => {
      const response = await post('input_tokens', body)
      expect(response.headers.get('warning')).toContain('estimate')
      const counted = (await response.json()) as { object: string; input_tokens: number }
      expect(counted.object).toBe('response.input_tokens')
      return counted.input_tokens
    }
    const short = await count({ input: 'x' })
    expect(await count({ input: 'x', previous_response_id: id })).toBeGreaterThan(short + 400)
    expect(await post('input_tokens', { model: 'nobody/has-this' }).then(refusal)).toMatchObject({
      status: 404,
    })
    expect(await post('input_tokens', { model: undefined }).then(refusal)).toMatchObject({
      param: 'model',
    })
  })

  it('made shorter by the model itself, and given back as input', async () => {
    upstream.reply((response) => json(response, 200, completion('I am Bob.')))
    const { id } = await made({ input: 'Who are you?' })
    upstream.reply((response) => json(response, 200, completion('They met Bob.')))
    const input = [
      { role: 'developer', content: 'Be kind.' },
      { role: 'user', content: 'And I am Ada.' },
    ]
    const response = await post('compact', { input, previous_response_id: id })
    const compacted = (await response.json()) as { output: Json[]; usage: Json }
    expect(compacted).toMatchObject({
      object: 'response.compaction',
      usage: { total_tokens: 5 },
      output: [{ role: 'user' }, { role: 'developer' }, { role: 'user' }, {}],
    })
    const asked = said()[0] as { role: string; content: string }[]
    expect(asked.slice(0, 4).map(({ content }) => content)).toEqual([
      'Who are you?',
      'I am Bob.',
      'Be kind.',
      'And I am Ada.',
    ])
    expect(asked).toHaveLength(5)
    await made({ input: [...compacted.output, { role: 'user', content: 'Go on.' }] })
    const next = said()[1] as { role: string; content: string }[]
    expect(next.map(({ content }) => content)).toEqual([
      'Who are you?',
      'Be kind.',
      'And I am Ada.',
      expect.stringContaining('They met Bob.'),
      'Go on.',
    ])
    expect(JSON.stringify(compacted.output)).not.toContain('They met')
    expect(await create({ input: compacted.output }, 'two').then(refusal)).toMatchObject({
      status: 400,
      param: 'input[3].encrypted_content',
    })
    expect(await post('compact', {}).then(refusal)).toMatchObject({ param: 'input' })
  })
})
