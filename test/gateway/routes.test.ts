// Routes, methods, model references and limits, as a client sees them.
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startGateway, type TestGateway } from './harness.ts'
import { completion, json, startUpstream, type TestUpstream } from './upstream.ts'

let upstream: TestUpstream
let gateway: TestGateway
const gptOss = 'openai/gpt-oss-120b'

beforeAll(async () => {
  upstream = await startUpstream()
  const at = (name: string) => ({ baseUrl: `${upstream.origin}/${name}/v1` })
  gateway = await startGateway({
    config: {
      providers: {
        acme: { ...at('acme'), models: { 'acme/small': 'small-v1', 'acme/odd:7b': 'odd' } },
        groq: at('groq'),
        cerebras: at('cerebras'),
        together: at('together'),
        native: { ...at('native'), dialects: ['responses', 'chat'] },
      },
      routes: { 'house/best': ['acme'], [gptOss]: ['groq', 'cerebras', 'together'] },
      limits: { bodyBytes: 1_048_576 },
    },
    bindings: { GROQ_API_KEY: 'gsk_of_the_owner', CEREBRAS_API_KEY: 'csk_of_the_owner' },
  })
})

afterAll(async () => {
  await gateway.stop()
  await upstream.stop()
})

const chat = (model: unknown, path = '/v1/chat/completions', headers = {}) =>
  gateway.post(path, { model, messages: [{ role: 'user', content: 'hi' }] }, headers)

async function errorOf(response: Response) {
  const body = (await response.json()) as {
    error: { message: string; type: string; param: string | null; code: string | null }
  }
  expect(Object.keys(body)).toEqual(['error'])
  expect(Object.keys(body.error).sort()).toEqual(['code', 'message', 'param', 'type'])
  return { status: response.status, ...body.error }
}

describe('paths and methods', () => {
  it('tells its health and version', async () => {
    const response = await gateway.ask('/health')
    expect(response.status).toBe(200)
    expect(await response.json()).toEqual({ status: 'ok', version: '0.1.0', nodes: [] })
  })

  it('names every request and forbids sniffing', async () => {
    const responses = await Promise.all(
      ['/health', '/v1/models', '/nowhere'].map((path) => gateway.ask(path)),
    )
    const ids = responses.map((response) => response.headers.get('x-request-id'))
    expect(new Set(ids).size).toBe(3)
    for (const id of ids) expect(id).toMatch(/^req-[0-9a-f]{48}$/)
    for (const response of responses)
      expect(response.headers.get('x-content-type-options')).toBe('nosniff')
  })

  it.each([
    ['GET', '/nowhere', 404, 'not_found'],
    ['POST', '/v1/embeddings', 404, 'not_found'],
    ['GET', '/v1/chat/completions', 405, 'method_not_allowed'],
    ['PUT', '/v1/responses', 405, 'method_not_allowed'],
    ['DELETE', '/v1/models', 405, 'method_not_allowed'],
    ['POST', '/health', 405, 'method_not_allowed'],
    ['GET', '/v1/responses/resp_unknown', 404, 'response_not_found'],
    ['DELETE', '/v1/responses/resp_unknown', 404, 'response_not_found'],
    ['POST', '/v1/responses/', 404, 'not_found'],
    ['GET', '/v1/responses//input_items', 404, 'not_found'],
  ])('%s %s is %i %s', async (method, path, status, code) => {
    const response = await gateway.ask(path, { method })
    expect(response.headers.get('content-type')).toContain('application/json')
    if (status === 405) expect(response.headers.get('allow')).toBeTruthy()
    expect(await errorOf(response)).toMatchObject({ status, code, type: 'invalid_request_error' })
  })

  it('answers HEAD without a body and OPTIONS with the methods', async () => {
    const head = await gateway.ask('/v1/models', { method: 'HEAD' })
    expect([head.status, await head.text()]).toEqual([200, ''])
    const options = await gateway.ask('/v1/responses', { method: 'OPTIONS' })
    expect([options.status, options.headers.get('allow')]).toEqual([
      204,
      'GET, HEAD, POST, DELETE, OPTIONS',
    ])
  })

  it('sends a client that tries a WebSocket first back to POST', async () => {
    const status = await new Promise<string>((resolve, reject) => {
      const socket = connect(gateway.port, '127.0.0.1', () =>
        socket.write(
          'GET /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
            'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n',
        ),
      )
      socket.once('data', (data) => {
        socket.destroy()
        resolve(data.toString().split('\r\n')[0] ?? '')
      })
      socket.once('error', reject)
    })
    expect(status).toContain('426')
  })
})

