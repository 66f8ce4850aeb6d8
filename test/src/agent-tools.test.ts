// Tools of agents over models that know functions only: what goes up, and what the client gets back. One piece: each kind of
// tool is followed there and back with the same helpers.
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { lowerTools } from '../../src/convert/agent-tools.ts'
import { ToolNames } from '../../src/convert/tool-names.ts'
import {
  ApiError,
  chatToResponse,
  collectResponse,
  parseResponsesRequest,
  type ResponsesRequest,
  responsesToChat,
} from '../../src/index.ts'
import { FreeformInput } from '../../src/stream/call-shape.ts'
import { browserTool, pythonTool } from '../../src/tools/trained-tools.ts'
import { callChunk, chunk, convert, done, finalResponse, streamOptions } from './support.ts'

const codex: { body: ResponsesRequest } = JSON.parse(
  readFileSync(new URL('../fixtures/codex/tool-turn.json', import.meta.url), 'utf8'),
)

function request(fields: object): ResponsesRequest {
  return parseResponsesRequest({ model: 'm', input: 'hi', ...fields })
}

function toChat(fields: object) {
  return responsesToChat(request(fields))
}

/** The functions that a model is offered. */
function offered(fields: object): string[] {
  return (toChat(fields).body.tools ?? []).map((tool) => tool.function.name)
}

/** The one item that a call of a function becomes, and the events on the way. */
function called(fields: object, name: string, args: string, size = 5) {
  const pieces = args.match(new RegExp(`[\\s\\S]{1,${size}}`, 'g')) ?? []
  const events = convert(
    [
      callChunk({ index: 0, id: 'call_a', function: { name, arguments: '' } }),
      ...pieces.map((piece) => callChunk({ index: 0, function: { arguments: piece } })),
      chunk({}, 'tool_calls'),
      done,
    ],
    { request: request(fields) },
  )
  const response = finalResponse(events)
  expect(collectResponse(events)).toEqual(response)
  return { events, response, item: response.output[0] }
}

const patch = { type: 'custom', name: 'apply_patch', description: 'Edits files.' }
const grammar = { type: 'grammar', syntax: 'lark', definition: 'start: "x"' }

describe('freeform tools', () => {
  it('go up as a function with one string, their grammar in words', () => {
    const { body, dropped } = toChat({ tools: [{ ...patch, format: grammar }] })
    expect(dropped).toEqual([])
    expect(body.tools).toMatchObject([
      {
        type: 'function',
        function: {
          name: 'apply_patch',
          parameters: { properties: { input: { type: 'string' } }, required: ['input'] },
        },
      },
    ])
    const description = body.tools?.[0]?.function.description
    expect(description).toMatch(/^Edits files\.\n\n.*lark grammar:\nstart: "x"$/s)
  })

  it('come back as custom_tool_call items with their text as it grows', () => {
    const text = '*** Begin Patch\n+ "é" 🚂 \\ end'
    const { events, item } = called(
      { tools: [patch] },
      'apply_patch',
      JSON.stringify({ input: text }),
    )
    expect(item).toEqual({
      id: expect.stringMatching(/^ctc_/),
      type: 'custom_tool_call',
      call_id: 'call_a',
      name: 'apply_patch',
      input: text,
      status: 'completed',
    })
    const deltas = events.filter(({ type }) => type === 'response.custom_tool_call_input.delta')
    expect(deltas.length).toBeGreaterThan(3)
    expect(events.some(({ type }) => type.startsWith('response.function_call'))).toBe(false)
  })

  it.each([
    ['bare text', 'echo hi', 'echo hi'],
    ['another key', '{"patch":"x"}', 'x'],
    ['a key before it', '{"why":"w","input":"x"}', 'x'],
    ['an object that is none of it', '{"a":1}', '{"a":1}'],
    ['a text of a raw line break', '{"input":"a\nb"}', 'a\nb'],
  ])('read %s', (_, args, input) => {
    expect(called({ tools: [patch] }, 'apply_patch', args).item).toMatchObject({ input })
  })

  it('go back as calls and outputs of that function', () => {
    const { body } = toChat({
      tools: [patch],
      input: [
        { type: 'custom_tool_call', call_id: 'c1', name: 'apply_patch', input: 'p' },
        { type: 'custom_tool_call_output', call_id: 'c1', output: 'Done!' },
      ],
    })
    expect(body.messages).toMatchObject([
      { tool_calls: [{ id: 'c1', function: { name: 'apply_patch', arguments: '{"input":"p"}' } }] },
      { role: 'tool', tool_call_id: 'c1', content: 'Done!' },
    ])
  })

  it('are read the same however the arguments are cut', () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 30 })
    const ascii = (value: string) =>
      value.replaceAll(/[^ -~]/g, (c) =>
        Array.from(
          { length: c.length },
          (_, at) => `\\u${c.charCodeAt(at).toString(16).padStart(4, '0')}`,
        ).join(''),
      )
    fc.assert(
      fc.property(
        text,
        fc.boolean(),
        fc.array(fc.nat(9), { minLength: 1 }),
        (value, escaped, cuts) => {
          const plain = JSON.stringify({ input: value })
          const args = escaped ? ascii(plain) : plain
          const input = new FreeformInput()
          let read = ''
          for (let at = 0, turn = 0; at < args.length; turn++) {
            const size = (cuts[turn % cuts.length] ?? 0) + 1
            const added = input.push(args.slice(at, at + size))
            if (escaped) expect(added).not.toMatch(/\p{Surrogate}/u)
            read += added
            at += size
          }
          expect(read + input.end(args)).toBe(value)
          expect(input.text).toBe(value)
        },
      ),
    )
  })
})

