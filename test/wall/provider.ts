// The fault wall: a provider whose model name picks its fault. `a8` is cut in the middle of a stream, `a8.x7` as well: what
// follows the dot only tells requests apart. Below `/good` the same server answers whatever it is asked.
// Faults A1 to A30 are those of a provider; those of clients (B1 to B12) need none of its own.
import { createServer, type ServerResponse } from 'node:http'
import { gzipSync } from 'node:zlib'
import { chunk, completion, json, sse } from '../gateway/upstream.ts'

/** One request as the wall saw it. */
export interface Seen {
  model: string
  /** The text of an assistant's message at the end: what an answer shall go on from. */
  prefix: string | undefined
  headers: Record<string, string | string[] | undefined>
  good: boolean
  /** Resolves when the answer is complete or the connection is gone; the time in ms, and whether it was cut. */
  ended: Promise<{ cut: boolean; at: number }>
}

export interface Wall {
  origin: string
  seen: Seen[]
  /** What was asked for this model, at the wall or below `/good`. */
  asked(model: string, good?: boolean): Seen[]
  stop(): Promise<void>
}

export const wallText = 'Hello from the wall.'
export const goodText = 'Hello from good.'
const words = ['Hello', ' from', ' the', ' wall.']
const eventStream = { 'content-type': 'text/event-stream' }
const usage = { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 }
const usageChunk = `data: ${JSON.stringify({ choices: [], usage })}\n\n`
const done = 'data: [DONE]\n\n'

interface Ask {
  response: ServerResponse
  body: Record<string, unknown>
  stream: boolean
  /** How often this model was asked before. */
  before: number
}
type Fault = (ask: Ask) => void | Promise<void>

const error = (message: string, code?: string | number) => ({
  error: { message, type: 'server_error', param: null, code: code ?? null },
})
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
const said = (texts: readonly string[]) => texts.map((content) => chunk({ content }))
const head = chunk({ role: 'assistant', content: '' })
const wholeStream = [head, ...said(words), chunk({}, 'stop'), usageChunk, done]

/** A good answer, streamed or not. */
function answer({ response, stream }: Ask, text = words): void {
  if (!stream) json(response, 200, { ...completion(text.join('')), usage })
  else sse(response, head, ...said(text), chunk({}, 'stop'), usageChunk, done)
}

/** Streams these pieces, each a write of its own, and ends, breaks or hangs. */
async function play(
  response: ServerResponse,
  pieces: readonly (string | Uint8Array)[],
  end: 'end' | 'break' | 'hang',
  everyMs = 0,
): Promise<void> {
  response.writeHead(200, eventStream)
  response.flushHeaders()
  for (const piece of pieces) {
    if (response.destroyed) return
    response.write(piece)
    if (everyMs > 0) await pause(everyMs)
  }
  // What was written must have reached the client before the connection ends.
  await pause(300)
  if (end === 'end') response.end()
  if (end === 'break') response.socket?.resetAndDestroy()
}

/** A fault of streams alone: an answer in one piece is good. */
const streamed =
  (fault: Fault): Fault =>
  (ask) =>
    ask.stream ? fault(ask) : answer(ask)

const status =
  (code: number, body: unknown, headers: Record<string, string> = {}): Fault =>
  ({ response }) =>
    json(response, code, body, headers)

const html = '<html><head><title>502 Bad Gateway</title></head></html>'

