// Who may ask: keys, the open mode of a local gateway, and Hugging Face tokens passed through.
import { createHmac } from 'node:crypto'
import { request as httpRequest } from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startGateway, type TestGateway } from './harness.ts'
import { completion, json, startUpstream, type TestUpstream } from './upstream.ts'

let upstream: TestUpstream
const running: TestGateway[] = []

async function gateway(options: Parameters<typeof startGateway>[0]): Promise<TestGateway> {
  const started = await startGateway(options)
  running.push(started)
  return started
}

beforeAll(async () => {
  upstream = await startUpstream()
  upstream.reply((response) => json(response, 200, completion('hi')))
})

afterAll(async () => {
  await Promise.all(running.map((one) => one.stop()))
  await upstream.stop()
})

const errorOf = async (response: Response) => {
  const body = (await response.json()) as { error: { message: string; type: string; code: string } }
  return { status: response.status, ...body.error }
}

describe('keys', () => {
  let keyed: TestGateway
  const hashed = createHmac('sha256', 'switchyard').update('sy_globex_key_0123').digest('hex')
  beforeAll(async () => {
    keyed = await gateway({
      bindings: {
        SWITCHYARD_KEYS: JSON.stringify({
          acme: 'sy_acme_key_0123',
          globex: `hmac-sha256:${hashed}`,
        }),
      },
    })
  })
  const models = (authorization?: string) =>
    keyed.ask('/v1/models', { headers: authorization === undefined ? {} : { authorization } })

  it('let in the tenant that shows its key, stored plainly or as an HMAC', async () => {
    expect((await models('Bearer sy_acme_key_0123')).status).toBe(200)
    expect((await models('Bearer sy_globex_key_0123')).status).toBe(200)
    expect((await models('bearer sy_acme_key_0123')).status).toBe(200)
  })

  it.each([
    ['no header', undefined],
    ['another key', 'Bearer sy_acme_key_0124'],
    ['a prefix of the key', 'Bearer sy_acme_key_012'],
    ['the stored HMAC itself', `Bearer hmac-sha256:${hashed}`],
    ['the wrong scheme', 'Basic sy_acme_key_0123'],
    ['no token', 'Bearer '],
    ['a Hugging Face token without pass-through', 'Bearer hf_abcdefgh'],
  ])('refuse %s', async (_, authorization) => {
    expect(await errorOf(await models(authorization))).toMatchObject({
      status: 401,
      type: 'authentication_error',
      code: 'invalid_api_key',
    })
  })

  it('guard every route but /health, unknown ones too', async () => {
    for (const path of [
      '/v1/models',
      '/v1/explain?model=x',
      '/groq/v1/models',
      '/nowhere',
      '/v1/responses/resp_1',
    ]) {
      expect((await keyed.ask(path)).status).toBe(401)
    }
    expect((await keyed.post('/v1/responses', {})).status).toBe(401)
    for (const path of ['/health', '/health?ready']) {
      expect((await keyed.ask(path)).status).toBe(200)
    }
  })

  it('may be several for a tenant or a node token, so that one can be changed while the other works', async () => {
    const changing = await gateway({
      closed: true,
      bindings: {
        SWITCHYARD_KEYS: JSON.stringify({ acme: ['sy_acme_new', `hmac-sha256:${hashed}`] }),
        SWITCHYARD_NODE_TOKEN: JSON.stringify({ acme: ['token_new', 'token_old'] }),
      },
    })
    const ask = async (path: string, key: string) => {
      const { status } = await changing.ask(path, { headers: { authorization: `Bearer ${key}` } })
      return status
    }
    expect(await ask('/v1/models', 'sy_acme_new')).toBe(200)
    expect(await ask('/v1/models', 'sy_globex_key_0123')).toBe(200)
    expect(await ask('/v1/models', 'sy_acme_key_0123')).toBe(401)
    // 426: the token is right, and only the upgrade is missing.
    expect(await ask('/nodes/connect', 'token_new')).toBe(426)
    expect(await ask('/nodes/connect', 'token_old')).toBe(426)
    expect(await ask('/nodes/connect', 'token_other')).toBe(401)
  })

  it('that two tenants share are nobody’s: neither is told the other’s things', async () => {
    const plain = 'sy_globex_key_0123'
    const shared = await gateway({
      closed: true,
      bindings: {
        SWITCHYARD_KEYS: JSON.stringify({
          acme: ['sy_acme', `hmac-sha256:${hashed}`],
          globex: [plain, plain],
          own: ['sy_twice', 'sy_twice'],
        }),
        SWITCHYARD_NODE_TOKEN: JSON.stringify({ acme: 'token_x', globex: ['token_x', 'token_y'] }),
      },
    })
    const ask = (path: string, key: string) =>
      shared.ask(path, { headers: { authorization: `Bearer ${key}` } })
    expect(await errorOf(await ask('/v1/models', plain))).toMatchObject({
      status: 503,
      code: 'auth_not_configured',
    })
    expect((await ask('/v1/models', 'sy_acme')).status).toBe(200)
    expect((await ask('/v1/models', 'sy_twice')).status).toBe(200)
    expect((await ask('/nodes/connect', 'token_x')).status).toBe(503)
    expect((await ask('/nodes/connect', 'token_y')).status).toBe(426)
  })

  it('make the gateway as closed to this machine as to any other', async () => {
    const both = await gateway({
      bindings: { SWITCHYARD_KEYS: '{"acme":"sy_acme_key_0123"}', SWITCHYARD_OPEN: 'loopback' },
    })
    expect((await both.ask('/v1/models')).status).toBe(401)
  })
})

