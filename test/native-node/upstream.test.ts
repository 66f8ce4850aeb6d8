import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { createNodeApi } from '../../native-node/server/local-api.ts'
import { connectUpstream, type UpstreamOptions } from '../../native-node/server/upstream-node.ts'

interface Seen {
  path: string
  authorization: string | undefined
  body: Record<string, unknown>
}

type Answer = (seen: Seen, response: ServerResponse) => void

let server: Server | undefined
afterEach(() => {
  server?.closeAllConnections()
  server?.close()
})

/** A server with OpenAI's API: one or more models, and `answer` for everything posted. */
async function start(answer: Answer, models = ['org/model']) {
  const seen: Seen[] = []
  server = createServer(async (request, response) => {
    const { url = '', headers } = request
    if (url.endsWith('/models')) {
      const data = models.map((id) => ({ id, max_model_len: 100 }))
      response.end(JSON.stringify({ object: 'list', data }))
      return
    }
    const one = { path: url, authorization: headers.authorization, body: await read(request) }
    seen.push(one)
    answer(one, response)
  })
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, seen }
}

async function read(request: IncomingMessage): Promise<Record<string, unknown>> {
  let text = ''
  for await (const chunk of request) text += chunk
  return JSON.parse(text)
}

function post(body: unknown, path = '/v1/chat/completions', signal?: AbortSignal) {
  return new Request(`http://node${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    ...(signal ? { signal } : {}),
  })
}

async function api(options: UpstreamOptions) {
  return createNodeApi({ backend: await connectUpstream(options) })
}

const messages = [{ role: 'user', content: 'Hi' }]

describe('a node in front of a server', () => {
  it('offers its models, passes calls on with its key, and answers byte for byte', async () => {
    // Odd on purpose: nobody shall read and rewrite this.
    const bytes = 'data: {"x" :1}\r\n\r\n: comment\n\ndata: [DONE]\n\n'
    const { url, seen } = await start((_, response) => {
      response.setHeader('content-type', 'text/event-stream')
      response.end(bytes)
    })
    for (const base of [url, `${url}/v1/`]) {
      const node = await api({ url: base, key: 'their-key' })
      expect(node.models).toEqual([{ id: 'org/model', dialects: ['chat'], context_length: 100 }])
      const body = { model: 'org/model', messages, stream: true, unknown_field: [1] }
      const response = await node.handle(post(body))
      expect(response.headers.get('content-type')).toBe('text/event-stream')
      expect(await response.text()).toBe(bytes)
      expect(seen.pop()).toEqual({
        path: '/v1/chat/completions',
        authorization: 'Bearer their-key',
        body,
      })
    }
  })

  it('goes by another name where that is asked for', async () => {
    const { url, seen } = await start((_, response) => response.end('{}'), ['/models/x.gguf'])
    const node = await api({ url, as: 'me/mine' })
    await node.handle(post({ model: 'me/mine', messages }))
    expect(seen[0]?.body.model).toBe('/models/x.gguf')
    expect((await node.handle(post({ model: '/models/x.gguf', messages }))).status).toBe(404)
  })

  describe('under another name', () => {
    const as = 'me/mine'
    const theirs = '/models/x.gguf'
    const startTheirs = (answer: Answer) => start(answer, [theirs])

    it('answers JSON with the id that was asked for, and nothing else changed', async () => {
      const bodies = [
        { id: 'c', model: theirs, choices: [{ message: { content: '"model":"x"' } }], x: 1.5e-7 },
        { object: 'response', model: 'an alias', metadata: { model: theirs }, output: [] },
      ]
      let text = ''
      const { url } = await startTheirs((_, response) => {
        response.setHeader('content-type', 'application/json')
        response.end(text)
      })
      const node = await api({ url, as, dialects: ['chat', 'responses'] })
      for (const body of bodies) {
        text = JSON.stringify(body, null, 1)
        const response = await node.handle(post({ model: as, messages }))
        expect(await response.json()).toEqual({ ...body, model: as })
        expect(node.status().running).toBe(0)
      }
      for (text of ['{"no":  1}', '[{"model":"x"}]', '{"model": 3 }', '{"model":"cut', '']) {
        expect(await (await node.handle(post({ model: as, messages }))).text()).toBe(text)
      }
    })

    it('streams with the id that was asked for, wherever the bytes are cut', async () => {
      const chunk = { id: 'c', model: theirs, choices: [{ delta: { content: 'é "model":' } }] }
      const created = { type: 'response.created', response: { id: 'r', model: theirs } }
      const delta = { type: 'response.output_text.delta', delta: 'x', item: { model: theirs } }
      const bytes = Buffer.from(
        `data: ${JSON.stringify(chunk)}\r\n\r\nevent: response.created\ndata: ${JSON.stringify(created)}\n\n` +
          `event: response.output_text.delta\ndata:${JSON.stringify(delta)}\n\ndata: not json "model"\ndata: b\n\n: ping\n\ndata: [DONE]\n\n`,
      )
      let cuts: number[] = []
      const { url } = await startTheirs(async (_, response) => {
        response.setHeader('content-type', 'text/event-stream; charset=utf-8')
        let from = 0
        for (const to of [...cuts, bytes.length]) {
          response.write(bytes.subarray(from, to))
          from = to
          await new Promise((resolve) => setImmediate(resolve))
        }
        response.end()
      })
      const node = await api({ url, as })
      const whole = Array.from(bytes.keys()).slice(1)
      for (cuts of [[], whole, [15], [bytes.indexOf('é') + 1], [bytes.length - 2]]) {
        const response = await node.handle(post({ model: as, messages, stream: true }))
        const events = (await response.text()).replaceAll(': ping\n\n', '')
        expect(events).toBe(
          `data: ${JSON.stringify({ ...chunk, model: as })}\n\n` +
            `event: response.created\ndata: ${JSON.stringify({ ...created, response: { id: 'r', model: as } })}\n\n` +
            `event: response.output_text.delta\ndata: ${JSON.stringify(delta)}\n\n` +
            'data: not json "model"\ndata: b\n\ndata: [DONE]\n\n',
        )
        expect(node.status().running).toBe(0)
      }
    })

    it('passes each event on as it comes, and signs of life between them', async () => {
      let write: (text: string) => void = () => {}
      const { url } = await startTheirs((_, response) => {
        response.setHeader('content-type', 'text/event-stream')
        response.flushHeaders()
        write = (text) => response.write(text)
      })
      const node = await api({ url, as })
      const response = await node.handle(post({ model: as, messages, stream: true }))
      const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
      for (const [sent, got] of [
        ['data: {"model":"a"}\n\n', `data: {"model":"${as}"}\n\n`],
        [': working\n\n', ': ping\n\n'],
        ['data: {"mod', ': ping\n\n'],
        ['el":"a"}\n\ndata: {"m', `data: {"model":"${as}"}\n\n`],
      ] as const) {
        write(sent)
        expect((await reader.read()).value).toBe(got)
      }
      await reader.cancel()
      await expect.poll(() => node.status().running).toBe(0)
    })

    it('ends a stream that fails, or an event that never ends, as a failure', async () => {
      for (const endless of [false, true]) {
        const { url } = await startTheirs((_, response) => {
          response.setHeader('content-type', 'text/event-stream')
          response.write('data: {}\n\n')
          if (endless) response.write(`data: ${'x'.repeat(3 << 20)}`)
          else setImmediate(() => response.destroy())
        })
        const node = await api({ url, as })
        const response = await node.handle(post({ model: as, messages, stream: true }))
        await expect(response.text()).rejects.toThrow()
        await expect.poll(() => node.status().running).toBe(0)
        server?.closeAllConnections()
        server?.close()
      }
    })
  })

  it('speaks Responses only where that is declared', async () => {
    const { url, seen } = await start((_, response) => response.end('{}'))
    const body = { model: 'org/model', input: 'Hi' }
    const plain = await api({ url })
    expect((await plain.handle(post(body, '/v1/responses'))).status).toBe(404)
    const both = await api({ url, dialects: ['responses', 'chat'] })
    expect((await both.handle(post(body, '/v1/responses'))).status).toBe(200)
    expect(seen.map(({ path }) => path)).toEqual(['/v1/responses'])
  })

  it('serves both dialects over its own API', async () => {
    const chunk = (delta: object, finish: string | null) =>
      `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`
    const { url } = await start((_, response) => {
      response.setHeader('content-type', 'text/event-stream')
      response.end(
        `${chunk({ role: 'assistant', content: 'Hel' }, null)}${chunk({ content: 'lo' }, 'stop')}data: [DONE]\n\n`,
      )
    })
    const node = await api({ url })
    const request = post({ model: 'org/model', input: 'Hi', stream: true }, '/v1/responses')
    const text = await (await node.fetch(request)).text()
    expect(text).toContain('event: response.completed')
    expect(text).toContain('"text":"Hello"')
  })

  it.each([
    [400, { error: { message: 'bad', param: 'messages', code: 'weird' } }, 400, 'weird'],
    [401, { error: { message: 'no key' } }, 502, 'provider_auth'],
    [500, { error: 'boom' }, 502, 'upstream_error'],
    [302, {}, 502, 'upstream_error'],
  ])('turns a %i into an error of ours', async (status, body, expected, code) => {
    const { url } = await start((_, response) => {
      response.statusCode = status
      if (status === 302) response.setHeader('location', 'http://169.254.169.254/')
      response.end(JSON.stringify(body))
    })
    const node = await api({ url })
    const response = await node.handle(post({ model: 'org/model', messages }))
    expect(response.status).toBe(expected)
    expect(await response.json()).toMatchObject({ error: { code } })
    expect(node.status().running).toBe(0)
  })

  it('passes an abort on, before and after the answer has begun', async () => {
    for (const begins of [false, true]) {
      let closed = false
      const { url, seen } = await start((_, response) => {
        response.on('close', () => (closed = true))
        if (begins) response.writeHead(200).write('data: {}\n\n')
      })
      const node = await api({ url })
      const abort = new AbortController()
      const body = { model: 'org/model', messages, stream: true }
      const answering = node.handle(post(body, undefined, abort.signal))
      await expect.poll(() => seen.length).toBe(1)
      if (begins) await (await answering).body!.getReader().read()
      expect(node.status().running).toBe(1)
      abort.abort()
      await expect.poll(() => closed).toBe(true)
      await answering
      await expect.poll(() => node.status().running).toBe(0)
    }
  })

  it('stops the server when the reader of a stream goes', async () => {
    let closed = false
    const { url } = await start((_, response) => {
      response.on('close', () => (closed = true))
      response.writeHead(200).write('data: {}\n\n')
    })
    const node = await api({ url })
    const response = await node.handle(post({ model: 'org/model', messages, stream: true }))
    await response.body!.cancel()
    await expect.poll(() => closed).toBe(true)
    expect(node.status().running).toBe(0)
  })

  it('says why it can not stand in front of something', async () => {
    await expect(api({ url: 'ftp://x' })).rejects.toMatchObject({ code: 'invalid_request' })
    await expect(api({ url: 'x' })).rejects.toMatchObject({ code: 'invalid_request' })
    await expect(api({ url: 'http://127.0.0.1:1' })).rejects.toMatchObject({
      code: 'upstream_error',
      retryable: true,
    })
    const two = await start((_, response) => response.end('{}'), ['a', 'b'])
    await expect(api({ url: two.url, as: 'me/mine' })).rejects.toMatchObject({
      code: 'invalid_request',
    })
    server?.close()
    const none = await start((_, response) => response.end('{}'), [])
    await expect(api({ url: none.url })).rejects.toMatchObject({ code: 'upstream_error' })
  })
})
