// Remote MCP on the gateway as it is deployed: stored and stateless, background, resumed, another tenant, a lost client. The
// servers of tools are real ones, the model is scripted.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { checkOrder } from '../oracle/order.ts'
import { chunk as chunkOf, eventsOf } from '../src/support.ts'
import { type Json, kinds, turn, completion as whole } from '../src/tools/script.ts'
import { startMcpServer, type TestMcpServer } from '../tools/mcp-server.ts'
import { startGateway, type TestGateway } from './harness.ts'
import { json, sse, startUpstream, type TestUpstream } from './upstream.ts'

const keys = { one: 'sy_key_of_tenant_one', two: 'sy_key_of_tenant_two' }
let upstream: TestUpstream
let server: TestMcpServer
let gateway: TestGateway

const persist = mkdtempSync(join(tmpdir(), 'switchyard-mcp-'))
const start = () =>
  startGateway({
    config: {
      providers: { acme: { baseUrl: `${upstream.origin}/v1`, models: { m: 'm' } } },
      egress: { mcpHosts: [server.host] },
    },
    bindings: { SWITCHYARD_KEYS: JSON.stringify(keys) },
    persist,
  })

beforeAll(async () => {
  upstream = await startUpstream()
  server = await startMcpServer({ slowMs: 150 })
  gateway = await start()
})

afterAll(async () => {
  await gateway.stop()
  await server.close()
  await upstream.stop()
  rmSync(persist, { recursive: true })
})

beforeEach(() => {
  server.calls().clear()
})

/** The model's turns from now on, streamed where that is asked for. */
function script(...turns: (readonly object[])[]): void {
  let at = 0
  upstream.reply((response, { body }) => {
    const chunks = turns[at++] ?? turn('No more turns.')
    if (body.stream !== true) return json(response, 200, whole(chunks))
    const data = chunks.map((each) => `data: ${JSON.stringify(each)}\n\n`)
    return sse(response, ...data, 'data: [DONE]\n\n')
  })
}

const tool = (more: Json = {}): Json => ({
  type: 'mcp',
  server_label: 'docs',
  server_url: server.url,
  require_approval: 'never',
  ...more,
})
const echo = (text: string) => turn([{ name: 'docs__echo', args: { text } }], 'let me ask')
const bearer = (tenant: keyof typeof keys = 'one') => ({ authorization: `Bearer ${keys[tenant]}` })
const create = (body: Json, tenant?: keyof typeof keys) =>
  gateway.post(
    '/v1/responses',
    { model: 'm', input: 'go', tools: [tool()], ...body },
    bearer(tenant),
  )
const made = async (body: Json, tenant?: keyof typeof keys) =>
  (await (await create(body, tenant)).json()) as Json
const get = async (path: string) =>
  (await (await gateway.ask(`/v1${path}`, { headers: bearer() })).json()) as Json
const item = (response: Json, type: string) =>
  (response.output as Json[]).find((each) => each.type === type) ?? {}

