// Tools that run here, for Anthropic's clients: a scripted model behind /v1/messages, a real MCP server, a scripted Python.
import Anthropic from '@anthropic-ai/sdk'
import { describe, expect, it } from 'vitest'
import { handleMessages } from '../../../src/index.ts'
import type { HostedTools } from '../../../src/tools/hosted.ts'
import { serverWith, stage } from './mcp-stage.ts'
import { type Json, turn } from './script.ts'

/** Runs what it is asked to, and finds one page. `sessions`: told of each. */
const hostedBy = (sessions: (string | undefined)[]): HostedTools => ({
  offers: async () => true,
  async call({ tool, arguments: given, session }) {
    sessions.push(session)
    const base = { isError: false, session: 's1' }
    if (tool === 'code_interpreter') return { ...base, text: '42\n', logs: '42\n' }
    const sources = [{ cursor: 0, url: 'https://bees.example/dance', title: 'Bees' }]
    return { ...base, text: `[0] ${String(given.query)}`, sources }
  },
})

/** Anthropic's own client, for as many requests as there are turns. */
async function anthropic(turns: readonly (readonly object[])[]) {
  const server = await serverWith()
  const made = stage([server], turns)
  const sessions: (string | undefined)[] = []
  const hosted = hostedBy(sessions)
  made.deps.hosted = hosted
  const client = new Anthropic({
    apiKey: 'none',
    maxRetries: 0,
    fetch: async (url, init) =>
      handleMessages(new Request(String(url), init as RequestInit), made.deps, 'req-1'),
  })
  const ask = { model: 'test/model', max_tokens: 500, messages: [said('user', 'go')] }
  const mcp_servers = [{ type: 'url' as const, name: 'docs', url: server.url }]
  return { ...made, server, client, ask, mcp_servers, sessions, hosted }
}

const said = (role: 'user' | 'assistant', content: string) => ({ role, content })
const set = { type: 'mcp_toolset' as const, mcp_server_name: 'docs' }
const search = { type: 'web_search_20250305' as const, name: 'web_search' as const }
const code = { type: 'code_execution_20250825' as const, name: 'code_execution' as const }
const echo = (text: string) => turn([{ name: 'docs__echo', args: { text } }])

