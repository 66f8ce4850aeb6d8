// Messages requests → canonical requests: every block, tool and field, and the way back of a field's name. One piece: a
// catalogue of small cases.
import { encode } from 'gpt-tokenizer/encoding/o200k_base'
import { describe, expect, it } from 'vitest'
import { estimateTokens } from '../../../src/convert/estimate-tokens.ts'
import {
  conversationToResponses,
  messagesToResponses,
} from '../../../src/convert/messages-request.ts'
import { carryingSignature } from '../../../src/convert/messages-thinking.ts'
import { ApiError } from '../../../src/errors.ts'
import { parseCountTokensRequest, parseMessagesRequest } from '../../../src/protocol/messages.ts'
import { parseResponsesRequest } from '../../../src/protocol/responses.ts'

const base = { model: 'm', max_tokens: 50, messages: [{ role: 'user', content: 'hi' }] }

function convert(fields: object) {
  const converted = messagesToResponses(parseMessagesRequest({ ...base, ...fields }))
  // Whatever comes out is a request that this gateway itself would take.
  parseResponsesRequest(JSON.parse(JSON.stringify(converted.request)))
  return converted
}
const inputOf = (...messages: object[]) => convert({ messages }).request.input
const user = (...content: object[]) => ({ role: 'user', content })
const assistant = (...content: object[]) => ({ role: 'assistant', content })
const text = (value: string, fields: object = {}) => ({ type: 'text', text: value, ...fields })
const input = (value: string) => ({ type: 'input_text', text: value })
const result = (id: string, content?: unknown, fields: object = {}) => ({
  type: 'tool_result',
  tool_use_id: id,
  content,
  ...fields,
})
const use = (id: string, args: unknown = {}, name = 'f') => ({
  type: 'tool_use',
  id,
  name,
  input: args,
})

function refusal(fields: object): ApiError {
  try {
    convert(fields)
  } catch (error) {
    if (error instanceof ApiError) return error
    throw error
  }
  throw new Error('it was not refused')
}