describe('models', () => {
  it('lists what can be called and nothing else', async () => {
    const body = (await (await gateway.ask('/v1/models')).json()) as {
      object: string
      data: { id: string; providers: { provider: string }[] }[]
    }
    expect(body.object).toBe('list')
    expect(body.data.map((model) => model.id)).toEqual([
      'acme/odd:7b',
      'acme/small',
      gptOss,
      'openai/gpt-oss-20b',
    ])
    const places = body.data
      .find((model) => model.id === gptOss)
      ?.providers.map((place) => place.provider)
    expect(places).toEqual(['groq', 'cerebras'])
  })

  it('gives one model by its id, raw and percent-encoded', async () => {
    for (const path of [gptOss, encodeURIComponent(gptOss)]) {
      const response = await gateway.ask(`/v1/models/${path}`)
      expect(await response.json()).toMatchObject({
        id: gptOss,
        object: 'model',
        owned_by: 'openai',
      })
    }
    expect(await gateway.openai().models.retrieve(gptOss)).toMatchObject({ id: gptOss })
    expect(await errorOf(await gateway.ask('/v1/models/no/such'))).toMatchObject({
      status: 404,
      code: 'model_not_found',
      param: 'model',
    })
  })

  it('lists the models of one provider under its path', async () => {
    const body = (await (await gateway.ask('/cerebras/v1/models')).json()) as {
      data: { id: string }[]
    }
    expect(body.data.map((model) => model.id)).toEqual([gptOss])
  })

  it('explains who would answer and why the others would not', async () => {
    const body = await (await gateway.ask(`/v1/explain?model=${gptOss}`)).json()
    expect(body).toMatchObject({
      public_id: gptOss,
      candidates: ['groq', 'cerebras'],
      error: null,
    })
    const { considered } = body as { considered: { name: string; reason: string }[] }
    expect(considered.find((place) => place.name === 'together')?.reason).toContain(
      'TOGETHER_API_KEY',
    )
  })
})

describe('model references', () => {
  it.each([
    ['acme/small', '/acme/v1/chat/completions', 'small-v1'],
    ['acme/small:acme', '/acme/v1/chat/completions', 'small-v1'],
    ['acme/odd:7b', '/acme/v1/chat/completions', 'odd'],
    ['acme/odd:7b:acme', '/acme/v1/chat/completions', 'odd'],
    [gptOss, '/groq/v1/chat/completions', gptOss],
    [`${gptOss}:cerebras`, '/cerebras/v1/chat/completions', 'gpt-oss-120b'],
    [`${gptOss}:preferred`, '/groq/v1/chat/completions', gptOss],
    ['new/one:groq', '/groq/v1/chat/completions', 'new/one'],
  ])('%s goes to %s as %s', async (model, path, there) => {
    upstream.reply((response) => json(response, 200, completion('hi')))
    const response = await chat(model)
    expect(response.status).toBe(200)
    expect(upstream.requests).toMatchObject([{ path, body: { model: there } }])
  })

  it.each([
    ['/cerebras/v1/chat/completions', gptOss],
    ['/cerebras/v1/chat/completions', 'gpt-oss-120b'],
    ['/cerebras/v1/responses', gptOss],
  ])('%s takes %s', async (path, model) => {
    upstream.reply((response) => json(response, 200, completion('hi')))
    const body = path.endsWith('responses') ? { model, input: 'hi' } : undefined
    const response = body ? await gateway.post(path, body) : await chat(model, path)
    expect(response.status).toBe(200)
    expect(upstream.requests).toMatchObject([{ path: '/cerebras/v1/chat/completions' }])
  })

  it.each([
    ['no/such', 404, 'model_not_found'],
    ['no/such:acme', 404, 'model_not_found'],
    [`${gptOss}:nowhere`, 400, 'provider_not_found'],
    [`${gptOss}:`, 400, 'provider_not_found'],
    [`${gptOss}:together`, 503, 'provider_not_configured'],
    [`${gptOss}:self`, 404, 'model_not_found'],
  ])('%s is %i %s', async (model, status, code) => {
    upstream.reply((response) => json(response, 200, completion('hi')))
    const error = await errorOf(await chat(model))
    expect(error).toMatchObject({ status, code, param: 'model' })
    expect(upstream.requests).toEqual([])
  })

  it.each([[7], [null], [''], [['a']], [undefined]])(
    'model %j is refused as a field',
    async (model) => {
      expect(await errorOf(await chat(model))).toMatchObject({ status: 400, param: 'model' })
    },
  )
})