describe('a server of MCP in the Messages API', () => {
  it('is called once, and told as blocks, streamed and not', async () => {
    const { client, ask, mcp_servers, server } = await anthropic([
      echo('hi'),
      turn('It said hi.'),
      echo('ho'),
      turn('It said ho.'),
    ])
    const request = { ...ask, mcp_servers, tools: [set] }
    const whole = await client.beta.messages.create(request)
    const streamed = await client.beta.messages.stream(request).finalMessage()
    for (const [message, text] of [
      [whole, 'hi'],
      [streamed, 'ho'],
    ] as const) {
      const [use, result, answer] = message.content
      expect(use).toMatchObject({
        type: 'mcp_tool_use',
        name: 'echo',
        server_name: 'docs',
        input: { text },
      })
      expect(use).toHaveProperty('id', expect.stringMatching(/^mcptoolu_/))
      expect(result).toEqual({
        type: 'mcp_tool_result',
        tool_use_id: Reflect.get(use ?? {}, 'id'),
        is_error: false,
        content: [{ type: 'text', text, citations: null }],
      })
      expect(answer).toMatchObject({ type: 'text', text: `It said ${text}.` })
      expect(message.stop_reason).toBe('end_turn')
      // Of both turns.
      expect(message.usage).toMatchObject({ input_tokens: 20, output_tokens: 10 })
    }
    expect(server.count()).toBe(2)
  })

  it('tells what a tool says of its failure', async () => {
    const { client, ask, mcp_servers } = await anthropic([
      turn([{ name: 'docs__failing', args: {} }]),
      turn('It failed.'),
    ])
    const { content } = await client.beta.messages.create({ ...ask, mcp_servers, tools: [set] })
    const text = expect.stringContaining('It did not work.')
    expect(content[1]).toMatchObject({ is_error: true, content: [{ text }] })
  })

  it('is read again from the history: the model sees the call and its result', async () => {
    const { client, ask, mcp_servers, sent, server } = await anthropic([
      echo('hi'),
      turn('It said hi.'),
      turn('As I said.'),
    ])
    const request = { ...ask, mcp_servers, tools: [set] }
    const first = await client.beta.messages.create(request)
    const { role, content } = first
    const messages = [...ask.messages, { role, content: content as never }, said('user', 'again?')]
    await client.beta.messages.create({ ...request, messages })
    expect(sent.at(-1)?.body.messages).toMatchObject([
      { role: 'user' },
      { role: 'assistant', tool_calls: [{ function: { name: 'docs__echo' } }] },
      { role: 'tool', content: 'hi' },
      { role: 'assistant', content: 'It said hi.' },
      { role: 'user', content: 'again?' },
    ])
    expect(server.count()).toBe(1)
  })

  it('pauses at the limit of rounds, and goes on from there', async () => {
    const rounds = Array.from({ length: 17 }, (_, at) => echo(`${at}`))
    const { client, ask, mcp_servers, sent } = await anthropic([...rounds, turn('At last.')])
    const request = { ...ask, mcp_servers, tools: [set] }
    const { role, content, stop_reason } = await client.beta.messages.create(request)
    expect(stop_reason).toBe('pause_turn')
    const messages = [...ask.messages, { role, content: content as never }]
    const next = await client.beta.messages.create({ ...request, messages })
    expect(next.content).toMatchObject([{ type: 'text', text: 'At last.' }])
    const told = sent.at(-1)?.body.messages as Json[]
    expect(told.filter((each) => each.role === 'tool')).toHaveLength(17)
  })

  it('that cannot be listed is told in a header, beside what was left out', async () => {
    const { deps, ask, mcp_servers } = await anthropic([turn('a'), turn('b')])
    const away = 'http://127.0.0.1:1/mcp'
    deps.egress = { mcpHosts: ['127.0.0.1:1'] }
    const mcp = deps.mcp?.()
    if (mcp) deps.mcp = () => ({ ...mcp, host: { ...mcp.host, egress: deps.egress } })
    const body = { ...ask, mcp_servers: [{ ...mcp_servers[0], url: away }], tools: [set] }
    for (const stream of [false, true]) {
      const sent = JSON.stringify({ ...body, stream, speed: 'fast' })
      const headers = { 'content-type': 'application/json' }
      const init = { method: 'POST', headers, body: sent }
      const http = new Request('http://gateway/v1/messages', init)
      const response = await handleMessages(http, deps)
      expect(response.status).toBe(200)
      const warning = response.headers.get('warning')
      expect(warning).toContain('left out: speed')
      expect(warning).toContain('had no tools of: docs')
      await response.text()
    }
  })

  it('that is not allowed is refused with the client’s own name of the field', async () => {
    const { client, ask, mcp_servers, sent } = await anthropic([])
    const servers = mcp_servers.map((each) => ({ ...each, url: 'http://10.0.0.1/mcp' }))
    const refused = client.beta.messages.create({ ...ask, mcp_servers: servers, tools: [set] })
    await expect(refused).rejects.toMatchObject({
      status: 400,
      error: { error: { details: { param: 'mcp_servers[0].url' } } },
      message: expect.stringContaining("list '10.0.0.1' under 'egress.mcpHosts'"),
    })
    // No list helps here.
    const keyed = mcp_servers.map((each) => ({ ...each, url: 'http://me:pass@10.0.0.1/mcp' }))
    await expect(
      client.beta.messages.create({ ...ask, mcp_servers: keyed, tools: [set] }),
    ).rejects.toMatchObject({ message: expect.not.stringContaining('To allow it') })
    expect(sent).toHaveLength(0)
  })
})