describe('a tool of a remote server', () => {
  it('is called once, streamed and not, with the OpenAI SDK', async () => {
    const client = gateway.openai(keys.one)
    const request = { model: 'm', input: 'go', tools: [tool() as never] }
    script(echo('hi'), turn('It said hi.'))
    const answer = await client.responses.create(request)
    expect(answer.output_text).toBe('It said hi.')
    script(echo('ho'), turn('It said ho.'))
    const types: string[] = []
    for await (const event of await client.responses.create({ ...request, stream: true })) {
      types.push(event.type)
    }
    expect(types).toContain('response.mcp_call.completed')
    expect([...server.calls()]).toEqual([
      ['echo {"text":"hi"}', 1],
      ['echo {"text":"ho"}', 1],
    ])
  })

  it('is in the record, and not run again by whoever reads it', async () => {
    script(echo('hi'), turn('It said hi.'))
    const response = await create({ stream: true })
    const events = eventsOf(await response.text())
    expect(checkOrder(events)).toEqual([])
    const id = (events.at(0)?.response as Json | undefined)?.id
    const stored = await get(`/responses/${id}`)
    expect(kinds(stored)).toEqual(['mcp_list_tools', 'reasoning', 'mcp_call', 'message'])
    const replay = await gateway.ask(`/v1/responses/${id}?stream=true&starting_after=3`, {
      headers: bearer(),
    })
    expect(eventsOf(await replay.text())).toEqual(events.slice(4))
    expect(server.count()).toBe(1)
  })

  it('is not listed again in the next turn of a chain', async () => {
    script(echo('hi'), turn('It said hi.'))
    const first = await made({})
    const lists = () => server.methods.filter((method) => method === 'tools/list').length
    const before = lists()
    script(turn('Nothing more.'))
    const second = await made({ previous_response_id: first.id, input: 'more' })
    expect(kinds(second)).toEqual(['message'])
    expect(lists()).toBe(before)
    const told = upstream.requests[0]?.body.messages as Json[]
    expect(told.map(({ role }) => role)).toEqual(['user', 'assistant', 'tool', 'assistant', 'user'])
  })

  it('runs in the background while nobody waits', async () => {
    script(turn([{ name: 'docs__slow', args: { text: 'hi' } }]), turn('It said hi.'))
    const queued = await made({ background: true })
    expect(queued.status).toBe('queued')
    let response = queued
    while (response.status === 'queued' || response.status === 'in_progress') {
      await new Promise((resolve) => setTimeout(resolve, 20))
      response = await get(`/responses/${queued.id}`)
    }
    expect(kinds(response)).toEqual(['mcp_list_tools', 'mcp_call', 'message'])
    expect(server.count()).toBe(1)
  })
})

describe('a burst', () => {
  it('of calls and of text reaches the client in order', async () => {
    const calls = Array.from({ length: 200 }, (_, at) => ({ name: 'docs__none', args: { at } }))
    const words = Array.from({ length: 1500 }, (_, at) => ` word${at}`)
    const head = words.map((content) => chunkOf({ content }))
    script(turn(calls), [...head, ...turn('.')])
    const response = await create({ stream: true })
    const events = eventsOf(await response.text())
    expect(checkOrder(events)).toEqual([])
    const final = events.at(-1)?.response as Json
    expect([final.status, final.error]).toEqual(['completed', null])
    expect(kinds(final)).toHaveLength(202)
    const deltas = events.filter(({ type }) => type === 'response.output_text.delta')
    expect(deltas.map(({ delta }) => delta).join('')).toBe(`${words.join('')}.`)
  })
})

describe('an approval', () => {
  const asking = { tools: [] as Json[] }
  beforeEach(() => {
    asking.tools = [tool({ require_approval: 'always' })]
  })
  const approval = (response: Json, approve = true) => ({
    type: 'mcp_approval_response',
    approval_request_id: item(response, 'mcp_approval_request').id,
    approve,
  })

  it('lets a call of a stored response run, once', async () => {
    script(echo('hi'), turn('It said hi.'), turn('Again.'))
    const first = await made(asking)
    expect(kinds(first).at(-1)).toBe('mcp_approval_request')
    const next = { ...asking, previous_response_id: first.id, input: [approval(first)] }
    const second = await made(next)
    expect(kinds(second)).toEqual(['mcp_call', 'message'])
    const again = await made(next)
    expect(item(again, 'mcp_call').status).toBe('failed')
    expect(server.count()).toBe(1)
  })

  it('holds without anything stored, sent twice at the same time', async () => {
    script(echo('hi'), turn('One.'), turn('Two.'))
    const stateless = { ...asking, store: false }
    const first = await made(stateless)
    const input = [...(first.output as Json[]), approval(first)]
    const both = await Promise.all([1, 2].map(() => made({ ...stateless, input })))
    const statuses = both.map((each) => item(each, 'mcp_call').status)
    expect(statuses.sort()).toEqual(['completed', 'failed'])
    expect(server.count()).toBe(1)
  })

  it('of another tenant does not count', async () => {
    script(echo('hi'))
    const first = await made({ ...asking, store: false })
    const input = [...(first.output as Json[]), approval(first)]
    const refused = await create({ ...asking, store: false, input }, 'two')
    expect(refused.status).toBe(400)
    expect(await refused.json()).toMatchObject({
      error: { param: expect.stringMatching(/^input\[\d\]\.approval_request_id$/) },
    })
    expect(server.count()).toBe(0)
  })
})

