// The MCP server over a real host and a real client, in one process.
import { Client, InMemoryTransport } from '@modelcontextprotocol/client'
import { describe, expect, it } from 'vitest'
import { createToolHost, type ToolHost } from '../../../native-node/tools/host.ts'
import { mcpServers } from '../../../native-node/tools/mcp-server.ts'
import { deferred } from '../../contract/channel.ts'
import { FunctionTool, memoryTool } from './function-tool.ts'

async function connected(make: ReturnType<typeof mcpServers>): Promise<Client> {
  const [ours, theirs] = InMemoryTransport.createLinkedPair()
  const client = new Client({ name: 'test', version: '1' })
  await make().connect(theirs)
  await client.connect(ours)
  return client
}

async function withHost(host: ToolHost, use: (client: Client) => Promise<void>): Promise<void> {
  const client = await connected(mcpServers(host))
  await use(client)
  await client.close()
  await host.close()
}

describe('tools as an MCP server', () => {
  it('keep one session a tool, whoever connects', async () => {
    const python = memoryTool()
    const web = memoryTool({ name: 'web_search' })
    const host = createToolHost({ tools: [python, web] })
    const make = mcpServers(host)
    const [one, two] = [await connected(make), await connected(make)]
    await one.callTool({ name: 'python', arguments: { code: 'x = kept' } })
    const { content } = await two.callTool({ name: 'python', arguments: { code: 'x' } })
    expect(content).toEqual([{ type: 'text', text: 'kept' }])
    await two.callTool({ name: 'find', arguments: { code: 'y = page', pattern: 'p' } })
    expect(web.calls).toMatchObject([
      { tool: 'web_search', action: 'find', arguments: { code: 'y = page', pattern: 'p' } },
    ])
    expect(new Set(python.calls.map(({ session }) => session)).size).toBe(1)
    await one.close()
    await two.close()
    await host.close()
  })

  it('in order, also when a client sends several at once', async () => {
    const host = createToolHost({ tools: [memoryTool()] })
    await withHost(host, async (client) => {
      const codes = ['x = 1', 'x', 'x = 2', 'x']
      const results = await Promise.all(
        codes.map((code) => client.callTool({ name: 'python', arguments: { code } })),
      )
      expect(results.map(({ content }) => content[0])).toEqual(
        ['1', '1', '2', '2'].map((text) => ({ type: 'text', text })),
      )
    })
  })

  it('give pictures and other files beside the text', async () => {
    const files = [
      { path: 'plot.png', data: 'AAAA', bytes: 3, mediaType: 'image/png' },
      { path: 'a b/c.csv', data: 'YSxi', bytes: 3, mediaType: 'text/csv' },
    ]
    const tool = new FunctionTool({ call: async () => ({ text: 'drawn', isError: false, files }) })
    await withHost(createToolHost({ tools: [tool] }), async (client) => {
      const { content, isError } = await client.callTool({
        name: 'python',
        arguments: { code: '' },
      })
      expect(isError).toBeUndefined()
      expect(content).toEqual([
        { type: 'text', text: 'drawn' },
        { type: 'image', data: 'AAAA', mimeType: 'image/png' },
        {
          type: 'resource',
          resource: { uri: 'file:///mnt/data/a%20b/c.csv', mimeType: 'text/csv', blob: 'YSxi' },
        },
      ])
    })
  })

  it('stop when the client calls the request off, and the session goes on', async () => {
    const started = deferred()
    const stopped = deferred()
    const tool = new FunctionTool({
      call: ({ arguments: { code } }, signal) =>
        new Promise((resolve) => {
          if (code !== 'loop') return resolve({ text: 'fine', isError: false })
          started.resolve()
          signal.addEventListener('abort', () => {
            stopped.resolve()
            resolve({ text: 'late', isError: true })
          })
        }),
    })
    await withHost(createToolHost({ tools: [tool] }), async (client) => {
      const run = (code: string, signal?: AbortSignal) =>
        client.callTool({ name: 'python', arguments: { code } }, signal ? { signal } : undefined)
      await run('x')
      const caller = new AbortController()
      const called = run('loop', caller.signal).catch(() => 'called off')
      await started.promise
      caller.abort()
      expect(await called).toBe('called off')
      await stopped.promise
      await run('y')
      expect(new Set(tool.calls.map(({ session }) => session)).size).toBe(1)
    })
  })
})
