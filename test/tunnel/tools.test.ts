// Calls of hosted tools, from the Worker through the real hub and tunnel to a real host on a node.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createNodeApi } from '../../native-node/server/local-api.ts'
import { noBackend } from '../../native-node/server/no-backend.ts'
import { createToolHost, type ToolHost } from '../../native-node/tools/host.ts'
import type { NodeTool } from '../../native-node/tools/tool.ts'
import type { HostedCall, HostedResult } from '../../src/tools/hosted.ts'
import { deferred } from '../contract/channel.ts'
import { FunctionTool, memoryTool } from '../native-node/tools/function-tool.ts'
import { type Call, Hub } from './hub.ts'

let hub: Hub
let leave: (() => Promise<void>)[] = []

beforeAll(async () => {
  hub = await Hub.start('ResettableHub')
})
afterAll(() => hub.stop())
afterEach(async () => {
  for (const each of leave) await each()
  leave = []
  await hub.until((nodes) => nodes.length === 0)
})

interface Joined {
  host: ToolHost
  stop(): Promise<void>
}

/** A node with these tools and no model. */
async function join(name: string, tools: NodeTool[]): Promise<Joined> {
  const host = createToolHost({ tools, parallelCalls: 1, waitingCalls: 0 })
  const api = createNodeApi({ backend: noBackend(), tools: host })
  const client = await hub.join(api.handle, {
    name,
    tools: [...host.tools, 'a_tool_of_tomorrow'],
    slots: 1,
  })
  const joined = {
    host,
    async stop() {
      client.stop()
      await host.close()
    },
  }
  leave.push(joined.stop)
  return joined
}

const run = (code: string, rest: Partial<HostedCall> = {}) => ({
  tool: 'code_interpreter',
  action: 'run',
  arguments: { code },
  ...rest,
})

async function call(body: Record<string, unknown>, more: Call = {}): Promise<HostedResult> {
  const response = await hub.call({ path: '/tools/call', body, ...more })
  const text = await response.text()
  if (!response.ok) throw new Error(text)
  return JSON.parse(text)
}

async function errorOf(body: Record<string, unknown>, more: Call = {}) {
  const response = await hub.call({ path: '/tools/call', body, ...more })
  const { error } = JSON.parse(await response.text())
  return {
    status: response.status,
    retryable: response.headers.get('x-retryable'),
    retryAfter: response.headers.get('retry-after'),
    ...error,
  }
}

async function offers(tool: string, query: Record<string, string> = {}): Promise<boolean> {
  const response = await hub.call({ path: '/tools/offers', body: { tool }, query })
  return JSON.parse(await response.text())
}

const lostNote =
  '[The earlier session is over, and what it held is gone. This call ran in a new one.]\n'

describe('a node that offers tools', () => {
  it('is known to, and runs a call once with its session, files and all', async () => {
    const tool = new FunctionTool({
      call: async ({ files = [], arguments: { code } }) => ({
        text: `ran ${code} with ${files.map(({ path }) => path).join(', ')}`,
        isError: false,
        logs: 'printed',
        files: [{ path: 'out/plot.png', data: 'AAAA', bytes: 3, mediaType: 'image/png' }],
      }),
    })
    await join('alpha', [tool])
    expect(await hub.nodes()).toMatchObject([
      { name: 'alpha', tools: ['code_interpreter', 'a_tool_of_tomorrow'] },
    ])
    while (!(await offers('code_interpreter'))) await new Promise((done) => setTimeout(done, 50))
    expect(await offers('web_search')).toBe(false)
    const files = [{ path: 'in.csv', data: 'YSxi' }]
    const result = await call(run('x', { files }))
    expect(result).toEqual({
      text: 'ran x with in.csv',
      isError: false,
      session: expect.stringMatching(/^alpha:[0-9a-f-]{36}$/),
      logs: 'printed',
      files: [{ path: 'out/plot.png', data: 'AAAA', bytes: 3, mediaType: 'image/png' }],
    })
    expect(tool.calls).toHaveLength(1)
  })

  it('keeps its sessions: a call goes where its session is, however busy that node has been', async () => {
    const alpha = memoryTool()
    const beta = memoryTool()
    await join('alpha', [alpha])
    await join('beta', [beta])
    const first = await call(run('x = kept'))
    for (let round = 0; round < 4; round++) {
      expect((await call(run('x', { session: first.session }))).text).toBe('kept')
    }
    const second = await call(run('y = other'))
    expect(first.session.split(':')[0]).not.toBe(second.session.split(':')[0])
    expect([alpha.calls.length, beta.calls.length].sort()).toEqual([1, 5])
  })

  it('takes no place of the model while a tool runs', async () => {
    const go = deferred()
    const tool = new FunctionTool({
      async call() {
        await go.promise
        return { text: 'done', isError: false }
      },
    })
    await join('alpha', [tool])
    const running = call(run('x'))
    while (tool.calls.length === 0) await new Promise((done) => setTimeout(done, 5))
    expect((await hub.nodes())[0]).toMatchObject({ running: 0 })
    go.resolve()
    expect((await running).text).toBe('done')
  })
})

