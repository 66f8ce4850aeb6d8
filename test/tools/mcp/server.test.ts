// The client's side of MCP against a real server, on each wire.
import { afterEach, describe, expect, it } from 'vitest'
import { mcpLimits } from '../../../src/tools/mcp/limits.ts'
import { type McpServerOptions, startMcpServer } from '../mcp-server.ts'
import { echo, faultOf, never, type OpenOptions, open } from './client.ts'

const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

async function start(options: McpServerOptions = {}, client: OpenOptions = {}) {
  const server = await startMcpServer(options)
  ends.push(() => server.close())
  const mcp = open(server, client)
  ends.push(() => mcp.close())
  return { server, mcp }
}

const tool = (name: string) => ({ ...echo, name })

describe.each([
  ['both', false],
  ['both', true],
  ['newest', false],
  ['sessions', false],
  ['sessions', true],
] as const)('wire %s, pinned %s', (wire, pinned) => {
  it('lists and calls over one connection', async () => {
    const { server, mcp } = await start({ wire }, { pinned })
    const tools = await mcp.list(never)
    expect(tools.map(({ name }) => name)).toContain('echo')
    expect(await mcp.call(tool('echo'), { text: 'hello' }, never)).toEqual({
      output: 'hello',
      isError: false,
    })
    await mcp.close()
    expect(server.calls()).toEqual(new Map([['echo {"text":"hello"}', 1]]))
    const legacy = ['initialize', 'notifications/initialized']
    expect(server.methods).toEqual([
      'server/discover',
      ...(wire === 'sessions' ? legacy : []),
      'tools/list',
      'tools/call',
    ])
    const others = server.requests.map(({ method }) => method).filter((each) => each !== 'POST')
    expect(others).toEqual(wire === 'sessions' ? ['DELETE'] : [])
  })

  it('runs calls beside each other, each once', async () => {
    const { server, mcp } = await start({ wire, stream: true, slowMs: 20 }, { pinned })
    const texts = Array.from({ length: 8 }, (_, index) => `${index}`)
    const results = await Promise.all(texts.map((text) => mcp.call(tool('slow'), { text }, never)))
    expect(results.map(({ output }) => output)).toEqual(texts.map((text) => `slowly: ${text}`))
    expect([...server.calls().values()]).toEqual(texts.map(() => 1))
    expect(server.methods.filter((method) => method === 'server/discover')).toHaveLength(1)
  })

  it('tells failures of a tool from those of a call', async () => {
    const { mcp } = await start({ wire }, { pinned })
    expect(await mcp.call(tool('failing'), {}, never)).toEqual({
      output: 'It did not work.',
      isError: true,
    })
    const fault = await faultOf(mcp.call(tool('throwing'), {}, never))
    expect(fault.toItemError()).toEqual({
      type: 'mcp_protocol_error',
      code: -32603,
      message: expect.stringContaining('throwing threw'),
    })
    expect(fault.outcome).toBe('answered')
  })

  it('cuts a long result and gives up one that is too long', async () => {
    const { mcp } = await start({ wire }, { pinned })
    const { output } = await mcp.call(tool('large'), { bytes: 5_000_000 }, never)
    expect(output.slice(0, 3)).toBe('xxx')
    expect(output).toHaveLength(
      mcpLimits.outputBytes +
        '\n[The result was cut here: 262144 of 5000000 bytes are shown.]'.length,
    )
    const fault = await faultOf(mcp.call(tool('large'), { bytes: 6_000_000 }, never))
    expect(fault).toMatchObject({ kind: 'mcp_protocol_error', code: -32010, outcome: 'unknown' })
    expect(await mcp.call(tool('echo'), { text: 'after' }, never)).toMatchObject({
      output: 'after',
    })
  })

  it('gives up a call that takes too long, and says that it may have run', async () => {
    const { server, mcp } = await start(
      { wire, slowMs: 60_000 },
      { pinned, limits: { callMs: 700 } },
    )
    const fault = await faultOf(mcp.call(tool('slow'), {}, never))
    expect(fault).toMatchObject({ code: -32001, outcome: 'unknown' })
    expect(fault.toText()).toContain('Whether the tool ran is unknown; it was not called again.')
    expect(server.count('slow')).toBe(1)
    expect(await mcp.call(tool('echo'), { text: 'after' }, never)).toMatchObject({
      output: 'after',
    })
  })

  it("sends the caller's headers to the server", async () => {
    const fields = { authorization: 'secret-token', headers: { 'X-Team': 'blue' } }
    const { server, mcp } = await start({ wire, token: 'secret-token' }, { pinned, fields })
    await mcp.list(never)
    for (const { headers } of server.requests) {
      expect(headers).toMatchObject({ authorization: 'Bearer secret-token', 'x-team': 'blue' })
      expect(Object.keys(headers).filter((name) => name.startsWith('x-switchyard'))).toEqual([])
    }
  })

  it('stops when its caller does', async () => {
    const { server, mcp } = await start({ wire, slowMs: 60_000 }, { pinned })
    await mcp.list(never)
    const controller = new AbortController()
    const call = mcp.call(tool('slow'), {}, controller.signal)
    while (server.count('slow') === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    const reason = new Error('gone')
    controller.abort(reason)
    await expect(call).rejects.toBe(reason)
    expect(server.count('slow')).toBe(1)
  })
})

describe('a list', () => {
  it('holds what allowed_tools leaves', async () => {
    const { mcp } = await start({}, { fields: { allowed_tools: ['add', 'nothing'] } })
    expect((await mcp.list(never)).map(({ name }) => name)).toEqual(['add'])
  })

  it('has each tool as an item tells of it', async () => {
    const { mcp } = await start()
    expect((await mcp.list(never))[0]).toEqual({
      name: 'echo',
      description: 'Gives back the text.',
      input_schema: {
        type: 'object',
        properties: { text: { type: 'string' } },
        required: ['text'],
      },
      annotations: { readOnlyHint: true },
    })
  })

  it('is read again when it is asked for again', async () => {
    const { mcp } = await start({
      changed: (tools) => tools.map((each) => ({ ...each, description: 'Now it is another one.' })),
    })
    expect((await mcp.list(never))[0]?.description).toBe('Gives back the text.')
    expect((await mcp.list(never))[0]?.description).toBe('Now it is another one.')
  })
})