describe('namespaces', () => {
  const agents = {
    type: 'namespace',
    name: 'agents',
    description: 'd',
    tools: [
      { type: 'function', name: 'spawn', parameters: { type: 'object' } },
      { type: 'custom', name: 'note' },
    ],
  }

  it('are flattened, and restored in calls', () => {
    expect(offered({ tools: [agents] })).toEqual(['agents__spawn', 'agents__note'])
    expect(called({ tools: [agents] }, 'agents__spawn', '{"a":1}').item).toMatchObject({
      type: 'function_call',
      name: 'spawn',
      namespace: 'agents',
      arguments: '{"a":1}',
    })
    expect(called({ tools: [agents] }, 'agents__note', '{"input":"x"}').item).toMatchObject({
      type: 'custom_tool_call',
      name: 'note',
      namespace: 'agents',
      input: 'x',
    })
  })

  it('say what they are for with their first tool', () => {
    const { body } = toChat({ tools: [browserTool(), pythonTool()] })
    const [search, open, find, python] = (body.tools ?? []).map((tool) => tool.function)
    expect([search?.name, open?.name, find?.name, python?.name]).toEqual([
      'browser__search',
      'browser__open',
      'browser__find',
      'python',
    ])
    expect(search?.description).toMatch(
      /^Tool for browsing\.\n.*【6†L9-L11】.*\n\nSearches for information/s,
    )
    expect(open?.description).toMatch(/^Opens the link/)
    expect(python).toMatchObject({
      description: pythonTool().description,
      parameters: { properties: { input: { type: 'string' } }, required: ['input'] },
    })
    expect(called({ tools: [pythonTool()] }, 'python', '{"code":"1+1"}').item).toMatchObject({
      type: 'custom_tool_call',
      name: 'python',
      input: '1+1',
    })
  })

  it('are found again in the history and in tool_choice', () => {
    const call = { type: 'function_call', call_id: 'c', arguments: '{}' }
    const { body } = toChat({
      tools: [agents],
      tool_choice: { type: 'function', namespace: 'agents', name: 'spawn' },
      input: [{ ...call, namespace: 'agents', name: 'spawn' }],
    })
    expect(body.messages).toMatchObject([
      { tool_calls: [{ function: { name: 'agents__spawn', arguments: '{}' } }] },
    ])
    expect(body.tool_choice).toEqual({ type: 'function', function: { name: 'agents__spawn' } })
  })

  it('share no name with anything, in at most 64 characters', () => {
    const taken = { type: 'function', name: 'agents__spawn', parameters: null }
    expect(offered({ tools: [taken, agents] })).toEqual([
      'agents__spawn',
      'agents__spawn_2',
      'agents__note',
    ])
    const name = fc.string({ minLength: 1, maxLength: 90 })
    fc.assert(
      fc.property(fc.uniqueArray(fc.tuple(name, name), { selector: String }), (pairs) => {
        const names = new ToolNames(['f'])
        const flat = pairs.map(([space, own]) => names.flat(space, own))
        expect(new Set(flat).size).toBe(flat.length)
        for (const each of flat) expect(each).toMatch(/^[\w-]{1,64}$/)
        expect(pairs.map(([space, own]) => names.flat(space, own))).toEqual(flat)
      }),
    )
  })

  it('are told apart by numbers, as many as there are', () => {
    const tools = Array.from({ length: 128 }, (_, group) => {
      const inner = Array.from({ length: 128 }, (_, each) => ({
        type: 'function',
        name: String.fromCodePoint(0x4e00 + group * 128 + each),
      }))
      return { type: 'namespace', name: 'n', tools: inner }
    })
    const names = lowerTools(request({ tools })).request.tools?.map(({ name }) => name)
    expect(names?.slice(0, 3)).toEqual(['n___', 'n____2', 'n____3'])
    expect(new Set(names).size).toBe(128 * 128)
  })
})

