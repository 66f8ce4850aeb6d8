// Chat's `prediction`: from the request to the ids that the engine guesses from, what its use counts as, and that the demo
// model says the same with and without it.
import { existsSync } from 'node:fs'
import OpenAI from 'openai'
import { afterEach, describe, expect, it } from 'vitest'
import type { TokenEngine } from '../../native-node/server/engine.ts'
import { loadNodeEngine } from '../../native-node/server/engine.ts'
import { EngineBackend } from '../../native-node/server/engine-backend.ts'
import { type Listening, listen } from '../../native-node/server/listen.ts'
import { createNodeApi, newId } from '../../native-node/server/local-api.ts'
import { type Script, ScriptedEngine } from './scripted-engine.ts'
import { idsOf } from './vocabulary.ts'

const model = 'switchyard/test'
const messages = [{ role: 'user' as const, content: 'Hi' }]
const final = '<|channel|>analysis<|message|>Think.<|end|><|start|>assistant<|channel|>final'
const stray = '<|channel|>commentary to=functions.unknown <|constrain|>json<|message|>{}<|call|>'
const modelDir = new URL('../../models/demo', import.meta.url).pathname

let listening: Listening | undefined
let engine: TokenEngine | undefined
afterEach(async () => {
  await listening?.close(true)
  await engine?.close()
  listening = engine = undefined
})

async function serve<T extends TokenEngine>(served: T): Promise<{ engine: T; openai: OpenAI }> {
  engine = served
  const backend = new EngineBackend({ engine, model, now: Date.now, newId })
  const { fetch } = createNodeApi({ backend })
  listening = await listen({ fetch, host: '127.0.0.1', port: 0, keyed: false })
  const baseURL = `${listening.url}/v1`
  return { engine: served, openai: new OpenAI({ baseURL, apiKey: 'none', maxRetries: 0 }) }
}
const scripted = (...scripts: Script[]) => serve(new ScriptedEngine(...scripts))

const predicting = (content: string | { type: 'text'; text: string }[]) => ({
  model,
  messages,
  prediction: { type: 'content' as const, content },
})

