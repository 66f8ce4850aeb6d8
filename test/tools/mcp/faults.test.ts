// Servers that go wrong: each ends in a fault that says what happened, in bounded time, and no call is sent twice.
import type { CallToolResult } from '@modelcontextprotocol/server'
import { afterEach, describe, expect, it } from 'vitest'
import { startMcpServer } from '../mcp-server.ts'
import { type Answer, event, type RawMcpServer, result, sendJson, startRawMcp } from '../raw-mcp.ts'
import { asEvents, callFaults, content, hang, html, status, wrongId } from './call-faults.ts'
import { echo, faultOf, never, type OpenOptions, open } from './client.ts'

const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

async function raw(answers: Record<string, Answer> = {}): Promise<RawMcpServer> {
  const server = await startRawMcp(answers)
  ends.push(() => server.close())
  return server
}

function connect(server: { url: string; host: string }, options: OpenOptions = {}) {
  const mcp = open(server, options)
  ends.push(() => mcp.close())
  return mcp
}

async function start(answers: Record<string, Answer>, options: OpenOptions = {}) {
  const server = await raw(answers)
  return { server, mcp: connect(server, options) }
}

const once = new Map([['{"text":"a"}', 1]])
const call = (mcp: ReturnType<typeof open>) => mcp.call(echo, { text: 'a' }, never)
describe.each([false, true])('a call, pinned %s', (pinned) => {
  it.each(callFaults)('that %s is not sent again', async (_, answer, expected) => {
    const limits = { callMs: answer === hang ? 300 : 10_000 }
    const { server, mcp } = await start({ 'tools/call': answer }, { pinned, limits })
    await mcp.list(never)
    expect(await faultOf(call(mcp))).toMatchObject(expected)
    await mcp.close()
    expect(server.calls).toEqual(once)
    expect(server.log.filter((line) => line.endsWith('initialize'))).toHaveLength(1)
  })

  it('that is answered twice has its first answer', async () => {
    const said = (text: string) => ({ content: [{ type: 'text', text }] })
    let count = 0
    const twice: Answer = (message, response) => {
      count++
      const all = [`first ${count}`, `second ${count}`].map(said)
      asEvents(response).end(all.map((each) => event(result(message, each))).join(''))
    }
    const { server, mcp } = await start({ 'tools/call': twice }, { pinned })
    await mcp.list(never)
    expect(await call(mcp)).toEqual({ output: 'first 1', isError: false })
    const next = await mcp.call(echo, { text: 'b' }, never)
    expect(next).toEqual({ output: 'first 2', isError: false })
    expect([...server.calls.values()]).toEqual([1, 1])
  })

  it('whose stream is lost is answered by the rest of it', async () => {
    const rest: Answer = (_, response, request) => {
      if (request.headers['last-event-id'] !== '1') return response.writeHead(405).end()
      return asEvents(response).end(event({ jsonrpc: '2.0', id: 2, result: content }, '2'))
    }
    const drop: Answer = (_, response) => asEvents(response).end('id: 1\nretry: 10\ndata: \n\n')
    const { server, mcp } = await start({ 'tools/call': drop, GET: rest }, { pinned })
    await mcp.list(never)
    expect(await call(mcp)).toEqual({ output: 'done', isError: false })
    expect(server.calls).toEqual(once)
  })

  it('whose rest never comes is given up, without haste', async () => {
    const drop: Answer = (_, response) => asEvents(response).end('id: 1\nretry: 0\ndata: \n\n')
    const limits = { callMs: 600 }
    const { server, mcp } = await start({ 'tools/call': drop, GET: drop }, { pinned, limits })
    await mcp.list(never)
    expect(await faultOf(call(mcp))).toMatchObject({ code: -32001, outcome: 'unknown' })
    expect(server.log.filter((line) => line.startsWith('GET')).length).toBeLessThan(4)
    expect(server.calls).toEqual(once)
  })

  it('is answered with pings alone, and given up', async () => {
    const pings: Answer = (_, response) => {
      asEvents(response)
      const ping = setInterval(() => {
        response.write(': ping\n\n')
        response.write(event({ jsonrpc: '2.0', id: 'p', method: 'ping' }))
      }, 1)
      response.on('close', () => clearInterval(ping))
    }
    const answers = { 'tools/call': pings, POST: status(202) }
    const { server, mcp } = await start(answers, { pinned, limits: { callMs: 200 } })
    expect(await faultOf(call(mcp))).toMatchObject({ code: -32001, outcome: 'unknown' })
    expect(server.calls).toEqual(once)
  })

  it('whose server does not stop telling of its progress is given up, and hung up on', async () => {
    let closed: Promise<void> | undefined
    const chatter: Answer = (message, response) => {
      closed = new Promise((resolve) => response.on('close', resolve))
      asEvents(response)
      const progressToken = message.id
      let progress = 0
      const params = () => ({ progressToken, progress: ++progress })
      const notice = () =>
        event({ jsonrpc: '2.0', method: 'notifications/progress', params: params() })
      const more = () => {
        while (response.writable && response.write(notice()));
      }
      response.on('drain', more)
      more()
    }
    const { server, mcp } = await start({ 'tools/call': chatter }, { pinned })
    const fault = await faultOf(call(mcp))
    expect(fault).toMatchObject({ code: -32010, outcome: 'unknown' })
    expect(fault.message).toContain('5000 messages')
    await closed
    expect(server.calls).toEqual(once)
  })

  it('that is answered without an end is cut', async () => {
    const flood: Answer = (_, response) => {
      asEvents(response)
      const piece = `: ${'x'.repeat(65_536)}\n\n`
      const more = () => {
        while (response.writable && response.write(piece));
      }
      response.on('drain', more)
      more()
    }
    const { server, mcp } = await start({ 'tools/call': flood }, { pinned })
    expect(await faultOf(call(mcp))).toMatchObject({ code: -32010, outcome: 'unknown' })
    expect(server.calls).toEqual(once)
  })
})

