// What a request says about who may answer, through the real Worker: obeyed, told in headers, and never sent on.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startGateway, type TestGateway } from './harness.ts'
import { completion, json, sse, startUpstream, type TestUpstream, textStream } from './upstream.ts'

let upstream: TestUpstream
let gateway: TestGateway

beforeAll(async () => {
  upstream = await startUpstream()
  const at = (name: string) => ({ baseUrl: `${upstream.origin}/${name}`, models: { m: name } })
  gateway = await startGateway({
    config: {
      providers: {
        one: { ...at('one'), pricing: { m: { input: 1, output: 9 } } },
        two: {
          ...at('two'),
          pricing: { m: { input: 1, output: 2 } },
          capabilities: { '*': { tools: false } },
        },
        three: { ...at('three'), models: { n: 'three' } },
      },
    },
  })
  upstream.reply((response, { path, body }) => {
    const [, name = ''] = path.split('/')
    if (name === down) json(response, 503, { error: 'down' })
    else if (body.stream === true) sse(response, ...textStream(name))
    else json(response, 200, completion(name))
  })
})

let down = ''
afterAll(async () => {
  await gateway.stop()
  await upstream.stop()
})

const ways = [
  ['/v1/responses', false],
  ['/v1/responses', true],
  ['/v1/chat/completions', false],
  ['/v1/chat/completions', true],
] as const

async function ask(
  path: string,
  stream: boolean,
  more: Record<string, unknown>,
  headers: Record<string, string> = {},
) {
  const messages = [{ role: 'user', content: 'hi' }]
  const body = { model: 'm', stream, ...more }
  const input = path === '/v1/responses' ? { input: 'hi' } : { messages }
  const response = await gateway.post(path, { ...body, ...input }, headers)
  return {
    response,
    text: await response.text(),
    by: response.headers.get('x-switchyard-provider'),
  }
}

describe.each(ways)('%s, stream: %s', (path, stream) => {
  it('asks whom the request prefers, and sends none of it on', async () => {
    const prefer = { provider: { order: ['two'] } }
    expect((await ask(path, stream, prefer)).by).toBe('two')
    expect((await ask(path, stream, { provider: { sort: 'price' } })).by).toBe('two')
    expect((await ask(path, stream, { provider: { ignore: ['one'] } })).by).toBe('two')
    expect((await ask(path, stream, {}, { 'x-switchyard-order': 'two, one' })).by).toBe('two')
    expect((await ask(path, stream, { model: 'm:cheapest' })).by).toBe('two')
    expect((await ask(path, stream, {})).by).toBe('one')
    for (const { body } of upstream.requests) {
      expect(body).not.toHaveProperty('provider')
      expect(body).not.toHaveProperty('models')
    }
  })

  it('refuses what it does not know, by its path', async () => {
    const { response, text } = await ask(path, stream, { provider: { order: ['one', 'nobody'] } })
    expect(response.status).toBe(400)
    expect(JSON.parse(text)).toMatchObject({
      error: { code: 'provider_not_found', param: 'provider.order[1]' },
    })
    const unknown = await ask(path, stream, { provider: { zdr: true } })
    expect(JSON.parse(unknown.text)).toMatchObject({ error: { param: 'provider.zdr' } })
    const models = await ask(path, stream, { models: ['m', 3] })
    expect(JSON.parse(models.text)).toMatchObject({ error: { param: 'models[1]' } })
  })

  it('falls back across models, and says what was tried', async () => {
    down = 'one'
    const { by, response } = await ask(path, stream, {
      models: ['m', 'n'],
      provider: { ignore: ['two'] },
    })
    expect([by, response.headers.get('x-switchyard-attempts')]).toEqual(['three', '2'])
    expect(response.headers.get('x-switchyard-tried')).toBe('one=upstream_error')
    down = ''
  })

  it('takes `models` without a `model`', async () => {
    const { by } = await ask(path, stream, { model: undefined, models: ['n'] })
    expect(by).toBe('three')
  })

  it('keeps tools from a place that fails with them', async () => {
    const parameters = { type: 'object', properties: {} }
    const tool =
      path === '/v1/responses'
        ? { type: 'function', name: 'f', parameters }
        : { type: 'function', function: { name: 'f', parameters } }
    const { by } = await ask(path, stream, { model: 'm:cheapest', tools: [tool] })
    expect(by).toBe('one')
  })

  it('leaves out whoever would leave a parameter out, where all are required', async () => {
    const { by } = await ask(path, stream, { provider: { require_parameters: true } })
    expect(by).toBe('one')
  })
})

it('asks for a stream where somebody else could answer, and only there', async () => {
  const path = '/v1/chat/completions'
  upstream.requests.length = 0
  await ask(path, false, {})
  await ask(path, false, { model: 'm:one' })
  expect(upstream.requests.map(({ body }) => body.stream === true)).toEqual([true, false])
})

it('explains for what a request needs', async () => {
  const told = async (query: string) =>
    (await (await gateway.ask(`/v1/explain?model=m&${query}`)).json()) as {
      candidates: string[]
      considered: { name: string; reason: string }[]
    }
  expect((await told('')).candidates).toEqual(['one', 'two'])
  const { candidates, considered } = await told('tools=1')
  expect(candidates).toEqual(['one'])
  expect(considered.find(({ name }) => name === 'two')?.reason).toBe('is known to fail with tools')
})
