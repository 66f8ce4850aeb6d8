// What may become of a call at its server, and the fault that tells of it.
import type { ServerResponse } from 'node:http'
import { type Answer, result, sendJson } from '../raw-mcp.ts'

export const content = { content: [{ type: 'text', text: 'done' }] }
export const html: Answer = (_, response) =>
  response.writeHead(200, { 'content-type': 'text/html' }).end('<html>Sign in</html>')
export const wrongId: Answer = (message, response) =>
  sendJson(response, { ...result(message, content), id: 'another' })
export const hang: Answer = () => undefined
export const status =
  (code: number, headers: Record<string, string> = {}, body = ''): Answer =>
  (_, response) =>
    response.writeHead(code, headers).end(body)
export const asEvents = (response: ServerResponse) =>
  response.writeHead(200, { 'content-type': 'text/event-stream' })

/** What is wrong, how the server answers, and what the fault has. */
export const callFaults: [what: string, answer: Answer, fault: object][] = [
  ['is answered with the wrong id', wrongId, { code: -32603, outcome: 'unknown' }],
  ['is answered with HTML', html, { code: -32603, outcome: 'unknown' }],
  [
    'is answered with no JSON',
    (_, response) =>
      response.writeHead(200, { 'content-type': 'application/json' }).end('{"jsonrpc"'),
    { code: -32603, outcome: 'unknown' },
  ],
  [
    'is answered with other JSON',
    (_, response) => sendJson(response, { ok: true }),
    { code: -32603, outcome: 'unknown' },
  ],
  [
    'is answered with a result of no known form',
    (message, response) => sendJson(response, result(message, { content: 7 })),
    { outcome: 'unknown' },
  ],
  ['is answered with 500', status(500), { kind: 'http_error', code: 500, outcome: 'unknown' }],
  ['is answered with 502', status(502), { kind: 'http_error', code: 502, outcome: 'unknown' }],
  [
    'finds its session gone',
    status(404, {}, 'Session not found'),
    { kind: 'http_error', code: 404, outcome: 'answered' },
  ],
  [
    'is refused',
    (message, response) =>
      sendJson(response, {
        jsonrpc: '2.0',
        id: message.id,
        error: { code: -32602, message: 'Unknown tool' },
      }),
    { code: -32602, message: 'Unknown tool', outcome: 'answered' },
  ],
  [
    'loses its connection',
    (_, response) => response.destroy(),
    { code: -32000, outcome: 'unknown' },
  ],
  [
    'loses its answer half-way',
    (_, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '999' })
      response.write('{"jsonrpc":', () => response.destroy())
    },
    { code: -32000, outcome: 'unknown' },
  ],
  [
    'loses its stream',
    (_, response) => asEvents(response).end(': working\n\n'),
    { code: -32000, outcome: 'unknown' },
  ],
  [
    'loses its stream with a reset',
    (_, response) => asEvents(response).write(': working\n\n', () => response.destroy()),
    { code: -32000, outcome: 'unknown' },
  ],
  [
    'loses a stream that cannot be taken up again',
    (_, response) => asEvents(response).end('id: 1\nretry: 10\ndata: \n\n'),
    { code: -32000, outcome: 'unknown' },
  ],
  ['is never answered', hang, { code: -32001, outcome: 'unknown' }],
  [
    'is redirected',
    status(307, { location: '/elsewhere' }),
    { kind: 'http_error', code: 307, outcome: 'answered' },
  ],
]
