// Tools of a node, for a provider's model and for the node's own, through the real Worker: declared by a client, called by
// the model, run at the node, answered.
import type OpenAI from 'openai'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { EngineBackend } from '../../native-node/server/engine-backend.ts'
import { createNodeApi, newId } from '../../native-node/server/local-api.ts'
import { noBackend } from '../../native-node/server/no-backend.ts'
import { TunnelClient } from '../../native-node/server/tunnel-client.ts'
import { createToolHost } from '../../native-node/tools/host.ts'
import { type Script, ScriptedEngine } from '../native-node/scripted-engine.ts'
import { type FunctionTool, memoryTool } from '../native-node/tools/function-tool.ts'
import { startGateway, type TestGateway } from './harness.ts'
import { completion, json, startUpstream, type TestUpstream } from './upstream.ts'

const token = 'a-node-token-for-tests'
const interpreter = { type: 'code_interpreter', container: { type: 'auto' } } as const

let upstream: TestUpstream
let gateway: TestGateway
let openai: OpenAI
const leave: (() => Promise<void>)[] = []

beforeAll(async () => {
  upstream = await startUpstream()
  const groq = { baseUrl: `${upstream.origin}/v1`, models: { 'house/model': 'model' } }
  gateway = await startGateway({
    config: { providers: { groq } },
    bindings: { SWITCHYARD_NODE_TOKEN: token, SWITCHYARD_EXPECT_NODE: '1', GROQ_API_KEY: 'gsk_t' },
  })
  openai = gateway.openai()
})
afterEach(async () => {
  for (const each of leave.splice(0)) await each()
  await nodes((names) => names.length === 0)
})
afterAll(async () => {
  await gateway.stop()
  await upstream.stop()
})

/** Waits until the gateway's own list of nodes is as wanted: it lives for some seconds. */
async function nodes(wanted: (names: string[]) => boolean): Promise<void> {
  for (;;) {
    const health = (await (await gateway.ask('/health')).json()) as { nodes: { name: string }[] }
    if (wanted(health.nodes.map(({ name }) => name))) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** A node with Python, and with a model where there is a script for it. */
async function join(name: string, ...scripts: Script[]): Promise<FunctionTool> {
  const tool = memoryTool()
  const tools = createToolHost({ tools: [tool] })
  const engine = new ScriptedEngine(...scripts)
  const backend =
    scripts.length === 0
      ? noBackend()
      : new EngineBackend({ engine, model: 'house/own', now: Date.now, newId })
  const api = createNodeApi({ backend, tools })
  const client = new TunnelClient({
    gateway: gateway.url,
    token,
    hello: () => ({ node: name, models: [...api.models], slots: 2, tools: [...tools.tools] }),
    status: () => api.status(),
    handle: api.handle,
    log: () => {},
  })
  client.start()
  leave.push(async () => {
    client.stop()
    await tools.close()
  })
  await nodes((names) => names.includes(name))
  return tool
}

/** The provider calls `python` with each piece of code in turn, and then answers. */
function calling(...codes: string[]): void {
  let turn = 0
  upstream.reply((response) => {
    const code = codes[turn++]
    if (code === undefined) return json(response, 200, completion('Done.'))
    const whole = completion('')
    const call = { name: 'python', arguments: JSON.stringify({ input: code }) }
    const message = {
      role: 'assistant',
      content: null,
      tool_calls: [{ id: `call_${turn}`, type: 'function', function: call }],
    }
    json(response, 200, { ...whole, choices: [{ index: 0, message, finish_reason: 'tool_calls' }] })
  })
}

const ask = (fields: object = {}) =>
  openai.responses.create({ model: 'house/model', input: 'Hi', tools: [interpreter], ...fields })

describe('code_interpreter at a node without a model', () => {
  it('serves a provider’s model, and its session goes on in the next response', async () => {
    const tool = await join('tooler')
    calling('x = 41', 'x')
    const first = await ask()
    const calls = first.output.filter((item) => item.type === 'code_interpreter_call')
    expect(calls).toMatchObject([
      { code: 'x = 41', status: 'completed', outputs: [{ type: 'logs', logs: '41' }] },
      { code: 'x', status: 'completed', outputs: [{ type: 'logs', logs: '41' }] },
    ])
    expect(first.output_text).toBe('Done.')
    const container = calls[1]?.container_id ?? ''
    expect(container).toMatch(/^cntr_tooler:/)
    expect(upstream.requests.at(-1)?.body.messages).toContainEqual(
      expect.objectContaining({ role: 'tool', content: '41' }),
    )
    calling('x')
    const second = await ask({ tools: [{ type: 'code_interpreter', container }] })
    expect(second.output[0]).toMatchObject({ outputs: [{ type: 'logs', logs: '41' }] })
    expect(new Set(tool.calls.map(({ session }) => session)).size).toBe(1)
    expect(tool.calls).toHaveLength(3)
  })

  it('is left out, and named, where no node has it', async () => {
    upstream.reply((response) => json(response, 200, completion('Without.')))
    const response = await gateway.post('/v1/responses', {
      model: 'house/model',
      input: 'Hi',
      tools: [interpreter],
    })
    expect(response.headers.get('warning')).toContain('code_interpreter')
    expect(await response.json()).toMatchObject({ status: 'completed' })
    expect(upstream.requests[0]?.body.tools).toBeUndefined()
  })
})

describe('code_interpreter at a node with gpt-oss', () => {
  it('is its own python: told in the system message, called in the thinking', async () => {
    const tool = await join(
      'native',
      { text: '<|channel|>analysis to=python code<|message|>x = 7<|call|>' },
      { text: '<|channel|>final<|message|>It is 7.<|return|>' },
    )
    const stream = openai.responses.stream({
      model: 'house/own',
      input: 'Hi',
      tools: [interpreter],
    })
    const types: string[] = []
    for await (const event of stream) types.push(event.type)
    const response = await stream.finalResponse()
    expect(response.output).toMatchObject([
      { type: 'code_interpreter_call', code: 'x = 7', outputs: [{ type: 'logs', logs: '7' }] },
      { type: 'message', content: [{ text: 'It is 7.' }] },
    ])
    expect(types).toContain('response.code_interpreter_call.interpreting')
    expect(tool.calls).toHaveLength(1)
  })
})
