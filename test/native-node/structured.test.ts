// Structured output on a node of our own: it checks for whoever asks it directly; the faces in front of it check themselves, and
// ask again.
import { describe, expect, it } from 'vitest'
import { EngineBackend } from '../../native-node/server/engine-backend.ts'
import { createNodeApi, newId } from '../../native-node/server/local-api.ts'
import { checkOrder } from '../oracle/order.ts'
import { eventsOf } from '../src/support.ts'
import { type Script, ScriptedEngine } from './scripted-engine.ts'

const model = 'switchyard/test'
const final = (text: string): Script => ({
  text: `<|channel|>analysis<|message|>Think.<|end|><|start|>assistant<|channel|>final<|message|>${text}<|return|>`,
})
const call = (given: string): Script => ({
  text: `<|channel|>commentary to=functions.greet <|constrain|>json<|message|>${given}<|call|>`,
})
const schema = {
  type: 'object',
  properties: { name: { type: 'string' } },
  required: ['name'],
  additionalProperties: false,
}
const format = { text: { format: { type: 'json_schema', name: 'person', schema, strict: true } } }
const tools = { tools: [{ type: 'function', name: 'greet', parameters: schema, strict: true }] }

function node(...scripts: Script[]) {
  const engine = new ScriptedEngine(...scripts)
  const backend = new EngineBackend({ engine, model, now: Date.now, newId })
  const api = createNodeApi({ backend })
  const post = (fetch: (request: Request) => Promise<Response>, body: object) =>
    fetch(
      new Request('http://127.0.0.1/v1/responses', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model, input: 'hi', ...body }),
      }),
    )
  return {
    engine,
    ask: (body: object) => post(api.fetch, body),
    /** As a gateway does through the tunnel. */
    askDirectly: (body: object) => post(api.handle, body),
  }
}

describe('a node of our own', () => {
  it.each([false, true])('is asked again by its faces (stream: %s)', async (stream) => {
    const { engine, ask } = node(final('Ann'), final('{"name":"Ann"}'))
    const response = await ask({ ...format, stream })
    expect(response.status).toBe(200)
    const raw = await response.text()
    expect(engine.calls).toHaveLength(2)
    if (stream) expect(checkOrder(eventsOf(raw))).toEqual([])
    const last = stream ? eventsOf(raw).at(-1)?.response : JSON.parse(raw)
    expect(last).toMatchObject({ status: 'completed' })
    expect(JSON.stringify(last)).toContain('{\\"name\\":\\"Ann\\"}')
  })

  it('is asked again for arguments that do not fit', async () => {
    const { engine, ask } = node(call('{"town":"Rome"}'), call('{"name":"Ann"}'))
    const response = await ask(tools)
    expect(await response.json()).toMatchObject({ output: [{ arguments: '{"name":"Ann"}' }] })
    expect(engine.calls[1]!.prompt.length).toBeGreaterThan(engine.calls[0]!.prompt.length)
  })

  it('fails where the second answer does not fit, either', async () => {
    const { engine, ask } = node(final('Ann'))
    const response = await ask(format)
    expect(response.status).toBe(502)
    expect(await response.json()).toMatchObject({ error: { code: 'structured_output_invalid' } })
    expect(engine.calls).toHaveLength(2)
  })

  it.each([
    { format, before: '{"name":"An', stop: 'nie' },
    { format, before: '', stop: '{' },
    { format, before: '{"name":"Ann"}', stop: '\n' },
    { format: { text: { format: { type: 'json_object' } } }, before: '{"a', stop: 'b' },
  ])(
    'gives what stands before a stop string, be it cut: %j',
    async ({ before, stop, ...given }) => {
      const { engine, ask, askDirectly } = node(final(`${before}${stop}"}`))
      const body = { ...given.format, stop: [stop] }
      const answered = { status: 'completed', stop_sequence: stop }
      for (const response of [await ask(body), await askDirectly(body)]) {
        expect(response.status).toBe(200)
        const json = (await response.json()) as { output: Record<string, unknown>[] }
        expect(json).toMatchObject(answered)
        const message = json.output.find(({ type }) => type === 'message')
        expect(message?.content ?? [{ text: '' }]).toMatchObject([{ text: before }])
      }
      const raw = await (await ask({ ...body, stream: true })).text()
      expect(checkOrder(eventsOf(raw))).toEqual([])
      expect(eventsOf(raw).at(-1)?.response).toMatchObject(answered)
      expect(engine.calls).toHaveLength(3)
    },
  )

  it('checks for whoever asks it directly, unless it is told not to', async () => {
    const { engine, askDirectly } = node(final('{"name":1}'))
    const refused = await askDirectly(format)
    expect(await refused.json()).toMatchObject({ error: { code: 'structured_output_invalid' } })
    const passed = await askDirectly({ ...format, output_check: 'caller' })
    expect(await passed.json()).toMatchObject({ status: 'completed' })
    expect(engine.calls).toHaveLength(2)
    const choice = { ...tools, tool_choice: 'required', output_check: 'caller' }
    expect(await (await askDirectly(choice)).json()).toMatchObject({
      error: { code: 'tool_choice_not_met' },
    })
  })
})