describe('without keys', () => {
  it.each([
    ['none are set', {}],
    ['the secret is not JSON', { SWITCHYARD_KEYS: 'sy_plain' }],
    ['the secret holds no tenant', { SWITCHYARD_KEYS: '{}' }],
    ['the secret holds half of an HMAC', { SWITCHYARD_KEYS: '{"acme":"hmac-sha256:12ab"}' }],
    ['the secret names a tenant twice', { SWITCHYARD_KEYS: '{"acme":"sy_x","acme":"sy_y"}' }],
    ['the secret holds a tenant without a key', { SWITCHYARD_KEYS: '{"acme":[]}' }],
    [
      'the secret is unreadable and the gateway says it is local',
      { SWITCHYARD_KEYS: '[1]', SWITCHYARD_OPEN: 'loopback' },
    ],
    ['the open binding holds another word', { SWITCHYARD_OPEN: 'yes' }],
  ])('every route but /health answers 503: %s', async (_, bindings) => {
    const closed = await gateway({ closed: true, bindings })
    for (const path of ['/v1/models', '/nodes/connect', '/nowhere']) {
      expect(
        await errorOf(await closed.ask(path, { headers: { authorization: 'Bearer sy_x' } })),
      ).toMatchObject({
        status: 503,
        code: 'auth_not_configured',
      })
    }
    // Alive, and of no use yet.
    const states = [await closed.ask('/health'), await closed.ask('/health?ready')]
    expect(states.map(({ status }) => status)).toEqual([200, 503])
    for (const state of states) {
      expect(await state.json()).toMatchObject({ status: 'auth_not_configured', nodes: [] })
    }
  })

  it('no header opens it', async () => {
    const closed = await gateway({ closed: true })
    const headers = {
      host: 'localhost',
      'x-forwarded-for': '127.0.0.1',
      'switchyard-open': 'loopback',
    }
    expect((await closed.ask('/v1/models', { headers })).status).toBe(503)
  })
})

