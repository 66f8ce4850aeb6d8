// A tool loop goes on behind the very tokens that the model made, or the prefix cache would know nothing of them.
import { describe, expect, it } from 'vitest'
import { GeneratedTurns } from '../../native-node/server/generated-turns.ts'
import { Responder } from '../../native-node/server/responder.ts'
import { idSource } from '../../src/ids.ts'
import { parseResponsesRequest, type ResponseObject } from '../../src/protocol/responses.ts'
import { type Script, ScriptedEngine } from './scripted-engine.ts'
import { idsOf } from './vocabulary.ts'

const weather = { type: 'function', name: 'get_weather', parameters: { type: 'object' } }
// The recipient stands elsewhere than where we put it, and the text is cut into other tokens than an encoder's.
const thinking = '<|channel|>analysis<|message|>Th<|end|><|start|>assistant'
const call =
  '<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{ "city":"Oslo"}<|call|>'
const final = '<|channel|>final<|message|>Cold.<|return|>'

function setUp(...scripts: Script[]) {
  if (scripts.length === 0) scripts.push({ text: thinking + call })
  const engine = new ScriptedEngine(...scripts, { text: final })
  const newId = idSource((bytes) => crypto.getRandomValues(new Uint8Array(bytes)))
  const responder = new Responder({ engine, model: 'test/model', now: () => 0, newId })
  const { signal } = new AbortController()
  const ask = async (input: unknown[], stream = false) => {
    const request = parseResponsesRequest({ model: 'test/model', input, tools: [weather] })
    const response = await responder.respond(request, { stream, signal })
    const text = await response.text()
    if (!stream) return JSON.parse(text) as ResponseObject
    const last = text.split('\n').findLast((line) => line.includes('"response.completed"'))
    return JSON.parse(last!.slice('data: '.length)).response as ResponseObject
  }
  return { engine, ask }
}

const question = { role: 'user', content: 'Weather in Oslo?' }
const outputOf = (first: ResponseObject) => {
  const made = first.output.find((item) => item.type === 'function_call')
  return { type: 'function_call_output', call_id: made?.call_id, output: '-3' }
}

describe('generated turns', () => {
  it.each([false, true])(
    'come back as the tokens they were made of (stream: %s)',
    async (stream) => {
      const { engine, ask } = setUp()
      const first = await ask([question], stream)
      await ask([question, ...first.output, outputOf(first)], stream)
      const [before, after] = engine.calls.map(({ prompt }) => prompt)
      const loop = [...before!, ...idsOf(thinking + call)]
      expect(after?.slice(0, loop.length)).toEqual(loop)
      expect(after?.length).toBeGreaterThan(loop.length)
    },
  )

  it('hold the error that stood between a stray call and a good one', async () => {
    const stray = '<|channel|>analysis to=python code<|message|>print(1)<|call|>'
    const { engine, ask } = setUp({ text: stray }, { text: call })
    const first = await ask([question])
    await ask([question, ...first.output, outputOf(first)])
    const [, second, third] = engine.calls.map(({ prompt }) => prompt)
    const loop = [...second!, ...idsOf(call)]
    expect(third?.slice(0, loop.length)).toEqual(loop)
  })

  it('end with the call, whatever the same step of the engine brought behind it', async () => {
    const closed = call.replace('<|call|>', '<|end|>')
    const unseen = `<|start|>assistant${call.replace('Oslo', 'Rome')}`
    const { engine, ask } = setUp({ text: closed + unseen, perStep: 1000 })
    const first = await ask([question])
    await ask([question, ...first.output, outputOf(first)])
    expect(idsOf(unseen)).toEqual(expect.arrayContaining(idsOf('Rome')))
    expect(engine.calls[1]!.prompt).not.toEqual(expect.arrayContaining(idsOf('Rome')))
  })

  it('are encoded anew where a client has changed them', async () => {
    const { engine, ask } = setUp()
    const first = await ask([question])
    const changed = first.output.map((item) =>
      item.type === 'function_call' ? { ...item, arguments: '{"city":"Rome"}' } : item,
    )
    await ask([question, ...changed, outputOf(first)])
    await ask([question, ...first.output.slice(1), outputOf(first)])
    for (const { prompt } of engine.calls.slice(1)) {
      expect(prompt.join(' ')).not.toContain(idsOf(call).join(' '))
    }
  })

  it('are forgotten, the least recently used first', () => {
    const turns = new GeneratedTurns()
    const turn = (index: number) => [{ role: 'assistant' as const, content: `turn ${index}` }]
    for (let index = 0; index < 1024; index++) turns.add(turn(index), [index])
    expect(turns.find(turn(0))).toEqual([0])
    turns.add(turn(1024), [1024])
    expect(turns.find(turn(1))).toBeUndefined()
    expect(turns.find(turn(0))).toEqual([0])
    // By their tokens, too.
    for (let index = 0; index < 9; index++) turns.add(turn(index), new Array(1 << 17).fill(index))
    expect(turns.find(turn(0))).toBeUndefined()
    expect(turns.find(turn(8))).toHaveLength(1 << 17)
    turns.add(turn(99), new Array((1 << 17) + 1).fill(0))
    expect(turns.find(turn(99))).toBeUndefined()
  })
})
