// A provider from switchyard.json, routed to by suffix and streamed through both APIs; and two nodes with other weights.

import { mkdtempSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { switchyard } from '../cli/run.ts'
import { checkOrder } from '../oracle/order.ts'
import { startUp, type Up } from './up.ts'

let upstream: Server
let up: Up
let client: OpenAI
const seen: { body: Record<string, unknown>; authorization: string | undefined }[] = []

beforeAll(async () => {
  upstream = createServer((request, response) => {
    let text = ''
    request.on('data', (piece: Buffer) => {
      text += piece.toString()
    })
    request.on('end', () => {
      const body = JSON.parse(text) as Record<string, unknown>
      seen.push({ body, authorization: request.headers.authorization })
      const base = { id: 'c1', created: 1, model: body.model }
      if (body.stream !== true) {
        response.setHeader('content-type', 'application/json')
        response.end(
          JSON.stringify({
            ...base,
            object: 'chat.completion',
            choices: [
              {
                index: 0,
                message: { role: 'assistant', content: 'from upstream' },
                finish_reason: 'stop',
              },
            ],
          }),
        )
        return
      }
      response.setHeader('content-type', 'text/event-stream')
      for (const delta of [
        { role: 'assistant', content: '' },
        { content: 'from ' },
        { content: 'upstream' },
      ]) {
        response.write(
          `data: ${JSON.stringify({ ...base, object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason: null }] })}\n\n`,
        )
      }
      response.write(
        `data: ${JSON.stringify({ ...base, object: 'chat.completion.chunk', choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] })}\n\n`,
      )
      response.end('data: [DONE]\n\n')
    })
  })
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve))
  const address = upstream.address()
  const port = address && typeof address === 'object' ? address.port : 0
  up = await startUp({
    words: ['--no-node'],
    env: { LOCAL_API_KEY: 'secret-of-local' },
    config: {
      providers: {
        local: { baseUrl: `http://127.0.0.1:${port}/v1`, models: { 'acme/small': 'small-v1' } },
      },
    },
  })
  client = new OpenAI({ baseURL: `${up.base}/v1`, apiKey: 'mine', maxRetries: 0 })
})

afterAll(async () => {
  await up.stop()
  upstream.close()
})

describe('a provider of the configuration', () => {
  it.each([false, true])(
    'answers both APIs (stream %s) under its own id and key',
    async (stream) => {
      seen.length = 0
      const model = 'acme/small:local'
      if (stream) {
        const events: Record<string, unknown>[] = []
        for await (const event of await client.responses.create({
          model,
          input: 'x',
          stream: true,
        }))
          events.push(event as never)
        expect(checkOrder(events)).toEqual([])
        expect(events.at(-1)).toMatchObject({ type: 'response.completed' })
        const chat = await client.chat.completions
          .stream({ model, messages: [{ role: 'user', content: 'x' }] })
          .finalChatCompletion()
        expect(chat.choices[0]?.message.content).toBe('from upstream')
      } else {
        expect((await client.responses.create({ model, input: 'x' })).output_text).toBe(
          'from upstream',
        )
        const chat = await client.chat.completions.create({
          model,
          messages: [{ role: 'user', content: 'x' }],
        })
        expect(chat.choices[0]?.message.content).toBe('from upstream')
      }
      expect(seen.map(({ body }) => body.model)).toEqual(['small-v1', 'small-v1'])
      expect(seen.every(({ authorization }) => authorization === 'Bearer secret-of-local')).toBe(
        true,
      )
    },
  )

  it('gets an image that a text node would refuse', async () => {
    seen.length = 0
    await client.responses.create({
      model: 'acme/small:local',
      input: [
        {
          role: 'user',
          content: [
            { type: 'input_image', image_url: 'https://example.com/a.png', detail: 'auto' },
          ],
        },
      ],
    })
    expect(JSON.stringify(seen[0]?.body)).toContain('https://example.com/a.png')
  })
})

describe('explain', () => {
  it('names the candidates and why others lost', async () => {
    const ran = await switchyard(['explain', 'acme/small', '--base', up.base, '--json'])
    expect(ran.code).toBe(0)
    expect(ran.stdout.toString()).toContain('local')
  })
})

describe('two checkpoints', () => {
  it('give different answers to one prompt', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'switchyard-two-'))
    const answers: string[] = []
    for (const seed of ['1', '2']) {
      const out = join(folder, seed)
      await switchyard([
        'synth',
        '--shape',
        '64,64,2,4,2,2,1,32,1024',
        '--seed',
        seed,
        '--out',
        out,
      ])
      const own = await startUp({ words: ['--model', out, '--as', 'acme/noise'] })
      const sdk = new OpenAI({ baseURL: `${own.base}/v1`, apiKey: 'none', maxRetries: 0 })
      const answer = await sdk.chat.completions.create({
        model: 'acme/noise',
        messages: [{ role: 'user', content: 'hi' }],
        temperature: 0,
        max_tokens: 24,
      })
      answers.push(JSON.stringify(answer.choices[0]?.message))
      await own.stop()
    }
    expect(answers[0]).not.toBe(answers[1])
  })
})
