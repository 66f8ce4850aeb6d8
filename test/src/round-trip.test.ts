// Properties over both dialects: bytes cut anywhere, requests there and back, streams and whole answers.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ChatToResponsesStream } from '../../src/convert/stream.ts'
import { ConvertedStream, ResponsesSink, ResponsesSource } from '../../src/faces/convert-stream.ts'
import { PassedStream, ResponsesWatch } from '../../src/faces/pass-stream.ts'
import {
  ApiError,
  chatToResponse,
  chatToResponses,
  collectResponse,
  parseChatRequest,
  parseResponsesRequest,
  type ResponsesRequest,
  responsesToChat,
} from '../../src/index.ts'
import type { InputItem } from '../../src/protocol/responses.ts'
import { initialResponse } from '../../src/stream/snapshot.ts'
import type { ReasoningEvents } from '../../src/stream/writer.ts'
import { callChunk, chunk, eventsOf, expectInOrder, sse, streamOptions } from './support.ts'

const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
const said = text.filter((value) => value.trim() !== '')
const args = fc.dictionary(fc.string({ maxLength: 4 }), fc.jsonValue({ maxDepth: 1 }), {
  maxKeys: 3,
})

const tools = [
  { type: 'function', name: 'f', parameters: { type: 'object' } },
  { type: 'custom', name: 'note' },
  { type: 'namespace', name: 'n', tools: [{ type: 'function', name: 'f', parameters: null }] },
  { type: 'local_shell' },
]

/** A call of each kind of tool, as the model writes it. */
const call = fc.oneof(
  args.map((value) => ({ name: 'f', arguments: JSON.stringify(value) })),
  args.map((value) => ({ name: 'n__f', arguments: JSON.stringify(value) })),
  fc.string({ unit: 'grapheme' }).map((input) => ({
    name: 'note',
    arguments: JSON.stringify({ input }),
  })),
  text.map((command) => ({
    name: 'local_shell',
    arguments: JSON.stringify({ command: ['sh', '-c', command] }),
  })),
)
const answer = fc.record({
  reasoning: fc.option(text, { nil: '' }),
  content: fc.option(said, { nil: '' }),
  calls: fc.array(call, { maxLength: 3 }),
})
type Answer = typeof answer extends fc.Arbitrary<infer T> ? T : never

const usage = { prompt_tokens: 4, completion_tokens: 2, total_tokens: 6 }

function chatBytes({ reasoning, content, calls }: Answer): string {
  return sse([
    chunk({ role: 'assistant', content: '', ...(reasoning === '' ? {} : { reasoning }) }),
    ...Array.from(content, (piece) => chunk({ content: piece })),
    ...calls.flatMap((each, index) => [
      callChunk({ index, id: `call_${index}`, function: { name: each.name, arguments: '' } }),
      ...(each.arguments.match(/[\s\S]{1,7}/g) ?? []).map((piece) =>
        callChunk({ index, function: { arguments: piece } }),
      ),
    ]),
    chunk({}, calls.length > 0 ? 'tool_calls' : 'stop'),
    { choices: [], usage },
    '[DONE]',
  ])
}

const request: ResponsesRequest = parseResponsesRequest({ model: 'm', input: 'x', tools })
const lost = () => new ApiError('upstream_error', 'lost')

function converted(
  pieces: readonly Uint8Array[],
  reasoningEvents: ReasoningEvents = 'reasoning_text',
): string {
  const source = new ChatToResponsesStream(streamOptions({ request, reasoningEvents }))
  return fed(new ConvertedStream(source, new ResponsesSink()), pieces)
}

function passed(pieces: readonly Uint8Array[]): string {
  const fallback = initialResponse(request, streamOptions())
  return fed(new PassedStream(new ResponsesWatch(new ResponsesSource(lost, fallback))), pieces)
}

function fed(stream: ConvertedStream | PassedStream, pieces: readonly Uint8Array[]): string {
  const decoder = new TextDecoder()
  const read = (out: string | Uint8Array) =>
    typeof out === 'string' ? out : decoder.decode(out, { stream: true })
  let out = stream.start()
  // As the pump does: what comes after the end is not read.
  for (const piece of pieces) if (stream.status === undefined) out += read(stream.push(piece))
  return stream.status === undefined ? out + stream.end() : out
}

/** Bytes cut at any places, also within a character. */
function cut(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const pieces: Uint8Array[] = []
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const size = (sizes[turn % sizes.length] ?? 0) + 1
    pieces.push(bytes.slice(at, at + size))
    at += size
  }
  return pieces
}

const sizes = fc.array(fc.oneof(fc.nat(3), fc.nat(200)), { minLength: 1, maxLength: 6 })