describe('what the engine is given', () => {
  it('the text behind the end of the final header, in whatever form it came', async () => {
    const { openai, engine } = await scripted({ text: `${final}<|message|>Hello there!<|return|>` })
    const parts = [
      { type: 'text' as const, text: 'Hello ' },
      { type: 'text' as const, text: 'there<|end|>!' },
    ]
    const answer = await openai.chat.completions.create(predicting(parts))
    expect(answer.choices[0]?.message.content).toBe('Hello there!')
    await openai.chat.completions.create(predicting('Hello there!'))
    for (const content of ['', []]) await openai.chat.completions.create(predicting(content))
    await openai.chat.completions.create({ model, messages, prediction: null })
    const [typed, text, ...none] = engine.calls.map(({ params }) => params.predicted)
    expect(text).toEqual(idsOf('final<|message|>Hello there!'))
    // A control token that a client writes is text here as everywhere.
    const { vocabulary } = engine
    expect(typed).toEqual([
      ...idsOf('final<|message|>'),
      ...vocabulary.encode('Hello there<|end|>!'),
    ])
    expect(none.map((ids) => ids ?? [])).toEqual([[], [], []])
  })

  it('the same over the Responses API, where the field is an extension', async () => {
    const { openai, engine } = await scripted({ text: `${final}<|message|>Hello!<|return|>` })
    const prediction = { type: 'content', content: 'Hello!' }
    const body = { model, input: 'Hi', prediction }
    const answer = await openai.responses.create(body)
    expect(answer.output_text).toBe('Hello!')
    expect(engine.calls[0]?.params.predicted).toEqual(idsOf('final<|message|>Hello!'))
  })

  it.each([
    ['prediction', 'Hello'],
    ['prediction.type', { type: 'text', content: 'Hello' }],
    ['prediction.content', { type: 'content' }],
    ['prediction.content', { type: 'content', content: 7 }],
    ['prediction.content[1].type', { type: 'content', content: [text(''), { type: 'image_url' }] }],
    ['prediction.content[0].text', { type: 'content', content: [{ type: 'text' }] }],
  ])('nothing where %s is wrong: 400 that names it', async (param, prediction) => {
    const { engine } = await scripted({ text: `${final}<|message|>Hello!<|return|>` })
    for (const body of [
      { path: 'chat/completions', fields: { messages } },
      { path: 'responses', fields: { input: 'Hi' } },
    ]) {
      const response = await fetch(`${listening?.url}/v1/${body.path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model, ...body.fields, prediction }),
      })
      expect(response.status).toBe(400)
      expect(await response.json()).toMatchObject({ error: { param } })
    }
    expect(engine.calls).toEqual([])
  })
})

function text(content: string) {
  return { type: 'text', text: content }
}

describe('what its use counts as', () => {
  it('rejected tokens are output tokens, over all generations of the answer', async () => {
    const scripts: Script[] = [
      { text: stray, predicted: [4, 1] },
      { text: '<|channel|>final<|message|>Hello there!<|return|>', predicted: [5, 3] },
    ]
    const { openai } = await scripted(...scripts, ...scripts)
    const { usage } = await openai.chat.completions.create({ model, messages })
    expect(Object.keys(usage?.completion_tokens_details ?? {})).toEqual(['reasoning_tokens'])
    const answer = await openai.chat.completions.create(predicting('Hello you! '.repeat(9)))
    expect(answer.choices[0]?.message.content).toBe('Hello there!')
    expect(answer.usage).toMatchObject({
      completion_tokens: (usage?.completion_tokens ?? Number.NaN) + 5,
      completion_tokens_details: { accepted_prediction_tokens: 4, rejected_prediction_tokens: 5 },
    })
  })

  it('never more than the prediction has', async () => {
    const [first, second, third] = [
      { text: `${final}<|message|>Hello!<|return|>`, predicted: [45, 1] as const },
      { text: `${final}<|message|>Hello!<|return|>`, predicted: [45, 40] as const },
      { text: `${final}<|message|>Hello!<|return|>`, predicted: [0, 0] as const },
    ]
    const { openai } = await scripted(first, second, third)
    const counts = []
    for (const text of ['Hello you!', 'Hello you!', '']) {
      const { usage } = await openai.chat.completions.create(predicting(text))
      const details = usage?.completion_tokens_details
      counts.push([details?.accepted_prediction_tokens, details?.rejected_prediction_tokens])
    }
    expect(idsOf('Hello you!')).toHaveLength(3)
    expect(counts).toEqual([
      [1, 2],
      [3, 0],
      [0, 0],
    ])
  })

  it('streamed and not', async () => {
    const script = { text: `${final}<|message|>Hello there!<|return|>`, predicted: [5, 3] as const }
    const { openai } = await scripted(script)
    const plain = await openai.chat.completions.create({ model, messages })
    const whole = await openai.chat.completions.create(predicting('Hello you, my dear!'))
    const before = plain.usage?.completion_tokens ?? Number.NaN
    expect(whole.usage).toMatchObject({
      completion_tokens: before + 2,
      total_tokens: (plain.usage?.total_tokens ?? Number.NaN) + 2,
      completion_tokens_details: { accepted_prediction_tokens: 3, rejected_prediction_tokens: 2 },
    })
    const stream = await openai.chat.completions.create({
      ...predicting('Hello you, my dear!'),
      stream: true,
      stream_options: { include_usage: true },
    })
    let last: OpenAI.CompletionUsage | null | undefined
    for await (const chunk of stream) last = chunk.usage ?? last
    expect(last).toEqual(whole.usage)
  })
})

// Without the files there is nothing to talk to.
describe.skipIf(!existsSync(`${modelDir}/config.json`))('the demo model', () => {
  it.each(['exact', 'fast'] as const)(
    'says the same with a prediction, sooner where it is right (%s)',
    async (mode) => {
      const { openai, engine } = await serve(
        await loadNodeEngine({ modelDir, mode, threads: 1, maxSequences: 1 }),
      )
      const content = "Say 'over the hills and far away' five times fast."
      const ask = async (prediction?: string) => {
        const answer = await openai.chat.completions.create({
          model,
          messages: [{ role: 'user', content }],
          temperature: 0,
          ...(prediction === undefined
            ? {}
            : { prediction: { type: 'content' as const, content: prediction } }),
        })
        return { text: answer.choices[0]?.message.content ?? '', usage: answer.usage }
      }
      const plain = await ask()
      expect(plain.text.length).toBeGreaterThan(60)
      expect(engine.load().drafted).toBe(0)
      const right = await ask(plain.text)
      const details = right.usage?.completion_tokens_details
      expect(right.text).toBe(plain.text)
      expect(details?.accepted_prediction_tokens).toBeGreaterThan(0)
      // What comes true twice, in the reasoning and in the answer, is told once.
      expect(engine.load().accepted).toBeGreaterThanOrEqual(
        details?.accepted_prediction_tokens ?? Number.POSITIVE_INFINITY,
      )
      // Wrong in its middle, and of something else altogether.
      expect((await ask(plain.text.replaceAll('hills', 'rivers'))).text).toBe(plain.text)
      expect((await ask('Nothing of the kind.')).text).toBe(plain.text)
    },
  )
})
