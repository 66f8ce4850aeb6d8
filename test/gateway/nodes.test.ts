// Nodes that dialled in, as the gateway's clients meet them: listing, routing, refusal of what they cannot read, loss.
import { connect } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { TunnelClient } from '../../native-node/server/tunnel-client.ts'
import type { TunnelClientOptions } from '../../native-node/server/tunnel-options.ts'
import { startGateway, type TestGateway } from './harness.ts'
import {
  chunk,
  completion,
  json,
  startUpstream,
  type TestUpstream,
  textStream,
} from './upstream.ts'

const token = 'a-node-token-for-tests'
const eventStream = { headers: { 'content-type': 'text/event-stream' } }
type Handle = TunnelClientOptions['handle']

let upstream: TestUpstream
let gateway: TestGateway
let clients: TunnelClient[] = []

beforeAll(async () => {
  upstream = await startUpstream()
  const groq = { baseUrl: `${upstream.origin}/v1`, models: { 'house/shared': 'shared' } }
  gateway = await startGateway({
    config: { providers: { groq } },
    bindings: {
      SWITCHYARD_NODE_TOKEN: token,
      SWITCHYARD_EXPECT_NODE: '1',
      GROQ_API_KEY: 'gsk_test',
    },
  })
})

afterEach(async () => {
  for (const client of clients) client.stop()
  clients = []
  await until(async () => (await health()).nodes.length === 0)
})

afterAll(async () => {
  await gateway.stop()
  await upstream.stop()
})

/** A node that joins, or is turned away: resolves with the reason. */
function join(
  name: string,
  model: string,
  handle: Handle,
  to = gateway,
  log: (line: string) => void = () => {},
): Promise<string | undefined> {
  return new Promise((resolve) => {
    const client = new TunnelClient({
      gateway: to.url,
      token,
      hello: () => ({
        node: name,
        models: [
          { id: model, dialects: ['chat'], input_modalities: ['text'], context_length: 4096 },
        ],
        slots: 4,
        pid: 4321,
      }),
      status: () => ({ running: 0, waiting: 0 }),
      handle,
      log,
      onState: (state, reason) => {
        if (state === 'joined' || state === 'stopped') resolve(reason)
      },
    })
    clients.push(client)
    client.start()
  })
}

/** Answers like a chat server that knows its own name. */
const answering =
  (name: string): Handle =>
  async (request) => {
    const { stream } = (await request.json()) as { stream?: boolean }
    if (stream) return new Response(textStream('from ', name).join(''), eventStream)
    return Response.json(completion(`from ${name}`))
  }

async function health() {
  const response = await gateway.ask('/health')
  const body = (await response.json()) as { status: string; nodes: { name: string }[] }
  return { code: response.status, ...body }
}

async function until(wanted: () => Promise<boolean>): Promise<void> {
  while (!(await wanted())) await new Promise((resolve) => setTimeout(resolve, 20))
}

const chat = (model: string, more = {}, path = '/v1/chat/completions') =>
  gateway.post(path, { model, messages: [{ role: 'user', content: 'hi' }], ...more })

/** The lines of the log about the request that had this response. */
function faultsOf({ headers }: Response): Record<string, unknown>[] {
  const id = headers.get('x-request-id') ?? ''
  const lines = gateway.log.join('').split('\n')
  return lines.filter((line) => line.includes(id)).map((line) => JSON.parse(line))
}

const answerOf = async (response: Response) => {
  const body = (await response.json()) as ReturnType<typeof completion>
  return (body.choices as { message: { content: string } }[])[0]?.message.content
}

describe('/health', () => {
  it('waits for the expected node and then names it', async () => {
    expect(await health()).toMatchObject({ code: 503, status: 'waiting_for_node', nodes: [] })
    await join('rack1', 'house/own', answering('rack1'))
    await until(async () => (await health()).code === 200)
    expect(await health()).toMatchObject({
      status: 'ok',
      nodes: [{ name: 'rack1', models: ['house/own'], pid: 4321 }],
    })
  })
})

