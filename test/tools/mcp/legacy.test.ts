// Servers of before 2025: one stream for all answers, and posts beside it.
import { afterEach, describe, expect, it } from 'vitest'
import { echo, faultOf, never, type OpenOptions, open } from './client.ts'
import { type LegacyOptions, startLegacyMcp } from './legacy-server.ts'

const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

async function start(options: LegacyOptions, client: OpenOptions = {}) {
  const server = await startLegacyMcp(options)
  const mcp = open(server, client)
  ends.push(async () => {
    await mcp.close()
    await server.close()
  })
  return { mcp, log: server.log }
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
    const drop: LegacyOptions['call'] = (stream, post) => {
      post.writeHead(202).end()
      stream.destroy()
    }
    const { mcp, log } = await start({ call: drop }, { pinned })
    expect(await faultOf(call(mcp))).toMatchObject({ code: -32000, outcome: 'unknown' })
    expect(callsOf(log)).toHaveLength(1)
    expect(log.filter((line) => line === 'GET /sse')).toHaveLength(1)
  })

  it('that refuses the post is a fault with its status', async () => {
    const refuse: LegacyOptions['call'] = (_, post) => post.writeHead(400).end('bad')
    const { mcp, log } = await start({ call: refuse }, { pinned })
    expect(await faultOf(call(mcp))).toMatchObject({
      kind: 'http_error',
      code: 400,
      outcome: 'answered',
    })
    expect(callsOf(log)).toHaveLength(1)
  })

  it('that never answers is given up', async () => {
    const hang: LegacyOptions['call'] = (_, post) => post.writeHead(202).end()
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
