// Properties over random layouts: however a server cuts one answer into chunks and bytes, the client gets the same.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ChatToResponsesStream } from '../../src/convert/stream.ts'
import {
  ApiError,
  chatToResponse,
  chatToResponses,
  collectResponse,
  parseChatRequest,
  parseResponsesRequest,
  responsesToChat,
} from '../../src/index.ts'
import { checkOrder } from '../oracle/order.ts'
import {
  callChunk,
  chunk,
  convert,
  done,
  finalResponse,
  outline,
  streamOptions,
} from './support.ts'

const text = fc.string({ minLength: 1, maxLength: 40, unit: 'grapheme' })
const args = fc.dictionary(fc.string({ maxLength: 5 }), fc.jsonValue({ maxDepth: 1 }), {
  maxKeys: 3,
})
const answer = fc.record({
  reasoning: fc.option(text, { nil: '' }),
  content: fc.option(
    text.filter((value) => value.trim() !== ''),
    { nil: '' },
  ),
  calls: fc.array(fc.record({ name: fc.constantFrom('f', 'g', 'h'), args }), { maxLength: 3 }),
  finish: fc.constantFrom('stop', 'tool_calls', 'eos'),
})

/** How one answer is laid out. */
const layout = fc.record({
  cuts: fc.array(fc.nat({ max: 6 }), { minLength: 1, maxLength: 8 }),
  reasoningField: fc.constantFrom('reasoning', 'reasoning_content', 'thinking'),
  keys: fc.constantFrom('index', 'id', 'both', 'first'),
  interleaved: fc.boolean(),
  lateNames: fc.boolean(),
  emptyCalls: fc.boolean(),
  usageWithFinish: fc.boolean(),
  endsWithDone: fc.boolean(),
})

/** Cuts text into pieces of the given lengths, round and round. */
function pieces(value: string, cuts: number[]): string[] {
  const units = Array.from(value)
  const found: string[] = []
  for (let at = 0, turn = 0; at < units.length; turn++) {
    const size = (cuts[turn % cuts.length] ?? 0) + 1
    found.push(units.slice(at, at + size).join(''))
    at += size
  }
  return found
}

type Answer = typeof answer extends fc.Arbitrary<infer T> ? T : never
type Layout = typeof layout extends fc.Arbitrary<infer T> ? T : never

function layOut(
  { reasoning, content, calls, finish }: Answer,
  how: Layout,
): (object | typeof done)[] {
  const extra = how.emptyCalls ? { tool_calls: [] } : {}
  const chunks: (object | typeof done)[] = [chunk({ role: 'assistant', content: '', ...extra })]
  for (const piece of pieces(reasoning, how.cuts))
    chunks.push(chunk({ [how.reasoningField]: piece, ...extra }))
  for (const piece of pieces(content, how.cuts)) chunks.push(chunk({ content: piece, ...extra }))
  const perCall = calls.map(({ name, args: value }, index) => {
    const rest = pieces(JSON.stringify(value), how.cuts)
    const key = (first: boolean) => ({
      ...(how.keys === 'index' || how.keys === 'both' || how.keys === 'first' ? { index } : {}),
      ...(how.keys === 'id' || how.keys === 'both' || (first && how.keys === 'first')
        ? { id: `call_${index}` }
        : {}),
    })
    const head = how.lateNames ? (rest.shift() ?? '') : ''
    const opening = how.lateNames
      ? [
          { ...key(true), function: { arguments: head } },
          { ...key(false), function: { name, arguments: '' } },
        ]
      : [{ ...key(true), function: { name, arguments: '' } }]
    return [...opening, ...rest.map((piece) => ({ ...key(false), function: { arguments: piece } }))]
  })
  if (how.interleaved) {
    const longest = Math.max(0, ...perCall.map(({ length }) => length))
    for (let at = 0; at < longest; at++) {
      const row = perCall.flatMap((deltas) => deltas.slice(at, at + 1))
      chunks.push(callChunk(...row))
    }
  } else for (const delta of perCall.flat()) chunks.push(callChunk(delta))
  const usage = { prompt_tokens: 4, completion_tokens: 2, total_tokens: 6 }
  const last = chunk({}, finish)
  chunks.push(...(how.usageWithFinish ? [{ ...last, usage }] : [last, { choices: [], usage }]))
  if (how.endsWithDone) chunks.push(done)
  return chunks
}

