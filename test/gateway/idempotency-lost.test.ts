// Keys whose gateway is killed in the middle of an answer: the leases of its requests end by themselves, half a minute later,
// and a client that sends its request again until then has its answer in the end.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import OpenAI from 'openai'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { eventsIn } from '../contract/store.ts'
import { checkOrder } from '../oracle/order.ts'
import { turn } from '../src/tools/script.ts'
import { startMcpServer, type TestMcpServer } from '../tools/mcp-server.ts'
import { startGateway, type TestGateway } from './harness.ts'
import { sse, startUpstream, type TestUpstream, textStream } from './upstream.ts'

const persist = mkdtempSync(join(tmpdir(), 'switchyard-lost-'))
let upstream: TestUpstream
let server: TestMcpServer
let gateway: TestGateway

const start = () =>
  startGateway({
    config: {
      providers: { acme: { baseUrl: `${upstream.origin}/v1`, models: { m: 'm', tool: 'tool' } } },
      egress: { mcpHosts: [server.host] },
    },
    persist,
  })

beforeAll(async () => {
  upstream = await startUpstream()
  server = await startMcpServer({ slowMs: 60_000 })
  gateway = await start()
})

afterAll(async () => {
  await gateway.stop()
  await server.close()
  await upstream.stop()
  rmSync(persist, { recursive: true })
})

class Client extends OpenAI {
  protected override idempotencyHeader = 'Idempotency-Key'
}

it('B9: an answer is made anew, and one that had called tools is not', async () => {
  let spoken = false
  upstream.reply((response, { body }) => {
    if (body.model === 'tool') {
      const chunks = turn([{ name: 'docs__slow', args: { text: 'now' } }])
      sse(
        response,
        ...chunks.map((each) => `data: ${JSON.stringify(each)}\n\n`),
        'data: [DONE]\n\n',
      )
    } else if (spoken) sse(response, ...textStream('second'))
    else {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(textStream('first')[1])
    }
  })
  const chat = {
    model: 'm',
    stream: true as const,
    messages: [{ role: 'user' as const, content: 'hi' }],
  }
  const tools = [
    {
      type: 'mcp',
      server_label: 'docs',
      server_url: server.url,
      require_approval: 'never',
    },
  ]
  const responses = { model: 'tool', stream: true, input: 'go', tools }
  const client = () => new Client({ baseURL: `${gateway.url}/v1`, apiKey: 'unused', maxRetries: 4 })
  const talk = async () => {
    let text = ''
    const stream = await client().chat.completions.create(chat, { idempotencyKey: 'talk' })
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? ''
      if (text === 'first') spoken = true
    }
    return text
  }
  const act = async () => {
    for (;;) {
      const response = await gateway.post('/v1/responses', responses, { 'idempotency-key': 'act' })
      if (response.status !== 409) return eventsIn(await response.text())
    }
  }
  const cut = Promise.allSettled([talk(), act()])
  while (!spoken || server.count() === 0) await new Promise((resolve) => setTimeout(resolve, 10))
  await gateway.stop()
  await cut
  gateway = await start()
  const [text, events] = await Promise.all([talk(), act()])
  expect(text).toBe('second')
  expect(checkOrder(events)).toEqual([])
  expect(JSON.stringify(events)).toContain('mcp_call')
  expect(events.at(-1)?.type).not.toBe('response.completed')
  expect(server.count()).toBe(1)
}, 120_000)