describe('tools that run at the client', () => {
  it.each([
    [
      'local_shell',
      { command: ['ls', '-l'], working_directory: '/w', timeout_ms: 5 },
      {
        type: 'local_shell_call',
        action: { type: 'exec', command: ['ls', '-l'], env: {}, working_directory: '/w' },
      },
    ],
    ['local_shell', { command: 'ls' }, { action: { command: ['bash', '-lc', 'ls'] } }],
    [
      'shell',
      { commands: ['ls', 'pwd'] },
      { type: 'shell_call', action: { commands: ['ls', 'pwd'], timeout_ms: null } },
    ],
    [
      'apply_patch',
      { type: 'update_file', path: 'a', diff: '@@' },
      { type: 'apply_patch_call', operation: { type: 'update_file', path: 'a', diff: '@@' } },
    ],
    [
      'apply_patch',
      { type: 'delete_file', path: 'a', diff: '' },
      { operation: { type: 'delete_file', path: 'a' } },
    ],
  ])('%s: %j', (type, args, expected) => {
    const { item } = called({ tools: [{ type }] }, type, JSON.stringify(args))
    expect(item).toMatchObject({ ...expected, call_id: 'call_a', status: 'completed' })
  })

  it.each([
    ['local_shell', '{"command":[]}'],
    ['local_shell', 'rm -rf'],
    ['shell', '{"commands":[1]}'],
    ['apply_patch', '{"type":"update_file","path":"a"}'],
    ['apply_patch', '{"type":"chmod","path":"a","diff":""}'],
  ])('%s: %s cannot be run, and is no success', (type, args) => {
    const { response } = called({ tools: [{ type }] }, type, args)
    expect(response.status).toBe('failed')
    expect(response.error?.code).toBe('structured_output_invalid')
    expect(response.output.at(-1)?.status).toBe('incomplete')
  })

  it('read their own history', () => {
    const action = { type: 'exec', command: ['ls'], env: {} }
    const { body } = toChat({
      tools: [{ type: 'local_shell' }, { type: 'shell' }, { type: 'apply_patch' }],
      input: [
        { type: 'local_shell_call', id: 'lsh_1', call_id: 'c1', status: 'completed', action },
        { type: 'local_shell_call_output', id: 'lsh_1', output: 'a.txt' },
        { type: 'shell_call', call_id: 'c2', action: { commands: ['pwd'], timeout_ms: null } },
        {
          type: 'shell_call_output',
          call_id: 'c2',
          output: [{ stdout: '/w', stderr: '', outcome: { type: 'exit', exit_code: 0 } }],
        },
        {
          type: 'apply_patch_call',
          call_id: 'c3',
          status: 'completed',
          operation: { type: 'delete_file', path: 'a' },
        },
        {
          type: 'apply_patch_call_output',
          call_id: 'c3',
          status: 'failed',
          output: 'no such file',
        },
      ],
    })
    expect(body.messages).toMatchObject([
      { tool_calls: [{ id: 'c1', function: { name: 'local_shell' } }] },
      { role: 'tool', tool_call_id: 'c1', content: 'a.txt' },
      { tool_calls: [{ function: { name: 'shell', arguments: '{"commands":["pwd"]}' } }] },
      { role: 'tool', content: expect.stringContaining('"exit_code":0') },
      { tool_calls: [{ function: { arguments: '{"type":"delete_file","path":"a"}' } }] },
      { role: 'tool', content: 'failed: no such file' },
    ])
  })

  it('tool search: deferred tools wait until a search has found them', () => {
    const deferred = { type: 'function', name: 'late', parameters: null, defer_loading: true }
    const search = { type: 'tool_search', execution: 'client' }
    const tools = [search, deferred]
    expect(offered({ tools })).toEqual(['tool_search'])
    expect(called({ tools }, 'tool_search', '{"query":"x"}').item).toMatchObject({
      type: 'tool_search_call',
      execution: 'client',
      arguments: { query: 'x' },
    })
    const input = [
      { type: 'tool_search_call', call_id: 'c', execution: 'client', arguments: { query: 'x' } },
      { type: 'tool_search_output', call_id: 'c', execution: 'client', tools: [deferred] },
    ]
    expect(offered({ tools, input })).toEqual(['tool_search', 'late'])
    expect(toChat({ tools, input }).body.messages).toMatchObject([
      { tool_calls: [{ function: { name: 'tool_search', arguments: '{"query":"x"}' } }] },
      { role: 'tool', content: '{"found":["late"]}' },
    ])
    // A search at the server would find what is offered at once.
    expect(offered({ tools: [{ type: 'tool_search' }, deferred] })).toEqual(['late'])
  })

  it('additional_tools and configuration_update items change what goes up', () => {
    const { body } = toChat({
      reasoning: { effort: 'low' },
      input: [
        { role: 'user', content: 'hi' },
        { type: 'additional_tools', role: 'developer', tools: [patch] },
        { type: 'configuration_update', reasoning: { effort: 'high' } },
      ],
    })
    expect(body).toMatchObject({
      messages: [{ role: 'user' }],
      tools: [{ function: { name: 'apply_patch' } }],
      reasoning_effort: 'high',
    })
  })
})

