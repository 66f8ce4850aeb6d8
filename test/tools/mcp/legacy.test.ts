// Servers of before 2025: one stream for all answers, and posts beside it.
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { event, type Rpc, result } from '../raw-mcp.ts'
import { echo, faultOf, never, type OpenOptions, open } from './client.ts'

const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

interface Options {
  /** What comes of a call; default: its result on the stream. */
  call?: (stream: ServerResponse, post: ServerResponse, message: Rpc) => void
  /** Where posts go. */
  endpoint?: string
}

/** The whole server: a stream at /sse, posts to /messages. */
async function start(
  { call, endpoint = '/messages?session=1' }: Options,
  client: OpenOptions = {},
) {
  const log: string[] = []
  let stream: ServerResponse | undefined
  const answers: Record<string, (message: Rpc) => unknown> = {
    initialize: () => ({
      protocolVersion: '2024-11-05',
      capabilities: { tools: {} },
      serverInfo: { name: 'old', version: '1' },
    }),
    'tools/list': () => ({ tools: [{ name: 'echo', inputSchema: { type: 'object' } }] }),
    'tools/call': () => ({ content: [{ type: 'text', text: 'done' }] }),
  }
  const http = createServer(async (request, response) => {
    const pieces: Buffer[] = []
    for await (const piece of request) pieces.push(piece)
    const { pathname } = new URL(request.url ?? '/', 'http://x')
    const message: Rpc =
      request.method === 'POST' ? JSON.parse(Buffer.concat(pieces).toString()) : {}
    log.push([request.method, pathname, message.method].filter(Boolean).join(' '))
    if (pathname === '/sse' && request.method === 'GET') {
      stream = response.writeHead(200, { 'content-type': 'text/event-stream' })
      stream.write(`event: endpoint\ndata: ${endpoint}\n\n`)
      return
    }
    if (pathname !== '/messages' || stream === undefined) return response.writeHead(404).end()
    if (message.method === 'tools/call' && call !== undefined) {
      return call(stream, response, message)
    }
    response.writeHead(202).end('Accepted')
    const answer = answers[message.method ?? '']
    if (answer !== undefined) stream.write(event(result(message, answer(message))))
  })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  const host = `127.0.0.1:${(http.address() as AddressInfo).port}`
  const mcp = open({ url: `http://${host}/sse`, host }, client)
  ends.push(async () => {
    await mcp.close()
    http.closeAllConnections()
    http.close()
  })
  return { mcp, log }
}

const call = (mcp: ReturnType<typeof open>) => mcp.call(echo, { text: 'a' }, never)
const callsOf = (log: string[]) => log.filter((line) => line.endsWith('tools/call'))

describe.each([false, true])('a server of before 2025, pinned %s', (pinned) => {
  it('is found, listed and called over one stream', async () => {
    const { mcp, log } = await start({}, { pinned })
    expect((await mcp.list(never)).map(({ name }) => name)).toEqual(['echo'])
    expect(await call(mcp)).toEqual({ output: 'done', isError: false })
    expect(log.filter((line) => line === 'GET /sse')).toHaveLength(1)
    expect(callsOf(log)).toHaveLength(1)
  })

  it('that drops its stream is not called again', async () => {
    const drop: Options['call'] = (stream, post) => {
      post.writeHead(202).end()
      stream.destroy()
    }
    const { mcp, log } = await start({ call: drop }, { pinned })
    expect(await faultOf(call(mcp))).toMatchObject({ code: -32000, outcome: 'unknown' })
    expect(callsOf(log)).toHaveLength(1)
    expect(log.filter((line) => line === 'GET /sse')).toHaveLength(1)
  })

  it('that refuses the post is a fault with its status', async () => {
    const refuse: Options['call'] = (_, post) => post.writeHead(400).end('bad')
    const { mcp, log } = await start({ call: refuse }, { pinned })
    expect(await faultOf(call(mcp))).toMatchObject({
      kind: 'http_error',
      code: 400,
      outcome: 'answered',
    })
    expect(callsOf(log)).toHaveLength(1)
  })

  it('that never answers is given up', async () => {
    const hang: Options['call'] = (_, post) => post.writeHead(202).end()
    const { mcp, log } = await start({ call: hang }, { pinned, limits: { callMs: 100 } })
    expect(await faultOf(call(mcp))).toMatchObject({ code: -32001, outcome: 'unknown' })
    expect(callsOf(log)).toHaveLength(1)
  })

  it('cannot send posts elsewhere', async () => {
    const { mcp, log } = await start({ endpoint: 'http://127.0.0.1:9/messages' }, { pinned })
    expect(await faultOf(mcp.list(never))).toMatchObject({ outcome: 'not_sent' })
    expect(log.some((line) => line.startsWith('POST /messages'))).toBe(false)
  })

  it('that never says where posts go is given up', async () => {
    const { mcp } = await start({ endpoint: '\n: ' }, { pinned, limits: { listMs: 300 } })
    expect(await faultOf(mcp.list(never))).toMatchObject({ outcome: 'not_sent' })
  })
})
