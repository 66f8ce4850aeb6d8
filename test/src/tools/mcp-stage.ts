// What the tests of MCP in the loop share: servers that end with their test, and a host for some requests in a row.
import { afterEach, expect } from 'vitest'
import { handleResponses } from '../../../src/index.ts'
import { sealFor, sealKey } from '../../../src/seal.ts'
import { Approvals } from '../../../src/tools/mcp/approvals.ts'
import { MemoryClaims } from '../../../src/tools/mcp/claims.ts'
import type { McpHost } from '../../../src/tools/mcp/guarded-fetch.ts'
import { checkOrder } from '../../oracle/order.ts'
import {
  type McpServerOptions,
  startMcpServer,
  type TestMcpServer,
} from '../../tools/mcp-server.ts'
import { eventsOf } from '../support.ts'
import { candidate, host, post } from '../upstream.ts'
import { type Json, model } from './script.ts'

const opened: TestMcpServer[] = []
afterEach(async () => {
  for (const server of opened.splice(0)) await server.close()
})

/** A server until the end of the test. */
export async function serverWith(options: McpServerOptions = {}): Promise<TestMcpServer> {
  const server = await startMcpServer(options)
  opened.push(server)
  return server
}

const random = (bytes: number) => crypto.getRandomValues(new Uint8Array(bytes))

/** A host whose requests share approvals; every stream is in order. `later` moves its clock. */
export function stage(servers: readonly TestMcpServer[], turns: readonly (readonly object[])[]) {
  const made = host([candidate(), model(turns)])
  let time = Date.now()
  const now = () => time
  const egress = { mcpHosts: servers.map(({ host }) => host) }
  const fetchOnce: McpHost['fetch'] = (url, init) => fetch(url, { ...init, redirect: 'manual' })
  const seal = sealFor('tenant', sealKey('secret'), random)
  const approvals = new Approvals({ seal, claims: new MemoryClaims({ now }), now, random })
  const mcp = { host: { fetch: fetchOnce, egress, use: 'fetch' as const }, approvals }
  Object.assign(made.deps, { now, egress, mcp: () => mcp, maxBodyBytes: 10_000_000 })
  const send = async (request: Json) => {
    const response = await handleResponses(post({ model: 'test/model', ...request }), made.deps)
    const text = await response.text()
    const { status } = response
    if (request.stream !== true || status !== 200) {
      return { status, final: JSON.parse(text) as Json, text, events: [] }
    }
    const events = eventsOf(text)
    expect(checkOrder(events)).toEqual([])
    return { status, final: events.at(-1)?.response as Json, text, events }
  }
  return { ...made, mcp, send, later: (ms: number) => (time += ms) }
}

/** An entry of tools for the server. */
export function toolOf(server: TestMcpServer, more: Json = {}): Json {
  const head = { type: 'mcp', server_label: 'docs', server_url: server.url }
  return { ...head, require_approval: 'never', ...more }
}

export const echo = (text: string) => ({ name: 'docs__echo', args: { text } })

/** Items of one type of a response. */
export const items = (final: Json, type: string) =>
  (final.output as Json[]).filter((item) => item.type === type)
