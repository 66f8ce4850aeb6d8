// What a model or a place may do that no client asked for: a thousand calls at once, endless results, turns that are told
// badly, a budget that is spent.
import { describe, expect, it } from 'vitest'
import { handleResponses } from '../../../src/index.ts'
import type { HostedCall, HostedResult, HostedTools } from '../../../src/tools/hosted.ts'
import { checkOrder } from '../../oracle/order.ts'
import { eventsOf } from '../support.ts'
import { candidate, host, json, post, type Script, streamed } from '../upstream.ts'
import { type Json, kinds, model, turn } from './script.ts'

const ask = { model: 'test/model', input: 'hi', tools: [{ type: 'code_interpreter' }] }

class FakePython implements HostedTools {
  readonly calls: HostedCall[] = []
  text = 'ran'
  onCall: () => void = () => undefined

  async offers(tool: string): Promise<boolean> {
    return tool === 'code_interpreter'
  }

  async call(call: HostedCall): Promise<HostedResult> {
    this.calls.push(call)
    this.onCall()
    return { text: this.text, isError: false, session: 's1', logs: this.text }
  }
}

function stage(script: Script, dialect: 'chat' | 'responses' = 'chat') {
  const hosted = new FakePython()
  const made = host([candidate({ dialects: [dialect] }), script])
  made.deps.hosted = hosted
  const send = async (request: Json) => {
    const response = await handleResponses(post(request), made.deps)
    const text = await response.text()
    if (request.stream !== true) return JSON.parse(text) as Json
    const events = eventsOf(text)
    expect(checkOrder(events)).toEqual([])
    return events.at(-1)?.response as Json
  }
  return { ...made, hosted, send }
}

const runs = (...codes: string[]) =>
  turn(codes.map((input) => ({ name: 'python', args: { input } })))

describe('bounds of one response', () => {
  it('of a thousand calls in one turn 128 run, and each has its answer', async () => {
    const codes = Array.from({ length: 1000 }, (_, index) => `step ${index}`)
    const { send, hosted, sent } = stage(model([runs(...codes), turn('Done.')]))
    const final = await send({ ...ask, stream: true })
    expect(hosted.calls).toHaveLength(128)
    expect(final.status).toBe('completed')
    expect(kinds(final)).toHaveLength(1001)
    const messages = sent[1]?.body.messages as Json[]
    expect(messages.at(-1)?.content).toContain('No more than 128 tool calls')
  })

  it('results of 4 Mi characters are enough', async () => {
    const codes = Array.from({ length: 30 }, (_, index) => `step ${index}`)
    const made = stage(model([runs(...codes), turn('Done.')]))
    made.hosted.text = 'x'.repeat(256 * 1024)
    await made.send(ask)
    expect(made.hosted.calls.length).toBeLessThan(25)
    expect(made.hosted.calls.length).toBeGreaterThanOrEqual(16)
  })

  it('calls with 4 Mi characters of arguments are enough', async () => {
    const codes = Array.from({ length: 6 }, (_, index) => `${index}`.repeat(1024 * 1024))
    const made = stage(model([runs(...codes), turn('Done.')]))
    const final = await made.send(ask)
    expect(final.status).toBe('completed')
    expect(made.hosted.calls.length).toBeLessThan(5)
    expect(made.hosted.calls.length).toBeGreaterThan(2)
  })

  it('calls that have not begun when the time for tools is over do not', async () => {
    const codes = Array.from({ length: 20 }, (_, index) => `step ${index}`)
    const made = stage(model([runs(...codes), turn('Done.')]))
    let time = 0
    made.deps.now = () => time
    made.hosted.onCall = () => {
      time += 50_000
    }
    const final = await made.send(ask)
    expect(made.hosted.calls.length).toBeLessThan(12)
    expect(final.status).toBe('completed')
  })

  it('a call that stands in line does not run once its client has left', async () => {
    const made = stage(model([runs('a', 'b', 'c', 'd'), turn('never')]))
    const gone = new AbortController()
    made.hosted.onCall = () => gone.abort()
    const request = post({ ...ask, stream: true }, { signal: gone.signal })
    const response = await handleResponses(request, made.deps)
    await response.text().catch(() => undefined)
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(made.hosted.calls).toHaveLength(1)
  })

  it('max_output_tokens is for all turns: once spent, no other is asked for', async () => {
    for (const stream of [false, true]) {
      const { send, sent } = stage(model([runs('a'), turn('Done.')]))
      const final = await send({ ...ask, stream, max_output_tokens: 5 })
      expect(sent).toHaveLength(1)
      expect(final).toMatchObject({
        status: 'incomplete',
        incomplete_details: { reason: 'max_output_tokens' },
      })
    }
  })
})