describe('no such session', () => {
  it('where its node is gone: the call runs elsewhere and the model is told', async () => {
    const alpha = await join('alpha', [memoryTool()])
    const { session } = await call(run('x = 1'))
    expect(session).toMatch(/^alpha:/)
    await alpha.stop()
    await hub.until((nodes) => nodes.length === 0)
    await join('beta', [memoryTool()])
    const moved = await call(run('x', { session }))
    expect(moved.text).toBe(`${lostNote}NameError: x`)
    expect(moved.session).toMatch(/^beta:/)
  })

  it.each(['made up', 'alpha:11111111-2222-4333-8444-555555555555'])('%s', async (session) => {
    await join('alpha', [memoryTool()])
    expect((await call(run('x = 1', { session }))).text).toBe(`${lostNote}1`)
  })

  it("another tenant's: neither its nodes nor its sessions can be reached", async () => {
    const tool = memoryTool()
    await join('alpha', [tool])
    const { session } = await call(run('x = secret'))
    const query = { tenant: 'other' }
    expect(await offers('code_interpreter', query)).toBe(false)
    expect(await errorOf(run('x', { session }), { query })).toMatchObject({
      status: 503,
      code: 'no_capacity',
      message: 'No node offers code_interpreter now.',
    })
    expect(tool.calls).toHaveLength(1)
  })
})

describe('a call that fails', () => {
  it('goes to another node only where the first has not begun it', async () => {
    const go = deferred()
    const slow = () =>
      new FunctionTool({
        async call() {
          await go.promise
          return { text: 'done', isError: false }
        },
      })
    const tools = [slow(), slow()]
    await join('alpha', [tools[0]!])
    await join('beta', [tools[1]!])
    const both = [call(run('1')), call(run('2'))]
    while (tools.some(({ calls }) => calls.length === 0)) {
      await new Promise((done) => setTimeout(done, 5))
    }
    // Each takes one call: both say no, and neither has run it.
    expect(await errorOf(run('3'))).toMatchObject({
      status: 503,
      code: 'no_capacity',
      retryAfter: '2',
    })
    go.resolve()
    for (const each of both) expect((await each).text).toBe('done')
    expect(tools.map(({ calls }) => calls.length)).toEqual([1, 1])
  })

  it('is never sent twice: a node lost in the middle leaves the outcome unknown', async () => {
    const started = deferred()
    const dying = new FunctionTool({
      call: () => {
        started.resolve()
        return new Promise(() => {})
      },
    })
    const spare = memoryTool()
    const alpha = await join('alpha', [dying])
    const refused = errorOf(run('x = 1'))
    await started.promise
    await join('beta', [spare])
    void alpha.stop()
    expect(await refused).toMatchObject({
      status: 502,
      code: 'node_lost',
      retryable: 'false',
      message: expect.stringContaining('is not repeated'),
    })
    expect(spare.calls).toEqual([])
  })

  it('nor when the hub itself is reset', async () => {
    const started = deferred()
    const tool = new FunctionTool({
      call: () => {
        started.resolve()
        return new Promise(() => {})
      },
    })
    await join('alpha', [tool])
    const refused = errorOf(run('x = 1'))
    await started.promise
    await hub.reset()
    expect(await refused).toMatchObject({ code: 'node_lost', retryable: 'false' })
    expect(tool.calls).toHaveLength(1)
  })

  it('as it is malformed is the caller’s fault, with the field', async () => {
    await join('alpha', [memoryTool()])
    const files = [{ path: '../../etc/passwd', data: '' }]
    expect(await errorOf(run('x', { files }))).toMatchObject({
      status: 400,
      code: 'invalid_value',
      param: 'files.0.path',
    })
  })

  it('as the caller leaves stops the tool', async () => {
    const started = deferred()
    const stopped = deferred()
    const tool = new FunctionTool({
      call: (_call, signal) =>
        new Promise((resolve) => {
          started.resolve()
          signal.addEventListener('abort', () => {
            stopped.resolve()
            resolve({ text: 'late', isError: false })
          })
        }),
    })
    await join('alpha', [tool])
    const caller = new AbortController()
    const answer = hub
      .call({ path: '/tools/call', body: run('x'), signal: caller.signal })
      .catch(() => 'gone')
    await started.promise
    caller.abort()
    await stopped.promise
    expect(await answer).toBe('gone')
  })
})