describe('hosted tools in the Messages API', () => {
  it('are searches with their pages and code with its output, streamed and not', async () => {
    const turns = [
      turn([{ name: 'browser__search', args: { query: 'bees' } }]),
      turn([{ name: 'python', args: { input: '6*7' } }]),
      turn('It is 42.'),
    ]
    const { client, ask } = await anthropic([...turns, ...turns])
    const request = { ...ask, tools: [search, code] }
    const whole = await client.beta.messages.create(request)
    const streamed = await client.beta.messages.stream(request).finalMessage()
    for (const { content, usage, container } of [whole, streamed]) {
      expect(container).toMatchObject({ id: 'cntr_s1', skills: null })
      expect(content).toMatchObject([
        { type: 'server_tool_use', name: 'web_search', input: { query: 'bees' } },
        {
          type: 'web_search_tool_result',
          content: [{ type: 'web_search_result', url: 'https://bees.example/dance' }],
        },
        { type: 'server_tool_use', name: 'code_execution', input: { code: '6*7' } },
        {
          type: 'code_execution_tool_result',
          content: { type: 'code_execution_result', stdout: '42\n', stderr: '', return_code: 0 },
        },
        { type: 'text', text: 'It is 42.' },
      ])
      expect(usage.server_tool_use).toMatchObject({ web_search_requests: 1 })
    }
  })

  it('go on in the container of the answer before', async () => {
    const run = () => turn([{ name: 'python', args: { input: 'x' } }])
    const { client, ask, sessions } = await anthropic([run(), turn('a'), run(), turn('b')])
    const first = await client.beta.messages.create({ ...ask, tools: [code] })
    const container = first.container?.id ?? ''
    expect(new Date(first.container?.expires_at ?? 0).getTime()).toBeGreaterThan(Date.now())
    await client.beta.messages.create({ ...ask, tools: [code], container })
    expect(sessions).toEqual([undefined, 's1'])
    const bad: [object, string][] = [
      [{ container }, 'container'],
      [{ container: 'other', tools: [code] }, 'container'],
      [{ container: { skills: [{ type: 'custom', skill_id: 's' }] } }, 'container.skills'],
    ]
    for (const [fields, param] of bad) {
      await expect(client.beta.messages.create({ ...ask, ...fields })).rejects.toMatchObject({
        status: 400,
        error: { error: { details: { param } } },
      })
    }
  })

  it('are searches no more often than they may be', async () => {
    const query = (text: string) => turn([{ name: 'browser__search', args: { query: text } }])
    const { client, ask } = await anthropic([query('bees'), query('wasps'), turn('Enough.')])
    const tools = [{ ...search, max_uses: 1 }]
    const tool_choice = { type: 'tool' as const, name: 'web_search' }
    const { content, usage } = await client.messages.create({ ...ask, tools, tool_choice })
    expect(content[3]).toMatchObject({ content: { error_code: 'unavailable' } })
    expect(usage.server_tool_use).toMatchObject({ web_search_requests: 1 })
  })

  it('are named by their place where nobody runs one of them', async () => {
    const { client, ask, deps, hosted } = await anthropic([turn('a')])
    deps.hosted = { ...hosted, offers: async (tool) => tool !== 'web_search' }
    const own = { name: 'mine', input_schema: { type: 'object' as const } }
    const tools = [code, search, own]
    const { response } = await client.beta.messages.create({ ...ask, tools }).withResponse()
    expect(response.headers.get('warning')).toContain('left out: tools[1]')
  })

  it('wait for the client where it has a call of its own', async () => {
    const own = { name: 'mine', input_schema: { type: 'object' as const } }
    const { client, ask } = await anthropic([
      turn([
        { name: 'python', args: { input: '1' } },
        { name: 'mine', args: {} },
      ]),
    ])
    const { content, stop_reason } = await client.beta.messages.create({
      ...ask,
      tools: [code, own],
    })
    expect(content.map(({ type }) => type)).toEqual([
      'server_tool_use',
      'code_execution_tool_result',
      'tool_use',
    ])
    expect(stop_reason).toBe('tool_use')
  })
})