describe('open on loopback', () => {
  let open: TestGateway
  beforeAll(async () => {
    const acme = { baseUrl: `${upstream.origin}/v1`, models: '*' }
    open = await gateway({ config: { providers: { acme } } })
  })
  const body = JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'hi' }] })

  /** fetch() sets Host itself; a rebinding page's browser sends the page's name. */
  function raw(headers: Record<string, string>, path = '/v1/chat/completions'): Promise<number> {
    return new Promise((resolve, reject) => {
      const request = httpRequest(
        { host: '127.0.0.1', port: open.port, path, method: 'POST', headers },
        (response) => {
          response.resume()
          resolve(response.statusCode ?? 0)
        },
      )
      request.on('error', reject)
      request.end(body)
    })
  }

  it.each(['localhost', '127.0.0.1:8787', '[::1]:8787'])('answers to Host %s', async (host) => {
    expect(await raw({ host, 'content-type': 'application/json' })).toBe(200)
  })

  it.each([
    ['Host', { host: 'evil.example' }],
    ['Host', { host: '127.0.0.1.evil.example' }],
    ['Host', { host: 'localhost.evil.example:8787' }],
    ['Origin', { host: 'localhost', origin: 'https://evil.example' }],
    ['Origin', { host: 'localhost', origin: 'null' }],
    ['Origin', { host: 'localhost', origin: 'http://localhost.evil.example' }],
  ])('refuses a foreign %s: %j', async (_, headers) => {
    expect(await raw({ 'content-type': 'application/json', ...headers })).toBe(403)
  })

  it.each([
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data',
    '',
    'application/jsonp',
  ])('refuses a body of type "%s", which a page may send without asking', async (type) => {
    expect(await raw({ host: 'localhost', 'content-type': type })).toBe(415)
  })

  it('gives no permission to other origins', async () => {
    const preflight = await open.ask('/v1/responses', {
      method: 'OPTIONS',
      headers: { origin: 'http://localhost:3000', 'access-control-request-method': 'POST' },
    })
    expect(preflight.status).toBe(204)
    const headers = [...preflight.headers.keys()].filter((name) =>
      name.startsWith('access-control'),
    )
    expect(headers).toEqual([])
  })
})

describe('Hugging Face tokens', () => {
  let passing: TestGateway
  beforeAll(async () => {
    const config = {
      providers: {
        hf: { baseUrl: `${upstream.origin}/hf/v1` },
        groq: { baseUrl: `${upstream.origin}/groq/v1` },
        acme: { baseUrl: `${upstream.origin}/acme/v1`, models: '*' },
      },
      passThrough: { hf: true },
    }
    passing = await gateway({
      config,
      bindings: {
        SWITCHYARD_KEYS: '{"acme":"sy_acme_key_0123"}',
        GROQ_API_KEY: 'gsk',
        HF_TOKEN: 'hf_of_the_owner',
      },
    })
  })
  const ask = (model: string, token: string, headers = {}) =>
    passing.post(
      '/v1/chat/completions',
      { model, messages: [{ role: 'user', content: 'hi' }] },
      { authorization: `Bearer ${token}`, ...headers },
    )

  it('are sent to hf, with the account to bill, and open nothing else', async () => {
    upstream.reply((response) => json(response, 200, completion('hi')))
    const response = await ask('openai/gpt-oss-120b', 'hf_of_the_client', {
      'x-hf-bill-to': 'my-org',
    })
    expect(response.status).toBe(200)
    expect(upstream.requests.map((request) => request.path)).toEqual(['/hf/v1/chat/completions'])
    expect(upstream.requests[0]?.headers).toMatchObject({
      authorization: 'Bearer hf_of_the_client',
      'x-hf-bill-to': 'my-org',
    })
    expect((await ask('openai/gpt-oss-120b:acme', 'hf_of_the_client')).status).toBe(503)
    expect(upstream.requests).toHaveLength(1)
    // The owner's key for groq is not used: hf is asked for groq.
    expect((await ask('openai/gpt-oss-120b:groq', 'hf_of_the_client')).status).toBe(200)
    expect(upstream.requests[1]).toMatchObject({
      path: '/hf/v1/chat/completions',
      headers: { authorization: 'Bearer hf_of_the_client' },
    })
  })

  it("are not needed by tenants with a key, who use the owner's", async () => {
    upstream.reply((response) => json(response, 200, completion('hi')))
    expect((await ask('openai/gpt-oss-120b:hf', 'sy_acme_key_0123')).status).toBe(200)
    expect(upstream.requests[0]?.headers.authorization).toBe('Bearer hf_of_the_owner')
  })

  it('that are refused are the problem of their owner', async () => {
    upstream.reply((response) => json(response, 401, { error: 'Invalid username or password.' }))
    expect(await errorOf(await ask('openai/gpt-oss-120b', 'hf_of_the_client'))).toMatchObject({
      status: 401,
      code: 'invalid_api_key',
    })
  })
})
