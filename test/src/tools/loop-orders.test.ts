// Whatever a model writes, in whatever order, cut wherever it may be: the client's stream is in order, and no fault is ours.
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { ApiError, handleChat, handleResponses } from '../../../src/index.ts'
import type { HostedTools } from '../../../src/tools/hosted.ts'
import { checkOrder } from '../../oracle/order.ts'
import { callChunk, chunk, eventsOf, sse } from '../support.ts'
import { candidate, host, json, post, type Script, streamed } from '../upstream.ts'
import { completion, usage } from './script.ts'

const object = { parameters: { type: 'object' } }
const tools = [
  { type: 'code_interpreter' },
  { type: 'web_search' },
  { type: 'function', name: 'mine', ...object },
  { type: 'custom', name: 'free' },
  {
    type: 'namespace',
    name: 'ns',
    description: '',
    tools: [{ type: 'function', name: 'f', ...object }],
  },
]
const names = ['python', 'browser__search', 'browser__open', 'mine', 'free', 'ns__f', 'no such']
const texts = ['{}', '{"input":"1"}', '{"query":"x"}', '{"in', '', '【0†L1】']

const piece = fc.oneof(
  fc.string().map((reasoning) => chunk({ reasoning })),
  fc.string().map((content) => chunk({ content })),
  fc.string().map((refusal) => chunk({ refusal })),
  fc.constant(chunk({})),
  fc
    .record({
      index: fc.nat(4),
      id: fc.constantFrom('a', 'b', ''),
      name: fc.constantFrom(...names),
      text: fc.oneof(fc.constantFrom(...texts), fc.string()),
    })
    .map(({ index, id, name, text }) =>
      callChunk({ index, id, type: 'function', function: { name, arguments: text } }),
    ),
)
const turns = fc.array(
  fc.record({
    pieces: fc.array(piece, { maxLength: 7 }),
    finish: fc.constantFrom('stop', 'tool_calls', 'length', 'content_filter', 'error', ''),
    end: fc.constantFrom('whole', 'cut', 'no marker', 'error', 'no usage'),
  }),
  { minLength: 1, maxLength: 4 },
)
type Turns = typeof turns extends fc.Arbitrary<infer T> ? T : never

/** Answers turn after turn; what comes after the last one is a text. */
function model(given: Turns): Script {
  let at = 0
  return ({ stream }) => {
    const turn = given[at++]
    const finish = chunk({}, turn?.finish ?? 'stop')
    const pieces = turn?.pieces ?? [chunk({ content: 'Done.' })]
    const told = turn?.end === 'no usage' ? [] : [{ choices: [], usage }]
    const whole = [...pieces, finish, ...told]
    if (!stream) return json(completion(whole))
    if (turn?.end === 'cut') return streamed([sse(pieces), new Error('cut')])
    if (turn?.end === 'error') {
      return streamed([sse([...pieces, { error: { message: 'no', code: 500 } }])])
    }
    return streamed([sse(turn?.end === 'no marker' ? whole : [...whole, '[DONE]'])])
  }
}

/** Fails now and then, and makes a file. */
const hosted: HostedTools = {
  offers: async () => true,
  async call(call) {
    if (JSON.stringify(call).length % 7 === 0) throw new Error('the sandbox burst')
    const files = [{ path: 'a', data: 'QQ==', bytes: 1, mediaType: 'text/plain' }]
    return { text: 'ran', logs: 'ran', isError: false, session: 's', sources: [], files }
  },
}

const request = fc.record({
  parallel_tool_calls: fc.boolean(),
  max_tool_calls: fc.option(fc.integer({ min: 1, max: 3 })),
  max_output_tokens: fc.option(fc.integer({ min: 1, max: 20 })),
})

it('any turns make a stream in order', async () => {
  const property = fc.asyncProperty(turns, request, async (given, fields) => {
    const ask = async (stream: boolean) => {
      const made = host([candidate(), model(given)])
      made.deps.hosted = hosted
      const body = { model: 'm', input: 'go', tools, stream, ...fields }
      const response = await handleResponses(post(body), made.deps)
      const text = await response.text()
      expect(text).not.toContain('The server had an error')
      expect(made.errors.filter((error) => !(error instanceof ApiError))).toEqual([])
      return { status: response.status, text }
    }
    const { status, text } = await ask(true)
    if (status === 200) expect(checkOrder(eventsOf(text))).toEqual([])
    const whole = await ask(false)
    if (whole.status === 200) {
      expect(['completed', 'incomplete', 'failed']).toContain(JSON.parse(whole.text).status)
    }
    const { deps } = host([candidate(), model(given)])
    deps.hosted = hosted
    const messages = [{ role: 'user', content: 'go' }]
    const chat = { model: 'm', messages, tools: tools.slice(0, 2), stream: true }
    // A Chat client knows nothing of the tools that ran for it.
    expect(await (await handleChat(post(chat), deps)).text()).not.toContain('"python"')
  })
  await fc.assert(property, { numRuns: Number(process.env.ORDER_RUNS ?? 60) })
}, 120_000)
