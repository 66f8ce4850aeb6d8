// The contract of provider.ts over every built-in provider, every kind of engine and a plain custom one, through the Worker in
// workerd: each in the wire layout of its own folder in test/fixtures/providers.
import { readdirSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { engines } from '../../src/providers/engines.ts'
import { providers } from '../../src/providers/index.ts'
import type { Provider } from '../../src/providers/provider.ts'
import { startGateway, type TestGateway } from '../gateway/harness.ts'
import {
  chunk,
  completion,
  json,
  sse,
  startUpstream,
  type TestUpstream,
} from '../gateway/upstream.ts'
import { fixtureFolders, fixtureFolderUrl, readFixture, readManifest } from './fixtures.ts'
import { type ProviderCase, providerContract } from './provider.ts'
import { providersTable } from './providers-table.ts'

const builtIns: Provider[] = Object.values(providers)
const gptOss = 'openai/gpt-oss-120b'
let upstream: TestUpstream
let gateway: TestGateway

beforeAll(async () => {
  upstream = await startUpstream()
  // What a limit says is told at once: that it is waited for is proved in test/src/attempt.test.ts, under a clock of its own.
  const timeouts = { retryAfterMs: 0 }
  const at = (name: string) => ({ baseUrl: `${upstream.origin}/${name}/v1`, timeouts })
  gateway = await startGateway({
    config: {
      providers: {
        // Their chat layouts; that the Responses API is the first choice of some is looked at below.
        ...Object.fromEntries(
          builtIns.map(({ name }) => [name, { ...at(name), dialects: ['chat'] }]),
        ),
        ...Object.fromEntries(
          Object.keys(engines).map((kind) => [kind, { kind, ...at(kind) }] as const),
        ),
        custom: at('custom'),
        'hf-in-path': { baseUrl: `${upstream.origin}/models/{model}/v1` },
        native: { ...at('native'), dialects: ['responses', 'chat'] },
        aloud: { ...at('aloud'), capabilities: { 'org/aloud': { inlineReasoning: true } } },
      },
    },
    bindings: Object.fromEntries(
      builtIns.map((provider) => [provider.apiKeyEnv, `key-of-${provider.apiKeyEnv}`]),
    ),
  })
})

afterAll(async () => {
  await gateway.stop()
  await upstream.stop()
})

/** gpt-oss where it is listed, else the first model, else any id as it is. */
function caseOf({ name, models, ownPrefix }: Provider): ProviderCase {
  const id = Object.hasOwn(models, gptOss) ? gptOss : Object.keys(models)[0]
  if (id !== undefined) {
    return { name, folder: name, model: `${id}:${name}`, idThere: models[id] ?? '' }
  }
  return { name, folder: name, model: `${ownPrefix}any-model:${name}`, idThere: 'any-model' }
}

const cases: ProviderCase[] = [
  ...builtIns.map(caseOf),
  ...Object.keys(engines).map((kind) => ({
    name: kind,
    folder: kind,
    model: `org/model:7b:${kind}`,
    idThere: 'org/model:7b',
  })),
  {
    name: 'custom',
    folder: 'openai-compatible',
    model: 'any/model:custom',
    idThere: 'any/model',
  },
]
for (const one of cases) providerContract(one, () => ({ gateway, upstream }))

describe('an address with the model in it', () => {
  const ask = (model: string) =>
    gateway.post('/v1/chat/completions', { model, messages: [{ role: 'user', content: 'hi' }] })

  it('is filled in with the encoded id', async () => {
    upstream.reply((response) => json(response, 200, readFixture('hf-inference', 'text.json')))
    expect((await ask('org/a model?x=1#y:hf-in-path')).status).toBe(200)
    expect(upstream.requests[0]?.path).toBe('/models/org/a%20model%3Fx%3D1%23y/v1/chat/completions')
  })

  it.each(['../../admin', 'org/..', './x', 'a//b'])('is never left by %s', async (id) => {
    upstream.reply((response) => json(response, 200, readFixture('hf-inference', 'text.json')))
    expect((await ask(`${id}:hf-in-path`)).status).toBe(404)
    expect(upstream.requests).toEqual([])
  })
})

describe('a provider with a Responses API of its own', () => {
  it('is OpenAI, and is asked there first', () => {
    expect(providers.openai.dialects).toEqual(['responses', 'chat'])
  })

  it('answers a Responses client in its own words', async () => {
    upstream.reply((response, { body }) => {
      if (body.stream === true) sse(response, readFixture('openai', 'responses.sse'))
      else json(response, 200, readFixture('openai', 'responses.json'))
    })
    const client = gateway.openai()
    const asked = { model: 'gpt-4.1-mini:native', input: 'Say hello.' }
    const whole = await client.responses.create(asked)
    const streamed = await client.responses.stream(asked).finalResponse()
    for (const answer of [whole, streamed]) {
      expect(answer.output_text).toBe('Hello there, friend!')
      expect(answer.usage).toMatchObject({ input_tokens: 72, output_tokens: 18 })
    }
    expect(upstream.requests.map(({ path }) => path)).toEqual([
      '/native/v1/responses',
      '/native/v1/responses',
    ])
  })
})

describe('a model that thinks aloud in its text', () => {
  const text = '<think>Greet back.</think>\n\nHello!'
  const pieces = [...text].map((content) => chunk({ content }))
  const ask = async (model: string) => {
    upstream.reply((response, { body }) => {
      if (body.stream === true) sse(response, ...pieces, chunk({}, 'stop'), 'data: [DONE]\n\n')
      else json(response, 200, completion(text))
    })
    const client = gateway.openai()
    const whole = await client.responses.create({ model, input: 'hi' })
    const streamed = await client.responses.stream({ model, input: 'hi' }).finalResponse()
    const chat = await client.chat.completions.create({
      model,
      messages: [{ role: 'user', content: 'hi' }],
    })
    const types = [whole, streamed].map(({ output }) => output.map(({ type }) => type))
    const texts = [whole, streamed].map(({ output_text }) => output_text.trim())
    return { types, texts, chat: chat.choices[0]?.message.content?.trim() }
  }

  it('is told apart where the configuration says so', async () => {
    const both = ['reasoning', 'message']
    const told = { types: [both, both], texts: ['Hello!', 'Hello!'], chat: 'Hello!' }
    expect(await ask('org/aloud:aloud')).toEqual(told)
  })

  it('is left as it is where nothing is said of it', async () => {
    const told = { types: [['message'], ['message']], texts: [text, text], chat: text }
    expect(await ask('org/other:aloud')).toEqual(told)
  })
})

describe('fixtures', () => {
  it('has a folder for every provider and kind, and no other', () => {
    expect([...fixtureFolders()].sort()).toEqual(cases.map(({ folder }) => folder).sort())
  })

  it.each(cases.map(({ folder }) => folder))('%s: every file says where it is from', (folder) => {
    const { sources } = readManifest(folder)
    const files = readdirSync(fixtureFolderUrl(folder)).filter((file) => file !== 'fixture.json')
    expect(sources.flatMap((source) => source.files).sort()).toEqual(files.sort())
    for (const { origin, url, note } of sources) {
      expect(['recorded', 'documented', 'assumed']).toContain(origin)
      expect(url).toMatch(/^https:\/\//)
      expect(note).toMatch(/\w/)
    }
  })
})

it('docs/providers.md has the tables that the index and the fixtures give', () => {
  const text = readFileSync(new URL('../../docs/providers.md', import.meta.url), 'utf8')
  const written = /<!-- table -->\n([\s\S]*)\n<!-- \/table -->/u.exec(text)?.[1]
  expect(written).toBe(providersTable())
})