describe('a server that is not listed', () => {
  it('is refused, with the field', async () => {
    script()
    for (const server_url of ['http://127.0.0.1:9/', 'https://example.com/mcp', 'file:///etc']) {
      const refused = await create({ tools: [tool({ server_url })] })
      expect(refused.status).toBe(400)
      expect(await refused.json()).toMatchObject({ error: { param: 'tools[0].server_url' } })
    }
    expect(upstream.requests).toHaveLength(0)
  })

  it('is refused at once where the response would be made in the background', async () => {
    const refused = await create({
      tools: [tool({ server_url: 'https://example.com/mcp' })],
      background: true,
    })
    expect(refused.status).toBe(400)
    expect(await refused.json()).toMatchObject({ error: { param: 'tools[0].server_url' } })
  })
})

describe('a response that is cancelled', () => {
  it('makes none of the calls that stand in line, and no other turn', async () => {
    const slow = (text: string) => ({ name: 'docs__slow', args: { text } })
    script(turn(Array.from({ length: 12 }, (_, at) => slow(String(at)))), turn('never'))
    const before = upstream.requests.length
    const queued = await made({ background: true })
    while (server.count() === 0) await new Promise((resolve) => setTimeout(resolve, 10))
    await gateway.post(`/v1/responses/${queued.id}/cancel`, {}, bearer())
    await new Promise((resolve) => setTimeout(resolve, 400))
    expect(server.count()).toBeLessThanOrEqual(8)
    expect(upstream.requests.length - before).toBeLessThanOrEqual(1)
    expect((await get(`/responses/${queued.id}`)).status).toBe('cancelled')
  })
})

describe('credentials', () => {
  it('reach their server and stand in no answer and no record', async () => {
    script(echo('hi'), turn('Done.'))
    const secret = { authorization: 'hush-hush-token', headers: { 'x-team': 'blue-team' } }
    const response = await made({ tools: [tool(secret)] })
    const told = server.requests.at(-1)?.headers
    expect(told).toMatchObject({ authorization: 'Bearer hush-hush-token', 'x-team': 'blue-team' })
    const stored = await get(`/responses/${response.id}`)
    const everything = JSON.stringify([response, stored, upstream.requests.map(({ body }) => body)])
    expect(everything).not.toMatch(/hush-hush|blue-team/)
  })
})

/** Reads a body until its connection is lost; resolves with the response's id, once that has come. */
function idIn(response: Response): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  return new Promise((resolve, reject) => {
    const read = async () => {
      for await (const bytes of response.body ?? []) {
        text += decoder.decode(bytes, { stream: true })
        const [, id] = /"id":"(resp_\w+)"/.exec(text) ?? []
        if (id !== undefined) resolve(id)
      }
    }
    // Also where its gateway is gone; once the id has come, that is as expected.
    read()
      .finally(() => reject(new Error(`no id in ${text}`)))
      .catch(() => undefined)
  })
}

describe('a gateway that is killed while calls are made', () => {
  it('has them all in the record, and makes none of them again', async () => {
    const slow = (text: string) => ({ name: 'docs__slow', args: { text } })
    const texts = ['a', 'b', 'c']
    for (const more of [{ background: true }, { stream: true }]) {
      server.calls().clear()
      script(turn(texts.map(slow)), turn('never'))
      const id = await idIn(await create(more))
      while (server.count() < texts.length) await new Promise((resolve) => setTimeout(resolve, 5))
      await gateway.stop()
      gateway = await start()
      const record = await get(`/responses/${id}`)
      expect(['failed', 'cancelled']).toContain(record.status)
      const calls = (record.output as Json[]).filter(({ type }) => type === 'mcp_call')
      expect(calls.map((call) => JSON.parse(String(call.arguments)).text)).toEqual(texts)
      for (const call of calls) {
        expect(call.status).toBe('failed')
        expect(call.error).toMatchObject({ message: expect.stringContaining('may have run') })
      }
      const replay = await gateway.ask(`/v1/responses/${id}?stream=true`, { headers: bearer() })
      expect(checkOrder(eventsOf(await replay.text()))).toEqual([])
      script(turn('They may have run.'))
      const next = await made({ input: 'and?', previous_response_id: id })
      expect(next.status).toBe('completed')
      const told = JSON.stringify(upstream.requests.at(-1)?.body.messages)
      expect(told.split('may have run')).toHaveLength(texts.length + 1)
      expect(server.count()).toBe(texts.length)
    }
  })
})