describe('messages', () => {
  it('strings and blocks', () => {
    expect(
      inputOf(
        { role: 'user', content: 'a' },
        assistant(text('b'), text('')),
        user(text('c'), text('d')),
      ),
    ).toEqual([
      { type: 'message', role: 'user', content: 'a' },
      {
        type: 'message',
        role: 'assistant',
        content: [{ type: 'output_text', text: 'b', annotations: [] }],
      },
      { type: 'message', role: 'user', content: [input('c'), input('d')] },
    ])
  })

  it('images, documents and search results', () => {
    const content = [
      { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'AA==' } },
      { type: 'image', source: { type: 'url', url: 'https://a.example/x.png' } },
      {
        type: 'document',
        source: { type: 'base64', media_type: 'application/pdf', data: 'AA==' },
        title: 'T',
      },
      { type: 'document', source: { type: 'url', url: 'https://a.example/x.pdf' } },
      {
        type: 'document',
        source: { type: 'text', media_type: 'text/plain', data: 'body' },
        title: 'T',
        context: 'C',
      },
      {
        type: 'document',
        source: {
          type: 'content',
          content: [
            text('one'),
            { type: 'image', source: { type: 'url', url: 'https://a.example/y.png' } },
          ],
        },
      },
      { type: 'document', source: { type: 'content', content: 'plain' } },
      { type: 'search_result', source: 'https://a.example', title: 'Found', content: [text('it')] },
    ]
    expect(inputOf(user(...content))).toEqual([
      {
        type: 'message',
        role: 'user',
        content: [
          { type: 'input_image', image_url: 'data:image/png;base64,AA==' },
          { type: 'input_image', image_url: 'https://a.example/x.png' },
          input('T'),
          { type: 'input_file', filename: 'T', file_data: 'data:application/pdf;base64,AA==' },
          { type: 'input_file', file_url: 'https://a.example/x.pdf' },
          input('T\nC'),
          input('body'),
          input('one'),
          { type: 'input_image', image_url: 'https://a.example/y.png' },
          input('plain'),
          input('Found\nhttps://a.example\nit'),
        ],
      },
    ])
  })

  it('a turn of thinking, text and calls, in its order; results before what the user adds', () => {
    const signed = { type: 'thinking', thinking: 'why', signature: 'from another server' }
    const carried = { type: 'thinking', thinking: '', signature: carryingSignature('carriéd') }
    expect(
      inputOf(
        user(text('go')),
        assistant(
          signed,
          text('look'),
          use('a', { x: 1 }),
          { type: 'redacted_thinking', data: 'zz' },
          carried,
          use('b'),
        ),
        user(text('and now?'), result('b'), result('a', [text('one'), text('two')])),
      ),
    ).toEqual([
      { type: 'message', role: 'user', content: [input('go')] },
      {
        type: 'reasoning',
        id: 'rs_1',
        summary: [],
        content: [{ type: 'reasoning_text', text: 'why' }],
      },
      {
        type: 'message',
        role: 'assistant',
        content: [{ type: 'output_text', text: 'look', annotations: [] }],
      },
      { type: 'function_call', call_id: 'a', name: 'f', arguments: '{"x":1}' },
      {
        type: 'reasoning',
        id: 'rs_4',
        summary: [],
        content: [{ type: 'reasoning_text', text: 'carriéd' }],
      },
      { type: 'function_call', call_id: 'b', name: 'f', arguments: '{}' },
      { type: 'function_call_output', call_id: 'b', output: '' },
      { type: 'function_call_output', call_id: 'a', output: 'one\ntwo' },
      { type: 'message', role: 'user', content: [input('and now?')] },
    ])
  })

  it('results with images and with errors', () => {
    const image = { type: 'image', source: { type: 'url', url: 'https://a.example/x.png' } }
    const part = { type: 'input_image', image_url: 'https://a.example/x.png' }
    const outputs = (...results: object[]) =>
      (inputOf(assistant(use('a')), user(...results)) as { output?: unknown }[])
        .slice(1)
        .map(({ output }) => output)
    expect(
      outputs(
        result('a', [text('seen'), image]),
        result('a', 'no file', { is_error: true }),
        result('a', '<tool_use_error>bad</tool_use_error>', { is_error: true }),
        result('a', [image], { is_error: true }),
        result('a', 'fine', { is_error: false }),
      ),
    ).toEqual([
      [input('seen'), part],
      'Error: no file',
      '<tool_use_error>bad</tool_use_error>',
      [input('Error:'), part],
      'fine',
    ])
  })

  it('what Anthropic’s servers ran is left out and named; a summary stays', () => {
    const { request, dropped } = convert({
      messages: [
        user({ type: 'compaction', content: 'so far' }),
        assistant(
          { type: 'server_tool_use', id: 's', name: 'web_search', input: {} },
          { type: 'web_search_tool_result', tool_use_id: 's', content: [] },
          text('x'),
        ),
        user(text('y'), { type: 'container_upload', file_id: 'f' }),
      ],
    })
    expect(request.input).toHaveLength(3)
    expect(dropped).toEqual([
      'messages[1].content[0]',
      'messages[1].content[1]',
      'messages[2].content[1]',
    ])
  })

  it('calls of MCP and code come back as what they were, also at the end of a paused turn', () => {
    const { request, dropped } = convert({
      messages: [
        user(text('go')),
        assistant(
          { type: 'mcp_tool_use', id: 'm', name: 'echo', server_name: 'docs', input: { a: 1 } },
          { type: 'mcp_tool_result', tool_use_id: 'm', is_error: true, content: [text('no')] },
          { type: 'server_tool_use', id: 'c', name: 'code_execution', input: { code: '1' } },
          {
            type: 'code_execution_tool_result',
            tool_use_id: 'c',
            content: { type: 'code_execution_result', stdout: '1\n', stderr: '', return_code: 0 },
          },
          { type: 'mcp_tool_use', id: 'lost', name: 'echo', server_name: 'docs', input: {} },
          { type: 'mcp_tool_result', tool_use_id: 'other', content: 'x' },
        ),
      ],
    })
    expect(request.input).toMatchObject([
      { type: 'message' },
      {
        type: 'mcp_call',
        id: 'm',
        server_label: 'docs',
        name: 'echo',
        arguments: '{"a":1}',
        output: 'Error: no',
      },
      {
        type: 'code_interpreter_call',
        id: 'c',
        code: '1',
        outputs: [{ type: 'logs', logs: '1\n' }],
      },
    ])
    expect(dropped).toEqual(['messages[1].content[4]', 'messages[1].content[5]'])
  })
})

