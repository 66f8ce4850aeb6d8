// Remote MCP through the Responses and Chat faces: a scripted model, and real MCP servers on loopback.
import { describe, expect, it } from 'vitest'
import { handleChat } from '../../../src/index.ts'
import type { McpServerOptions } from '../../tools/mcp-server.ts'
import { post } from '../upstream.ts'
import { echo, items, serverWith, stage, toolOf } from './mcp-stage.ts'
import { type Json, kinds, turn } from './script.ts'

const messagesOf = (call: { body: Json } | undefined) => (call?.body.messages ?? []) as Json[]

describe('tools of a remote server', () => {
  for (const wire of ['newest', 'sessions', 'both'] as const) {
    for (const stream of [false, true]) {
      it(`are listed, called once, and the model goes on (${wire}, stream ${stream})`, async () => {
        const server = await serverWith({ wire })
        const { send, sent } = stage([server], [turn([echo('hi')], 'hm'), turn('It said hi.')])
        const { final } = await send({ input: 'go', stream, tools: [toolOf(server)] })
        expect(kinds(final)).toEqual(['mcp_list_tools', 'reasoning', 'mcp_call', 'message'])
        const [call = {}] = items(final, 'mcp_call')
        expect(call).toMatchObject({
          server_label: 'docs',
          name: 'echo',
          arguments: '{"text":"hi"}',
          output: 'hi',
          error: null,
          status: 'completed',
          approval_request_id: null,
        })
        expect(server.count()).toBe(1)
        const [list = {}] = items(final, 'mcp_list_tools')
        expect((list.tools as Json[]).map(({ name }) => name)).toContain('echo')
        const messages = messagesOf(sent[1])
        expect(messages.at(-1)).toMatchObject({ role: 'tool', content: 'hi' })
      })
    }
  }

  it('of two servers may have the same name', async () => {
    const [a, b] = [await serverWith(), await serverWith()]
    const tools = [toolOf(a, { server_label: 'a' }), toolOf(b, { server_label: 'b' })]
    const calls = ['a', 'b'].map((label) => ({ name: `${label}__echo`, args: { text: label } }))
    const { send } = stage([a, b], [turn(calls), turn('Both.')])
    const { final } = await send({ input: 'go', stream: true, tools })
    const told = items(final, 'mcp_call').map(({ server_label, output }) => [server_label, output])
    expect(told).toEqual([
      ['a', 'a'],
      ['b', 'b'],
    ])
    expect([a.count(), b.count()]).toEqual([1, 1])
  })

  it('outside of allowed_tools are neither told nor called', async () => {
    const server = await serverWith()
    const tools = [toolOf(server, { allowed_tools: ['echo'] })]
    const add = { name: 'docs__add', args: { a: 1, b: 2 } }
    const { send, sent } = stage([server], [turn([add]), turn('I cannot.')])
    const { final } = await send({ input: 'go', tools })
    expect(JSON.stringify(sent[0]?.body.tools)).not.toContain('docs__add')
    expect(server.count()).toBe(0)
    const [call = {}] = items(final, 'mcp_call')
    expect(call).toMatchObject({ status: 'failed', name: 'add' })
    expect(messagesOf(sent[1]).at(-1)?.content).toContain("no tool 'add'")
  })

  it('with arguments that do not fit are not called; the model is told', async () => {
    const server = await serverWith()
    const bad = [
      { name: 'docs__add', args: { a: 'one' } },
      { name: 'docs__add', args: '{"a":' },
    ]
    const { send, sent } = stage([server], [turn(bad), turn('Sorry.')])
    await send({ input: 'go', stream: true, tools: [toolOf(server)] })
    expect(server.count()).toBe(0)
    const told = messagesOf(sent[1]).filter(({ role }) => role === 'tool')
    expect(told.map(({ content }) => content)).toEqual([
      expect.stringContaining('do not fit'),
      expect.stringContaining('not valid JSON'),
    ])
  })

  it('that fail are told to the model and to the client', async () => {
    const server = await serverWith()
    const calls = ['failing', 'throwing'].map((name) => ({ name: `docs__${name}`, args: {} }))
    const { send } = stage([server], [turn(calls), turn('Both failed.')])
    const { final } = await send({ input: 'go', stream: true, tools: [toolOf(server)] })
    const [said = {}, threw = {}] = items(final, 'mcp_call')
    expect(said).toMatchObject({
      status: 'failed',
      error: { type: 'mcp_tool_execution_error', content: [{ text: 'It did not work.' }] },
    })
    expect(threw).toMatchObject({ status: 'failed', error: { type: 'mcp_protocol_error' } })
    expect(final.status).toBe('completed')
    expect(server.count()).toBe(2)
  })

  it('of a server that is away are an item with an error, and the model answers without', async () => {
    const server = await serverWith()
    await server.close()
    const { send } = stage([server], [turn('Without tools, then.')])
    const { final } = await send({ input: 'go', stream: true, tools: [toolOf(server)] })
    expect(kinds(final)).toEqual(['mcp_list_tools', 'message'])
    expect(items(final, 'mcp_list_tools')[0]?.error).toEqual(expect.any(String))
  })

  it('work in Chat Completions without approvals, and with them are refused by name', async () => {
    const server = await serverWith()
    const { deps } = stage([server], [turn([echo('hi')]), turn('It said hi.')])
    const messages = [{ role: 'user', content: 'go' }]
    const body = { model: 'test/model', messages, tools: [toolOf(server)] }
    const answer = await handleChat(post(body), deps)
    expect(await answer.json()).toMatchObject({
      choices: [{ message: { content: 'It said hi.' } }],
    })
    expect(server.count()).toBe(1)
    const asking = { ...body, tools: [toolOf(server, { require_approval: 'always' })] }
    const refused = await handleChat(post(asking), deps)
    expect(refused.status).toBe(400)
    expect(await refused.json()).toMatchObject({ error: { param: 'tools[0].require_approval' } })
  })

  it('keep their credentials to themselves', async () => {
    const server = await serverWith({ token: 'hush-hush' })
    const tools = [toolOf(server, { authorization: 'hush-hush', headers: { 'x-team': 'blue' } })]
    const { send, sent } = stage([server], [turn([echo('hi')]), turn('Done.')])
    const { final, events } = await send({ input: 'go', stream: true, tools })
    expect(items(final, 'mcp_call')[0]?.output).toBe('hi')
    expect(JSON.stringify([events, sent])).not.toMatch(/hush-hush|blue/)
  })

  it('have one connection a request, which is closed', async () => {
    const server = await serverWith({ wire: 'sessions' })
    const calls = [turn([echo('a')]), turn([echo('b')]), turn('Done.')]
    const { send } = stage([server], calls)
    await send({ input: 'go', tools: [toolOf(server)] })
    expect(server.methods.filter((method) => method === 'initialize')).toHaveLength(1)
    expect(server.requests.at(-1)?.method).toBe('DELETE')
  })

  it('are not listed again where the input has the list', async () => {
    const server = await serverWith()
    const { send } = stage([server], [turn('Hello.'), turn('Hello again.')])
    const tools = [toolOf(server)]
    const first = await send({ input: 'go', tools })
    const before = server.methods.length
    const input = [...(first.final.output as Json[]), { role: 'user', content: 'again' }]
    const second = await send({ input, tools })
    expect(kinds(second.final)).toEqual(['message'])
    expect(server.methods.length).toBe(before)
  })
})