/** What each model name does. */
export const faults: Record<string, Fault> = {
  ok: (ask) => answer(ask),
  // A1: limited once, and says when to come back.
  a1: (ask) =>
    ask.before > 0
      ? answer(ask)
      : json(ask.response, 429, error('slow down'), { 'retry-after-ms': '300' }),
  a2: status(429, error('slow down'), { 'retry-after': '30' }),
  a3: (ask) => (ask.before > 0 ? answer(ask) : json(ask.response, 500, error('boom'))),
  a4: status(502, html, { 'content-type': 'text/html' }),
  a4b: status(503, error('overloaded')),
  a4c: status(504, error('timed out')),
  a4d: status(529, error('overloaded')),
  a5: (ask) => (ask.before > 0 ? answer(ask) : void ask.response.socket?.resetAndDestroy()),
  a5b: ({ response }) => void response.socket?.resetAndDestroy(),
  a6: () => {},
  // A7: headers, a first chunk without output and comments, but no output.
  a7: async ({ response, stream }) => {
    if (!stream) return
    response.writeHead(200, eventStream)
    response.write(head)
    while (!response.destroyed) {
      response.write(': PROCESSING\n\n')
      await pause(40)
    }
  },
  a8: streamed(({ response }) => play(response, [head, ...said(words.slice(0, 2))], 'break')),
  a8b: streamed(({ response }) => play(response, [head, ...said(words.slice(0, 2))], 'end')),
  a8c: streamed(({ response }) =>
    play(response, [head, ...said(words.slice(0, 2)), 'data: {"choices":[{"ind'], 'break'),
  ),
  // Says [DONE] in the middle: no finish_reason, no success.
  a8d: streamed(({ response }) =>
    play(response, [head, ...said(words.slice(0, 2)), done], 'end', 150),
  ),
  a9: streamed(({ response }) => play(response, [head, ...said(words.slice(0, 2))], 'hang')),
  a10: streamed(({ response }) =>
    play(response, [head, 'data: {"choices":[{"in\n\n', ...wholeStream.slice(1)], 'end'),
  ),
  a10b: streamed(({ response }) =>
    play(
      response,
      [head, ...said(words.slice(0, 2)), ...Array(5).fill('data: {"oops\n\n'), done],
      'end',
      150,
    ),
  ),
  // JSON that is no chunk.
  a10c: streamed(({ response }) => {
    const none = ['null', '5', '"x"', '[]', '[{"error":{}}]'].map((json) => `data: ${json}\n\n`)
    return play(response, [head, ...none, ...wholeStream.slice(1)], 'end')
  }),
  a11: streamed(({ response }) => play(response, wholeStream.slice(0, -1), 'end')),
  // The connection breaks, or falls silent, after the finish_reason: the answer is whole.
  a11b: streamed(({ response }) => play(response, wholeStream.slice(0, -2), 'break')),
  a11c: streamed(({ response }) => play(response, wholeStream.slice(0, -2), 'hang')),
  a12: streamed(({ response }) =>
    play(
      response,
      [
        ...wholeStream.slice(0, -2),
        chunk({}, 'stop'),
        usageChunk,
        done,
        done,
        chunk({ content: '!' }),
      ],
      'end',
    ),
  ),
  a13: status(
    400,
    error("This model's maximum context length is 10 tokens.", 'context_length_exceeded'),
  ),
  a14: status(400, error('blocked by policy', 'content_filter')),
  a14b: (ask) =>
    ask.stream
      ? sse(ask.response, head, ...said(['Hello']), chunk({}, 'content_filter'), usageChunk, done)
      : json(ask.response, 200, {
          ...completion('Hello'),
          choices: [
            {
              index: 0,
              message: { role: 'assistant', content: 'Hello' },
              finish_reason: 'content_filter',
            },
          ],
        }),
  // A15 cuts its stream like A8; below `/good` it refuses to go on from a prefix.
  a15: streamed(({ response }) => play(response, [head, ...said(words.slice(0, 2))], 'break')),
  // A16 fails for ten requests and has then recovered.
  a16: (ask) => (ask.before >= 6 ? answer(ask) : json(ask.response, 503, error('down'))),
  // Cuts five streams, then has long ones.
  a16b: streamed(({ response, before }) =>
    before < 5
      ? play(response, [head, ...said(words.slice(0, 2))], 'break')
      : play(response, wholeStream, 'end', 300),
  ),
  a16c: streamed(({ response }) => play(response, [head, ...said(words.slice(0, 2))], 'break')),
  a17: (ask) => json(ask.response, 500, { ...error('boom'), usage }),
  a18: (ask) => inBand(ask, error('overloaded', 503)),
  a18b: (ask) => inBand(ask, error('slow down', 429)),
  a18c: (ask) => inBand(ask, error('bad key', 401)),
  a18d: streamed(({ response }) =>
    play(
      response,
      [head, ...said(words.slice(0, 2)), `data: ${JSON.stringify(error('lost it'))}\n\n`],
      'end',
      150,
    ),
  ),
  a18e: ({ response, stream }) => {
    if (stream) {
      return play(
        response,
        [head, ...said(words.slice(0, 2)), chunk({}, 'error'), done],
        'end',
        150,
      )
    }
    const message = { role: 'assistant', content: 'Hello from' }
    const choices = [{ index: 0, message, finish_reason: 'error' }]
    return json(response, 200, { ...completion(''), choices, usage })
  },
  a19: status(200, html, { 'content-type': 'text/html' }),
  a19b: status(200, error('model is loading')),
  a19c: ({ response, stream }) => {
    response.writeHead(200, stream ? eventStream : { 'content-type': 'application/json' })
    response.end()
  },
  a19d: ({ response }) => json(response, 200, 'ok', { 'content-type': 'text/plain' }),
  a20: status(200, JSON.stringify(completion(wallText)).slice(0, -40)),
  a20b: ({ response }) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': '5000' })
    response.write('{"id":"c1","choices":[')
    setTimeout(() => response.socket?.resetAndDestroy(), 20)
  },
  a21: (ask) => {
    const text = ask.stream
      ? wholeStream.join('')
      : JSON.stringify({ ...completion(wallText), usage })
    ask.response.writeHead(200, {
      'content-type': ask.stream ? 'text/event-stream' : 'application/json',
      'content-encoding': 'gzip',
    })
    ask.response.end(gzipSync(text))
  },
  a21b: ({ response, stream }) => {
    response.writeHead(200, {
      'content-type': stream ? 'text/event-stream' : 'application/json',
      'content-encoding': 'gzip',
    })
    const filler = stream ? `${chunk({ content: 'x'.repeat(900) })}` : `"${'x'.repeat(998)}",`
    response.end(gzipSync((stream ? '' : '[') + filler.repeat(4000)))
  },
  a22: streamed(({ response }) => {
    const text = `\ufeff: hi\r\nretry: 10\nid: 7\n\n${wholeStream.join('')}`
      .replaceAll('data: ', 'data:')
      .replace('Hello', 'H\u00e9llo \u{1f600}')
      .replace(/\n\n/g, '\r\n\r\n')
    const bytes = [...Buffer.from(text)].map((byte) => Uint8Array.of(byte))
    return play(response, bytes, 'end')
  }),
  a23: streamed(({ response }) =>
    play(response, [head, ...said(words.slice(0, 1)), `data: ${'x'.repeat(1_200_000)}`], 'hang'),
  ),
  // A24: never silent, never done.
  a24: streamed(async ({ response }) => {
    response.writeHead(200, eventStream)
    for (const piece of [head, ...said(words.slice(0, 2))]) response.write(piece)
    for (const letter of ': drip\n\n'.repeat(10_000)) {
      if (response.destroyed) return
      response.write(letter)
      await pause(20)
    }
  }),
  a25: ({ response }) => json(response, 307, '', { location: '/good/v1/chat/completions' }),
  a26: ({ response, body }) => json(response, 401, error(`no such key ${String(body.user)}`)),
  a26b: status(403, error('forbidden')),
  a27: (ask) =>
    ask.stream
      ? play(ask.response, [head, ...said(words), chunk({}, 'stop'), done], 'end')
      : json(ask.response, 200, { ...completion(wallText), usage: undefined }),
  a27b: (ask) => {
    const absurd = { prompt_tokens: -5, completion_tokens: 'many', total_tokens: 1e300 }
    return ask.stream
      ? play(
          ask.response,
          [
            head,
            ...said(words),
            chunk({}, 'stop'),
            `data: ${JSON.stringify({ choices: [], usage: absurd })}\n\n`,
            done,
          ],
          'end',
        )
      : json(ask.response, 200, { ...completion(wallText), usage: absurd })
  },
  a28: (ask) => calls(ask),
  a29: ({ response }) => void response.socket?.resetAndDestroy(),
  a30: async (ask) => {
    await pause(1200)
    answer(ask)
  },
  // Says its key back inside a stream's error.
  echo: ({ response, stream }) => {
    const text = error(`no credit on ${keyOf(response)}`, 'insufficient_quota')
    if (!stream) return json(response, 402, text)
    return play(
      response,
      [head, ...said(words.slice(0, 2)), `data: ${JSON.stringify(text)}\n\n`],
      'end',
    )
  },
  // Wrongly said to speak Responses.
  typeless: (ask) => answer(ask),
}