describe('the body', () => {
  const send = (body: string | ReadableStream | Uint8Array, path = '/v1/responses') =>
    gateway.ask(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
      ...(body instanceof ReadableStream ? { duplex: 'half' } : {}),
    } as RequestInit)
  const paths = ['/v1/responses', '/v1/chat/completions']

  it.each(paths)('%s refuses what is not a JSON object', async (path) => {
    for (const body of ['{', '', 'null', '[]', '"x"', '{"model":"acme/small",}', '\u0000']) {
      const error = await errorOf(await send(body, path))
      expect([error.status, error.type]).toEqual([400, 'invalid_request_error'])
    }
  })

  it.each(paths)('%s refuses five thousand brackets before they hurt', async (path) => {
    const deep = `{"model":"acme/small","input":${'['.repeat(5000)}${']'.repeat(5000)}}`
    expect((await errorOf(await send(deep, path))).status).toBe(400)
    expect((await gateway.ask('/health')).status).toBe(200)
  })

  it.each(paths)('%s refuses a body over the limit, declared or not', async (path) => {
    const big = `{"model":"acme/small","input":"${'x'.repeat(1_200_000)}"}`
    expect(await errorOf(await send(big, path))).toMatchObject({
      status: 413,
      code: 'body_too_large',
    })
    const piece = new TextEncoder().encode('x'.repeat(65_536))
    let sent = 0
    const undeclared = new ReadableStream({
      pull(controller) {
        if (sent++ < 40) controller.enqueue(piece)
        else controller.close()
      },
    })
    expect(await errorOf(await send(undeclared, path))).toMatchObject({
      status: 413,
      code: 'body_too_large',
    })
  })

  it('survives a Content-Length that is a lie', async () => {
    // Shorter than declared: the client goes away and nothing else is harmed. Longer: the rest is no second request of ours.
    const head = (length: number) =>
      `POST /v1/responses HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`
    const body = '{"model":"acme/small","input":"hi"}'
    await new Promise<void>((resolve) => {
      const socket = connect(gateway.port, '127.0.0.1', () => socket.end(head(5000) + body))
      socket.on('error', () => {})
      socket.on('close', () => resolve())
      socket.resume()
    })
    const answer = await new Promise<string>((resolve) => {
      const socket = connect(gateway.port, '127.0.0.1', () => socket.write(head(10) + body))
      socket.on('error', () => {})
      socket.once('data', (data) => {
        socket.destroy()
        resolve(data.toString())
      })
    })
    expect(answer).toMatch(/^HTTP\/1\.1 400/)
    expect((await gateway.ask('/health')).status).toBe(200)
  })

  it.each([
    ['an unknown path', 'POST', '/v1/embeddings', 404],
    ['another method', 'PUT', '/v1/responses', 405],
    ['another kind of body', 'POST', '/v1/chat/completions', 415],
    ['something stored that is not there', 'DELETE', '/v1/responses/resp_unknown', 404],
  ])('is read off before the refusal of %s is told', async (_, method, path, status) => {
    const piece = new TextEncoder().encode('x'.repeat(65_536))
    let left = 80
    const undeclared = new ReadableStream({
      pull(controller) {
        if (left-- > 0) controller.enqueue(piece)
        else controller.close()
      },
    })
    for (const body of ['x'.repeat(5_000_000), undeclared]) {
      const headers = { 'content-type': 'text/plain' }
      const init = { method, headers, body, duplex: 'half' }
      expect((await gateway.ask(path, init as RequestInit)).status).toBe(status)
    }
  })

  it('takes a body of many megabytes where the limit allows it', async () => {
    const roomy = await startGateway({
      config: { providers: { acme: { baseUrl: `${upstream.origin}/v1`, models: '*' } } },
    })
    upstream.reply((response) => json(response, 200, completion('hi')))
    const messages = (bytes: number) => [{ role: 'user', content: 'x'.repeat(bytes) }]
    const taken = await roomy.post('/v1/chat/completions', {
      model: 'm',
      messages: messages(8_000_000),
    })
    expect(taken.status).toBe(200)
    const refused = await roomy.post('/v1/chat/completions', {
      model: 'm',
      messages: messages(40_000_000),
    })
    expect(await errorOf(refused)).toMatchObject({ status: 413, code: 'body_too_large' })
    await roomy.stop()
  })
})

