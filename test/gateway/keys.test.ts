// Whose key goes where: keys that clients bring, and Hugging Face tokens behind a provider's name.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { startGateway, type TestGateway } from './harness.ts'
import { completion, json, type Reply, sse, startUpstream, type TestUpstream } from './upstream.ts'

const gptOss = 'openai/gpt-oss-120b'
const tenantKey = 'sy_acme_key_0123'
let upstream: TestUpstream
let other: TestUpstream
let gateway: TestGateway
let closed: TestGateway

beforeAll(async () => {
  upstream = await startUpstream()
  other = await startUpstream()
  const at = (name: string) => ({ baseUrl: `${upstream.origin}/${name}/v1` })
  const providers = {
    cerebras: { baseUrl: `${other.origin}/cerebras/v1` },
    groq: at('groq'),
    hf: at('hf'),
    'hf-inference': at('hf-inference'),
  }
  const bindings = {
    SWITCHYARD_KEYS: JSON.stringify({ acme: tenantKey }),
    CEREBRAS_API_KEY: 'key_of_the_owner',
  }
  gateway = await startGateway({
    config: { providers, byok: true, passThrough: { hf: true } },
    bindings,
  })
  closed = await startGateway({ config: { providers }, bindings })
})

beforeEach(() => {
  for (const place of [upstream, other]) {
    place.reply((response) => json(response, 200, completion('hi')))
  }
})

afterAll(async () => {
  await gateway.stop()
  await closed.stop()
  await upstream.stop()
  await other.stop()
})

function ask(model: string, headers: Record<string, string>, at = gateway, token = tenantKey) {
  const body = { model, messages: [{ role: 'user', content: 'hi' }] }
  const authorization = `Bearer ${token}`
  return at.post('/v1/chat/completions', body, { authorization, ...headers })
}

async function errorOf(response: Response) {
  const { error } = (await response.json()) as {
    error: { message: string; param: string | null; code: string | null }
  }
  return { status: response.status, ...error }
}

const groqKey = { 'x-switchyard-provider-key': 'groq=canary_of_the_client' }

describe('a key that the client brings', () => {
  it('opens its provider, goes there as the bearer token, and as nothing else', async () => {
    expect((await ask(`${gptOss}:groq`, {})).status).toBe(503)
    expect((await ask(`${gptOss}:groq`, groqKey)).status).toBe(200)
    const [request] = upstream.requests
    expect(request?.headers.authorization).toBe('Bearer canary_of_the_client')
    expect(JSON.stringify({ ...request?.headers, authorization: '' })).not.toContain('canary')
    expect(JSON.stringify(request?.body)).not.toContain('canary')
  })

  it('is used before the keys of the owner, and by nobody else', async () => {
    const placeFor = async (headers: Record<string, string>) =>
      (await ask(gptOss, headers)).headers.get('x-switchyard-provider')
    expect(await placeFor({})).toBe('cerebras')
    expect(await placeFor(groqKey)).toBe('groq')
    expect(await placeFor({})).toBe('cerebras')
  })

  it('is not seen by the next candidate', async () => {
    upstream.reply((response) => json(response, 500, { error: 'down' }))
    const routed = await ask(gptOss, groqKey)
    expect(routed.status).toBe(200)
    const [request] = other.requests
    expect(request?.headers.authorization).toBe('Bearer key_of_the_owner')
    expect(JSON.stringify(request?.headers)).not.toContain('canary')
  })

  it("takes the place of the owner's, several at once", async () => {
    const value = 'groq=one, cerebras=two=='
    await ask(`${gptOss}:cerebras`, { 'x-switchyard-provider-key': value })
    expect(other.requests[0]?.headers.authorization).toBe('Bearer two==')
  })

  it('is listed with what it opens', async () => {
    const headers = { authorization: `Bearer ${tenantKey}`, ...groqKey }
    const list = async (init: RequestInit) =>
      JSON.stringify(await (await gateway.ask('/v1/models', init)).json())
    expect(await list({ headers })).toContain('"provider":"groq"')
    expect(await list({ headers: { authorization: `Bearer ${tenantKey}` } })).not.toContain('groq')
  })

  it.each([
    [401, 'Invalid API Key'],
    [403, 'No access'],
    [402, 'Pay first'],
  ])('refused with %i is told to the client as its own', async (status, message) => {
    upstream.reply((response) => json(response, status, { error: { message } }))
    const error = await errorOf(await ask(`${gptOss}:groq`, groqKey))
    expect(error).toMatchObject({ status, message })
  })

  it.each([400, 401, 429, 500])('echoed with %i is hidden, in answers and logs', async (status) => {
    upstream.reply((response, { headers }) =>
      json(response, status, { error: { message: `not ${headers.authorization}` } }),
    )
    const text = await (await ask(`${gptOss}:groq`, groqKey)).text()
    expect(text + gateway.log.join('')).not.toContain('canary')
  })

  it.each([
    ['no pair', 'canary', 400, 'invalid_value'],
    ['an empty key', 'groq=', 400, 'invalid_value'],
    ['a line of words', 'groq=canary with words', 400, 'invalid_value'],
    ['a provider that does not exist', 'nowhere=canary', 400, 'provider_not_found'],
    ['too many', Array.from({ length: 17 }, () => 'groq=canary').join(), 400, 'invalid_value'],
  ])('is refused, unrepeated: %s', async (_, value, status, code) => {
    const response = await ask(`${gptOss}:groq`, { 'x-switchyard-provider-key': value })
    const error = await errorOf(response)
    expect(error).toMatchObject({ status, code, param: 'x-switchyard-provider-key' })
    expect(error.message + gateway.log.join('')).not.toContain('canary')
    expect(upstream.requests).toEqual([])
  })

  it('is refused where the config does not allow it, and not ignored', async () => {
    const error = await errorOf(await ask(`${gptOss}:cerebras`, groqKey, closed))
    expect(error).toMatchObject({ status: 400, param: 'x-switchyard-provider-key' })
    expect(error.message).toContain('byok')
    expect(other.requests).toEqual([])
  })

  it('does not stand for a key of the gateway', async () => {
    expect((await ask(`${gptOss}:groq`, groqKey, gateway, 'sy_wrong')).status).toBe(401)
  })

  it('is not taken along by a redirect', async () => {
    upstream.reply((response) => json(response, 307, '', { location: `${other.origin}/x` }))
    expect((await ask(`${gptOss}:groq`, groqKey)).status).toBe(502)
    expect(other.requests).toEqual([])
  })
})

