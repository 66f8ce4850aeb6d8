// What a node fetches for its engine: resolved, checked, pinned, bounded.
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type InlineOptions, inlineUrls } from '../../native-node/server/inline-urls.ts'
import { createNodeApi } from '../../native-node/server/local-api.ts'
import type { Address } from '../../native-node/server/pinned-get.ts'
import { connectUpstream } from '../../native-node/server/upstream-node.ts'
import { ApiError } from '../../src/errors.ts'

const png = Buffer.from('89504e470d0a1a0a', 'hex')
const asData = `data:image/png;base64,${png.toString('base64')}`
const pages: Record<string, RequestListener> = {
  '/x.png': (_, response) => response.writeHead(200, { 'content-type': 'image/png' }).end(png),
  '/typed.png': (_, response) =>
    response.writeHead(200, { 'content-type': 'Image/PNG; charset=binary' }).end(png),
  '/page': (_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<p>'),
  '/x.svg': (_, response) =>
    response.writeHead(200, { 'content-type': 'image/svg+xml' }).end('<svg/>'),
  '/missing': (_, response) => response.writeHead(404).end(),
  '/moved': (_, response) => response.writeHead(302, { location: '/x.png' }).end(),
  '/inside': (_, response) =>
    response.writeHead(302, { location: 'http://169.254.169.254/latest/' }).end(),
  '/file': (_, response) => response.writeHead(302, { location: 'file:///etc/passwd' }).end(),
  '/loop': (_, response) => response.writeHead(302, { location: '/loop' }).end(),
  '/broken': (request) => request.destroy(),
  '/endless': (_, response) => {
    response.writeHead(200, { 'content-type': 'image/png' })
    const piece = Buffer.alloc(1 << 20)
    const more = () => {
      while (response.write(piece) && !response.destroyed);
    }
    response.on('drain', more)
    more()
  },
  '/silent': () => {},
}

let server: Server
let port: number
let asked: string[]
beforeAll(async () => {
  server = createServer((request, response) => {
    asked.push(`${request.headers.host}${request.url}`)
    pages[request.url ?? '']?.(request, response)
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  port = (server.address() as AddressInfo).port
})
afterAll(async () => {
  server.closeAllConnections()
  await new Promise((done) => server.close(done))
})

const loopback: Address[] = [{ address: '127.0.0.1', family: 4 }]
const body = (...urls: string[]) => ({
  model: 'm',
  messages: [
    { role: 'user', content: urls.map((url) => ({ type: 'image_url', image_url: { url } })) },
  ],
})

/** Options of a node whose owner listed the test's server under a name. */
function listed(overrides: Partial<InlineOptions> = {}): InlineOptions {
  asked = []
  return {
    policy: { allowHosts: [`pics.test:${port}`] },
    signal: new AbortController().signal,
    resolve: async () => loopback,
    ...overrides,
  }
}

async function refusal(given: Record<string, unknown>, options: InlineOptions): Promise<ApiError> {
  const thrown = await inlineUrls(given, options).catch((error: unknown) => error)
  if (thrown instanceof ApiError) return thrown
  throw new Error(`not refused: ${JSON.stringify(thrown)}`)
}

describe('what is fetched', () => {
  it('comes to the engine as data, over redirects within the list, and the caller’s body stays', async () => {
    const given = body(`http://pics.test:${port}/x.png`, asData, `http://pics.test:${port}/moved`)
    const before = JSON.stringify(given)
    expect(await inlineUrls(given, listed())).toEqual(body(asData, asData, asData))
    expect(JSON.stringify(given)).toBe(before)
    expect(asked).toEqual(['/x.png', '/moved', '/x.png'].map((path) => `pics.test:${port}${path}`))
    const typed = await inlineUrls(body(`http://pics.test:${port}/typed.png`), listed())
    expect(typed).toEqual(body(asData))
  })

  it('is nothing where a body names no URL, or only data', async () => {
    for (const given of [{ model: 'm', messages: [] }, body(asData)]) {
      expect(await inlineUrls(given, listed())).toBe(given)
    }
  })

  it('is asked of the address that was checked, once resolved a hop', async () => {
    // A name that rebinds: public when it is checked, private the next time.
    let lookups = 0
    const resolve = async () => {
      lookups++
      return lookups === 1
        ? [{ address: '127.0.0.1', family: 4 }]
        : [{ address: '10.0.0.1', family: 4 }]
    }
    await inlineUrls(body(`http://pics.test:${port}/x.png`), listed({ resolve }))
    expect([lookups, asked.length]).toEqual([1, 1])
  })
})

describe('a node in front of an engine', () => {
  it('hands its engine data, on its own API and through the tunnel', async () => {
    const seen: string[] = []
    const engine = createServer((request, response) => {
      let text = ''
      request.on('data', (piece: Buffer) => {
        text += piece.toString()
      })
      request.on('end', () => {
        if (request.method === 'POST') seen.push(text)
        const message = { role: 'assistant', content: 'a cat' }
        const choices = [{ index: 0, message, finish_reason: 'stop' }]
        const answer = request.method === 'GET' ? { data: [{ id: 'm' }] } : { choices }
        response.setHeader('content-type', 'application/json')
        response.end(JSON.stringify(answer))
      })
    })
    await new Promise<void>((done) => engine.listen(0, '127.0.0.1', done))
    const { policy, resolve } = listed()
    const backend = await connectUpstream({
      url: `http://127.0.0.1:${(engine.address() as AddressInfo).port}`,
      ...(policy ? { egress: policy } : {}),
      ...(resolve ? { resolve } : {}),
    })
    const api = createNodeApi({ backend })
    const ask = (url: string) =>
      new Request('http://127.0.0.1/v1/chat/completions', {
        method: 'POST',
        headers: { 'content-type': 'application/json', host: '127.0.0.1' },
        body: JSON.stringify(body(url)),
      })
    for (const handle of [api.fetch, api.handle]) {
      const answer = await handle(ask(`http://pics.test:${port}/x.png`))
      expect(answer.status).toBe(200)
      await answer.text()
      const refused = await handle(ask('http://169.254.169.254/'))
      expect(refused.status).toBe(400)
      expect(await refused.json()).toMatchObject({
        error: { param: 'messages[0].content[0].image_url.url' },
      })
    }
    expect(seen).toHaveLength(2)
    for (const text of seen) expect(text).toContain(asData)
    engine.closeAllConnections()
    await new Promise((done) => engine.close(done))
  })
})

describe('what is refused, with the field', () => {
  const path = 'messages[0].content[0].image_url.url'
  const open = (...addresses: string[]): InlineOptions => ({
    signal: new AbortController().signal,
    resolve: async () =>
      addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
  })

  it.each([
    ['a private address', ['10.0.0.1']],
    ['loopback', ['127.0.0.1']],
    ['metadata', ['169.254.169.254']],
    ['one private address among public ones', ['8.8.8.8', '192.168.1.1']],
    ['loopback in IPv6', ['::1']],
    ['a mapped address', ['::ffff:127.0.0.1']],
    ['NAT64', ['64:ff9b::7f00:1']],
    ['no address', []],
  ])('a name that stands for %s', async (_, addresses) => {
    const error = await refusal(body('http://rebind.example.com/x.png'), open(...addresses))
    expect(error).toMatchObject({ status: 400, code: 'invalid_value', param: path })
  })

  it.each([
    ['another host', 'http://other.test/x.png'],
    ['an address', 'http://127.0.0.1/x.png'],
    ['a scheme', 'file:///etc/passwd'],
  ])('%s than the list has', async (_, url) => {
    expect((await refusal(body(url), listed())).param).toBe(path)
    expect(asked).toEqual([])
  })

  it.each(['/page', '/x.svg', '/missing', '/inside', '/file', '/loop', '/broken', '/endless'])(
    'an answer like %s',
    async (page) => {
      const error = await refusal(body(`http://pics.test:${port}${page}`), listed())
      expect(error).toMatchObject({ status: 400, param: path })
      expect(error.message).not.toContain('169.254')
      expect(asked.length).toBeLessThanOrEqual(4)
    },
  )

  it('too many URLs, and URLs that an engine would fetch for itself', async () => {
    const many = Array.from({ length: 33 }, () => `http://pics.test:${port}/x.png`)
    expect((await refusal(body(...many), listed())).message).toContain('32')
    const mcp = { tools: [{ type: 'mcp', server_url: `http://pics.test:${port}/mcp` }] }
    expect((await refusal(mcp, listed())).param).toBe('tools[0].server_url')
    expect(asked).toEqual([])
  })

  it('nothing: a client that leaves ends the fetch', async () => {
    const client = new AbortController()
    const options = listed({ signal: client.signal })
    const fetching = inlineUrls(body(`http://pics.test:${port}/silent`), options)
    while (asked.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    client.abort(new Error('left'))
    await expect(fetching).rejects.toThrow('left')
  })
})
