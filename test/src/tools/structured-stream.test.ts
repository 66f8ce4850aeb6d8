// The stream of structured output, turn by turn: in order whatever the model says and however it is cut into pieces, and the
// same in the end as an answer in one piece.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ChatToResponsesStream } from '../../../src/convert/stream.ts'
import { JsonGate } from '../../../src/tools/json-gate.ts'
import { judgeAnswer } from '../../../src/tools/structured-answer.ts'
import { bestEffort, contractOf } from '../../../src/tools/structured-contract.ts'
import { StructuredEvents } from '../../../src/tools/structured-stream.ts'
import { callChunk, chunk, countingIds, expectInOrder, streamOptions } from '../support.ts'

type Json = Record<string, unknown>

const schema = {
  type: 'object',
  properties: { a: { type: 'integer' } },
  required: ['a'],
  additionalProperties: false,
}
const request = {
  model: 'm',
  input: 'hello',
  text: { format: { type: 'json_schema' as const, name: 's', schema, strict: true } },
  tools: [
    { type: 'function' as const, name: 'f', parameters: schema, strict: true },
    { type: 'function' as const, name: 'g' },
  ],
}

function contract() {
  const made = contractOf(request, bestEffort)
  if (made === undefined) throw new Error('there is something to check')
  return made
}

/** A turn of the model: reasoning, pieces of text, calls, an end. */
interface Turn {
  reasoning: string
  pieces: string[]
  calls: [string, string][]
  finish: string
}

const newId = countingIds()
const usage = { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 }

function eventsOfTurn({ reasoning, pieces, calls, finish }: Turn): Json[] {
  // Without the format: the schemas of Open Responses take no schema in its echo.
  const stream = new ChatToResponsesStream(
    streamOptions({ request: { ...request, text: null }, newId }),
  )
  const chunks = [
    ...(reasoning === '' ? [] : [chunk({ reasoning })]),
    ...pieces.map((content) => chunk({ content })),
    ...calls.map(([name, given], index) =>
      callChunk({ index, id: `call_${index}`, function: { name, arguments: given } }),
    ),
    ...(finish === 'cut' ? [] : [chunk({}, finish), { choices: [], usage }]),
  ]
  const events = [
    ...stream.start(),
    ...chunks.flatMap((each) => stream.push(each)),
    ...stream.end(),
  ]
  return events.map((event) => ({ ...event }))
}

const typed = (event: Json): Json & { type: string } => ({ ...event, type: String(event.type) })

/** Both turns of a stream, the second only where it is asked for. */
function run(first: Turn, second: Turn) {
  const editor = new StructuredEvents(contract())
  const out = eventsOfTurn(first).flatMap((event) => editor.push(event))
  const repaired = editor.unfit !== undefined
  if (repaired) {
    editor.nextTurn()
    out.push(...eventsOfTurn(second).flatMap((event) => editor.push(event)))
  }
  return { out: out.map(typed), repaired, editor }
}

const text = fc.oneof(
  fc.constantFrom('{"a":1}', '{"a":"x"}', '```json\n{"a":2}\n```', 'Sure: {"a":3} Bye.', 'no', ''),
  fc.constantFrom('[{"a":1}]', '{"a":1', '{"a":"}"} {"a":1}', '{"b{":[', '\n\n {"a": 4}\n', '"{"'),
  fc.string({ maxLength: 12 }),
)
const pieces = text.chain((whole) =>
  fc
    .array(fc.nat({ max: whole.length }), { maxLength: 4 })
    .map((cuts) => [...new Set([0, ...cuts, whole.length])].sort((a, b) => a - b))
    .map((cuts) => cuts.slice(1).map((cut, at) => whole.slice(cuts[at], cut))),
)
const call: fc.Arbitrary<[string, string]> = fc.tuple(
  fc.constantFrom('f', 'g'),
  fc.constantFrom('{"a":1}', '{"a":"x"}', '{}'),
)
const turn: fc.Arbitrary<Turn> = fc.record({
  reasoning: fc.constantFrom('', 'Hm.'),
  pieces,
  calls: fc.oneof(
    { weight: 3, arbitrary: fc.constant<[string, string][]>([]) },
    { weight: 1, arbitrary: fc.array(call, { maxLength: 3 }) },
  ),
  finish: fc.constantFrom('stop', 'stop', 'stop', 'length', 'cut'),
})