describe('hosted tools', () => {
  it('are left out by name, and their receipts with them', () => {
    const { body, dropped } = toChat({
      tools: [{ type: 'web_search' }, { type: 'mcp', server_label: 's' }, patch],
      input: [
        { role: 'user', content: 'hi' },
        { type: 'web_search_call', id: 'ws_1', status: 'completed' },
        {
          type: 'mcp_call',
          id: 'mcp_1',
          server_label: 's',
          name: 'add',
          arguments: '{"a":1}',
          output: '2',
        },
      ],
    })
    expect(dropped).toEqual([
      'tools[0] (web_search)',
      'tools[1] (mcp)',
      'input[1] (web_search_call)',
    ])
    expect(body.tools).toHaveLength(1)
    expect(body.messages).toMatchObject([
      { role: 'user' },
      { tool_calls: [{ id: 'mcp_1', function: { name: 's__add' } }] },
      { role: 'tool', content: '2' },
    ])
  })

  it.each([
    { type: 'web_search' },
    { type: 'mcp', server_label: 's' },
    { type: 'custom', name: 'x' },
  ])('cannot be chosen: %j', (tool_choice) => {
    const fields = { tools: [{ type: 'web_search' }, patch], tool_choice }
    expect(() => toChat(fields)).toThrow(
      expect.objectContaining({ param: 'tool_choice' } satisfies Partial<ApiError>),
    )
  })
})

