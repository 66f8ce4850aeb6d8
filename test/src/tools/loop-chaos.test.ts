// Exactly once, seen from the client: models that are cut, refuse and repeat themselves, clients that leave and that send an
// approval twice, processes that end while calls are made, by a seed. No call reaches its server twice or before it is written
// down, what is told as completed has run, and what has run is told by its record. Faults between us and the server are in
// test/tools/mcp/chaos.test.ts. `TOOL_CHAOS_RUNS=10000` for the long one.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openSqlite } from '../../../native-node/server/sqlite.ts'
import { localState } from '../../../src/faces/local-state.ts'
import { handleResponses } from '../../../src/index.ts'
import { sealFor, sealKey } from '../../../src/seal.ts'
import { SseDecoder } from '../../../src/sse/decode.ts'
import { LocalStore } from '../../../src/store/local-store.ts'
import { Approvals } from '../../../src/tools/mcp/approvals.ts'
import { MemoryClaims } from '../../../src/tools/mcp/claims.ts'
import { checkOrder } from '../../oracle/order.ts'
import { startMcpServer, type TestMcpServer } from '../../tools/mcp-server.ts'
import { randomSource } from '../../wall/simulation.ts'
import { chunk, countingIds, sse } from '../support.ts'
import { candidate, host, json, post, type Script, streamed } from '../upstream.ts'
import { completion, type Json, turn } from './script.ts'

const runs = Number(process.env.TOOL_CHAOS_RUNS ?? 120)
const atOnce = 8
const randomBytes = (bytes: number) => crypto.getRandomValues(new Uint8Array(bytes))
const now = () => Date.now()

let server: TestMcpServer
/** Told of each execution, by the conversation that the call is of. */
const witnesses = new Map<string, (text: string) => void>()
beforeAll(async () => {
  const call = (_name: string, { text }: Record<string, unknown>) => {
    witnesses.get(String(text).split('.')[0] ?? '')?.(String(text))
    return undefined
  }
  server = await startMcpServer({ slowMs: 5, call })
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
    const atOnce = random() < 0.6 ? 1 : 2 + Math.floor(random() * 3)
    const asked = Array.from({ length: atOnce }, () => ({
      name: random() < 0.3 ? 'docs__slow' : 'docs__echo',
      args: { text: `${next} ${made++}` },
    }))
    const chunks = next === undefined ? turn('Done.') : turn(asked, random() < 0.5 ? 'hm' : '')
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

/** The store of one conversation, in which a process may end at any call. */
async function keeper(seed: number, random: Random) {
  const { sql } = await openSqlite(':memory:')
  const options = { sql, newId: countingIds(), now, days: 30 }
  const store = new LocalStore(options)
  const unknown: string[] = []
  const executed: string[] = []
  witnesses.set(String(seed), (text) => {
    executed.push(text)
    // Written down; or, where the record has ended meanwhile, told by it.
    const rows = sql.exec("SELECT text FROM texts WHERE kind LIKE 'calls %' OR kind = 'response'")
    if (!rows.some((row) => String(row.text).includes(`${text}\\"`))) unknown.push(text)
    // The next process closes what this one had begun.
    if (random() < 0.05) new LocalStore(options)
  })
  const check = async () => {
    for (let left = 500; store.busy && left > 0; left--) {
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
    witnesses.delete(String(seed))
    const told: unknown[] = []
    for (const { id } of sql.exec('SELECT id FROM responses')) {
      const response = await store.get(String(id))
      if (response?.status === 'in_progress') unknown.push(`${id} is open`)
      for (const item of (response?.output ?? []) as Json[]) {
        if (item.type === 'mcp_call' && item.arguments !== '') {
          told.push(JSON.parse(String(item.arguments)).text)
        }
      }
    }
    expect(unknown).toEqual([])
    expect(told).toEqual(expect.arrayContaining(executed))
  }
  return { store, check }
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
  const kept = await keeper(seed, random)
  deps.state = localState(kept.store, () => deps)
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
  if (wanted.length === 0) {
    await kept.check()
    return items
  }
  const answers = wanted.map(({ id }) => ({
    type: 'mcp_approval_response',
    approval_request_id: id,
    approve: random() < 0.8,
  }))
  const input = [...items, ...answers]
  // A client that is not sure whether it was heard says it again.
  const again = await Promise.all([ask(input), ...(random() < 0.5 ? [ask(input)] : [])])
  await kept.check()
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
    // Both kinds of end have been seen; `incomplete` is a call whose turn was cut, `failed` also one that was lost.
    expect(Object.keys(statuses)).toEqual(expect.arrayContaining(['completed', 'failed']))
  })
})