describe('the newest wire', () => {
  it('is not called again where headers are said not to fit', async () => {
    const server = await startMcpServer({
      wire: 'newest',
      call: () => {
        throw Object.assign(new Error('headers do not fit'), { code: -32020 })
      },
    })
    ends.push(() => server.close())
    const mcp = connect(server)
    const fault = await faultOf(call(mcp))
    expect(fault).toMatchObject({ code: -32020, outcome: 'answered' })
    expect(server.count()).toBe(1)
    expect(server.methods).toEqual(['server/discover', 'tools/call'])
  })

  it('is not called again where input is asked for', async () => {
    const asks = { resultType: 'input_required', requestState: 'as before' }
    const server = await startMcpServer({
      wire: 'newest',
      call: () => asks as unknown as CallToolResult,
    })
    ends.push(() => server.close())
    expect(await faultOf(call(connect(server)))).toMatchObject({
      kind: 'mcp_protocol_error',
      message: expect.stringContaining('asks for input'),
      outcome: 'answered',
    })
    expect(server.count()).toBe(1)
  })

  it('is not called again where a scope is asked for', async () => {
    const challenge = 'Bearer error="insufficient_scope", scope="all"'
    const { server, mcp } = await start({
      'tools/call': status(403, { 'www-authenticate': challenge }),
    })
    expect(await faultOf(call(mcp))).toMatchObject({ kind: 'http_error', code: 403 })
    expect(server.calls).toEqual(once)
  })
})

