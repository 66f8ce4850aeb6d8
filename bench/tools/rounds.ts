// What a round of tools adds beyond the server's own time, in the real Worker: `node bench/tools/rounds.ts [--rounds 200]`.
// One request after the other, six kinds in turn: no tool, one round, two rounds, the last two stored as well, and the same call
// made directly on an open connection. A round is (two rounds − one round), the model's next turn at a scripted upstream
// included; beyond the server's own time: that − the direct call. A stored response's calls are written down before they are
// made, so that its round is longer by that. Medians.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { startGateway } from '../../test/gateway/harness.ts'
import { json, startUpstream } from '../../test/gateway/upstream.ts'
import { startMcpServer } from '../../test/tools/mcp-server.ts'
import { median } from '../median.ts'

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '200' } } })
const rounds = Number(values.rounds)

const upstream = await startUpstream()
const server = await startMcpServer()
const persist = mkdtempSync(join(tmpdir(), 'switchyard-rounds-'))
const gateway = await startGateway({
  persist,
  config: {
    providers: { acme: { baseUrl: `${upstream.origin}/v1`, models: { m: 'm' } } },
    egress: { mcpHosts: [server.host] },
  },
})

/** Answers after as many calls as the request's text says. */
upstream.reply((response, { body }) => {
  const messages = body.messages as { role: string; content: string }[]
  const wanted = Number(messages[0]?.content)
  const made = messages.filter(({ role }) => role === 'tool').length
  const args = JSON.stringify({ text: `${made}` })
  const call = {
    id: `c${made}`,
    type: 'function',
    function: { name: 'docs__echo', arguments: args },
  }
  const message =
    made < wanted ? { role: 'assistant', tool_calls: [call] } : { role: 'assistant', content: 'ok' }
  const finish_reason = made < wanted ? 'tool_calls' : 'stop'
  const choices = [{ index: 0, message, finish_reason }]
  const usage = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 }
  json(response, 200, { id: 'x', object: 'chat.completion', choices, usage })
})

const tool = {
  type: 'mcp',
  server_label: 'docs',
  server_url: server.url,
  require_approval: 'never',
}
async function ask(calls: number, store = false): Promise<number> {
  const began = performance.now()
  const tools = calls === 0 ? {} : { tools: [tool] }
  const response = await gateway.post('/v1/responses', {
    model: 'm',
    input: `${calls}`,
    store,
    ...tools,
  })
  const text = await response.text()
  if (!text.includes('"ok"')) throw new Error(text.slice(0, 500))
  return performance.now() - began
}

const client = new Client({ name: 'bench', version: '1' })
await client.connect(new StreamableHTTPClientTransport(new URL(server.url)))
async function direct(): Promise<number> {
  const began = performance.now()
  await client.callTool({ name: 'echo', arguments: { text: 'hi' } })
  return performance.now() - began
}

const kinds = ['none', 'one', 'two', 'keptOne', 'keptTwo', 'direct'] as const
type Kind = (typeof kinds)[number]
const times = new Map<Kind, number[]>(kinds.map((kind) => [kind, []]))
const measures: Record<Kind, () => Promise<number>> = {
  none: () => ask(0),
  one: () => ask(1),
  two: () => ask(2),
  keptOne: () => ask(1, true),
  keptTwo: () => ask(2, true),
  direct,
}
for (let at = -20; at < rounds; at++) {
  for (const kind of kinds) {
    const took = await measures[kind]()
    if (at >= 0) times.get(kind)?.push(took)
  }
}
const of = (kind: Kind) => median(times.get(kind) ?? [])
const call = of('direct')
const say = (line: string) => process.stdout.write(`${line}\n`)
const ms = (value: number) => `${value.toFixed(2)} ms`
say(`a request without tools              ${ms(of('none'))}`)
say(`with one round (connect, list, call) ${ms(of('one'))}`)
say(`with two rounds                      ${ms(of('two'))}`)
say(`the call alone, connection open      ${ms(call)}`)
const beyond = (one: Kind, two: Kind) => `${ms(of(two) - of(one) - call)} (p50 of ${rounds})`
say(`a round beyond the server's own time ${beyond('one', 'two')}`)
say(`the same of a stored response        ${beyond('keptOne', 'keptTwo')}`)

await client.close()
await gateway.stop()
await server.close()
await upstream.stop()
rmSync(persist, { recursive: true })
