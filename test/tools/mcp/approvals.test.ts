// Approvals: what an id is good for, and what it is not.
import { describe, expect, it } from 'vitest'
import { ApiError } from '../../../src/errors.ts'
import { sealFor, sealKey } from '../../../src/seal.ts'
import {
  type ApprovalSubject,
  Approvals,
  approvalMs,
  findApprovals,
  type Origin,
} from '../../../src/tools/mcp/approvals.ts'
import { MemoryClaims } from '../../../src/tools/mcp/claims.ts'
import type { McpTool } from '../../../src/tools/mcp/tool-list.ts'
import { itKeepsClaims } from '../../contract/claims.ts'

const random = (bytes: number) => crypto.getRandomValues(new Uint8Array(bytes))
const key = sealKey('a secret of the host')

function setUp(tenant = 'one') {
  const clock = { now: 1_800_000_000_000 }
  const claims = new MemoryClaims({ now: () => clock.now })
  const seal = sealFor(tenant, key, random)
  return { clock, approvals: new Approvals({ seal, claims, now: () => clock.now, random }) }
}

const tool: McpTool = {
  name: 'pay',
  description: 'Pays a bill.',
  input_schema: { type: 'object', properties: { sum: { type: 'number' } } },
  annotations: null,
}
const subject: ApprovalSubject = {
  label: 'bank',
  url: 'https://bank.example/mcp',
  tool,
  name: 'pay',
  arguments: '{"sum":10}',
}

const origin: Origin = { response: 'resp_a', conversation: undefined, chain: undefined }

async function reason(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof ApiError)) throw new Error(`no ApiError: ${error}`)
  expect(error).toMatchObject({ status: 400, code: 'invalid_value', param: 'input[1]' })
  return error.message
}

describe('an approval', () => {
  it('counts for its own call, once', async () => {
    const { approvals } = setUp()
    const id = await approvals.request(subject, origin)
    expect(id).toMatch(/^mcpr_[\w-]+$/)
    await approvals.check(id, subject, origin, 'input[1]')
    await approvals.check(id, structuredClone(subject), origin, 'input[1]')
    await approvals.spend(id, 'input[1]')
    expect(await reason(approvals.spend(id, 'input[1]'))).toContain('it was used before')
  })

  it('is another one each time', async () => {
    const { approvals } = setUp()
    const [a, b] = [
      await approvals.request(subject, origin),
      await approvals.request(subject, origin),
    ]
    expect(a).not.toBe(b)
    await approvals.spend(a, 'input[1]')
    await approvals.spend(b, 'input[1]')
  })

  it.each<[string, Partial<ApprovalSubject>]>([
    ['for other arguments', { arguments: '{"sum":10000}' }],
    ['for another tool', { name: 'pay_all' }],
    ['for another server', { url: 'https://thief.example/mcp' }],
    ['for another server', { label: 'shop' }],
    ['the tool has changed', { tool: { ...tool, description: 'Pays all bills.' } }],
    ['the tool has changed', { tool: { ...tool, input_schema: { type: 'object' } } }],
    ['the tool has changed', { tool: { ...tool, annotations: { readOnlyHint: true } } }],
    ['no longer has this tool', { tool: undefined }],
  ])('is refused: %s', async (message, change) => {
    const { approvals } = setUp()
    const id = await approvals.request(subject, origin)
    expect(
      await reason(approvals.check(id, { ...subject, ...change }, origin, 'input[1]')),
    ).toContain(message)
  })

  it('counts in the responses that go on from its own, and in no other', async () => {
    const { approvals } = setUp()
    const id = await approvals.request(subject, { ...origin, response: 'resp_b' })
    const check = (more: Partial<Origin>) =>
      approvals.check(id, subject, { ...origin, ...more }, 'input[1]')
    await check({ chain: ['resp_a', 'resp_b', 'resp_c'] })
    for (const chain of [[], ['resp_a'], ['resp_B']]) {
      expect(await reason(check({ chain }))).toContain('by none of the responses')
    }
    const conversation = 'conv_a'
    expect(await reason(check({ conversation }))).toContain('another conversation')
    // One that goes on from nothing brings its items itself: there is nothing to hold it to.
    await check({ response: 'resp_z' })
  })

  it('counts in its own conversation alone', async () => {
    const { approvals } = setUp()
    const conversation = 'conv_a'
    const id = await approvals.request(subject, { ...origin, conversation })
    await approvals.check(id, subject, { ...origin, response: 'resp_b', conversation }, 'input[1]')
    await approvals.check(id, subject, { ...origin, chain: ['resp_a'] }, 'input[1]')
    const other = { ...origin, conversation: 'conv_b' }
    expect(await reason(approvals.check(id, subject, other, 'input[1]'))).toContain(
      'another conversation',
    )
  })

  it('does not mind the order in which a schema is written', async () => {
    const { approvals } = setUp()
    const id = await approvals.request(subject, origin)
    const input_schema = { properties: { sum: { type: 'number' } }, type: 'object' }
    await approvals.check(id, { ...subject, tool: { ...tool, input_schema } }, origin, 'input[1]')
  })

  it('is refused after an hour', async () => {
    const { approvals, clock } = setUp()
    const id = await approvals.request(subject, origin)
    clock.now += approvalMs - 1
    await approvals.check(id, subject, origin, 'input[1]')
    clock.now += 1
    expect(await reason(approvals.check(id, subject, origin, 'input[1]'))).toContain(
      'older than an hour',
    )
    expect(await reason(approvals.spend(id, 'input[1]'))).toContain('older than an hour')
  })

  it('is refused for another tenant, another secret, and where it was made up', async () => {
    const { approvals } = setUp()
    const id = await approvals.request(subject, origin)
    const changed = id.slice(0, 30) + (id[30] === 'A' ? 'B' : 'A') + id.slice(31)
    for (const wrong of [changed, 'mcpr_', 'mcpr_abc', '', `x${id}`, `${id}A`]) {
      expect(await reason(approvals.check(wrong, subject, origin, 'input[1]'))).toContain(
        'not made here',
      )
    }
    const other = setUp('two').approvals
    expect(await reason(other.check(id, subject, origin, 'input[1]'))).toContain(
      'not for this caller',
    )
    expect(await reason(other.spend(id, 'input[1]'))).toContain('not for this caller')
  })
})

