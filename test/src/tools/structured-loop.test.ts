// Structured output inside of the tool loop: each of its turns is one attempt, and is checked as one.
import { describe, expect, it } from 'vitest'
import { handleResponses } from '../../../src/index.ts'
import type { HostedTools } from '../../../src/tools/hosted.ts'
import { checkOrder } from '../../oracle/order.ts'
import { eventsOf } from '../support.ts'
import { candidate, host, post } from '../upstream.ts'
import { type Json, kinds, model, turn } from './script.ts'

const schema = {
  type: 'object',
  properties: { sum: { type: 'integer' } },
  required: ['sum'],
  additionalProperties: false,
}
const request = {
  model: 'test/model',
  input: 'hi',
  tools: [{ type: 'code_interpreter', container: { type: 'auto' } }],
  text: { format: { type: 'json_schema', name: 'sum', schema, strict: true } },
}
const called = turn([{ name: 'python', args: { input: '1+1' } }])

function stage(...turns: (readonly object[])[]) {
  const made = host([candidate(), model(turns)])
  let calls = 0
  const hosted: HostedTools = {
    offers: async () => true,
    call: async () => {
      calls++
      return { text: '2', isError: false, session: 's1' }
    },
  }
  made.deps.hosted = hosted
  return { ...made, calls: () => calls }
}

describe.each([false, true])('with a tool that runs here (stream: %s)', (stream) => {
  async function put(...turns: (readonly object[])[]) {
    const made = stage(...turns)
    const response = await handleResponses(post({ ...request, stream }), made.deps)
    const raw = await response.text()
    const events = stream && response.status === 200 ? eventsOf(raw) : []
    if (events.length > 0) expect(checkOrder(events)).toEqual([])
    const final = (events.length > 0 ? events.at(-1)?.response : JSON.parse(raw)) as Json
    return { ...made, final }
  }

  it('the last answer is mended, and no call is made again for it', async () => {
    const { final, calls, sent } = await put(called, turn('It is 2.'), turn('{"sum":2}'))
    expect(final).toMatchObject({ status: 'completed', usage: { total_tokens: 45 } })
    expect(kinds(final)).toEqual(['code_interpreter_call', 'message'])
    expect(JSON.stringify(final.output)).toContain('{\\"sum\\":2}')
    expect(calls()).toBe(1)
    expect(sent).toHaveLength(3)
    expect(sent[2]?.body.messages).toMatchObject([{}, {}, {}, {}, { role: 'user' }])
  })

  it('a second miss ends it as a failure, with what was done', async () => {
    const { final, calls } = await put(called, turn('It is 2.'), turn('It is two.'))
    expect(JSON.stringify(final.error)).toContain('structured_output_invalid')
    expect(calls()).toBe(1)
  })
})