describe('system', () => {
  it.each([
    ['be kind', 'be kind'],
    [[text('a', { cache_control: { type: 'ephemeral' } }), text('b')], 'a\n\nb'],
    [[text('x-anthropic-billing-header: cc_version=1'), text('b')], 'b'],
    [[], undefined],
    ['', undefined],
  ])('%j', (system, instructions) => {
    expect(convert({ system }).request.instructions).toBe(instructions)
  })

  it('system messages join the instructions until the model has spoken, and stay in place later', () => {
    const { request } = convert({
      system: 'one',
      messages: [
        user(text('q')),
        { role: 'system', content: [text('two')] },
        assistant(text('a')),
        user(text('r')),
        { role: 'system', content: 'three' },
      ],
    })
    expect(request.instructions).toBe('one\n\ntwo')
    expect(
      (request.input as { role?: string; content: unknown }[]).map(({ role }) => role),
    ).toEqual(['user', 'assistant', 'user', 'system'])
  })

  it('clear_at, and an effort of its own', () => {
    const once = {
      role: 'system',
      content: 'once',
      clear_at: 'next_user_message',
      output_config: { effort: 'low' },
    }
    const both = convert({
      output_config: { effort: 'max' },
      messages: [user(text('q')), once],
    }).request
    expect([both.instructions, both.reasoning]).toEqual(['once', { effort: 'low' }])
    expect(
      convert({ messages: [user(text('q')), once, user(text('r'))] }).request.instructions,
    ).toBeUndefined()
  })
})