const keyOf = (response: ServerResponse) => String(response.req.headers.authorization).slice(7)

function inBand({ response, stream }: Ask, body: object): void {
  if (stream) sse(response, `data: ${JSON.stringify(body)}\n\n`)
  else json(response, 200, body)
}

/** Two calls: indexes with a gap, arguments split anywhere, ids that are null after the first. */
function calls({ response, stream }: Ask): void | Promise<void> {
  const [one, two] = [{ city: 'Paris' }, { city: 'Rome' }].map((value) => JSON.stringify(value))
  const whole = [
    { id: 'c1', type: 'function', function: { name: 'f', arguments: one } },
    { id: 'c2', type: 'function', function: { name: 'g', arguments: two } },
  ]
  if (!stream) {
    const message = { role: 'assistant', content: null, tool_calls: whole }
    const choices = [{ index: 0, message, finish_reason: 'tool_calls' }]
    return json(response, 200, { ...completion(''), choices, usage })
  }
  const delta = (index: number, id: string | null, name: string | undefined, args: string) =>
    chunk({ tool_calls: [{ index, id, type: 'function', function: { name, arguments: args } }] })
  const letters = (index: number, text = '') =>
    [...text].map((letter) => delta(index, null, undefined, letter))
  return play(
    response,
    [
      head,
      delta(0, 'c1', 'f', ''),
      ...letters(0, one),
      delta(5, 'c2', 'g', ''),
      ...letters(5, two),
      chunk({}, 'tool_calls'),
      usageChunk,
      done,
    ],
    'end',
  )
}