describe('approvals', () => {
  const always = { require_approval: 'always' }
  const approve = (request: Json, approve = true) => ({
    type: 'mcp_approval_response',
    approval_request_id: request.id,
    approve,
  })

  for (const stream of [false, true]) {
    it(`are asked by default, and let one call run (stream ${stream})`, async () => {
      const server = await serverWith()
      const { require_approval: _, ...tool } = toolOf(server)
      const { send, sent } = stage([server], [turn([echo('hi')]), turn('It said hi.')])
      const first = await send({ input: 'go', stream, tools: [tool] })
      expect(kinds(first.final)).toEqual(['mcp_list_tools', 'mcp_approval_request'])
      expect(server.count()).toBe(0)
      const [request = {}] = items(first.final, 'mcp_approval_request')
      expect(request).toMatchObject({
        server_label: 'docs',
        name: 'echo',
        arguments: '{"text":"hi"}',
      })
      const input = [
        { role: 'user', content: 'go' },
        ...(first.final.output as Json[]),
        approve(request),
      ]
      const second = await send({ input, stream, tools: [tool] })
      expect(kinds(second.final)).toEqual(['mcp_call', 'message'])
      const [call = {}] = items(second.final, 'mcp_call')
      expect(call).toMatchObject({ output: 'hi', approval_request_id: request.id })
      expect(server.count()).toBe(1)
      const messages = messagesOf(sent[1])
      expect(messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'tool'])
    })
  }

  it('count once: the same answer sent again runs nothing', async () => {
    const server = await serverWith()
    const { send } = stage([server], [turn([echo('hi')]), turn('One.'), turn('Two.')])
    const tools = [toolOf(server, always)]
    const first = await send({ input: 'go', tools })
    const [request = {}] = items(first.final, 'mcp_approval_request')
    const input = [...(first.final.output as Json[]), approve(request)]
    await send({ input, tools })
    const again = await send({ input, tools })
    expect(server.count()).toBe(1)
    expect(items(again.final, 'mcp_call')[0]).toMatchObject({ status: 'failed' })
    expect(JSON.stringify(again.final)).toContain('used before')
  })

  it('are over once their call stands in the input', async () => {
    const server = await serverWith()
    const { send } = stage([server], [turn([echo('hi')]), turn('One.'), turn('Two.')])
    const tools = [toolOf(server, always)]
    const first = await send({ input: 'go', tools })
    const [request = {}] = items(first.final, 'mcp_approval_request')
    const input = [...(first.final.output as Json[]), approve(request)]
    const second = await send({ input, tools })
    const third = [...input, ...(second.final.output as Json[]), { role: 'user', content: 'more' }]
    const answer = await send({ input: third, tools })
    expect(kinds(answer.final)).toEqual(['message'])
    expect(server.count()).toBe(1)
  })

  it('that are denied are told to the model', async () => {
    const server = await serverWith()
    const { send, sent } = stage([server], [turn([echo('hi')]), turn('As you like.')])
    const tools = [toolOf(server, always)]
    const first = await send({ input: 'go', tools })
    const [request = {}] = items(first.final, 'mcp_approval_request')
    const answer = { ...approve(request, false), reason: 'too risky' }
    await send({ input: [...(first.final.output as Json[]), answer], tools })
    expect(server.count()).toBe(0)
    expect(messagesOf(sent[1]).at(-1)?.content).toContain('too risky')
  })

  it('of changed arguments are refused, with the field', async () => {
    const server = await serverWith()
    const { send } = stage([server], [turn([echo('hi')])])
    const tools = [toolOf(server, always)]
    const first = await send({ input: 'go', tools })
    const output = first.final.output as Json[]
    const [request = {}] = items(first.final, 'mcp_approval_request')
    const changed = output.map((item) =>
      item === request ? { ...item, arguments: '{"text":"ho"}' } : item,
    )
    const { status, final } = await send({ input: [...changed, approve(request)], tools })
    expect(status).toBe(400)
    expect(final).toMatchObject({ error: { param: 'input[2].approval_request_id' } })
    expect(server.count()).toBe(0)
  })

  it('are asked again where a tool has changed behind its pinned list', async () => {
    const changed: McpServerOptions['changed'] = (tools) =>
      tools.map((tool) =>
        tool.name === 'echo' ? { ...tool, description: 'Sends it away.' } : tool,
      )
    const server = await serverWith({ changed })
    for (const stream of [false, true]) {
      const { send } = stage([server], [turn('Hello.'), turn([echo('hi')])])
      const tools = [toolOf(server)]
      const first = await send({ input: 'go', tools })
      const pinned = items(first.final, 'mcp_list_tools').map((item) => ({
        ...item,
        tools: (item.tools as Json[]).map((tool) =>
          tool.name === 'echo' ? { ...tool, description: 'Gives back the text.' } : tool,
        ),
      }))
      const input = [...pinned, { role: 'user', content: 'again' }]
      const { final } = await send({ input, stream, tools })
      expect(kinds(final)).toEqual(['mcp_approval_request'])
      expect(server.count()).toBe(0)
    }
  })

  const described =
    (description: string): NonNullable<McpServerOptions['changed']> =>
    (tools) =>
      tools.map((tool) => (tool.name === 'echo' ? { ...tool, description } : tool))

  it('are no good for a tool that has changed since', async () => {
    const server = await serverWith({ changed: described('Sends it away.') })
    const { send } = stage([server], [turn([echo('hi')])])
    const tools = [toolOf(server, always)]
    const first = await send({ input: 'go', tools })
    const [request = {}] = items(first.final, 'mcp_approval_request')
    const { status, final } = await send({
      input: [...(first.final.output as Json[]), approve(request)],
      tools,
    })
    expect(status).toBe(400)
    expect(final).toMatchObject({
      error: {
        param: 'input[2].approval_request_id',
        message: expect.stringContaining('the tool has changed'),
      },
    })
    expect(server.count()).toBe(0)
  })

  it('of a changed tool let that one run', async () => {
    const server = await serverWith({ changed: described('Sends it away.') })
    const { send } = stage([server], [turn('Hello.'), turn([echo('hi')]), turn('Done.')])
    const tools = [toolOf(server)]
    const first = await send({ input: 'go', tools })
    const pinned = items(first.final, 'mcp_list_tools')
    const asked = await send({ input: [...pinned, { role: 'user', content: 'again' }], tools })
    expect(kinds(asked.final)).toEqual(['mcp_approval_request'])
    const [request = {}] = items(asked.final, 'mcp_approval_request')
    const { final } = await send({ input: [...pinned, request, approve(request)], tools })
    expect(kinds(final)).toContain('mcp_call')
    expect(server.count('echo')).toBe(1)
  })
})

describe('a bad entry of tools', () => {
  it('is refused with the field at fault', async () => {
    const server = await serverWith()
    const bad: [Json, string][] = [
      [{ server_url: 'http://169.254.169.254/' }, 'tools[0].server_url'],
      [{ server_label: '' }, 'tools[0].server_label'],
      [{ require_approval: 'sometimes' }, 'tools[0].require_approval'],
      [{ headers: { host: 'x' } }, 'tools[0].headers.host'],
    ]
    for (const [more, param] of bad) {
      const { send } = stage([server], [])
      const { status, final } = await send({ input: 'go', tools: [toolOf(server, more)] })
      expect(status).toBe(400)
      expect(final).toMatchObject({ error: { param } })
    }
    const { send } = stage([server], [])
    const twice = await send({ input: 'go', tools: [toolOf(server), toolOf(server)] })
    expect(twice.final).toMatchObject({ error: { param: 'tools[1].server_label' } })
  })
})
