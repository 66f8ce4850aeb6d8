// Streams whose chunks come faster than a client is written to: they are read together, and nothing else may change.
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventsOf, expectInOrder } from '../src/support.ts'
import { startGateway, type TestGateway } from './harness.ts'
import { chunk, sse, startUpstream, type TestUpstream, textStream } from './upstream.ts'

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

const words = Array.from({ length: 1500 }, (_, at) => ` wörd${at}`)
const chat = { model: 'm', messages: [{ role: 'user', content: 'hi' }], stream: true }
const responses = { model: 'm', input: 'hi', stream: true }

/** Reads a stream as it comes. */
function reading(response: Response) {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  let got = ''
  return {
    async until(text: string): Promise<string> {
      while (!got.includes(text)) {
        const next = await reader?.read()
        if (next === undefined || next.done) break
        got += next.value
      }
      return got
    },
  }
}

describe('a burst of many chunks', () => {
  it('reaches a Chat client byte for byte', async () => {
    const pieces = textStream(...words)
    upstream.reply((response) => sse(response, ...pieces))
    const answer = await gateway.post('/v1/chat/completions', chat)
    expect(await answer.text()).toBe(pieces.join(''))
  })

  it('reaches a Responses client in order', async () => {
    upstream.reply((response) => sse(response, ...textStream(...words)))
    const events = eventsOf(await (await gateway.post('/v1/responses', responses)).text())
    expectInOrder(events)
    const deltas = events.filter(({ type }) => type === 'response.output_text.delta')
    expect(deltas.map(({ delta }) => delta)).toEqual(words)
  })

  it.each([
    ['/v1/chat/completions', chat],
    ['/v1/responses', responses],
  ])('holds nothing back: %s', async (path, body) => {
    let write = (_: string) => {}
    upstream.reply((response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      for (const word of words) response.write(chunk({ content: word }))
      write = (text) => response.write(text)
    })
    const stream = reading(await gateway.post(path, body))
    expect(await stream.until(' wörd1499"')).toContain(' wörd1498"')
    for (const word of [' slow', ' ly', ' now']) {
      write(chunk({ content: word }))
      expect(await stream.until(word)).toContain(word)
    }
    write(`${chunk({}, 'stop')}data: [DONE]\n\n`)
    expect(await stream.until('[DONE]')).toContain('[DONE]')
  })

  it('that is cut ends as a failure, after all that came', async () => {
    upstream.reply((response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      for (const word of words) response.write(chunk({ content: word }))
      // Once all of it has left this process, as what has not is lost with the connection.
      response.write(': last\n\n', () => response.destroy())
    })
    const events = eventsOf(await (await gateway.post('/v1/responses', responses)).text())
    expectInOrder(events)
    expect(events.at(-1)).toMatchObject({ type: 'response.failed' })
    const deltas = events.filter(({ type }) => type === 'response.output_text.delta')
    expect(deltas.map(({ delta }) => delta)).toEqual(words)
  })

  it('ends upstream when the client leaves after it', async () => {
    upstream.reply((response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      for (const word of words) response.write(chunk({ content: word }))
    })
    const body = JSON.stringify(chat)
    const socket = connect(gateway.port, '127.0.0.1', () =>
      socket.write(
        `POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      ),
    )
    socket.on('error', () => {})
    await new Promise<void>((resolve) => {
      socket.on('data', (bytes) => bytes.includes(' wörd1499"') && resolve())
    })
    const request = await upstream.nextRequest()
    socket.resetAndDestroy()
    expect(await request.ended).toBe(true)
  })

  it('waits upstream for a client that does not read', async () => {
    const large = chunk({ content: 'x'.repeat(1000) })
    let written = 0
    upstream.reply(async (response) => {
      response.setMaxListeners(0)
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      for (; written < 100_000 && !response.destroyed; written++) {
        if (!response.write(large)) {
          await new Promise<void>((resolve) => {
            response.once('drain', resolve)
            response.once('close', resolve)
          })
        }
      }
    })
    const answer = await gateway.post('/v1/chat/completions', chat)
    let before = -1
    while (written > before) {
      before = written
      await new Promise((resolve) => setTimeout(resolve, 300))
    }
    expect(written).toBeLessThan(100_000)
    await answer.body?.cancel()
  })
})