describe('connecting', () => {
  it.each<[string, Record<string, Answer>, object]>([
    ['HTML', { 'server/discover': html, initialize: html }, { code: -32603 }],
    ['a wrong id', { initialize: wrongId }, { code: -32603 }],
    ['a wrong id in the list', { 'tools/list': wrongId }, { code: -32603 }],
    ['nothing', { initialize: hang }, { code: -32001 }],
    ['nothing at first', { 'server/discover': hang }, { code: -32001 }],
    ['500', { 'server/discover': status(500), initialize: status(503) }, { code: 503 }],
    ['404', { 'server/discover': status(404), initialize: status(404) }, { code: 404 }],
    [
      'an unknown version',
      {
        initialize: (message, response) =>
          sendJson(
            response,
            result(message, {
              protocolVersion: '1999-01-01',
              capabilities: {},
              serverInfo: { name: 'x', version: '1' },
            }),
          ),
      },
      { kind: 'mcp_protocol_error' },
    ],
    [
      'a list of no known form',
      { 'tools/list': (m, r) => sendJson(r, result(m, { tools: 1 })) },
      {},
    ],
  ])('to a server that answers with %s is a fault', async (_, answers, expected) => {
    const { server, mcp } = await start(answers, { limits: { listMs: 1000 } })
    const fault = await faultOf(mcp.list(never))
    expect(fault).toMatchObject({ outcome: 'not_sent', ...expected })
    expect(fault.toText()).not.toContain('unknown')
    expect(server.calls.size).toBe(0)
  })

  it('that failed is not tried again, and no call is sent', async () => {
    const { server, mcp } = await start({ initialize: status(503) })
    expect(await faultOf(mcp.list(never))).toMatchObject({ code: 503 })
    const before = server.log.length
    expect(await faultOf(call(mcp))).toMatchObject({ code: 503, outcome: 'not_sent' })
    expect(server.log).toHaveLength(before)
  })

  it('goes on where a server falls over the first question of the newest wire', async () => {
    const { server, mcp } = await start({ 'server/discover': status(500) })
    expect((await mcp.list(never)).map(({ name }) => name)).toEqual(['echo'])
    expect(server.log.filter((line) => line.endsWith('initialize'))).toHaveLength(1)
  })

  it('to nobody is a fault', async () => {
    const server = await startRawMcp()
    await server.close()
    for (const pinned of [false, true]) {
      const fault = await faultOf(connect(server, { pinned }).list(never))
      expect(fault).toMatchObject({ code: -32000, message: 'The server could not be reached.' })
    }
  })

  it('is refused by a server without following where it says to log in', async () => {
    const trap = await raw()
    const challenge = `Bearer resource_metadata="${trap.url}/metadata", realm="${trap.url}"`
    const refuse = status(401, { 'www-authenticate': challenge }, '{"error":"invalid_token"}')
    const { server, mcp } = await start(
      { 'server/discover': refuse, initialize: refuse },
      { hosts: [trap.host] },
    )
    const fault = await faultOf(mcp.list(never))
    expect(fault).toMatchObject({ kind: 'http_error', code: 401 })
    expect(fault.message).toContain('authorization')
    expect(trap.log).toEqual([])
    expect(server.log.every((line) => line.startsWith('POST /mcp'))).toBe(true)
  })

  it('hides what it was sent with in what a server says', async () => {
    const secret = 'very-secret-token'
    const tell: Answer = (message, response) =>
      sendJson(response, {
        jsonrpc: '2.0',
        id: message.id,
        error: { code: -32000, message: `bad token ${secret} and Bearer ${secret}` },
      })
    const { mcp } = await start(
      { initialize: tell, 'server/discover': tell },
      { fields: { authorization: secret } },
    )
    const fault = await faultOf(mcp.list(never))
    expect(fault.message).toContain('[redacted]')
    expect(JSON.stringify([fault.message, fault.toItemError()])).not.toContain(secret)
  })
})