describe('approvals among items', () => {
  const request = (id: string) => ({
    type: 'mcp_approval_request',
    id,
    server_label: 'bank',
    name: 'pay',
    arguments: '{}',
  })
  const response = (id: string, approve: unknown, reason?: string) => ({
    type: 'mcp_approval_response',
    approval_request_id: id,
    approve,
    ...(reason === undefined ? {} : { reason }),
  })

  it('tells what became of each', () => {
    const items = [
      { role: 'user', content: 'pay' },
      ...['mcpr_1', 'mcpr_2', 'mcpr_3', 'mcpr_4'].map(request),
      response('mcpr_2', true),
      response('mcpr_3', false, 'too much'),
      response('mcpr_4', true),
      { type: 'mcp_call', id: 'mcp_1', approval_request_id: 'mcpr_4', name: 'pay' },
    ]
    expect(findApprovals(items).map(({ state, reason, param }) => [state, reason, param])).toEqual([
      ['open', null, 'input[1].id'],
      ['approved', null, 'input[5].approval_request_id'],
      ['denied', 'too much', 'input[6].approval_request_id'],
      ['done', null, 'input[7].approval_request_id'],
    ])
  })

  it.each([
    ['input[0].approval_request_id', [response('mcpr_1', true)]],
    ['input[1].approve', [request('mcpr_1'), response('mcpr_1', 'yes')]],
    [
      'input[2].approval_request_id',
      [request('mcpr_1'), response('mcpr_1', true), response('mcpr_1', true)],
    ],
    ['input[0].arguments', [{ ...request('mcpr_1'), arguments: {} }]],
  ])('names the field at fault: %s', (param, items) => {
    let thrown: unknown
    try {
      findApprovals(items)
    } catch (error) {
      thrown = error
    }
    expect(thrown).toMatchObject({ status: 400, param })
  })
})

describe('claims in memory', () => {
  const tenants = new Map<string, MemoryClaims>()
  itKeepsClaims((tenant) => {
    const claims = tenants.get(tenant) ?? new MemoryClaims({ now: () => Date.now() })
    tenants.set(tenant, claims)
    return claims
  })

  it('refuses to be filled up, until what it keeps has ended', async () => {
    const clock = { now: 0 }
    const claims = new MemoryClaims({ now: () => clock.now, max: 3 })
    for (const key of ['a', 'b', 'c']) expect(await claims.claim(key, 10)).toBe(true)
    await expect(claims.claim('d', 10)).rejects.toMatchObject({ code: 'no_capacity', status: 503 })
    expect(await claims.claim('a', 10)).toBe(false)
    clock.now = 10
    expect(await claims.claim('d', 10)).toBe(true)
  })
})