describe('tools', () => {
  const custom = { name: 'f', description: 'F.', input_schema: { type: 'object' } }
  const toolsOf = (tools: object[], fields: object = {}) => convert({ tools, ...fields })

  it('custom tools, with and without a type', () => {
    const examples = [{ a: 1 }]
    expect(
      toolsOf([
        custom,
        { ...custom, name: 'g', type: 'custom', strict: true, input_examples: examples },
      ]).request.tools,
    ).toEqual([
      {
        type: 'function',
        name: 'f',
        description: 'F.',
        parameters: { type: 'object' },
        strict: false,
      },
      {
        type: 'function',
        name: 'g',
        description: 'F.\nExamples of input:\n{"a":1}',
        parameters: { type: 'object' },
        strict: true,
      },
    ])
  })

  it.each([
    ['bash_20250124', 'bash', ['command', 'restart']],
    ['text_editor_20250728', 'str_replace_based_edit_tool', ['command', 'path', 'old_str']],
    ['text_editor_20241022', 'str_replace_editor', ['command', 'path', 'insert_line']],
    ['memory_20250818', 'memory', ['command', 'old_path']],
    ['computer_20251124', 'computer', ['action', 'coordinate']],
  ])('%s is a function of its fixed shape', (type, name, properties) => {
    const { request, dropped } = toolsOf([
      { type, name, display_width_px: 1024, display_height_px: 768 },
    ])
    expect(dropped).toEqual([])
    const [tool] = request.tools ?? []
    expect(tool).toMatchObject({ type: 'function', name })
    expect(Object.keys(tool?.parameters?.properties as object)).toEqual(
      expect.arrayContaining(properties),
    )
    if (type.startsWith('computer')) expect(tool?.description).toContain('1024×768')
    expect(JSON.stringify(tool).includes('undo_edit')).toBe(type === 'text_editor_20241022')
  })

  it.each(['web_fetch_20250910', 'browser_toolset_20260801', 'tomorrow_29990101'])(
    '%s runs elsewhere: left out and named',
    (type) => {
      const { request, dropped, paramOf } = toolsOf([{ type, name: 'w' }, custom])
      expect(dropped).toEqual(['tools[0]'])
      expect(request.tools).toHaveLength(1)
      expect(paramOf('tools[0].parameters.type')).toBe('tools[1].input_schema.type')
    },
  )

  it('web search and code execution are asked for in canonical words', () => {
    const location = { type: 'approximate', city: 'Graz' }
    const search = {
      type: 'web_search_20250305',
      name: 'web_search',
      allowed_domains: ['bees.example'],
      user_location: location,
      max_uses: 3,
    }
    const code = { type: 'code_execution_20250825', name: 'code_execution' }
    const filters = { allowed_domains: ['bees.example'] }
    const canonical = { type: 'web_search', filters, user_location: location }
    const alone = toolsOf([search], { tool_choice: { type: 'tool', name: 'web_search' } })
    expect(alone.dropped).toEqual([])
    expect(alone.request).toMatchObject({
      tools: [canonical],
      tool_choice: { type: 'web_search' },
      max_tool_calls: 3,
      include: ['web_search_call.action.sources'],
    })
    const { request } = toolsOf([search, code, custom])
    const python = { type: 'code_interpreter', container: { type: 'auto' } }
    expect(request.tools).toMatchObject([{ type: 'function' }, canonical, python])
    expect(request).not.toHaveProperty('max_tool_calls')
    // What would have to be kept out could not be.
    const blocked = { ...search, blocked_domains: ['x.example'] }
    expect(toolsOf([blocked, custom]).dropped).toEqual(['tools[0]'])
  })

  it('a server of MCP is asked for with the tools that its set leaves on', () => {
    const server = { type: 'url', name: 'docs', url: 'https://x', authorization_token: 'secret' }
    const set = { type: 'mcp_toolset', mcp_server_name: 'docs' }
    const mcp = {
      type: 'mcp',
      server_label: 'docs',
      server_url: 'https://x',
      authorization: 'secret',
      require_approval: 'never',
    }
    const off = { default_config: { enabled: false } }
    const on = { configs: { a: { enabled: true }, b: {}, c: { enabled: false } } }
    const cases: [object[], object, object[]][] = [
      [[set], {}, [mcp]],
      [[{ ...set, ...off, ...on }], {}, [{ ...mcp, allowed_tools: ['a'] }]],
      [[{ ...set, ...off }], {}, []],
      // Before there were sets.
      [[], {}, [mcp]],
      [[], { tool_configuration: { allowed_tools: ['b'] } }, [{ ...mcp, allowed_tools: ['b'] }]],
      [[], { tool_configuration: { enabled: false } }, []],
    ]
    for (const [tools, more, wanted] of cases) {
      const { request, dropped } = convert({ tools, mcp_servers: [{ ...server, ...more }] })
      expect(request.tools ?? []).toEqual(wanted)
      expect(dropped).toEqual([])
      expect(request).not.toHaveProperty('mcp_servers')
    }
    const { paramOf } = convert({ tools: [custom, set], mcp_servers: [server] })
    expect(paramOf('tools[1].server_url')).toBe('mcp_servers[0].url')
    expect(paramOf('tools[1].server_label')).toBe('mcp_servers[0].name')
    expect(paramOf('tools[0].filters.allowed_domains[2]')).toBe('tools[0].allowed_domains[2]')
  })

  it('a deferred tool waits until the conversation refers to it', () => {
    const deferred = { ...custom, name: 'later', defer_loading: true }
    const names = (tools: object[], ...messages: object[]) =>
      (toolsOf(tools, messages.length > 0 ? { messages } : {}).request.tools ?? []).map(
        ({ name }) => name,
      )
    expect(names([custom, deferred])).toEqual(['f'])
    const found = [
      assistant(use('a')),
      user(result('a', [{ type: 'tool_reference', tool_name: 'later' }])),
    ]
    expect(names([custom, deferred], ...found)).toEqual(['f', 'later'])
    expect(inputOf(...found)).toContainEqual({
      type: 'function_call_output',
      call_id: 'a',
      output: 'The tool later is available now.',
    })
    const chosen = toolsOf([custom, deferred], { tool_choice: { type: 'tool', name: 'later' } })
    expect((chosen.request.tools ?? []).map(({ name }) => name)).toEqual(['f', 'later'])
    // The search that would find it is not run here.
    expect(names([{ type: 'tool_search_tool_bm25_20251119', name: 's' }, deferred])).toEqual([
      'later',
    ])
  })

  it('tools that come and go in the middle', () => {
    const change = (type: string, tool: object) => ({ role: 'system', content: [{ type, tool }] })
    const deferred = { ...custom, name: 'later', defer_loading: true }
    const messages = [
      user(text('q')),
      change('tool_addition', { type: 'tool_reference', name: 'later' }),
      change('tool_addition', { type: 'tool_definition', definition: { ...custom, name: 'new' } }),
      change('tool_removal', { type: 'tool_reference', name: 'f' }),
    ]
    const { request, paramOf } = toolsOf([custom, deferred], { messages })
    expect((request.tools ?? []).map(({ name }) => name)).toEqual(['later', 'new'])
    expect(paramOf('tools[1].name')).toBe('messages[2].content[0].tool.definition.name')
  })

  it.each([
    [{ type: 'auto' }, { tool_choice: 'auto' }],
    [
      { type: 'any', disable_parallel_tool_use: true },
      { tool_choice: 'required', parallel_tool_calls: false },
    ],
    [{ type: 'tool', name: 'f' }, { tool_choice: { type: 'function', name: 'f' } }],
    [{ type: 'none' }, { tool_choice: 'none' }],
  ])('tool_choice %j', (tool_choice, expected) => {
    expect(toolsOf([custom], { tool_choice }).request).toMatchObject(expected)
  })

  it('a choice without tools is nothing to tell', () => {
    expect(
      convert({ tool_choice: { type: 'auto', disable_parallel_tool_use: true } }).request,
    ).not.toHaveProperty('tool_choice')
    expect(convert({ tool_choice: { type: 'any' } }).request.tool_choice).toBe('required')
  })
})

