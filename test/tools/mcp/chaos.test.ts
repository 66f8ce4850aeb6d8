// Exactly once under faults: servers that fail at random, by a seed, and count what reaches them. A call that was not sent
// ran nowhere; one that was, ran once at most; what was answered was run. `MCP_CHAOS_RUNS=10000` for the long one.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { McpFault } from '../../../src/tools/mcp/fault.ts'
import {
  type Answer,
  event,
  type RawMcpServer,
  result,
  sendJson,
  startRawMcp,
  usual,
} from '../raw-mcp.ts'
import { echo, never, open } from './client.ts'

const runs = Number(process.env.MCP_CHAOS_RUNS ?? 200)

/** mulberry32 */
function randomOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

const done = { content: [{ type: 'text', text: 'done' }] }
const stream = { 'content-type': 'text/event-stream' }

/** What may happen to any message; the first is that all is well. */
const faults: Answer[] = [
  (message, response) => sendJson(response, result(message, done)),
  (message, response) => response.writeHead(200, stream).end(event(result(message, done))),
  (_, response) => response.destroy(),
  (_, response) => response.writeHead(500).end(),
  (_, response) => response.writeHead(429, { 'retry-after': '0' }).end(),
  (_, response) => response.writeHead(404).end('Session not found'),
  (_, response) => response.writeHead(401, { 'www-authenticate': 'Bearer' }).end(),
  (_, response) => response.writeHead(307, { location: '/mcp' }).end(),
  (_, response) => response.writeHead(200, stream).end('id: 7\nretry: 1\ndata: \n\n'),
  (_, response) => response.writeHead(200, stream).end(': nothing\n\n'),
  (message, response) => sendJson(response, { ...result(message, done), id: 999 }),
  (_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>'),
  (_, response) => sendJson(response, { jsonrpc: '2.0' }),
  (message, response) =>
    sendJson(response, {
      jsonrpc: '2.0',
      id: message.id,
      error: { code: -32020, message: 'again?' },
    }),
]

describe('chaos', () => {
  const generators = new Map<string, () => number>()
  /** Each run has faults of its own. */
  const sometimes =
    (chance: number, otherwise: Answer | undefined): Answer =>
    (message, response, request) => {
      const seed = new URL(request.url ?? '', 'http://x').searchParams.get('seed') ?? '0'
      const random = generators.get(seed) ?? randomOf(Number(seed))
      generators.set(seed, random)
      const fault = faults[Math.floor(random() * faults.length)]
      const answer = random() < chance || otherwise === undefined ? fault : otherwise
      return answer?.(message, response, request)
    }
  let server: RawMcpServer
  beforeAll(async () => {
    server = await startRawMcp({
      initialize: sometimes(0.05, usual.initialize),
      'notifications/initialized': sometimes(0.05, usual['notifications/initialized']),
      'tools/call': sometimes(0.7, usual['tools/call']),
      GET: sometimes(1, undefined),
    })
  })
  afterAll(() => server.close())

  /** Two calls beside each other; what each was told of, and its mark at the server. */
  async function run(seed: number): Promise<[outcome: string, key: string][]> {
    const { url, host } = server
    const options = {
      pinned: seed % 2 === 0,
      limits: { listMs: 20_000, callMs: 1000, closeMs: 100 },
    }
    const mcp = open({ url: `${url}?seed=${seed}`, host }, options)
    const told = ['a', 'b'].map(async (which): Promise<[string, string]> => {
      const args = { seed, which }
      const outcome = await mcp.call(echo, args, never).then(
        () => 'ran',
        (thrown: unknown) => {
          if (thrown instanceof McpFault) return thrown.outcome
          throw thrown
        },
      )
      return [outcome, JSON.stringify(args)]
    })
    const all = await Promise.all(told)
    await mcp.close()
    return all
  }

  it(`runs no call twice in ${runs} runs`, { timeout: 1_800_000 }, async () => {
    const outcomes: Record<string, number> = {}
    let next = 1
    const worker = async () => {
      while (next <= runs) {
        const seed = next++
        for (const [outcome, key] of await run(seed)) {
          const count = server.calls.get(key) ?? 0
          const fits = outcome === 'not_sent' ? count === 0 : count <= 1
          if (!fits || (outcome === 'ran' && count !== 1)) {
            expect.fail(
              `seed ${seed}: ${key} was '${outcome}' and reached the server ${count} times`,
            )
          }
          outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
        }
      }
    }
    await Promise.all(Array.from({ length: 64 }, worker))
    expect(Math.max(...server.calls.values())).toBe(1)
    // Each kind of end has been seen.
    expect(Object.keys(outcomes).sort()).toEqual(['answered', 'not_sent', 'ran', 'unknown'])
  })
})