function good(ask: Ask, prefix: string | undefined): void {
  if (prefix === undefined) answer(ask, ['Hello', ' from', ' good.'])
  else if (String(ask.body.model).startsWith('a15')) {
    json(ask.response, 400, error('an assistant message cannot be the last one'))
  } else answer(ask, [wallText.slice(prefix.length)])
}

/** Starts the wall on a free port. */
export async function startWall(): Promise<Wall> {
  const seen: Seen[] = []
  const counts = new Map<string, number>()
  const server = createServer((incoming, response) => {
    let text = ''
    incoming.setEncoding('utf8')
    incoming.on('error', () => {})
    incoming.on('data', (piece: string) => {
      text += piece
    })
    incoming.on('end', () => {
      const body = JSON.parse(text === '' ? '{}' : text) as Record<string, unknown>
      const model = String(body.model)
      const isGood = (incoming.url ?? '').startsWith('/good/')
      const before = counts.get(`${isGood} ${model}`) ?? 0
      counts.set(`${isGood} ${model}`, before + 1)
      const prefix = prefixOf(body)
      const ended = new Promise<{ cut: boolean; at: number }>((resolve) =>
        response.on('close', () => resolve({ cut: !response.writableFinished, at: Date.now() })),
      )
      seen.push({ model, prefix, headers: incoming.headers, good: isGood, ended })
      const ask = { response, body, stream: body.stream === true, before }
      const fault = faults[model.split('.')[0] ?? ''] ?? faults.ok
      void (isGood ? good(ask, prefix) : fault?.(ask))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = address !== null && typeof address === 'object' ? address.port : 0
  return {
    origin: `http://127.0.0.1:${port}`,
    seen,
    asked: (model, isGood = false) =>
      seen.filter((request) => request.model === model && request.good === isGood),
    async stop() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function prefixOf({ messages }: Record<string, unknown>): string | undefined {
  const last: unknown = Array.isArray(messages) ? messages.at(-1) : undefined
  if (typeof last !== 'object' || last === null || !('role' in last) || !('content' in last)) {
    return undefined
  }
  return last.role === 'assistant' && typeof last.content === 'string' ? last.content : undefined
}

/** The config that puts a gateway in front of the wall, its limits small. */
export function wallConfig(wall: Wall) {
  const timeouts = { headersMs: 2000, firstTokenMs: 2000, idleMs: 1000, totalMs: 3000 }
  const prefixes = { '*': { assistantPrefix: true } }
  return {
    providers: {
      wall: { baseUrl: `${wall.origin}/v1`, apiKeyEnv: 'WALL_KEY', models: '*', timeouts },
      good: { baseUrl: `${wall.origin}/good/v1`, models: '*', capabilities: prefixes },
    },
    limits: { upstreamBytes: 2_000_000 },
  }
}
