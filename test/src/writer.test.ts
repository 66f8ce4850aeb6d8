import { describe, expect, it } from 'vitest'
import { responseObjectSchema, responsesEventSchema } from '../../src/index.ts'
import type { ResponsesEvent } from '../../src/protocol/events.ts'
import { ResponseWriter } from '../../src/stream/writer.ts'
import { checkResponseSchema } from '../oracle/open-responses.ts'
import { expectInOrder, finalResponse, outline, streamOptions } from './support.ts'

type Overrides = Parameters<typeof streamOptions>[0]

function write(run: (writer: ResponseWriter) => ResponsesEvent[][], overrides: Overrides = {}) {
  const writer = new ResponseWriter(streamOptions(overrides))
  const events = [...writer.start(), ...run(writer).flat()]
  expectInOrder(events)
  for (const event of events) expect(responsesEventSchema.safeParse(event).error).toBeUndefined()
  expect(writer.response).toEqual(finalResponse(events))
  return events
}

const types = (events: ResponsesEvent[]) => events.map(({ type }) => type.slice('response.'.length))

describe('ResponseWriter', () => {
  it('writes reasoning, text and a call one after the other, each opened and closed', () => {
    const events = write((writer) => [
      writer.reasoning('I should '),
      writer.reasoning('look.'),
      writer.text('Let me see.'),
      writer.openCall({ call_id: 'call_1', name: 'look' }),
      writer.callArguments('call_1', '{"at":'),
      writer.callArguments('call_1', '"it"}'),
      writer.closeCall('call_1'),
      writer.complete({ finish: 'tool_calls' }),
    ])
    expect(types(events)).toEqual([
      'created',
      'in_progress',
      'output_item.added',
      'content_part.added',
      'reasoning_text.delta',
      'reasoning_text.delta',
      'reasoning_text.done',
      'content_part.done',
      'output_item.done',
      'output_item.added',
      'content_part.added',
      'output_text.delta',
      'output_text.done',
      'content_part.done',
      'output_item.done',
      'output_item.added',
      'function_call_arguments.delta',
      'function_call_arguments.delta',
      'function_call_arguments.done',
      'output_item.done',
      'completed',
    ])
    expect(outline(events)).toEqual([
      ['reasoning', 'I should look.'],
      ['message', 'Let me see.'],
      ['call look', '{"at":"it"}'],
    ])
  })

  it.each(['reasoning', 'summary'] as const)('writes reasoning as %s events', (reasoningEvents) => {
    const events = write(
      (writer) => [writer.reasoning('hm'), writer.text('so'), writer.complete({ finish: 'stop' })],
      { reasoningEvents },
    )
    const wanted =
      reasoningEvents === 'reasoning' ? 'reasoning.delta' : 'reasoning_summary_text.delta'
    expect(types(events)).toContain(wanted)
    expect(outline(events)[0]).toEqual(['reasoning', 'hm'])
  })

  it('holds parallel calls back so that items never interleave', () => {
    const events = write((writer) => [
      writer.openCall({ call_id: 'a', name: 'first' }),
      writer.openCall({ call_id: 'b', name: 'second' }),
      writer.openCall({ call_id: 'c', name: 'third' }),
      writer.callArguments('b', '{"b":1}'),
      writer.callArguments('a', '{"a":1}'),
      writer.closeCall('b'),
      writer.closeCall('a'),
      writer.callArguments('c', '{}'),
      writer.complete({ finish: 'tool_calls' }),
    ])
    expect(outline(events)).toEqual([
      ['call first', '{"a":1}'],
      ['call second', '{"b":1}'],
      ['call third', '{}'],
    ])
  })

  it('opens another message when the phase changes', () => {
    const events = write((writer) => [
      writer.text('Looking it up', { phase: 'commentary' }),
      writer.text('…', { phase: 'commentary' }),
      writer.text('Found.', { phase: 'final_answer' }),
      writer.complete({ finish: 'stop' }),
    ])
    const phases = finalResponse(events).output.map((item) =>
      item.type === 'message' ? [item.phase, item.content.length] : [],
    )
    expect(phases).toEqual([
      ['commentary', 1],
      ['final_answer', 1],
    ])
  })

  it('puts a refusal into the open message as a part of its own', () => {
    const events = write((writer) => [
      writer.text('Well, '),
      writer.refusal('no.'),
      writer.complete({ finish: 'stop' }),
    ])
    const [item] = finalResponse(events).output
    expect(item?.type === 'message' && item.content).toEqual([
      { type: 'output_text', text: 'Well, ', annotations: [], logprobs: [] },
      { type: 'refusal', refusal: 'no.' },
    ])
  })

  it('keeps logprobs in deltas and in the finished part', () => {
    const logprob = { token: 'hi', logprob: -0.5, bytes: [104, 105], top_logprobs: [] }
    const events = write((writer) => [
      writer.text('hi', { logprobs: [logprob] }),
      writer.complete({ finish: 'stop' }),
    ])
    const [item] = finalResponse(events).output
    const part = item?.type === 'message' ? item.content[0] : undefined
    expect(part?.type === 'output_text' && part.logprobs).toEqual([logprob])
  })

  it.each([
    ['length', 'max_output_tokens'],
    ['content_filter', 'content_filter'],
  ] as const)('ends with %s as incomplete because of %s', (finish, reason) => {
    const events = write((writer) => [writer.text('Once upon'), writer.complete({ finish })])
    const response = finalResponse(events)
    expect(response.status).toBe('incomplete')
    expect(response.incomplete_details).toEqual({ reason })
    expect(response.output[0]?.status).toBe('incomplete')
  })

  it('never leaves an incomplete item before another one', () => {
    const events = write((writer) => [
      writer.openCall({ call_id: 'a', name: 'whole' }),
      writer.callArguments('a', '{"a":1}'),
      writer.openCall({ call_id: 'b', name: 'cut' }),
      writer.callArguments('b', '{"b":'),
      writer.openCall({ call_id: 'c', name: 'never' }),
      writer.complete({ finish: 'length' }),
    ])
    expect(finalResponse(events).output.map(({ status }) => status)).toEqual([
      'completed',
      'incomplete',
    ])
  })

  it('fails with both error shapes, keeping what was received', () => {
    const events = write((writer) => [
      writer.reasoning('hm'),
      writer.text('half a sen'),
      writer.fail({ code: 'node_lost', message: 'gone' }),
    ])
    const error = events.at(-2)
    expect(error).toMatchObject({ type: 'error', code: 'node_lost', message: 'gone', param: null })
    expect(error).toMatchObject({ error: { type: 'server_error', code: 'node_lost' } })
    expect(finalResponse(events).error).toEqual({ code: 'node_lost', message: 'gone' })
    expect(outline(events)).toEqual([
      ['reasoning', 'hm'],
      ['message', 'half a sen'],
    ])
  })

  it('writes nothing after the end', () => {
    const writer = new ResponseWriter(streamOptions())
    writer.start()
    writer.complete({ finish: 'stop' })
    const late = [
      writer.text('x'),
      writer.reasoning('x'),
      writer.refusal('x'),
      writer.openCall({ call_id: 'a', name: 'f' }),
      writer.callArguments('a', '{}'),
      writer.closeCall('a'),
      writer.complete({ finish: 'stop' }),
      writer.fail({ code: 'x', message: 'x' }),
    ]
    expect(late.flat()).toEqual([])
  })

  it('refuses arguments for a call that is not open', () => {
    const writer = new ResponseWriter(streamOptions())
    writer.openCall({ call_id: 'a', name: 'f' })
    writer.closeCall('a')
    expect(() => writer.callArguments('a', '{}')).toThrow(/not open/)
  })

  it('echoes the request in all 31 keys', () => {
    const events = write((writer) => [writer.complete({ finish: 'stop' })], {
      request: {
        model: 'm',
        input: 'x',
        instructions: 'Be kind.',
        tools: [{ type: 'function', name: 'f' }],
        tool_choice: { type: 'function', name: 'f' },
        reasoning: { effort: 'high' },
        metadata: { k: 'v' },
        temperature: 0.5,
        max_output_tokens: 9,
        store: true,
        service_tier: 'auto',
        text: { verbosity: 'low' },
      },
    })
    const response = finalResponse(events)
    expect(response).toMatchObject({
      instructions: 'Be kind.',
      tools: [{ type: 'function', name: 'f', description: null, parameters: null, strict: null }],
      tool_choice: { type: 'function', name: 'f' },
      reasoning: { effort: 'high', summary: null },
      metadata: { k: 'v' },
      temperature: 0.5,
      top_p: 1,
      max_output_tokens: 9,
      store: false,
      service_tier: 'default',
      text: { format: { type: 'text' }, verbosity: 'low' },
      completed_at: 1_700_000_005,
    })
    expect(Object.keys(response)).toHaveLength(31)
    expect(responseObjectSchema.safeParse(response).error).toBeUndefined()
    expect(checkResponseSchema(response)).toEqual([])
  })

  it('gives snapshots that later events do not change', () => {
    const writer = new ResponseWriter(streamOptions())
    const [created] = writer.start()
    writer.text('hello')
    const before = structuredClone(writer.response)
    const during = writer.response
    writer.text(' world')
    writer.complete({ finish: 'stop' })
    expect(during).toEqual(before)
    expect(created && 'response' in created && created.response.output).toEqual([])
  })
})
