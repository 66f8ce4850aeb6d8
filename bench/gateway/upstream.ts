// A scripted provider in a process of its own: `/v1/chat/completions`, whole (300 tokens) or as a burst of chunks.
import { createServer } from 'node:http'

const text = Array.from({ length: 300 }, (_, token) => ` word${token % 10}`)
const usage = { prompt_tokens: 20, completion_tokens: 300, total_tokens: 320 }
const base = { id: 'chatcmpl-bench', created: 1_700_000_000, model: 'bench' }
const whole = JSON.stringify({
  ...base,
  object: 'chat.completion',
  choices: [
    {
      index: 0,
      message: { role: 'assistant', content: text.join('') },
      finish_reason: 'stop',
      logprobs: null,
    },
  ],
  usage,
})
const chunk = (choices: unknown[], rest = {}) =>
  `data: ${JSON.stringify({ ...base, object: 'chat.completion.chunk', choices, ...rest })}\n\n`
const chunks = [
  chunk([{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }]),
  ...text.map((content) => chunk([{ index: 0, delta: { content }, finish_reason: null }])),
  chunk([{ index: 0, delta: {}, finish_reason: 'stop' }]),
  chunk([], { usage }),
  'data: [DONE]\n\n',
]

const server = createServer((request, response) => {
  let body = ''
  request.setEncoding('utf8')
  request.on('data', (piece: string) => {
    body += piece
  })
  request.on('end', () => {
    if (!body.includes('"stream":true')) {
      response.writeHead(200, {
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(whole),
      })
      response.end(whole)
      return
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    for (const piece of chunks) response.write(piece)
    response.end()
  })
})
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  process.send?.(address && typeof address === 'object' ? address.port : 0)
})
process.on('disconnect', () => process.exit())