describe('fields', () => {
  it('limits, sampling and stops', () => {
    expect(
      convert({ temperature: 0.2, top_p: 0.9, top_k: 40, stop_sequences: ['END'], stream: true })
        .request,
    ).toMatchObject({
      max_output_tokens: 50,
      temperature: 0.2,
      top_p: 0.9,
      top_k: 40,
      stop: ['END'],
      stream: true,
    })
  })

  it.each([
    [{ thinking: { type: 'enabled', budget_tokens: 1024 } }, 'low'],
    [{ thinking: { type: 'enabled', budget_tokens: 4096 } }, 'low'],
    [{ thinking: { type: 'enabled', budget_tokens: 10_000 } }, 'medium'],
    [{ thinking: { type: 'enabled', budget_tokens: 31_999 } }, 'high'],
    [{ thinking: { type: 'adaptive' } }, undefined],
    [{ thinking: { type: 'disabled' } }, 'low'],
    [{ output_config: { effort: 'xhigh' } }, 'high'],
    [
      { output_config: { effort: 'medium' }, thinking: { type: 'enabled', budget_tokens: 31_999 } },
      'medium',
    ],
    [{}, undefined],
  ])('%j is effort %s', (fields, effort) => {
    expect(convert(fields).request.reasoning?.effort).toBe(effort)
  })

  it.each(['output_config', 'output_format'])('structured output by %s', (field) => {
    const format = { type: 'json_schema', schema: { type: 'object' } }
    const { request, paramOf } = convert({
      [field]: field === 'output_format' ? format : { format },
    })
    expect(request.text).toEqual({
      format: { type: 'json_schema', name: 'output', schema: format.schema, strict: true },
    })
    const path = field === 'output_format' ? 'output_format' : 'output_config.format'
    expect(paramOf('text.format.schema.type')).toBe(`${path}.schema.type`)
    expect(Object.keys(request)).not.toContain(field)
  })

  it('the user, where it fits', () => {
    expect(convert({ metadata: { user_id: 'u1' } })).toMatchObject({
      request: { user: 'u1' },
      dropped: [],
    })
    const long = convert({ metadata: { user_id: 'u'.repeat(65) } })
    expect(long.dropped).toEqual(['metadata.user_id'])
    expect(long.request).not.toHaveProperty('user')
    expect(long.request).not.toHaveProperty('metadata')
  })

  it('advice to Anthropic’s servers is left out and named, caching without a word', () => {
    const { request, dropped } = convert({
      cache_control: { type: 'ephemeral' },
      context_management: { edits: [] },
      speed: 'fast',
      diagnostics: {},
      fallbacks: [],
      output_config: { task_budget: { type: 'tokens', total: 1 } },
      service_tier: 'auto',
      betas: ['x'],
      inference_geo: null,
    })
    expect(dropped).toEqual([
      'context_management',
      'diagnostics',
      'fallbacks',
      'speed',
      'output_config.task_budget',
    ])
    expect(Object.keys(request).sort()).toEqual(['input', 'max_output_tokens', 'model'])
    expect(convert({ service_tier: 'standard_only' }).request.service_tier).toBe('default')
  })

  it('fields that Anthropic does not have go on to the upstream', () => {
    expect(convert({ seed: 7, min_p: 0.1, provider: { only: ['x'] } }).request).toMatchObject({
      seed: 7,
      min_p: 0.1,
      provider: { only: ['x'] },
    })
  })
})

