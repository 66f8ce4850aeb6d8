// Exactly once, seen from the client: models that are cut, refuse and repeat themselves, clients that leave and that send an
// approval twice, by a seed. No call reaches its server twice, and what is told as completed has run. Faults between us and the
// server are in test/tools/mcp/chaos.test.ts. `TOOL_CHAOS_RUNS=10000` for the long one.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { handleResponses } from '../../../src/index.ts'
import { sealFor, sealKey } from '../../../src/seal.ts'
import { SseDecoder } from '../../../src/sse/decode.ts'
import { Approvals } from '../../../src/tools/mcp/approvals.ts'
import { MemoryClaims } from '../../../src/tools/mcp/claims.ts'
import { checkOrder } from '../../oracle/order.ts'
import { startMcpServer, type TestMcpServer } from '../../tools/mcp-server.ts'
import { randomSource } from '../../wall/simulation.ts'
import { chunk, sse } from '../support.ts'
import { candidate, host, json, post, type Script, streamed } from '../upstream.ts'
import { completion, type Json, turn } from './script.ts'

const runs = Number(process.env.TOOL_CHAOS_RUNS ?? 120)
const atOnce = 8
const randomBytes = (bytes: number) => crypto.getRandomValues(new Uint8Array(bytes))
const now = () => Date.now()

let server: TestMcpServer
beforeAll(async () => {
  server = await startMcpServer({ slowMs: 5 })
})
afterAll(() => server.close())

type Random = () => number

/** An upstream whose turns go wrong at random. `calls`: what it asks for before it answers. */
function unreliable(random: Random, calls: readonly string[]): Script {
  let made = 0
  return (call) => {
    const messages = call.body.messages as Json[]
    const answered = messages.filter(({ role }) => role === 'tool').length
    const next = calls[answered]
    const name = random() < 0.3 ? 'docs__slow' : 'docs__echo'
    const chunks =
      next === undefined
        ? turn('Done.')
        : turn([{ name, args: { text: `${next} ${made++}` } }], random() < 0.5 ? 'hm' : '')
    const fate = random()
    if (fate < 0.1) return json({ error: { message: 'overloaded', code: 503 } })
    if (!call.stream) return json(completion(chunks))
    const whole = sse([...chunks, '[DONE]'])
    if (fate < 0.2)
      return streamed([whole.slice(0, Math.floor(whole.length * random())), new Error('cut')])
    if (fate < 0.25) return streamed([sse([chunk({ content: '' })]), new Error('cut')])
    return streamed([whole])
  }
}

/** One conversation; gives what its client was told of calls. */
async function converse(seed: number): Promise<Json[]> {
  const random = randomSource(seed)
  const stream = random() < 0.6
  const asks = random() < 0.4
  const names = Array.from({ length: 1 + Math.floor(random() * 3) }, (_, at) => `${seed}.${at}`)
  const script = unreliable(random, names)
  const { deps } = host([candidate(), script], [candidate({ name: 'second' }), script])
  const seal = sealFor('tenant', sealKey('secret'), randomBytes)
  const approvals = new Approvals({
    seal,
    claims: new MemoryClaims({ now }),
    now,
    random: randomBytes,
  })
  const egress = { mcpHosts: [server.host] }
  const fetchOnce = (url: string, init: RequestInit) => fetch(url, { ...init, redirect: 'manual' })
  deps.now = now
  deps.egress = egress
  deps.mcp = () => ({ host: { fetch: fetchOnce, egress, use: 'fetch' }, approvals })
  const tool = { type: 'mcp', server_label: 'docs', server_url: server.url }
  const tools = [{ ...tool, require_approval: asks ? 'always' : 'never' }]
  const ask = async (input: unknown): Promise<Json[]> => {
    const leaving = new AbortController()
    const timer = random() < 0.15 ? setTimeout(() => leaving.abort(), random() * 20) : undefined
    const request = post({ model: 'test/model', input, tools, stream }, { signal: leaving.signal })
    // As fetch() does: who has left reads nothing more.
    const left = new Promise<never>((_, reject) => {
      leaving.signal.addEventListener('abort', () => reject(new Error('left')))
    })
    try {
      const answer = handleResponses(request, deps).then((response) => told(response, stream))
      return await Promise.race([answer, left])
    } catch (error) {
      if (!leaving.signal.aborted) throw error
      return []
    } finally {
      clearTimeout(timer)
    }
  }
  const items = await ask('go')
  const wanted = items.filter(({ type }) => type === 'mcp_approval_request')
  if (wanted.length === 0) return items
  const answers = wanted.map(({ id }) => ({
    type: 'mcp_approval_response',
    approval_request_id: id,
    approve: random() < 0.8,
  }))
  const input = [...items, ...answers]
  // A client that is not sure whether it was heard says it again.
  const again = await Promise.all([ask(input), ...(random() < 0.5 ? [ask(input)] : [])])
  return [...items, ...again.flat()]
}

/** The items of an answer; every stream is in order. */
async function told(response: Response, stream: boolean): Promise<Json[]> {
  const text = await response.text()
  if (!stream || response.status !== 200) return (JSON.parse(text).output as Json[]) ?? []
  const decoder = new SseDecoder()
  const messages = [...decoder.push(new TextEncoder().encode(text)), ...decoder.end()]
  const events = messages.flatMap(({ data }): Json[] =>
    data === '[DONE]' ? [] : [JSON.parse(data)],
  )
  if (messages.at(-1)?.data !== '[DONE]') return []
  expect(checkOrder(events)).toEqual([])
  return ((events.at(-1)?.response as Json | undefined)?.output as Json[]) ?? []
}

describe('chaos', () => {
  it(`runs no call twice in ${runs} conversations`, { timeout: 1_800_000 }, async () => {
    const statuses: Record<string, number> = {}
    for (let seed = 1; seed <= runs; seed += atOnce) {
      const seeds = Array.from({ length: atOnce }, (_, at) => seed + at)
      const items = (await Promise.all(seeds.map(converse))).flat()
      for (const [call, count] of server.calls()) expect(`${call} ${count}`).toBe(`${call} 1`)
      for (const { type, status, name, arguments: text } of items) {
        if (type !== 'mcp_call') continue
        statuses[String(status)] = (statuses[String(status)] ?? 0) + 1
        const count = server.calls().get(`${name} ${text}`) ?? 0
        if (status === 'completed') expect(`${text} ${count}`).toBe(`${text} 1`)
      }
      server.calls().clear()
    }
    // Both kinds of end have been seen; `incomplete` is a call whose turn was cut.
    expect(Object.keys(statuses)).toEqual(expect.arrayContaining(['completed', 'failed']))
  })
})