describe('items and tools of any shape', () => {
  it('are taken or refused with an ApiError, and so is what comes back', () => {
    const types = [
      ...['custom_tool_call', 'custom_tool_call_output', 'local_shell_call', 'shell_call'],
      ...['local_shell_call_output', 'shell_call_output', 'apply_patch_call', 'mcp_call'],
      ...['apply_patch_call_output', 'tool_search_call', 'tool_search_output', 'function_call'],
      ...['additional_tools', 'configuration_update', 'web_search_call', 'reasoning', 'message'],
      ...['function', 'custom', 'namespace', 'shell', 'apply_patch', 'local_shell', 'tool_search'],
    ]
    const wild = fc.letrec((tie) => ({
      value: fc.oneof(
        { depthSize: 'small', maxDepth: 4 },
        fc.constantFrom(null, true, 0, '', 'a', 'client', 'delete_file', 'high', ...types),
        fc.array(tie('value'), { maxLength: 2 }),
        fc.dictionary(
          fc.constantFrom(
            ...['type', 'type', 'id', 'call_id', 'name', 'namespace', 'input', 'output', 'action'],
            ...[
              'operation',
              'tools',
              'arguments',
              'execution',
              'path',
              'diff',
              'command',
              'commands',
            ],
            ...[
              'reasoning',
              'text',
              'status',
              'server_label',
              'format',
              'stdout',
              'stderr',
              'role',
            ],
          ),
          tie('value'),
          { maxKeys: 7 },
        ),
      ),
    })).value
    const typed = fc.tuple(fc.constantFrom(...types), wild).map(([type, value]) => ({
      call_id: 'c',
      name: 'n',
      input: 'i',
      tools: [],
      ...(value as object),
      type,
    }))
    let taken = 0
    fc.assert(
      fc.property(
        fc.array(typed, { maxLength: 3 }),
        fc.array(typed, { maxLength: 3 }),
        fc.oneof(fc.constant('auto'), typed),
        fc.constantFrom(...types),
        wild,
        (input, tools, tool_choice, name, value) => {
          try {
            const user = { role: 'user', content: 'hi' }
            const given = parseResponsesRequest({
              model: 'm',
              input: [user, ...input],
              tools,
              tool_choice,
            })
            responsesToChat(given)
            const message = {
              tool_calls: [{ function: { name, arguments: JSON.stringify(value) } }],
            }
            chatToResponse({ choices: [{ message }] }, streamOptions({ request: given }))
            taken++
          } catch (thrown) {
            expect(thrown).toBeInstanceOf(ApiError)
          }
        },
      ),
      { numRuns: 1500 },
    )
    expect(taken).toBeGreaterThan(10)
  })
})

describe('limits on calls', () => {
  const tools = ['f', 'g'].map((name) => ({ type: 'function', name, parameters: null }))
  const two = callChunk(
    { index: 0, id: 'a', function: { name: 'f', arguments: '{}' } },
    { index: 1, id: 'b', function: { name: 'g', arguments: '{}' } },
  )
  const names = (fields: object) =>
    finalResponse(
      convert([two, chunk({}, 'tool_calls'), done], { request: request({ tools, ...fields }) }),
    ).output.map((item) => ('name' in item ? item.name : item.type))

  it('hand on no more than the client takes', () => {
    expect(names({})).toEqual(['f', 'g'])
    expect(names({ parallel_tool_calls: false })).toEqual(['f'])
    expect(names({ max_tool_calls: 1 })).toEqual(['f'])
  })

  it('allowed_tools holds, whatever kind the tool is and whatever the model does', () => {
    const fields = {
      tools: [patch, ...tools],
      tool_choice: {
        type: 'allowed_tools',
        mode: 'auto',
        tools: [{ type: 'custom', name: 'apply_patch' }],
      },
    }
    expect(offered(fields)).toEqual(['apply_patch'])
    const { response } = called(fields, 'f', '{}')
    expect(response.error?.code).toBe('tool_choice_not_met')
    expect(called(fields, 'apply_patch', '{"input":"x"}').response.status).toBe('completed')
  })
})

describe('Codex', () => {
  it('has its tool turn taken as it is, with nothing but the web search left out', () => {
    const parsed = parseResponsesRequest(codex.body)
    const { body, dropped } = responsesToChat(parsed)
    expect(dropped).toEqual(['reasoning.summary', 'tools[8] (web_search)'])
    const names = body.tools?.map((tool) => tool.function.name) ?? []
    expect(names.slice(0, 5)).toEqual([
      'exec_command',
      'write_stdin',
      'request_user_input',
      'view_image',
      'multi_agent_v1__close_agent',
    ])
    expect(body.messages.slice(-2)).toMatchObject([
      { role: 'assistant', reasoning: 'thinking', tool_calls: [{ id: 'call_1' }] },
      { role: 'tool', tool_call_id: 'call_1' },
    ])
    const answer = chatToResponse(
      {
        choices: [
          {
            message: {
              tool_calls: [
                { id: 'x', function: { name: 'multi_agent_v1__close_agent', arguments: '{}' } },
              ],
            },
          },
        ],
      },
      streamOptions({ request: parsed }),
    )
    expect(answer.output).toMatchObject([{ name: 'close_agent', namespace: 'multi_agent_v1' }])
    expect(answer.tools).toEqual(
      expect.arrayContaining([expect.objectContaining({ type: 'namespace' })]),
    )
  })

  it('costs a request of plain functions nothing', () => {
    const plain = request({ tools: [{ type: 'function', name: 'f', parameters: null }] })
    expect(lowerTools(plain).request).toBe(plain)
  })
})
