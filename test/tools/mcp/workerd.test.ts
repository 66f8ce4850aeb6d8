// The same in workerd, whose fetch() has ways of its own: wires, redirects, faults, each call at most once.
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { Miniflare } from 'miniflare'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { compatibility } from '../../../native-node/cli/gateway-process.ts'
import { startMcpServer } from '../mcp-server.ts'
import { startRawMcp } from '../raw-mcp.ts'
import { callFaults, hang, status } from './call-faults.ts'
import { startLegacyMcp } from './legacy-server.ts'

let miniflare: Miniflare
let origin: URL
beforeAll(async () => {
  const bundle = await build({
    entryPoints: [fileURLToPath(new URL('worker.mjs', import.meta.url))],
    bundle: true,
    format: 'esm',
    target: 'es2022',
    write: false,
    conditions: ['workerd', 'worker', 'browser'],
    external: ['cloudflare:*'],
  })
  miniflare = new Miniflare({
    host: '127.0.0.1',
    port: 0,
    cf: false,
    modules: [{ type: 'ESModule', path: 'index.js', contents: bundle.outputFiles[0]?.text ?? '' }],
    compatibilityDate: compatibility.date,
    compatibilityFlags: compatibility.flags,
  })
  origin = await miniflare.ready
})
afterAll(() => miniflare.dispose())

const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0)) await end()
})

interface Asked {
  lists?: boolean
  hosts?: string[]
  limits?: object
}

/** Lists, where asked to, and calls `echo` once in the Worker. */
async function ask(server: { url: string; host: string }, asked: Asked = {}): Promise<unknown> {
  const { lists = true, hosts = [], limits } = asked
  const body = {
    url: server.url,
    hosts: [server.host, ...hosts],
    args: { text: 'a' },
    lists,
    limits,
  }
  const response = await fetch(origin, { method: 'POST', body: JSON.stringify(body) })
  return await response.json()
}

describe('in workerd', () => {
  it.each(['both', 'newest', 'sessions'] as const)('wire %s works', async (wire) => {
    for (const stream of [false, true]) {
      const server = await startMcpServer({ wire, stream })
      ends.push(() => server.close())
      const answer = await ask(server)
      expect(answer).toMatchObject({ output: 'a', isError: false })
      expect(answer).toMatchObject({ tools: expect.arrayContaining(['echo', 'tree']) })
      expect(server.count()).toBe(1)
    }
  })

  it('servers of before 2025 work', async () => {
    const server = await startLegacyMcp()
    ends.push(() => server.close())
    expect(await ask(server)).toMatchObject({ output: 'done', tools: ['echo'] })
    expect(server.log.filter((line) => line.endsWith('tools/call'))).toHaveLength(1)
  })

  it('a server of before 2025 that drops its stream is not called again', async () => {
    const server = await startLegacyMcp({
      call: (stream, post) => {
        post.writeHead(202).end()
        stream.destroy()
      },
    })
    ends.push(() => server.close())
    expect(await ask(server)).toMatchObject({ outcome: 'unknown', code: -32000 })
    expect(server.log.filter((line) => line.endsWith('tools/call'))).toHaveLength(1)
  })

  it.each(callFaults)('a call that %s is not sent again', async (_, answer, fault) => {
    const server = await startRawMcp({ 'tools/call': answer })
    ends.push(() => server.close())
    const limits = { callMs: answer === hang ? 300 : 10_000 }
    expect(await ask(server, { limits })).toMatchObject(fault)
    expect([...server.calls.values()]).toEqual([1])
  })

  it('redirects are followed through the gate, without credentials', async () => {
    const target = await startRawMcp()
    const moved = status(307, { location: target.url })
    const server = await startRawMcp({ 'server/discover': moved, initialize: moved })
    ends.push(
      () => target.close(),
      () => server.close(),
    )
    expect(await ask(server)).toMatchObject({ kind: 'http_error', code: 403 })
    expect(target.log).toEqual([])
    expect(await ask(server, { hosts: [target.host] })).toMatchObject({ isError: false })
    expect(server.requests[0]?.headers.authorization).toBe('Bearer secret')
    for (const { headers } of target.requests) expect(headers.authorization).toBeUndefined()
  })

  it('a server that is away is a fault', async () => {
    const server = await startRawMcp()
    await server.close()
    expect(await ask(server)).toMatchObject({ code: -32000, outcome: 'not_sent' })
  })
})
