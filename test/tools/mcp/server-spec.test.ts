// An `mcp` entry of a request's tools: what it may say, and which field is told of where it may not.
import { describe, expect, it } from 'vitest'
import type { EgressPolicy } from '../../../src/egress/egress.ts'
import { checkUrls } from '../../../src/egress/request-urls.ts'
import { ApiError } from '../../../src/errors.ts'
import { parseResponsesRequest } from '../../../src/protocol/responses.ts'
import { parseMcpTool } from '../../../src/tools/mcp/server-spec.ts'
import type { McpTool } from '../../../src/tools/mcp/tool-list.ts'

const listed: EgressPolicy = { mcpHosts: ['mcp.example.com', '127.0.0.1:9'] }
const entry = { type: 'mcp', server_label: 'docs', server_url: 'https://mcp.example.com/mcp' }

const parse = (fields: Record<string, unknown>, egress: EgressPolicy | undefined = listed) =>
  parseMcpTool({ ...entry, ...fields }, 'tools[2]', egress, 'fetch')

function fault(work: () => unknown): ApiError {
  try {
    work()
  } catch (thrown) {
    if (thrown instanceof ApiError) return thrown
    throw thrown
  }
  throw new Error('nothing was thrown')
}

const tool = (name: string, readOnlyHint?: boolean): McpTool => ({
  name,
  description: null,
  input_schema: { type: 'object' },
  annotations: readOnlyHint === undefined ? null : { readOnlyHint },
})

