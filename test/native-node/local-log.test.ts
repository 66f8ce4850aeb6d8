// `switchyard serve --request-log`: a line for each request that has ended, and nothing of what was said.
import { expect, it, vi } from 'vitest'
import { EngineBackend } from '../../native-node/server/engine-backend.ts'
import { createNodeApi, newId } from '../../native-node/server/local-api.ts'
import { openResponseFile } from '../../native-node/server/response-file.ts'
import { ScriptedEngine } from './scripted-engine.ts'

const model = 'switchyard/test'
const secret = 'the secret of the prompt'
const text = `<|channel|>final<|message|>I keep ${secret}<|return|>`

async function make() {
  const engine = new ScriptedEngine({ text })
  const backend = new EngineBackend({ engine, model, now: Date.now, newId })
  const lines: string[] = []
  const { store } = await openResponseFile({ path: ':memory:', newId })
  const api = createNodeApi({ backend, store, requestLog: (line) => lines.push(line) })
  const ask = async (path: string, body: object) => {
    const headers = { 'content-type': 'application/json' }
    const init = { method: 'POST', headers, body: JSON.stringify({ model, ...body }) }
    const response = await api.fetch(new Request(`http://localhost${path}`, init))
    await response.clone().text()
    return response
  }
  const lineOf = async (count: number) => {
    await vi.waitUntil(() => lines.length >= count)
    expect(lines).toHaveLength(count)
    const line = lines[count - 1] ?? ''
    expect(line).not.toContain('secret')
    return JSON.parse(line) as Record<string, unknown>
  }
  return { api, ask, lines, lineOf }
}

const messages = [{ role: 'user', content: secret }]
it.each([
  ['/v1/responses', { input: secret }],
  ['/v1/chat/completions', { messages }],
  ['/v1/messages', { messages, max_tokens: 9 }],
])('%s is told with its tokens, times and errors', async (path, body) => {
  const { ask, lineOf } = await make()
  const told = { level: 'info', event: 'request', method: 'POST', path, status: 200, model }
  for (const [index, stream] of [false, true].entries()) {
    const response = await ask(path, { ...body, stream })
    const line = await lineOf(index + 1)
    const id = response.headers.get('x-request-id')
    expect(line).toMatchObject({ ...told, request_id: id, outcome: 'completed', place: 'self' })
    for (const name of ['ms', 'first_ms', 'input_tokens', 'output_tokens'])
      expect(line[name], name).toBeTypeOf('number')
  }
  await ask(path, { ...body, temperature: 'hot' })
  expect(await lineOf(3)).toMatchObject({ status: 400, outcome: 'failed', error: 'invalid_value' })
  await ask(path, { ...body, model: 'nobody/knows' })
  expect(await lineOf(4)).toMatchObject({ status: 404, error: 'model_not_found' })
})

it('tells of background work in a line of its own, and of what no face has seen', async () => {
  const { api, ask, lines, lineOf } = await make()
  const response = await ask('/v1/responses', { input: secret, background: true })
  await vi.waitUntil(() => lines.length >= 2)
  const id = response.headers.get('x-request-id')
  const both = lines.map((line) => JSON.parse(line) as Record<string, unknown>)
  const work = both.find(({ over }) => over === 'background')
  expect(work).toMatchObject({ request_id: id, outcome: 'completed', model })
  expect(both.find(({ over }) => over === undefined)).toMatchObject({ request_id: id, status: 200 })
  await api.fetch(new Request('http://localhost/nowhere?secret=1'))
  expect(await lineOf(3)).toMatchObject({ path: '/nowhere', status: 404, error: 'not_found' })
  await api.fetch(new Request('http://localhost/health'))
  await api.fetch(new Request('http://localhost/metrics'))
  expect(lines).toHaveLength(3)
})