describe('refusals name the field', () => {
  const image = (source: object) => ({ messages: [user({ type: 'image', source })] })
  it.each([
    [{ max_tokens: undefined }, 'max_tokens', 'missing_required_parameter'],
    [{ max_tokens: 0 }, 'max_tokens', 'invalid_value'],
    [{ messages: [] }, 'messages', 'invalid_value'],
    [{ messages: [{ role: 'robot', content: '' }] }, 'messages[0].role', 'invalid_value'],
    [
      { messages: [user({ type: 'tool_use', id: 'a' })] },
      'messages[0].content[0].name',
      'missing_required_parameter',
    ],
    [
      image({ type: 'file', file_id: 'f' }),
      'messages[0].content[0].source.file_id',
      'unsupported_content',
    ],
    [image({ type: 'fax' }), 'messages[0].content[0].source.type', 'unsupported_content'],
    [
      image({ type: 'base64', media_type: 'image/png;x', data: '' }),
      'messages[0].content[0].source.media_type',
      'invalid_value',
    ],
    [
      { messages: [assistant({ type: 'mcp_tool_use', id: 'm', name: 'n' }), user(text('x'))] },
      'messages[0].content[0].server_name',
      'missing_required_parameter',
    ],
    [
      { messages: [assistant({ type: 'mcp_tool_result' }), user(text('x'))] },
      'messages[0].content[0].tool_use_id',
      'missing_required_parameter',
    ],
    [
      { messages: [assistant({ type: 'server_tool_use', name: 'n' }), user(text('x'))] },
      'messages[0].content[0].id',
      'missing_required_parameter',
    ],
    [{ tools: [{ name: 'f' }] }, 'tools[0].input_schema', 'missing_required_parameter'],
    [{ tool_choice: { type: 'some' } }, 'tool_choice.type', 'invalid_value'],
    [{ thinking: { type: 'loud' } }, 'thinking.type', 'invalid_value'],
    [{ container: 'c' }, 'container', 'unsupported_parameter'],
    [{ mcp_servers: [{ url: 'x' }] }, 'mcp_servers[0].name', 'missing_required_parameter'],
    [
      { mcp_servers: [{ type: 'stdio', name: 'x', url: 'x' }] },
      'mcp_servers[0].type',
      'invalid_value',
    ],
    [
      { tools: [{ type: 'mcp_toolset', mcp_server_name: 'x' }] },
      'tools[0].mcp_server_name',
      'invalid_value',
    ],
    [
      {
        mcp_servers: [{ name: 'x', url: 'https://x' }],
        tools: [{ type: 'mcp_toolset', mcp_server_name: 'x', configs: { rm: { enabled: false } } }],
      },
      'tools[0].configs.rm.enabled',
      'unsupported_parameter',
    ],
    [
      {
        mcp_servers: [{ name: 'x', url: 'https://x' }],
        tools: [
          { type: 'mcp_toolset', mcp_server_name: 'x' },
          { type: 'mcp_toolset', mcp_server_name: 'x', default_config: { enabled: false } },
        ],
      },
      'tools[1].mcp_server_name',
      'invalid_value',
    ],
    [
      { tools: [{ type: 'web_search_20250305', name: 'web_search', max_uses: 0 }] },
      'tools[0].max_uses',
      'invalid_value',
    ],
    [{ thread: { type: 'create' } }, 'thread', 'unsupported_parameter'],
    [{ inference_geo: 'eu' }, 'inference_geo', 'unsupported_parameter'],
    [{ messages: [user(text('a')), assistant(text('b'))] }, 'messages[1]', 'unsupported_content'],
  ])('%j', (fields, param, code) => {
    expect(refusal(fields)).toMatchObject({ param, code, status: 400 })
  })

  it('and canonical faults are told in the client’s words', () => {
    const { paramOf } = convert({
      messages: [
        user(text('q'), {
          type: 'document',
          title: 'T',
          source: { type: 'base64', media_type: 'a/b', data: '' },
        }),
        assistant(text('t'), use('a')),
        user(
          text('x'),
          result('a', [text('y'), { type: 'image', source: { type: 'url', url: 'https://a' } }]),
        ),
      ],
    })
    const cases: Record<string, string> = {
      'input[0].content[2]': 'messages[0].content[1]',
      'input[1].content[0]': 'messages[1].content[0]',
      'input[2].arguments': 'messages[1].content[1].arguments',
      'input[3].output[1]': 'messages[2].content[1].content[1]',
      'input[3].call_id': 'messages[2].content[1].tool_use_id',
      'input[4].content[0]': 'messages[2].content[0]',
      input: 'messages',
      instructions: 'system',
      max_output_tokens: 'max_tokens',
      'reasoning.effort': 'output_config.effort',
      stop: 'stop_sequences',
      temperature: 'temperature',
    }
    for (const [param, told] of Object.entries(cases)) expect(paramOf(param)).toBe(told)
  })
})

describe('an estimate of tokens', () => {
  const prose =
    'The gateway sends each request to the first place that can answer it, in order. '.repeat(40)
  const code =
    'export function sum(values: readonly number[]): number {\n  return values.reduce((a, b) => a + b, 0)\n}\n'.repeat(
      30,
    )
  it.each([
    ['prose', prose],
    ['code', code],
    ['Chinese', '开放模型的网关把每个请求发送到能够回答的第一个地方。'.repeat(40)],
    ['Russian', 'Шлюз отправляет каждый запрос туда, где на него могут ответить. '.repeat(40)],
  ])('is within a third of o200k for %s', (_, content) => {
    const body = parseCountTokensRequest({ model: 'm', messages: [{ role: 'user', content }] })
    const ratio = estimateTokens(conversationToResponses(body).request) / encode(content).length
    expect(ratio).toBeGreaterThan(0.67)
    expect(ratio).toBeLessThan(1.5)
  })
})