describe('the stream', () => {
  it('is in order, and ends once, whatever both turns say', () => {
    let repaired = 0
    fc.assert(
      fc.property(turn, turn, (first, second) => {
        const made = run(first, second)
        if (made.repaired) repaired++
        expectInOrder(made.out)
        expect(made.editor.ended).toBe(true)
        const last = made.out.at(-1)?.response as Json
        // What nobody was told of can still be asked for elsewhere.
        if (last.status === 'failed' && !made.out.some(({ type }) => type.includes('.delta')))
          expect(last.output).toEqual([])
        const counted = (made.repaired ? [first, second] : [first]).filter(
          ({ finish }) => finish !== 'cut',
        )
        expect((last.usage as Json | null)?.total_tokens ?? 0).toBe(3 * counted.length)
      }),
      { numRuns: 200 },
    )
    expect(repaired).toBeGreaterThan(20)
  })

  it('completes only with what fits', () => {
    fc.assert(
      fc.property(turn, turn, (first, second) => {
        const last = run(first, second).out.at(-1)
        if (last?.type !== 'response.completed') return
        const judged = judgeAnswer(contract(), last.response as Json)
        expect(judged.fault).toBeUndefined()
        expect(judged.response).toEqual(last.response)
      }),
      { numRuns: 200 },
    )
  })

  it('says the same as an answer in one piece would', () => {
    const plain = turn.map((each) => ({ ...each, finish: 'stop' }))
    fc.assert(
      fc.property(plain, (first) => {
        const whole = eventsOfTurn(first).at(-1)?.response as Json
        const judged = judgeAnswer(contract(), whole)
        const { out, repaired } = run(first, first)
        const last = out.at(-1)?.response as Json
        if (judged.fault === undefined) {
          const content = (response: Json) =>
            (response.output as Json[]).map(({ content, arguments: given }) => ({ content, given }))
          expect(repaired).toBe(false)
          expect(content(last)).toEqual(content(judged.response))
        } else expect(last.status).toBe('failed')
      }),
      { numRuns: 200 },
    )
  })
})

describe('the gate', () => {
  it('gives the same value in any pieces', () => {
    fc.assert(
      fc.property(pieces, fc.constantFrom('{', '[', '{['), (given, openers) => {
        const whole = new JsonGate(openers)
        whole.push(given.join(''))
        const cut = new JsonGate(openers)
        const passed = given.map((piece) => cut.push(piece)).join('')
        expect([cut.value, cut.before, cut.complete]).toEqual([
          whole.value,
          whole.before,
          whole.complete,
        ])
        expect(passed).toBe(whole.value)
      }),
    )
  })

  it('holds a value of the other kind back as a whole', () => {
    const gate = new JsonGate('{')
    expect(gate.push('```json\n')).toBe('')
    expect(gate.push('[{"a":1}]')).toBe('')
    expect(gate.before).toBe('```json\n[{"a":1}]')
  })

  it('takes brackets in prose for prose where they cannot begin an answer', () => {
    const gate = new JsonGate('{')
    expect(gate.push('As said [1]: {"a":"]}"} and {"b":2}')).toBe('{"a":"]}"}')
  })
})

describe('what is held', () => {
  it('has an end', () => {
    const editor = new StructuredEvents(contract())
    const [created, progress, item, part, delta] = eventsOfTurn({
      reasoning: '',
      pieces: ['x'.repeat(100_000)],
      calls: [],
      finish: 'stop',
    })
    const out = [created, progress, item, part].flatMap((event) => editor.push(event))
    for (let times = 0; times < 12; times++) out.push(...editor.push(delta))
    expect(editor.ended).toBe(true)
    const events = out.map(typed)
    expectInOrder(events)
    expect(events.at(-1)).toMatchObject({
      type: 'response.failed',
      response: { error: { code: 'structured_output_invalid' }, output: [] },
    })
  })
})