describe('Chat chunks → events', () => {
  it('gives the same answer for every layout, in order', () => {
    fc.assert(
      fc.property(answer, layout, (logical, how) => {
        const events = convert(layOut(logical, how))
        // Without names at the start, calls come in the order in which their names do.
        const expected = [
          ...(logical.reasoning === '' ? [] : [['reasoning', logical.reasoning]]),
          ...(logical.content === '' ? [] : [['message', logical.content]]),
          ...logical.calls.map(({ name, args: value }) => [`call ${name}`, JSON.stringify(value)]),
        ]
        expect(outline(events)).toEqual(expected)
        const response = finalResponse(events)
        expect(response.status).toBe('completed')
        expect(response.usage?.total_tokens).toBe(6)
        expect(collectResponse(events)).toEqual(response)
      }),
      { numRuns: 200 },
    )
  })

  it('equals the answer that came whole', () => {
    fc.assert(
      fc.property(answer, layout, (logical, how) => {
        const message = {
          role: 'assistant',
          content: logical.content,
          reasoning: logical.reasoning,
          tool_calls: logical.calls.map(({ name, args: value }, index) => ({
            id: `call_${index}`,
            type: 'function',
            function: { name, arguments: JSON.stringify(value) },
          })),
        }
        const usage = { prompt_tokens: 4, completion_tokens: 2, total_tokens: 6 }
        const whole = chatToResponse(
          { choices: [{ message, finish_reason: 'stop' }], usage },
          streamOptions(),
        )
        const streamed = finalResponse(convert(layOut(logical, { ...how, keys: 'both' })))
        expect(streamed).toEqual(whole)
      }),
      { numRuns: 100 },
    )
  })

  it('fails in order when cut after any chunk', () => {
    fc.assert(
      fc.property(answer, layout, fc.nat(), (logical, how, cut) => {
        const chunks = layOut(logical, how)
        const ends = chunks.findIndex((each) =>
          JSON.stringify(each).includes(`"${logical.finish}"`),
        )
        const events = convert(chunks.slice(0, cut % (ends + 1)), { lostCode: 'node_lost' })
        expect(finalResponse(events).error?.code).toBe('node_lost')
      }),
      { numRuns: 100 },
    )
  })

  it('never throws and stays in order, whatever it is fed', () => {
    const wild = fc.letrec((tie) => ({
      value: fc.oneof(
        { depthSize: 'small' },
        fc.constantFrom(null, true, 0, 7, '', 'a', '{}', '{"a":1}', 'stop', 'length', 'error'),
        fc.array(tie('value'), { maxLength: 3 }),
        fc.dictionary(
          fc.constantFrom(
            ...[
              'choices',
              'delta',
              'message',
              'content',
              'reasoning',
              'tool_calls',
              'index',
              'id',
              'function',
              'name',
            ],
            ...[
              'arguments',
              'finish_reason',
              'usage',
              'error',
              'refusal',
              'logprobs',
              'prompt_tokens',
              'code',
            ],
          ),
          tie('value'),
          { maxKeys: 5 },
        ),
      ),
    })).value
    const delta = fc.dictionary(
      fc.constantFrom('content', 'reasoning', 'refusal', 'tool_calls', 'function_call'),
      wild,
    )
    const fed = fc.oneof(
      wild,
      fc.record({ choices: fc.tuple(fc.record({ delta, finish_reason: wild })) }),
    )
    fc.assert(
      fc.property(fc.array(fed, { maxLength: 8 }), (chunks) => {
        const stream = new ChatToResponsesStream(streamOptions())
        const events = [
          ...stream.start(),
          ...chunks.flatMap((each) => stream.push(each)),
          ...stream.end(),
        ]
        expect(checkOrder(events)).toEqual([])
      }),
      { numRuns: 300 },
    )
  })
})

describe('requests', () => {
  const anything = fc.jsonValue({ maxDepth: 2 })
  const orApiError = (run: () => unknown) => {
    try {
      run()
    } catch (thrown) {
      expect(thrown).toBeInstanceOf(ApiError)
    }
  }

  it('keep unknown fields through a round trip', () => {
    fc.assert(
      fc.property(
        fc.dictionary(
          fc.stringMatching(/^x_[a-z]{1,8}$/),
          anything.filter((value) => value !== null),
        ),
        (extra) => {
          const request = { model: 'm', messages: [{ role: 'user', content: 'hi' }], ...extra }
          expect(responsesToChat(chatToResponses(parseChatRequest(request))).body).toEqual(request)
        },
      ),
      { numRuns: 100 },
    )
  })

  it('of any shape are taken or refused with an ApiError', () => {
    const keys = [
      'messages',
      'input',
      'tools',
      'tool_choice',
      'text',
      'response_format',
      'reasoning',
      'stop',
      'n',
    ]
    const inner = [
      'role',
      'content',
      'type',
      'name',
      'function',
      'call_id',
      'output',
      'tool_calls',
      'summary',
    ]
    const part = fc.dictionary(
      fc.constantFrom(...inner),
      fc.oneof(anything, fc.constantFrom('user', 'assistant', 'function_call')),
    )
    const body = fc.dictionary(
      fc.constantFrom(...keys),
      fc.oneof(anything, part, fc.array(part, { maxLength: 3 })),
    )
    fc.assert(
      fc.property(body, (fields) => {
        orApiError(() =>
          responsesToChat(parseResponsesRequest({ model: 'm', input: 'x', ...fields })),
        )
        const messages = [{ role: 'user', content: 'x' }]
        orApiError(() => chatToResponses(parseChatRequest({ model: 'm', messages, ...fields })))
      }),
      { numRuns: 500 },
    )
  })
})
