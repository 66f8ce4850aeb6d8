// Remote MCP as a new user meets it: `npm start`, the demo model, a real MCP server beside it, the official SDK.
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { checkOrder } from '../oracle/order.ts'
import { startMcpServer, type TestMcpServer } from '../tools/mcp-server.ts'
import { startUp, type Up } from './up.ts'

const model = 'switchyard/demo'
const spec = 'The 2025-03-26 version supports two transports: stdio and Streamable HTTP.'
const tiktoken = 'Tiktoken splits a text into tokens by byte pair encoding.'
const search = {
  name: 'search',
  description: 'Search the documentation.',
  inputSchema: {
    type: 'object' as const,
    properties: { query: { type: 'string', description: 'What to look for' } },
    required: ['query'],
  },
}

let server: TestMcpServer
let up: Up
let client: OpenAI

beforeAll(async () => {
  const answer = (name: string, args: Record<string, unknown>) => {
    if (name !== search.name) return undefined
    return /tiktoken/i.test(String(args.query)) ? tiktoken : spec
  }
  server = await startMcpServer({ tools: [search], call: answer })
  up = await startUp({ config: { egress: { mcpHosts: [server.host] } } })
  client = new OpenAI({ baseURL: `${up.base}/v1`, apiKey: 'none', maxRetries: 0 })
}, 60_000)

afterAll(async () => {
  await up?.stop()
  await server?.close()
})

const tool = (more: object) => ({
  type: 'mcp' as const,
  server_label: 'docs',
  server_url: server.url,
  allowed_tools: [search.name],
  ...more,
})

const asked = [
  {
    input: 'What transport protocols are supported in the 2025-03-26 version of the MCP spec?',
    about: /MCP spec/,
  },
  { input: 'how does tiktoken work?', about: /tiktoken/ },
]

describe('a server of documentation', () => {
  for (const { input, about } of asked) {
    it(`is asked: ${input}`, async () => {
      const before = server.count()
      const tools = [tool({ require_approval: 'never' })]
      const { output, output_text } = await client.responses.create({ model, input, tools })
      const types = output.map(({ type }) => type).filter((type) => type !== 'reasoning')
      expect(types).toEqual(['mcp_list_tools', 'mcp_call', 'message'])
      const call = output.find((item) => item.type === 'mcp_call')
      expect(call).toMatchObject({ name: search.name, status: 'completed' })
      expect(call?.arguments).toMatch(about)
      expect(output_text).not.toBe('')
      expect(server.count()).toBe(before + 1)
    })
  }

  it('is asked once it is allowed, streamed, with the response before as all that is sent', async () => {
    const input = 'how does tiktoken work?'
    const tools = [tool({ require_approval: 'always' })]
    const first = await client.responses.create({ model, input, tools })
    const request = first.output.find((item) => item.type === 'mcp_approval_request')
    expect(request).toMatchObject({ name: search.name, server_label: 'docs' })
    const before = server.count()
    const events: unknown[] = []
    const answer = {
      type: 'mcp_approval_response' as const,
      approval_request_id: request?.id ?? '',
      approve: true,
    }
    const next = { model, input: [answer], tools, previous_response_id: first.id }
    for await (const event of await client.responses.create({ ...next, stream: true })) {
      events.push(event)
    }
    expect(checkOrder(events)).toEqual([])
    expect(server.count()).toBe(before + 1)
  })
})
