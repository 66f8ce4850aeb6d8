// Keys of clients on a node's own API, over its SQLite file.
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
const folder = mkdtempSync(join(tmpdir(), 'switchyard-keys-'))
const replay = 'x-switchyard-idempotent-replay'
const final = (text: string) => `<|channel|>final<|message|>${text}<|return|>`

let count = 0
let path: string
let file: ResponseFile
beforeEach(async () => {
  path = join(folder, `${count++}.sqlite`)
  file = await openResponseFile({ path, newId })
})
afterEach(() => file.close())
afterAll(() => rmSync(folder, { recursive: true }))

function serve(...scripts: Script[]): { api: NodeApi; engine: ScriptedEngine } {
  const engine = new ScriptedEngine(...scripts)
  const backend = new EngineBackend({ engine, model, now: Date.now, newId })
  return { api: createNodeApi({ backend, store: file.store }), engine }
}

const paths = ['/v1/responses', '/v1/chat/completions', '/v1/messages'] as const
const messages = [{ role: 'user', content: 'Hi' }]
const bodies = {
  '/v1/responses': { model, input: 'Hi' },
  '/v1/chat/completions': { model, messages },
  '/v1/messages': { model, max_tokens: 9, messages },
}

describe.each(paths)('B9: %s of serve', (path) => {
  const request = (stream: boolean, init: RequestInit = {}) =>
    new Request(`http://127.0.0.1${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': 'the-key' },
      body: JSON.stringify({ ...bodies[path], stream }),
      ...init,
    })

  it.each([false, true])('gives one answer to all who ask (stream: %s)', async (stream) => {
    const { api, engine } = serve({ text: final('Hello') }, { text: final('Another') })
    const asked = Array.from({ length: 20 }, async () => {
      const response = await api.fetch(request(stream))
      return { replayed: response.headers.get(replay), text: await response.text() }
    })
    const all = await Promise.all(asked)
    expect(all.filter(({ replayed }) => replayed === null)).toHaveLength(1)
    expect(new Set(all.map(({ text }) => text)).size).toBe(1)
    expect(all[0]?.text).toContain('Hello')
    expect(engine.calls).toHaveLength(1)
    if (stream && path === '/v1/responses') {
      expect(checkOrder(eventsIn(all[0]?.text ?? ''))).toEqual([])
    }
    expect((await api.fetch(request(!stream))).status).toBe(409)
  })

  it('gives it over a restart', async () => {
    const first = await (await serve({ text: final('Hello') }).api.fetch(request(true))).text()
    file.close()
    file = await openResponseFile({ path: join(folder, `${count - 1}.sqlite`), newId })
    const { api, engine } = serve({ text: final('Another') })
    expect(await (await api.fetch(request(true))).text()).toBe(first)
    expect(engine.calls).toHaveLength(0)
  })

  it('makes it anew where the process ended in its middle', async () => {
    const never = serve({ text: final('Hello'), gate: () => new Promise(() => {}) })
    void never.api.fetch(request(true)).catch(() => undefined)
    while (never.engine.calls.length === 0) await new Promise((resolve) => setTimeout(resolve))
    file.close()
    file = await openResponseFile({ path: join(folder, `${count - 1}.sqlite`), newId })
    const { api } = serve({ text: final('Hello again') })
    const response = await api.fetch(request(true))
    expect(response.headers.get(replay)).toBeNull()
    expect(await response.text()).toContain('again')
  })

  it('makes it anew where its client left', async () => {
    const controller = new AbortController()
    const gate = () => new Promise<void>((resolve) => setTimeout(resolve, 5))
    const { api, engine } = serve(
      { text: final('Hello '.repeat(500)), perStep: 1, gate },
      { text: final('Hello again') },
    )
    const left = await api.fetch(request(true, { signal: controller.signal }))
    await left.body?.getReader().read()
    controller.abort()
    expect(await (await api.fetch(request(true))).text()).toContain('again')
    expect(engine.calls).toHaveLength(2)
  })

  it('is refused where nothing is kept', async () => {
    const engine = new ScriptedEngine({ text: final('Hello') })
    const backend = new EngineBackend({ engine, model, now: Date.now, newId })
    const refused = await createNodeApi({ backend }).fetch(request(false))
    expect(refused.status).toBe(400)
    expect(engine.calls).toHaveLength(0)
  })
})