describe('a redirect', () => {
  const all = (answer: Answer) =>
    Object.fromEntries(
      ['server/discover', 'initialize', 'tools/list'].map((method) => [method, answer]),
    )
  const to = (location: string, code = 307) => all(status(code, { location }))

  it.each([false, true])('is followed, once a connection, pinned %s', async (pinned) => {
    const target = await raw()
    const { server, mcp } = await start(to(target.url), { hosts: [target.host], pinned })
    await mcp.list(never)
    expect(await call(mcp)).toMatchObject({ isError: false })
    expect(server.log).toEqual(['POST /mcp server/discover'])
    expect(target.calls).toEqual(once)
  })

  it('takes no credentials to another origin', async () => {
    const target = await raw()
    const fields = { authorization: 'secret-token', headers: { 'x-api-key': 'key' } }
    const { server, mcp } = await start(to(target.url), { hosts: [target.host], fields })
    await mcp.list(never)
    expect(server.requests[0]?.headers).toMatchObject({ authorization: 'Bearer secret-token' })
    for (const { headers } of target.requests) {
      expect(headers.authorization).toBeUndefined()
      expect(headers['x-api-key']).toBeUndefined()
    }
  })

  it.each([false, true])(
    'to an address that is not listed is refused, pinned %s',
    async (pinned) => {
      const target = await raw()
      const { mcp } = await start(to(target.url), { pinned })
      const fault = await faultOf(mcp.list(never))
      expect(fault).toMatchObject({ kind: 'http_error', code: 403 })
      expect(fault.message).toContain('refused')
      expect(target.log).toEqual([])
    },
  )

  it.each<[string, string, number]>([
    ['to itself without end', '/mcp', 310],
    ['to a file', 'file:///etc/passwd', 403],
    ['to data', 'data:application/json,{}', 403],
    ['with a user name', 'http://me:pw@127.0.0.1/mcp', 403],
    ['to no URL', 'http://[', 307],
  ])('%s is a fault', async (_, location, code) => {
    const { mcp } = await start(to(location))
    expect(await faultOf(mcp.list(never))).toMatchObject({ kind: 'http_error', code })
  })

  it('that turns a post into a question is not followed', async () => {
    const { mcp } = await start(to('/mcp', 303))
    expect(await faultOf(mcp.list(never))).toMatchObject({ kind: 'http_error', code: 303 })
  })
})

describe('a list', () => {
  const listing =
    (tools: unknown): Answer =>
    (message, response) =>
      sendJson(response, result(message, { tools }))
  const tool = (name: string, schema: object = { type: 'object' }) => ({
    name,
    inputSchema: schema,
  })

  it.each<[string, Answer, string]>([
    [
      'with too many tools',
      listing(Array.from({ length: 513 }, (_, at) => tool(`t${at}`))),
      'more than 512 tools',
    ],
    [
      'with a schema that is too large',
      listing([tool('t', { type: 'object', description: 'x'.repeat(65_536) })]),
      'larger than 65536 bytes',
    ],
    [
      'that is too large',
      listing(
        Array.from({ length: 20 }, (_, at) =>
          tool(`t${at}`, { type: 'object', description: 'x'.repeat(60_000) }),
        ),
      ),
      'more than 1048576 bytes',
    ],
    [
      'with a schema that is none',
      listing([tool('t'), tool('u', { type: 'string' })]),
      'answer to tools/list is not as the protocol has it: tools[1].inputSchema.type: Invalid input: expected',
    ],
    ['with an odd name', listing([tool('a\nb')]), 'control characters'],
    ['with a long name', listing([tool('a'.repeat(129))]), 'too long'],
    [
      'without an end',
      (message, response) =>
        sendJson(response, result(message, { tools: [], nextCursor: `${message.id}` })),
      'more than 64 pages',
    ],
  ])('%s is a fault', async (_, answer, text) => {
    const { mcp } = await start({ 'tools/list': answer })
    const fault = await faultOf(mcp.list(never))
    expect(fault.kind).toBe('mcp_protocol_error')
    expect(fault.message).toContain(text)
  })

  it('is read page by page; a name is the first tool that has it', async () => {
    const pages: Answer = (message, response) => {
      const page = Number(message.params?.cursor ?? 0)
      const tools = [tool(`t${page}`), { ...tool('same'), description: `${page}` }]
      sendJson(response, result(message, { tools, ...(page < 3 && { nextCursor: `${page + 1}` }) }))
    }
    const { mcp } = await start({ 'tools/list': pages })
    const tools = await mcp.list(never)
    expect(tools.map(({ name }) => name)).toEqual(['t0', 'same', 't1', 't2', 't3'])
    expect(tools[1]?.description).toBe('0')
  })
})