describe('/health of a launcher whose node token has another name', () => {
  it('sees the node of the tenant that this token stands for', async () => {
    const renamed = await startGateway({
      config: { nodes: { tokenEnv: 'HOUSE_NODES' } },
      bindings: { HOUSE_NODES: JSON.stringify({ acme: token }), SWITCHYARD_EXPECT_NODE: '1' },
    })
    try {
      await join('rack8', 'house/own', answering('rack8'), renamed)
      await until(async () => (await renamed.ask('/health')).status === 200)
    } finally {
      await renamed.stop()
    }
  })
})

describe('/health of a launcher that others reach', () => {
  it('says that a node is there, and not which', async () => {
    const reached = await startGateway({
      bindings: { SWITCHYARD_NODE_TOKEN: token, SWITCHYARD_EXPECT_NODE: 'unnamed' },
    })
    try {
      expect((await reached.ask('/health')).status).toBe(503)
      await join('rack9', 'house/own', answering('rack9'), reached)
      await until(async () => (await reached.ask('/health')).status === 200)
      expect(await (await reached.ask('/health')).json()).toMatchObject({ status: 'ok', nodes: [] })
    } finally {
      await reached.stop()
    }
  })
})

describe('a model of a node', () => {
  it('fails in its log under the id that the client was told', async () => {
    const lines: string[] = []
    const failing: Handle = async () => {
      throw new Error('the engine is on fire')
    }
    await join('rack1', 'house/own', failing, gateway, (line) => lines.push(line))
    const response = await chat('house/own')
    const id = response.headers.get('x-request-id')
    expect(await response.text()).not.toContain('fire')
    expect(new Set(lines)).toEqual(new Set([`Request ${id} failed: the engine is on fire`]))
  })

  it('is listed with what it reads', async () => {
    await join('rack1', 'house/own', answering('rack1'))
    const response = await gateway.ask('/v1/models/house/own')
    expect(await response.json()).toMatchObject({
      id: 'house/own',
      owned_by: 'house',
      architecture: { input_modalities: ['text'], output_modalities: ['text'] },
      providers: [{ provider: 'rack1', status: 'live', context_length: 4096 }],
    })
  })

  it.each([
    ['house/own', '/v1/chat/completions'],
    ['house/own:rack1', '/v1/chat/completions'],
    ['house/own:self', '/v1/chat/completions'],
    ['house/own', '/self/v1/chat/completions'],
    ['house/own', '/rack1/v1/chat/completions'],
  ])('%s is served by %s', async (model, path) => {
    await join('rack1', 'house/own', answering('rack1'))
    expect(await answerOf(await chat(model, {}, path))).toBe('from rack1')
  })

  it('is streamed through both APIs', async () => {
    await join('rack1', 'house/own', answering('rack1'))
    const client = gateway.openai()
    const stream = client.chat.completions.stream({
      model: 'house/own',
      messages: [{ role: 'user', content: 'hi' }],
    })
    expect((await stream.finalMessage()).content).toBe('from rack1')
    const response = client.responses.stream({ model: 'house/own', input: 'hi' })
    expect((await response.finalResponse()).output_text).toBe('from rack1')
  })

  it('is served by the node that is named, though two have it', async () => {
    await join('rack1', 'house/own', answering('rack1'))
    await join('rack2', 'house/own', answering('rack2'))
    for (const name of ['rack1', 'rack2']) {
      expect(await answerOf(await chat(`house/own:${name}`))).toBe(`from ${name}`)
    }
  })

  it('comes before a provider that serves it, which stands in when the node is gone', async () => {
    upstream.reply((response) => json(response, 200, completion('from groq')))
    await join('rack1', 'house/shared', answering('rack1'))
    await until(async () => (await health()).nodes.length === 1)
    expect(await answerOf(await chat('house/shared'))).toBe('from rack1')
    clients[0]?.stop()
    expect(await answerOf(await chat('house/shared'))).toBe('from groq')
  })

  it('is out of capacity while its node is away, and not unknown', async () => {
    await join('rack1', 'house/own', answering('rack1'))
    expect((await chat('house/own')).status).toBe(200)
    clients[0]?.stop()
    await until(async () => (await health()).nodes.length === 0)
    for (const model of ['house/own', 'house/own:rack1', 'house/own:self']) {
      const response = await chat(model)
      expect([response.status, response.headers.get('retry-after')]).toEqual([503, '1'])
      expect(await response.json()).toMatchObject({ error: { code: 'no_capacity' } })
    }
    await join('rack1', 'house/own', answering('rack1 again'))
    expect(await answerOf(await chat('house/own'))).toBe('from rack1 again')
  })
})

