// Web pages that the configuration lists may call the API from a browser; all others are told nothing.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startGateway, type TestGateway } from './harness.ts'
import { completion, json, startUpstream, type TestUpstream } from './upstream.ts'

const keys = { SWITCHYARD_KEYS: '{"acme":"sy_acme_key_0123"}' }
const body = JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'hi' }] })
const gateways: TestGateway[] = []
let upstream: TestUpstream

beforeAll(async () => {
  upstream = await startUpstream()
})
afterAll(async () => {
  for (const gateway of gateways) await gateway.stop()
  await upstream.stop()
})

async function gatewayFor(origins: string[], bindings: Record<string, string>) {
  const acme = { baseUrl: `${upstream.origin}/v1`, models: '*' }
  const config = { providers: { acme }, cors: { origins } }
  const gateway = await startGateway({ config, bindings })
  gateways.push(gateway)
  return gateway
}

function ask(gateway: TestGateway, origin: string, headers: Record<string, string> = {}) {
  upstream.reply((response) => json(response, 200, completion('hi')))
  return gateway.ask('/v1/chat/completions', {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin, ...headers },
    body,
  })
}

function askFirst(gateway: TestGateway, origin: string) {
  return gateway.ask('/v1/chat/completions', {
    method: 'OPTIONS',
    headers: {
      origin,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization, content-type, x-stainless-lang',
    },
  })
}

const told = (response: Response) => response.headers.get('access-control-allow-origin')

describe('pages of listed origins', () => {
  it('may ask an open gateway, and read what it answers; "*" opens it to nobody', async () => {
    const open = await gatewayFor(['https://app.example', '*'], {})
    const first = await askFirst(open, 'https://app.example')
    expect([first.status, told(first)]).toEqual([204, 'https://app.example'])
    expect(first.headers.get('access-control-allow-headers')).toContain('x-stainless-lang')
    expect(first.headers.get('access-control-allow-methods')).toContain('POST')

    const answer = await ask(open, 'https://app.example')
    expect([answer.status, told(answer)]).toEqual([200, 'https://app.example'])
    expect(answer.headers.get('vary')).toContain('origin')
    const exposed = answer.headers.get('access-control-expose-headers')
    expect(exposed?.split(', ').sort()).toEqual([
      'request-id',
      'retry-after',
      'warning',
      'x-request-id',
      'x-switchyard-attempts',
      'x-switchyard-idempotent-replay',
      'x-switchyard-node',
      'x-switchyard-provider',
      'x-switchyard-tried',
    ])

    const evil = await ask(open, 'https://evil.example')
    expect([evil.status, told(evil)]).toEqual([403, null])
    expect(told(await askFirst(open, 'https://evil.example'))).toBeNull()
    // A page of this machine may call, as ever, and is told nothing that was not listed.
    expect(told(await ask(open, 'http://localhost:3000'))).toBeNull()
  })

  it('need a key where there are keys, and may read why they are refused', async () => {
    const keyed = await gatewayFor(['*'], keys)
    expect((await askFirst(keyed, 'https://any.example')).status).toBe(204)
    const refused = await ask(keyed, 'https://any.example')
    expect([refused.status, told(refused)]).toEqual([401, 'https://any.example'])
    const authorization = 'Bearer sy_acme_key_0123'
    const answer = await ask(keyed, 'https://any.example', { authorization })
    expect([answer.status, told(answer)]).toEqual([200, 'https://any.example'])
    expect(answer.headers.get('access-control-allow-credentials')).toBeNull()
  })
})
