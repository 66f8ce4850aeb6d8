// Upstreams that repeat the key that they were sent, in places and spellings of their own: no client and no log has it.
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startGateway, type TestGateway } from './harness.ts'
import { chunk, json, startUpstream, type TestUpstream } from './upstream.ts'

const keys = { FIRST_KEY: 'plain/first+0123456789', SECOND_KEY: 'plain/second+0123456789' }
let first: TestUpstream
let second: TestUpstream
let gateway: TestGateway

beforeAll(async () => {
  first = await startUpstream()
  second = await startUpstream()
  const place = (name: string, { origin }: TestUpstream) => ({
    baseUrl: `${origin}/v1`,
    apiKeyEnv: `${name}_KEY`,
    models: '*',
    capabilities: { '*': { assistantPrefix: true } },
  })
  gateway = await startGateway({
    config: { providers: { first: place('FIRST', first), second: place('SECOND', second) } },
    bindings: keys,
  })
})

afterAll(async () => {
  await gateway.stop()
  await first.stop()
  await second.stop()
})

/** The key as JSON may spell it. */
const escaped = (text: string) => text.replaceAll('/', '\\/').replaceAll('+', '\\u002b')

function expectHidden(text: string): void {
  for (const key of Object.values(keys)) {
    const spelt = text.replaceAll(/\\+u002b/gi, '+').replaceAll(/\\+\//g, '/')
    expect(spelt).not.toContain(key)
  }
}

const apis = [
  ['/v1/chat/completions', { messages: [{ role: 'user', content: 'hi' }] }],
  ['/v1/responses', { input: 'hi' }],
] as const

it.each(apis)('an error with the key in all of its fields: %s', async (path, body) => {
  const told = escaped(`no ${keys.FIRST_KEY}`)
  first.reply((response) =>
    json(response, 400, `{"error":{"message":"${told}","param":"${told}","code":"${told}"}}`),
  )
  const answer = await gateway.post(path, { model: 'm:first', ...body })
  expect(answer.status).toBe(400)
  const text = await answer.text()
  expect(text).toContain('no [redacted]')
  expectHidden(text)
})

it.each(apis)('a refused key in the log: %s', async (path, body) => {
  first.reply((response) =>
    json(response, 401, `{"error":{"message":"no ${escaped(keys.FIRST_KEY)}"}}`),
  )
  await (await gateway.post(path, { model: 'm:first', ...body })).text()
  await expect.poll(() => gateway.log.join('')).toContain('no [redacted]')
  expectHidden(gateway.log.join(''))
})

it.each(apis)('an error after the first output, and after a seam: %s', async (path, body) => {
  gateway.log.length = 0
  first.reply((response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(chunk({ content: 'Hello' }))
    setTimeout(() => response.socket?.resetAndDestroy(), 300)
  })
  second.reply((response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(chunk({ content: ' there' }))
    const told = escaped(`no ${keys.SECOND_KEY}`)
    response.end(`data: {"error":{"message":"${told}","code":"${told}"}}\n\n`)
  })
  const answer = await gateway.post(
    path,
    { model: 'm', stream: true, ...body },
    { 'x-switchyard-rescue': 'continue' },
  )
  const text = await answer.text()
  expect(text).toContain('second goes on')
  expect(text).toContain('[redacted]')
  expectHidden(text)
  await expect.poll(() => gateway.log.join('')).toContain('[redacted]')
  expectHidden(gateway.log.join(''))
})