describe('a text model', () => {
  const image = 'data:image/png;base64,iVBORw0KGgo='

  it.each([
    [
      '/v1/responses',
      {
        input: [
          {
            role: 'user',
            content: [
              { type: 'input_text', text: 'see' },
              { type: 'input_image', image_url: image },
            ],
          },
        ],
      },
      'input[0].content[1]',
    ],
    [
      '/v1/chat/completions',
      {
        messages: [
          { role: 'system', content: 'Be brief.' },
          { role: 'user', content: [{ type: 'image_url', image_url: { url: image } }] },
        ],
      },
      'messages[1].content[0]',
    ],
  ])('refuses an image at %s and names the part', async (path, body, param) => {
    let asked = 0
    await join('rack1', 'house/own', async () => {
      asked++
      return Response.json(completion('what image?'))
    })
    const response = await gateway.post(path, { model: 'house/own', ...body })
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject({ error: { code: 'unsupported_content', param } })
    expect(asked).toBe(0)
  })

  it('leaves the image to a provider that serves the same model', async () => {
    upstream.reply((response) => json(response, 200, completion('a dot')))
    await join('rack1', 'house/shared', answering('rack1'))
    const content = [{ type: 'image_url', image_url: { url: image } }]
    const response = await chat('house/shared', { messages: [{ role: 'user', content }] })
    expect(await answerOf(response)).toBe('a dot')
    expect(upstream.requests[0]?.body.messages).toEqual([{ role: 'user', content }])
  })
})

describe('a node that is lost', () => {
  it('in the middle of a stream ends it as node_lost', async () => {
    await join('rack1', 'house/own', async () => {
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          controller.enqueue(
            new TextEncoder().encode(chunk({ role: 'assistant', content: 'half' })),
          )
        },
      })
      return new Response(body, eventStream)
    })
    const response = await gateway.post('/v1/responses', {
      model: 'house/own',
      input: 'hi',
      stream: true,
    })
    let text = ''
    for await (const piece of response.body ?? []) {
      text += new TextDecoder().decode(piece)
      if (text.includes('half')) clients[0]?.stop()
    }
    const last = [...text.matchAll(/^data: (\{.*)$/gm)].at(-1)?.[1] ?? ''
    expect(JSON.parse(last)).toMatchObject({
      type: 'response.failed',
      response: { status: 'failed', error: { code: 'node_lost' } },
    })
    expect(response.headers.get('x-switchyard-node')).toBe('rack1')
    await until(async () => faultsOf(response).length > 0)
    expect(faultsOf(response)).toMatchObject([{ place: 'rack1', code: 'node_lost' }])
  })

  it('before its answer is named in the log, though another one has answered', async () => {
    let lost: string | undefined
    for (const name of ['rack1', 'rack2']) {
      await join(name, 'house/own', async (request) => {
        if (lost !== undefined) return answering(name)(request)
        lost = name
        clients[name === 'rack1' ? 0 : 1]?.stop()
        return new Promise<Response>(() => {})
      })
    }
    const response = await chat('house/own')
    expect(response.status).toBe(200)
    expect(response.headers.get('x-switchyard-node')).not.toBe(lost)
    await until(async () => faultsOf(response).length > 0)
    expect(faultsOf(response)).toMatchObject([{ place: lost, code: 'node_lost' }])
  })

  it('before its answer is named in the log', async () => {
    await join('rack2', 'house/own', async () => {
      clients[0]?.stop()
      return new Promise<Response>(() => {})
    })
    const response = await chat('house/own')
    expect(response.status).toBe(502)
    await until(async () => faultsOf(response).length > 0)
    expect(faultsOf(response)).toMatchObject([{ place: 'rack2', code: 'node_lost' }])
  })
})