describe('a provider that speaks Responses', () => {
  it('is asked in the dialect of the client', async () => {
    upstream.reply((response) => json(response, 400, {}))
    await gateway.post('/v1/responses', { model: 'any:native', input: 'hi', store: false })
    await chat('any:native')
    expect(upstream.requests.map((request) => request.path)).toEqual([
      '/native/v1/responses',
      '/native/v1/chat/completions',
    ])
    expect(upstream.requests[0]?.body).toMatchObject({ model: 'any', input: 'hi', store: false })
  })
})

describe('what goes up', () => {
  it("is the gateway's own key and none of the client's headers", async () => {
    upstream.reply((response) => json(response, 200, completion('hi')))
    await chat(`${gptOss}:groq`, '/v1/chat/completions', {
      authorization: 'Bearer sy_of_the_client',
      cookie: 'session=1',
      'x-api-key': 'k',
      'x-forwarded-for': '10.0.0.1',
      'x-custom': 'c',
      'x-hf-bill-to': 'org',
    })
    const headers = upstream.requests[0]?.headers ?? {}
    expect(headers.authorization).toBe('Bearer gsk_of_the_owner')
    expect(headers['accept-encoding']).toBe('identity')
    for (const name of ['cookie', 'x-api-key', 'x-forwarded-for', 'x-custom', 'x-hf-bill-to']) {
      expect(headers[name]).toBeUndefined()
    }
    expect(JSON.stringify(headers)).not.toContain('sy_of_the_client')
  })

  it('goes where the config says, whatever the body says', async () => {
    upstream.reply((response) => json(response, 200, completion('hi')))
    const ask = (elsewhere: string) =>
      gateway.post('/v1/chat/completions', {
        model: 'acme/small',
        messages: [{ role: 'user', content: 'hi' }],
        api_base: elsewhere,
        base_url: elsewhere,
        baseUrl: elsewhere,
      })
    expect((await ask('https://elsewhere.example.com')).status).toBe(200)
    expect(upstream.requests).toHaveLength(1)
    // A router upstream might follow what names this machine.
    expect(await errorOf(await ask('http://127.0.0.1:1'))).toMatchObject({
      status: 400,
      param: 'base_url',
    })
    expect(upstream.requests).toHaveLength(1)
  })
})

describe('a config that is refused', () => {
  it('serves nothing and says so on /health, without its content', async () => {
    const broken = await startGateway({ config: { polcy: 'fastest' } })
    const health = await broken.ask('/health')
    expect([health.status, await health.json()]).toEqual([
      503,
      { status: 'misconfigured', version: '0.1.0', nodes: [] },
    ])
    const error = await errorOf(await broken.ask('/v1/models'))
    expect(error).toMatchObject({ status: 500, code: 'server_error' })
    expect(error.message).not.toContain('polcy')
    expect(broken.log.join('')).toContain('polcy')
    await broken.stop()
  })
})
