// A scripted provider on loopback: it answers what the test says and tells what it was asked.
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'

/** What a test may do with one request. */
export interface UpstreamRequest {
  path: string
  headers: IncomingHttpHeaders
  /** The parsed body. */
  body: Record<string, unknown>
  /** Resolves when the answer is complete or the connection is gone; `true`: gone before it was complete. */
  ended: Promise<boolean>
}

export type Reply = (response: ServerResponse, request: UpstreamRequest) => void | Promise<void>

export interface TestUpstream {
  origin: string
  /** Answers from now on. */
  reply(reply: Reply): void
  /** Everything asked since the last `reply`. */
  requests: UpstreamRequest[]
  /** The next request as soon as it arrives, or the one that already did. */
  nextRequest(): Promise<UpstreamRequest>
  stop(): Promise<void>
}

/** Starts a server on a free port. */
export async function startUpstream(): Promise<TestUpstream> {
  let current: Reply = (response) => json(response, 500, { error: 'no reply is set' })
  let waiting: ((request: UpstreamRequest) => void)[] = []
  const server = createServer((incoming, response) => {
    let text = ''
    incoming.setEncoding('utf8')
    incoming.on('data', (piece: string) => {
      text += piece
    })
    incoming.on('end', () => {
      const ended = new Promise<boolean>((resolve) =>
        response.on('close', () => resolve(!response.writableFinished)),
      )
      const body = text === '' ? {} : (JSON.parse(text) as Record<string, unknown>)
      const request = { path: incoming.url ?? '', headers: incoming.headers, body, ended }
      upstream.requests.push(request)
      for (const tell of waiting) tell(request)
      waiting = []
      void current(response, request)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = address !== null && typeof address === 'object' ? address.port : 0
  const upstream: TestUpstream = {
    origin: `http://127.0.0.1:${port}`,
    reply(reply) {
      current = reply
      upstream.requests = []
    },
    requests: [],
    nextRequest() {
      const first = upstream.requests[0]
      if (first) return Promise.resolve(first)
      return new Promise((resolve) => waiting.push(resolve))
    },
    async stop() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return upstream
}

/** Answers with JSON, or with text as it is. */
export function json(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers })
  response.end(typeof body === 'string' ? body : JSON.stringify(body))
}

/** Answers with an event stream; each piece is a write of its own. */
export function sse(response: ServerResponse, ...pieces: (string | Uint8Array)[]): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  for (const piece of pieces) response.write(piece)
  response.end()
}

/** One chunk of a chat stream. */
export function chunk(delta: Record<string, unknown>, finish: string | null = null): string {
  const choices = [{ index: 0, delta, finish_reason: finish }]
  return `data: ${JSON.stringify({ id: 'c1', object: 'chat.completion.chunk', created: 1, model: 'm', choices })}\n\n`
}

/** A whole chat completion. */
export function completion(content: string): Record<string, unknown> {
  return {
    id: 'c1',
    object: 'chat.completion',
    created: 1,
    model: 'm',
    choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }],
    usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 },
  }
}

/** A stream of that text, complete. */
export function textStream(...words: string[]): string[] {
  return [
    chunk({ role: 'assistant', content: '' }),
    ...words.map((content) => chunk({ content })),
    chunk({}, 'stop'),
    'data: [DONE]\n\n',
  ]
}