describe('a client that goes away', () => {
  it('frees the node', async () => {
    const aborted = new Promise<void>((resolve) => {
      void join('rack1', 'house/own', async (request) => {
        request.signal.addEventListener('abort', () => resolve())
        let timer: NodeJS.Timeout
        const body = new ReadableStream<Uint8Array>({
          start(controller) {
            timer = setInterval(
              () => controller.enqueue(new TextEncoder().encode(chunk({ content: 'more ' }))),
              5,
            )
          },
          cancel: () => clearInterval(timer),
        })
        return new Response(body, eventStream)
      })
    })
    await until(async () => (await health()).nodes.length === 1)
    const body = JSON.stringify({ model: 'house/own', input: 'hi', stream: true })
    const socket = connect(gateway.port, '127.0.0.1', () =>
      socket.write(
        `POST /v1/responses HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      ),
    )
    socket.on('error', () => {})
    socket.on('data', (text) => {
      if (text.includes('more ')) socket.destroy()
    })
    await aborted
  })
})

describe('names', () => {
  it.each(['self', 'fastest', 'cheapest', 'preferred', 'groq', 'hf', 'v1', 'health', 'nodes'])(
    'that mean something else are refused: %s',
    async (name) => {
      expect(await join(name, 'house/own', answering(name))).toBeTruthy()
      expect((await health()).nodes).toEqual([])
    },
  )
})

describe('tenants', () => {
  it('see their own nodes and nobody else’s', async () => {
    const keyed = await startGateway({
      bindings: {
        SWITCHYARD_KEYS: JSON.stringify({ acme: 'sy_acme_key_0123', globex: 'sy_globex_key_0123' }),
        SWITCHYARD_NODE_TOKEN: JSON.stringify({ acme: token, globex: 'another-token' }),
      },
    })
    await join('rack1', 'house/own', answering('rack1'), keyed)
    const ask = (key: string) =>
      keyed.post(
        '/v1/chat/completions',
        { model: 'house/own', messages: [{ role: 'user', content: 'hi' }] },
        { authorization: `Bearer ${key}` },
      )
    expect(await answerOf(await ask('sy_acme_key_0123'))).toBe('from rack1')
    expect((await ask('sy_globex_key_0123')).status).toBe(404)
    expect(await (await keyed.ask('/health')).json()).toMatchObject({ nodes: [] })
    for (const client of clients) client.stop()
    await keyed.stop()
  })
})

describe('a prompt that is too long for a node', () => {
  // The native engine has a code for it; vLLM behind a node has words alone.
  it.each([
    { message: 'Too many tokens.', code: 'context_length_exceeded' },
    { message: "This model's maximum context length is 4096 tokens.", code: 400 },
  ])('is told as such, and goes to a model with more room: %j', async (error) => {
    upstream.reply((response) => json(response, 200, completion('roomy')))
    await join('rack1', 'house/own', async () => Response.json({ error }, { status: 400 }))
    const refused = await chat('house/own')
    expect(refused.status).toBe(400)
    expect(await refused.json()).toMatchObject({ error: { code: 'context_length_exceeded' } })
    expect(await answerOf(await chat('house/own', { models: ['house/shared'] }))).toBe('roomy')
    const messages = [{ role: 'user', content: 'hi' }]
    const anthropic = { model: 'house/own', max_tokens: 5, messages }
    const told = await (await gateway.post('/v1/messages', anthropic)).json()
    expect(told).toMatchObject({ error: { message: expect.stringMatching(/^prompt is too long/) } })
  })
})