describe('streams', () => {
  it('are the same however the bytes come, and fold into the answer in one piece', () => {
    fc.assert(
      fc.property(answer, sizes, (logical, cuts) => {
        const bytes = new TextEncoder().encode(chatBytes(logical))
        const whole = converted([bytes])
        expect(converted(cut(bytes, cuts))).toBe(whole)
        const events = eventsOf(whole)
        expectInOrder(events)
        // Every event of the Open Responses family is one of its own schema.
        const open = eventsOf(converted(cut(bytes, cuts), 'reasoning'))
        expectInOrder(open)
        expect(open.some(({ type }) => type.startsWith('response.reasoning_text'))).toBe(false)
        expectInOrder(eventsOf(converted([bytes], 'summary')))
        const message = {
          role: 'assistant',
          content: logical.content,
          reasoning: logical.reasoning,
          tool_calls: logical.calls.map((each, index) => ({
            id: `call_${index}`,
            type: 'function',
            function: each,
          })),
        }
        const finish_reason = logical.calls.length > 0 ? 'tool_calls' : 'stop'
        const answered = chatToResponse(
          { choices: [{ message, finish_reason }], usage },
          streamOptions({ request }),
        )
        expect(collectResponse(events)).toEqual(answered)
        // The same stream as an upstream's own, passed on: nothing is lost or changed, wherever it is cut.
        const again = new TextEncoder().encode(whole)
        expect(passed(cut(again, cuts))).toBe(whole)
      }),
      { numRuns: 150 },
    )
  })
})

const turn = fc.record({
  question: text,
  asParts: fc.boolean(),
  reasoning: fc.option(text, { nil: undefined }),
  content: fc.option(text, { nil: undefined }),
  calls: fc.array(fc.record({ args, output: text }), { maxLength: 3 }),
})

function itemsOf(
  turns: readonly (typeof turn extends fc.Arbitrary<infer T> ? T : never)[],
): InputItem[] {
  return turns.flatMap(({ question, asParts, reasoning, content, calls }, at): InputItem[] => [
    {
      type: 'message',
      role: 'user',
      content: asParts ? [{ type: 'input_text', text: question, extra: 1 }] : question,
    },
    ...(reasoning === undefined
      ? []
      : [
          {
            type: 'reasoning' as const,
            summary: [],
            content: [{ type: 'reasoning_text', text: reasoning }],
          },
        ]),
    ...(content === undefined
      ? []
      : [{ type: 'message' as const, role: 'assistant' as const, content }]),
    ...calls.map(({ args: value }, index) => ({
      type: 'function_call' as const,
      call_id: `c${at}_${index}`,
      name: 'f',
      arguments: JSON.stringify(value),
    })),
    ...calls.map(({ output }, index) => ({
      type: 'function_call_output' as const,
      call_id: `c${at}_${index}`,
      output,
    })),
  ])
}

/** What an item says, whatever form it has. */
function meaning(item: InputItem): unknown[] {
  const flat = (content: unknown): unknown =>
    Array.isArray(content)
      ? content.map((part) => String(Reflect.get(Object(part), 'text'))).join('')
      : content
  if (item.type === 'function_call') return ['call', item.call_id, item.name, item.arguments]
  if (item.type === 'function_call_output') return ['output', item.call_id, flat(item.output)]
  if (item.type === 'reasoning') return ['reasoning', flat(item.content)]
  return 'role' in item ? [item.role, flat(item.content)] : []
}

const settings = fc.record(
  {
    temperature: fc.double({ min: 0, max: 2, noNaN: true }),
    top_p: fc.double({ min: 0, max: 1, noNaN: true }),
    max_output_tokens: fc.integer({ min: 1, max: 9999 }),
    parallel_tool_calls: fc.boolean(),
    tool_choice: fc.constantFrom('auto', 'required', { type: 'function', name: 'f' }),
    text: fc.constantFrom(
      { format: { type: 'json_object' }, verbosity: 'low' },
      { format: { type: 'json_schema', name: 's', schema: { type: 'object' }, strict: true } },
    ),
    reasoning: fc.constantFrom({ effort: 'low' }, { effort: 'high' }),
    seed: fc.integer(),
    stop: fc.constantFrom('x', ['x', 'y']),
    user: fc.constant('u'),
    service_tier: fc.constantFrom('auto', 'flex'),
    mystery: fc.jsonValue({ maxDepth: 1 }).filter((value) => value !== null),
  },
  { requiredKeys: [] },
)

describe('requests', () => {
  it('keep their meaning from Responses to Chat and back', () => {
    fc.assert(
      fc.property(
        fc.array(turn, { minLength: 1, maxLength: 4 }),
        fc.option(text, { nil: undefined }),
        settings,
        (turns, instructions, chosen) => {
          const input = itemsOf(turns)
          const tool = {
            type: 'function',
            name: 'f',
            parameters: { type: 'object' },
            strict: false,
          }
          const given = parseResponsesRequest({
            model: 'm',
            input,
            tools: [tool],
            ...(instructions === undefined ? {} : { instructions }),
            ...chosen,
          })
          const { body, dropped } = responsesToChat(given)
          expect(dropped).toEqual([])
          const back = chatToResponses(parseChatRequest(body))
          const expected = [
            ...(instructions === undefined ? [] : [['system', instructions]]),
            ...input.map(meaning),
          ]
          expect(Array.isArray(back.input) ? back.input.map(meaning) : back.input).toEqual(expected)
          expect(back).toMatchObject(chosen)
          expect(back.tools).toMatchObject([tool])
          // And once more: what is there already stays as it is.
          expect(responsesToChat(back).body).toEqual(body)
        },
      ),
      { numRuns: 150 },
    )
  })
})
