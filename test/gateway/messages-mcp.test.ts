// Anthropic's own client with servers of MCP, through the Worker as it is deployed: the model is scripted, the server is real.
import Anthropic from '@anthropic-ai/sdk'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { turn, completion as whole } from '../src/tools/script.ts'
import { startMcpServer, type TestMcpServer } from '../tools/mcp-server.ts'
import { startGateway, type TestGateway } from './harness.ts'
import { json, sse, startUpstream, type TestUpstream } from './upstream.ts'

const key = 'sy_key_of_tenant_one'
const token = 'token-of-the-server-7f3a'
const away = '127.0.0.1:9'
let upstream: TestUpstream
let server: TestMcpServer
let gateway: TestGateway
let client: Anthropic

beforeAll(async () => {
  upstream = await startUpstream()
  server = await startMcpServer({ token })
  gateway = await startGateway({
    config: {
      providers: { acme: { baseUrl: `${upstream.origin}/v1`, models: { m: 'm' } } },
      egress: { mcpHosts: [server.host, away] },
      requestLog: true,
    },
    bindings: { SWITCHYARD_KEYS: JSON.stringify({ one: key }) },
  })
  client = new Anthropic({ baseURL: gateway.url, apiKey: key, maxRetries: 0 })
})

afterAll(async () => {
  await gateway.stop()
  await server.close()
  await upstream.stop()
})

/** A call of `docs`' echo, then an answer, as often as that is asked for. */
function script(): void {
  upstream.requests.length = 0
  upstream.reply((response, { body }) => {
    const asked = (body.messages as { role: string }[]).some(({ role }) => role === 'tool')
    const names = (body.tools ?? []) as { function: { name: string } }[]
    const calls = names.length > 0 && !asked
    const chunks = turn(calls ? [{ name: 'docs__echo', args: { text: 'hi' } }] : 'Done.')
    if (body.stream !== true) return json(response, 200, whole(chunks))
    const data = chunks.map((each) => `data: ${JSON.stringify(each)}\n\n`)
    return sse(response, ...data, 'data: [DONE]\n\n')
  })
}

const request = (url: string) => ({
  model: 'm',
  max_tokens: 200,
  messages: [{ role: 'user' as const, content: 'go' }],
  mcp_servers: [{ type: 'url' as const, name: 'docs', url, authorization_token: token }],
  tools: [{ type: 'mcp_toolset' as const, mcp_server_name: 'docs' }],
})

it('calls with the token that nobody else hears of, streamed and not', async () => {
  script()
  const asked = request(server.url)
  const answers = [
    await client.beta.messages.create(asked),
    await client.beta.messages.stream(asked).finalMessage(),
  ]
  for (const { content, stop_reason } of answers) {
    expect(content.map(({ type }) => type)).toEqual(['mcp_tool_use', 'mcp_tool_result', 'text'])
    expect(content[1]).toMatchObject({ is_error: false, content: [{ text: 'hi' }] })
    expect(stop_reason).toBe('end_turn')
  }
  expect(server.count('echo')).toBe(2)
  // A line comes when its answer has ended.
  await vi.waitUntil(() => gateway.log.join('').split('"path":"/v1/messages"').length > 2)
  const told = [answers, upstream.requests, gateway.log]
  expect(JSON.stringify(told)).not.toContain(token)
})

it('names the server that cannot be reached, and answers', async () => {
  script()
  const asked = request(`http://${away}/mcp`)
  const whole = await client.beta.messages.create(asked).withResponse()
  const streamed = await client.beta.messages.create({ ...asked, stream: true }).withResponse()
  for (const { response } of [whole, streamed]) {
    expect(response.headers.get('warning')).toContain('had no tools of: docs')
  }
  expect(whole.data.content).toMatchObject([{ type: 'text', text: 'Done.' }])
  const types: string[] = []
  for await (const { type } of streamed.data) types.push(type)
  expect(types.at(-1)).toBe('message_stop')
})