describe('an mcp entry', () => {
  it('is read', () => {
    const spec = parse({
      server_description: 'Documentation.',
      authorization: 'token',
      headers: { 'X-Team': 'blue' },
    })
    expect(spec).toMatchObject({
      label: 'docs',
      url: 'https://mcp.example.com/mcp',
      description: 'Documentation.',
      headers: { authorization: 'Bearer token', 'x-team': 'blue' },
    })
    expect(parse({ authorization: 'Basic abc' }).headers.authorization).toBe('Basic abc')
    expect(parse({ headers: { Authorization: 'Bearer x' } }).headers).toEqual({
      authorization: 'Bearer x',
    })
  })

  it.each<[string, Record<string, unknown>, string]>([
    ['server_label', { server_label: undefined }, 'missing_required_parameter'],
    ['server_label', { server_label: 'my docs' }, 'invalid_value'],
    ['server_label', { server_label: '' }, 'invalid_value'],
    ['server_label', { server_label: 'a'.repeat(65) }, 'invalid_value'],
    ['server_url', { server_url: undefined }, 'missing_required_parameter'],
    ['server_url', { server_url: 7 }, 'invalid_value'],
    ['server_url', { server_url: 'ftp://mcp.example.com' }, 'invalid_value'],
    ['server_url', { server_url: 'https://other.example.com/mcp' }, 'invalid_value'],
    ['server_url', { server_url: 'http://127.0.0.1:10/mcp' }, 'invalid_value'],
    ['server_url', { server_url: 'https://me:pw@mcp.example.com/' }, 'invalid_value'],
    ['server_url', { server_url: 'data:application/json,{}' }, 'invalid_value'],
    ['connector_id', { connector_id: 'connector_gmail' }, 'unsupported_parameter'],
    ['tunnel_id', { tunnel_id: 't' }, 'unsupported_parameter'],
    ['authorization', { authorization: 'a\r\nhost: x' }, 'invalid_value'],
    ['authorization', { authorization: {} }, 'invalid_value'],
    ['headers', { headers: 'a: b' }, 'invalid_value'],
    ['headers.x', { headers: { x: 1 } }, 'invalid_value'],
    ['headers.host', { headers: { host: 'elsewhere' } }, 'invalid_value'],
    ['headers.Mcp-Session-Id', { headers: { 'Mcp-Session-Id': 'x' } }, 'invalid_value'],
    ['headers.X-Forwarded-For', { headers: { 'X-Forwarded-For': 'x' } }, 'invalid_value'],
    ['headers.a b', { headers: { 'a b': 'x' } }, 'invalid_value'],
    [
      'headers.authorization',
      { authorization: 'x', headers: { authorization: 'y' } },
      'invalid_value',
    ],
    ['allowed_tools', { allowed_tools: 'all' }, 'invalid_value'],
    ['allowed_tools[1]', { allowed_tools: ['a', 1] }, 'invalid_value'],
    ['allowed_tools.tool_names', { allowed_tools: { tool_names: 'a' } }, 'invalid_value'],
    ['allowed_tools.read_only', { allowed_tools: { read_only: 'yes' } }, 'invalid_value'],
    ['require_approval', { require_approval: 'sometimes' }, 'invalid_value'],
    ['require_approval', { require_approval: ['a'] }, 'invalid_value'],
    ['require_approval.never', { require_approval: { never: 'all' } }, 'invalid_value'],
    [
      'require_approval.never.tool_names[0]',
      { require_approval: { never: { tool_names: [1] } } },
      'invalid_value',
    ],
  ])('is refused with the field: %s', (field, fields, code) => {
    const param = `tools[2].${field}`
    const error = fault(() => parse(fields))
    expect(error).toMatchObject({ status: 400, code, param })
    expect(error.message).toContain(`'${param}'`)
  })

  it('needs a listed host where a name cannot be looked behind', () => {
    const name = { server_url: 'https://mcp.example.com/mcp' }
    const error = fault(() => parseMcpTool({ ...entry, ...name }, 'tools[2]', undefined, 'fetch'))
    expect(error.message).toContain('egress.mcpHosts')
    expect(parseMcpTool({ ...entry, ...name }, 'tools[2]', undefined, 'resolve').url).toBe(
      name.server_url,
    )
  })

  it('needs https, unless its host is listed', () => {
    const plain = { server_url: 'http://mcp.example.com/mcp' }
    expect(parse(plain).url).toBe(plain.server_url)
    expect(
      fault(() => parseMcpTool({ ...entry, ...plain }, 'tools[2]', undefined, 'resolve')).message,
    ).toContain('not https')
  })

  it('takes the list of hosts of all URLs where servers have none of their own', () => {
    expect(parse({}, { allowHosts: ['mcp.example.com'] }).url).toBe(entry.server_url)
    const both = { allowHosts: ['mcp.example.com'], mcpHosts: [] }
    expect(fault(() => parse({}, both)).param).toBe('tools[2].server_url')
  })

  it('is held to its own list where all URLs of a request are looked at', () => {
    const request = parseResponsesRequest({
      model: 'm',
      input: [
        {
          role: 'user',
          content: [{ type: 'input_image', image_url: 'https://pictures.example.org/a.png' }],
        },
      ],
      tools: [{ ...entry, server_url: 'http://127.0.0.1:9/mcp' }],
    })
    checkUrls(request, listed)
    expect(fault(() => checkUrls(request, {})).param).toBe('tools[0].server_url')
    const inverse = { mcpHosts: ['127.0.0.1:9'], allowHosts: ['other.example.org'] }
    expect(fault(() => checkUrls(request, inverse)).param).toBe('input[0].content[0].image_url')
  })
})

describe('filters', () => {
  it.each<[unknown, boolean, boolean, boolean]>([
    [undefined, true, true, true],
    [null, true, true, true],
    [[], false, false, false],
    [['read'], true, false, false],
    [{ tool_names: ['write'] }, false, true, false],
    [{ read_only: true }, true, false, false],
    [{ read_only: false }, false, true, true],
    [{ tool_names: ['read', 'write'], read_only: true }, true, false, false],
    [{}, true, true, true],
  ])('allowed_tools %j', (allowed_tools, read, write, other) => {
    const { allows } = parse({ allowed_tools })
    expect([
      allows(tool('read', true)),
      allows(tool('write', false)),
      allows(tool('other')),
    ]).toEqual([read, write, other])
  })

  it.each<[unknown, boolean, boolean]>([
    [undefined, true, true],
    [null, true, true],
    ['always', true, true],
    ['never', false, false],
    [{}, true, true],
    [{ never: { tool_names: ['read'] } }, false, true],
    [{ never: { read_only: true } }, false, true],
    [{ always: { tool_names: ['write'] } }, true, true],
    [{ always: { tool_names: ['write'] }, never: { tool_names: ['read', 'write'] } }, false, true],
  ])('require_approval %j', (require_approval, read, write) => {
    const { needsApproval } = parse({ require_approval })
    expect([needsApproval(tool('read', true)), needsApproval(tool('write'))]).toEqual([read, write])
  })
})
