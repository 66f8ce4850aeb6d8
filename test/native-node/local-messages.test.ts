// Anthropic's SDK against `switchyard serve`'s API: a scripted model behind the real responder and the real socket.
import Anthropic from '@anthropic-ai/sdk'
import { afterEach, describe, expect, it } from 'vitest'
import { EngineBackend } from '../../native-node/server/engine-backend.ts'
import { type Listening, listen } from '../../native-node/server/listen.ts'
import { createNodeApi, newId } from '../../native-node/server/local-api.ts'
import { type Script, ScriptedEngine } from './scripted-engine.ts'

const model = 'switchyard/test'
const hello = { model, max_tokens: 100, messages: [{ role: 'user' as const, content: 'Hi' }] }
const final =
  '<|channel|>analysis<|message|>Think.<|end|><|start|>assistant<|channel|>final<|message|>Hello!<|return|>'

let listening: Listening | undefined
afterEach(async () => {
  await listening?.close(true)
  listening = undefined
})

async function start(script: Script, key?: string) {
  const engine = new ScriptedEngine(script)
  const backend = new EngineBackend({ engine, model, now: Date.now, newId })
  const { fetch } = createNodeApi({ backend, ...(key === undefined ? {} : { key }) })
  listening = await listen({ fetch, host: '127.0.0.1', port: 0, keyed: key !== undefined })
  const client = (apiKey: string) =>
    new Anthropic({ baseURL: listening?.url ?? '', apiKey, maxRetries: 0 })
  return { engine, client, url: listening.url }
}

describe('messages of a local node', () => {
  it('are the same whole and streamed', async () => {
    const { client } = await start({ text: final })
    const thinking = { type: 'adaptive' as const }
    const whole = await client('none').messages.create({ ...hello, thinking })
    const streamed = await client('none')
      .messages.stream({ ...hello, thinking })
      .finalMessage()
    expect(whole.content).toEqual([
      { type: 'thinking', thinking: 'Think.', signature: expect.stringMatching(/./) },
      { type: 'text', text: 'Hello!', citations: null },
    ])
    expect(streamed.content).toEqual(whole.content)
    expect(streamed.usage).toEqual(whole.usage)
    expect(whole).toMatchObject({ model, stop_reason: 'end_turn' })
    const plain = await client('none').messages.create(hello)
    expect(plain.content).toMatchObject([{ type: 'text', text: 'Hello!' }])
  })

  it('are counted by the model’s own tokenizer', async () => {
    const { client } = await start({ text: final })
    const { max_tokens: _, ...counted } = { ...hello, system: 'Be brief.' }
    const { input_tokens } = await client('none').messages.countTokens(counted)
    const { usage } = await client('none').messages.create({ ...hello, system: 'Be brief.' })
    expect(input_tokens).toBe(usage.input_tokens + (usage.cache_read_input_tokens ?? 0))
    const image = {
      type: 'image' as const,
      source: { type: 'url' as const, url: 'https://example.com/x.png' },
    }
    const error = await client('none')
      .messages.countTokens({ model, messages: [{ role: 'user', content: [image] }] })
      .catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({
      status: 400,
      error: { error: { details: { param: 'messages[0].content[0]' } } },
    })
  })

  it('tell which stop sequence ended them', async () => {
    const { client } = await start({ text: final.replace('Hello!', 'One, two, three') })
    const stops = { ...hello, stop_sequences: ['three', ', two'] }
    const stopped = { stop_reason: 'stop_sequence', stop_sequence: ', two' }
    const whole = await client('none').messages.create(stops)
    expect(whole).toMatchObject({ ...stopped, content: [{ text: 'One' }] })
    expect(await client('none').messages.stream(stops).finalMessage()).toMatchObject(stopped)
    const free = await client('none').messages.create({ ...hello, stop_sequences: ['four'] })
    expect(free).toMatchObject({ stop_reason: 'end_turn', stop_sequence: null })
  })

  it('name the tools that nobody runs here, by their place in the request', async () => {
    const { client } = await start({ text: final })
    const own = { name: 'mine', input_schema: { type: 'object' as const } }
    const tools = [
      { type: 'web_fetch_20250910' as const, name: 'web_fetch' as const },
      own,
      { type: 'web_search_20250305' as const, name: 'web_search' as const },
      { type: 'code_execution_20250825' as const, name: 'code_execution' as const },
    ]
    const create = client('none').beta.messages.create({ ...hello, tools })
    const { data, response } = await create.withResponse()
    expect(data.content).toMatchObject([{ type: 'text', text: 'Hello!' }])
    const warning = response.headers.get('warning')
    for (const at of [0, 2, 3]) expect(warning).toContain(`tools[${at}]`)
    expect(warning).not.toContain('tools[1]')
  })

  it('want the key, in either header', async () => {
    const { client, url } = await start({ text: final }, 'node_key')
    expect((await client('node_key').messages.create(hello)).stop_reason).toBe('end_turn')
    const error = await client('other')
      .messages.create(hello)
      .catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(Anthropic.AuthenticationError)
    expect(error).toMatchObject({ type: 'authentication_error', requestID: expect.any(String) })
    const bearer = { authorization: 'Bearer node_key', 'content-type': 'application/json' }
    const body = JSON.stringify(hello)
    const answer = await fetch(`${url}/v1/messages`, { method: 'POST', headers: bearer, body })
    expect(answer.status).toBe(200)
  })

  it('fail in Anthropic’s shape', async () => {
    const { client, url } = await start({ text: final })
    const none = client('none')
    const errors = await Promise.all(
      [
        none.messages.create({ ...hello, model: 'no/body' }),
        none.messages.create({ ...hello, messages: [] }),
        none.messages.countTokens({ ...hello, model: 'no/body' }),
      ].map((promise) => promise.catch((thrown: unknown) => thrown)),
    )
    expect(errors).toMatchObject([
      { status: 404, type: 'not_found_error' },
      { status: 400, type: 'invalid_request_error' },
      { status: 404, type: 'not_found_error' },
    ])
    const wrong = await fetch(`${url}/v1/messages`)
    expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'POST'])
    expect(await wrong.json()).toMatchObject({ type: 'error' })
  })
})
