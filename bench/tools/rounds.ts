// What a round of tools adds beyond the server's own time, in the real Worker: `node bench/tools/rounds.ts [--rounds 200]`.
// One request after the other, four kinds in turn: no tool, one round, two rounds, and the same call made directly on an open
// connection. A round is (two rounds − one round), the model's next turn at a scripted upstream included; beyond the server's
// own time: that − the direct call. Medians.
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
const gateway = await startGateway({
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
async function ask(calls: number): Promise<number> {
  const began = performance.now()
  const tools = calls === 0 ? {} : { tools: [tool] }
  const response = await gateway.post('/v1/responses', {
    model: 'm',
    input: `${calls}`,
    store: false,
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

const times: Record<'none' | 'one' | 'two' | 'direct', number[]> = {
  none: [],
  one: [],
  two: [],
  direct: [],
}
for (let at = -20; at < rounds; at++) {
  const none = await ask(0)
  const one = await ask(1)
  const two = await ask(2)
  const call = await direct()
  if (at < 0) continue
  times.none.push(none)
  times.one.push(one)
  times.two.push(two)
  times.direct.push(call)
}
const none = median(times.none)
const one = median(times.one)
const two = median(times.two)
const call = median(times.direct)
const say = (line: string) => process.stdout.write(`${line}\n`)
const ms = (value: number) => `${value.toFixed(2)} ms`
say(`a request without tools              ${ms(none)}`)
say(`with one round (connect, list, call) ${ms(one)}`)
say(`with two rounds                      ${ms(two)}`)
say(`the call alone, connection open      ${ms(call)}`)
say(`a round beyond the server's own time ${ms(two - one - call)} (p50 of ${rounds})`)

await client.close()
await gateway.stop()
await server.close()
await upstream.stop()
