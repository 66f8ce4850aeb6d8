// State on a node's own API: the gateway's handlers over one SQLite file, and exact counts of tokens.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { EngineBackend } from '../../native-node/server/engine-backend.ts'
import { createNodeApi, type NodeApi, newId } from '../../native-node/server/local-api.ts'
import { openResponseFile, type ResponseFile } from '../../native-node/server/response-file.ts'
import { eventsIn } from '../contract/store.ts'
import { checkOrder } from '../oracle/order.ts'
import { type Script, ScriptedEngine } from './scripted-engine.ts'

const model = 'switchyard/test'
const folder = mkdtempSync(join(tmpdir(), 'switchyard-serve-'))
const path = join(folder, 'serve.sqlite')
const final = (text: string) => `<|channel|>final<|message|>${text}<|return|>`

let file: ResponseFile
beforeEach(async () => {
  file = await openResponseFile({ path, newId })
})
afterEach(() => file.close())
afterAll(() => rmSync(folder, { recursive: true }))

type Json = Record<string, unknown>

function serve(script: Script): NodeApi & { post(path: string, body: Json): Promise<Response> } {
  const engine = new ScriptedEngine(script)
  const backend = new EngineBackend({ engine, model, now: Date.now, newId })
  const api = createNodeApi({ backend, store: file.store, sealSecret: 'secret' })
  const post = (path: string, body: Json) => api.fetch(request(path, { model, ...body }))
  return Object.assign(api, { post })
}

const request = (path: string, body?: Json, method = 'POST') =>
  new Request(`http://127.0.0.1/v1${path}`, {
    method: body === undefined ? (method === 'POST' ? 'GET' : method) : method,
    headers: { 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })

async function json(response: Response | Promise<Response>): Promise<Json & { id: string }> {
  return (await (await response).json()) as Json & { id: string }
}

describe('serve', () => {
  it('keeps responses, goes on from them, and gives their streams again', async () => {
    const api = serve({ text: final('Hello') })
    const first = await json(api.post('/responses', { input: 'Hi' }))
    expect(first).toMatchObject({ store: true, status: 'completed' })
    expect(await json(api.fetch(request(`/responses/${first.id}`)))).toEqual(first)
    const stream = await (
      await api.post('/responses', { input: 'And?', previous_response_id: first.id, stream: true })
    ).text()
    const events = eventsIn(stream)
    expect(checkOrder(events)).toEqual([])
    const id = String((events[0]?.response as Json | undefined)?.id)
    expect(events[0]?.response).toMatchObject({ previous_response_id: first.id, store: true })
    const again = await api.fetch(request(`/responses/${id}?stream=true`))
    expect(await again.text()).toBe(stream)
    const items = await json(api.fetch(request(`/responses/${id}/input_items`)))
    expect((items.data as Json[]).map(({ role }) => role)).toEqual(['user', 'assistant', 'user'])
    const gone = await json(api.fetch(request(`/responses/${id}`, undefined, 'DELETE')))
    expect(gone).toEqual({ id, object: 'response', deleted: true })
    expect((await api.fetch(request(`/responses/${id}`))).status).toBe(404)
  })

  it('works in the background, and has conversations', async () => {
    const api = serve({ text: final('Done') })
    const talk = await json(api.post('/conversations', { items: [] }))
    const queued = await json(
      api.post('/responses', { input: 'Hi', background: true, conversation: talk.id }),
    )
    expect(queued).toMatchObject({ status: 'queued', background: true })
    const stream = await api.fetch(request(`/responses/${queued.id}?stream=true`))
    expect(eventsIn(await stream.text()).at(-1)?.type).toBe('response.completed')
    const items = await json(api.fetch(request(`/conversations/${talk.id}/items`)))
    expect((items.data as Json[]).map(({ role }) => role)).toEqual(['assistant', 'user'])
  })

  it('keeps them over a restart', async () => {
    const made = await json(serve({ text: final('Hello') }).post('/responses', { input: 'Hi' }))
    file.close()
    file = await openResponseFile({ path, newId })
    const api = serve({ text: final('Again') })
    expect(await json(api.fetch(request(`/responses/${made.id}`)))).toEqual(made)
  })

  it('counts tokens as the engine will, here and through the tunnel', async () => {
    const api = serve({ text: final('Hello') })
    const tools = [{ type: 'function', name: 'look', parameters: { type: 'object' } }]
    const body = { input: 'How long is this?', instructions: 'Be brief.', tools }
    const { usage } = await json(api.post('/responses', body))
    const { input_tokens } = usage as { input_tokens: number }
    const counted = await api.post('/responses/input_tokens', body)
    expect(counted.headers.get('warning')).toBeNull()
    expect(await json(counted)).toEqual({ object: 'response.input_tokens', input_tokens })
    const through = await api.handle(request('/responses/input_tokens', { model, ...body }))
    expect(await json(through)).toEqual({ input_tokens })
  })

  it('says store: false where nothing is kept', async () => {
    const engine = new ScriptedEngine({ text: final('Hello') })
    const backend = new EngineBackend({ engine, model, now: Date.now, newId })
    const api = createNodeApi({ backend })
    expect(await json(api.fetch(request('/responses', { model, input: 'Hi' })))).toMatchObject({
      store: false,
    })
    const refused = await api.fetch(request('/responses', { model, input: 'Hi', background: true }))
    expect(refused.status).toBe(400)
  })
})
