// A client that goes away stops the work upstream: seen on the upstream's own socket, at each stage of a request.
// workerd takes a closed connection for a half-closed one until it writes to it and is answered with a reset. While nothing
// is written, a test therefore resets the connection at once, as an edge in front of workerd tells it.
import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startGateway, type TestGateway } from './harness.ts'
import { chunk, startUpstream, type TestUpstream } from './upstream.ts'

let upstream: TestUpstream
let gateway: TestGateway

beforeAll(async () => {
  upstream = await startUpstream()
  gateway = await startGateway({
    config: { providers: { acme: { baseUrl: `${upstream.origin}/v1`, models: '*' } } },
  })
})

afterAll(async () => {
  await gateway.stop()
  await upstream.stop()
})

const bodies = {
  '/v1/responses': { model: 'm', input: 'hi' },
  '/v1/chat/completions': { model: 'm', messages: [{ role: 'user', content: 'hi' }] },
  '/v1/messages': { model: 'm', max_tokens: 9, messages: [{ role: 'user', content: 'hi' }] },
}
type Path = keyof typeof bodies

/** A client that can be cut off like a closed laptop; `received` resolves once the answer holds that text. */
function rawClient(
  path: Path,
  stream: boolean,
): { socket: Socket; received(text: string): Promise<void> } {
  const body = JSON.stringify({ ...bodies[path], stream })
  let got = ''
  const socket = connect(gateway.port, '127.0.0.1', () =>
    socket.write(
      `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    ),
  )
  socket.setEncoding('utf8')
  socket.on('error', () => {})
  socket.on('data', (text: string) => {
    got += text
  })
  const received = (text: string) =>
    new Promise<void>((resolve) => {
      const look = () => got.includes(text) && resolve()
      socket.on('data', look)
      look()
    })
  return { socket, received }
}

const paths = ['/v1/responses', '/v1/chat/completions', '/v1/messages'] as const

describe.each(paths)('%s', (path) => {
  it.each([false, true])('before the headers (stream: %s)', async (stream) => {
    upstream.reply(() => {})
    const { socket } = rawClient(path, stream)
    const request = await upstream.nextRequest()
    socket.resetAndDestroy()
    expect(await request.ended).toBe(true)
  })

  it('after the headers, before the first token', async () => {
    upstream.reply((response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.flushHeaders()
    })
    const { socket } = rawClient(path, true)
    const request = await upstream.nextRequest()
    socket.resetAndDestroy()
    expect(await request.ended).toBe(true)
  })

  it('in the middle of a stream that goes on', async () => {
    upstream.reply((response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(chunk({ role: 'assistant', content: 'first words' }))
      const timer = setInterval(() => response.write(chunk({ content: ' and more' })), 5)
      response.on('close', () => clearInterval(timer))
    })
    const { socket, received } = rawClient(path, true)
    await received('first words')
    const request = await upstream.nextRequest()
    socket.destroy()
    expect(await request.ended).toBe(true)
  })

  it('in the middle of a stream that has fallen silent', async () => {
    upstream.reply((response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(chunk({ role: 'assistant', content: 'first words' }))
    })
    const { socket, received } = rawClient(path, true)
    await received('first words')
    const request = await upstream.nextRequest()
    socket.resetAndDestroy()
    expect(await request.ended).toBe(true)
  })

  it('in the middle of a whole answer', async () => {
    upstream.reply((response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.write('{"id":"c1","object":"chat.completion","choices":[')
    })
    const { socket } = rawClient(path, false)
    const request = await upstream.nextRequest()
    // Only the upstream knows that its first bytes are out; the gateway keeps them until the answer is whole.
    await new Promise((resolve) => setTimeout(resolve, 50))
    socket.resetAndDestroy()
    expect(await request.ended).toBe(true)
  })
})