describe("a client's Hugging Face token", () => {
  const token = 'hf_of_the_client'
  const hf = (model: string, headers = {}) => ask(model, headers, gateway, token)

  it('reaches a provider behind the router by its name', async () => {
    const response = await hf(`${gptOss}:groq`, { 'x-hf-bill-to': 'my-org' })
    expect(response.status).toBe(200)
    expect(response.headers.get('x-switchyard-provider')).toBe('hf')
    expect(upstream.requests).toMatchObject([
      {
        path: '/hf/v1/chat/completions',
        headers: { authorization: `Bearer ${token}`, 'x-hf-bill-to': 'my-org' },
        body: { model: `${gptOss}:groq` },
      },
    ])
  })

  it('is good for hf-inference, too', async () => {
    expect((await hf('org/small:hf-inference')).status).toBe(200)
    expect(upstream.requests).toMatchObject([
      { path: '/hf-inference/v1/chat/completions', headers: { authorization: `Bearer ${token}` } },
    ])
  })

  it('never gives the use of a key of the owner', async () => {
    await hf(`${gptOss}:cerebras`)
    expect(other.requests).toEqual([])
    expect(upstream.requests).toMatchObject([{ path: '/hf/v1/chat/completions' }])
  })

  it('goes beside a key for another provider', async () => {
    await hf(`${gptOss}:groq`, groqKey)
    expect(upstream.requests).toMatchObject([
      {
        path: '/groq/v1/chat/completions',
        headers: { authorization: 'Bearer canary_of_the_client' },
      },
    ])
  })
})

describe('what a provider says of one client’s key', () => {
  let shared: TestGateway
  const path = '/v1/chat/completions'
  const own = { 'x-switchyard-provider-key': 'one=key_of_a_client' }

  beforeAll(async () => {
    const at = (name: string, { origin }: TestUpstream) => ({
      baseUrl: `${origin}/v1`,
      apiKeyEnv: `${name}_KEY`,
      models: '*',
    })
    shared = await startGateway({
      config: { providers: { one: at('ONE', upstream), two: at('TWO', other) }, byok: true },
      bindings: { ONE_KEY: 'key_of_the_owner', TWO_KEY: 'key_of_the_owner' },
    })
  })
  afterAll(() => shared.stop())

  /** Who answers the owner's clients after the client with that key was told `reply`, six times. */
  async function answersOthers(model: string, stream: boolean, reply: Reply): Promise<unknown> {
    upstream.reply((response, request) => {
      if (request.headers.authorization === 'Bearer key_of_a_client')
        return reply(response, request)
      json(response, 200, completion('hi'))
    })
    const body = { model, stream, messages: [{ role: 'user', content: 'hi' }] }
    for (let count = 0; count < 6; count++) await (await shared.post(path, body, own)).text()
    const answer = await shared.post(path, { ...body, stream: false })
    return answer.headers.get('x-switchyard-provider')
  }

  it.each([false, true])('keeps nobody else away: a limit (stream: %s)', async (stream) => {
    const limit: Reply = (response) =>
      json(response, 429, { error: { message: 'no' } }, { 'retry-after': '3000' })
    expect(await answersOthers(`limit-${stream}`, stream, limit)).toBe('one')
  })

  it.each([false, true])('opens no breaker: a refusal in a 200 (stream: %s)', async (stream) => {
    const text = JSON.stringify({ error: { message: 'no such key', code: 401 } })
    const refusal: Reply = (response, { body }) => {
      if (body.stream === true) sse(response, `data: ${text}\n\n`)
      else json(response, 200, text)
    }
    expect(await answersOthers(`refusal-${stream}`, stream, refusal)).toBe('one')
  })
})