describe('a place that speaks Responses badly', () => {
  const call = {
    id: 'ctc_1',
    type: 'custom_tool_call',
    call_id: 'c1',
    name: 'python',
    input: '1+1',
  }
  const whole = { ...call, status: 'completed' }
  const begun = { ...call, status: 'in_progress', input: '' }
  const event = (type: string, more: object) => `data: ${JSON.stringify({ type, ...more })}\n\n`
  const object = (output: unknown, more: object = {}) => {
    return { id: 'r', object: 'response', model: 'm', status: 'completed', output, ...more }
  }
  const last = event('response.completed', { response: object([]) })

  function streams(first: string[]): Script {
    let at = 0
    return () => streamed(at++ === 0 ? first : [last])
  }

  it('with a call in its last event alone is understood', async () => {
    const end = event('response.completed', { response: object([whole]) })
    const at = { output_index: 0, item: begun }
    const begin = event('response.output_item.added', at)
    for (const events of [[end], [begin, end]]) {
      const { send, hosted } = stage(streams(events), 'responses')
      const final = await send({ ...ask, stream: true })
      expect(hosted.calls.map(({ arguments: args }) => args.code)).toEqual(['1+1'])
      expect(final.status).toBe('completed')
    }
  })

  it('with an item that it never ends is cut there', async () => {
    const item = { id: 'rs_1', type: 'reasoning', status: 'in_progress', summary: [] }
    const added = event('response.output_item.added', { output_index: 0, item })
    const end = event('response.incomplete', { response: object([], { status: 'incomplete' }) })
    const { send } = stage(streams([added, end]), 'responses')
    const final = await send({ ...ask, stream: true })
    expect(final).toMatchObject({
      status: 'incomplete',
      output: [{ type: 'reasoning', status: 'incomplete' }],
      incomplete_details: { reason: 'max_output_tokens' },
    })
  })

  it('without a status has answered', async () => {
    let at = 0
    const { send, hosted } = stage(
      () => json(object(at++ === 0 ? [whole] : [], { status: undefined })),
      'responses',
    )
    const final = await send(ask)
    expect(hosted.calls).toHaveLength(1)
    expect(final.status).toBe('completed')
  })
})

describe("names of the client's own tools", () => {
  it('that a hosted tool has for the model are refused, with the field', async () => {
    const tools: Json[] = [
      { type: 'function', name: 'python', parameters: { type: 'object' } },
      { type: 'custom', name: 'python' },
    ]
    for (const own of tools) {
      const { send, hosted, sent } = stage(model([runs('a')]))
      const final = await send({ ...ask, tools: [own, ...ask.tools] })
      expect(final).toMatchObject({ error: { code: 'invalid_value', param: 'tools[0].name' } })
      expect([hosted.calls.length, sent.length]).toEqual([0, 0])
    }
    // Without the hosted tool they are the client's.
    const { send } = stage(model([runs('a')]))
    const final = await send({ ...ask, tools })
    expect(kinds(final)).not.toContain('code_interpreter_call')
  })
})
