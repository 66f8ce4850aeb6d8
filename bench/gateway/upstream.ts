// A scripted provider in a process of its own. The model's name is its script: `KIND-N-MS`, where KIND is `burst` (all at
// once) or `paced` (a chunk every MS milliseconds) and N the number of chunks; not streamed, an answer of N tokens.
// Chat Completions under /chat/completions, the Responses API under /responses.
import { createServer, type ServerResponse } from 'node:http'

interface Script {
  count: number
  intervalMs: number
}

const words = (count: number) => Array.from({ length: count }, (_, at) => ` word${at % 10}`)
const item = (text: string) => ({
  id: 'msg_bench',
  type: 'message',
  status: 'completed',
  role: 'assistant',
  content: [{ type: 'output_text', text, annotations: [], logprobs: [] }],
})

const dialects = {
  chat: {
    whole(count: number) {
      const message = { role: 'assistant', content: words(count).join(''), refusal: null }
      const choices = [{ index: 0, message, logprobs: null, finish_reason: 'stop' }]
      return { ...head('chat.completion'), choices, usage: chatUsage(count) }
    },
    stream(count: number) {
      const chunk = (choices: object[], rest = {}) =>
        `data: ${JSON.stringify({ ...head('chat.completion.chunk'), choices, ...rest })}\n\n`
      const delta = (fields: object, finish_reason: string | null = null) =>
        chunk([{ index: 0, delta: fields, logprobs: null, finish_reason }])
      return [
        delta({ role: 'assistant', content: '' }),
        ...words(count).map((content) => delta({ content })),
        delta({}, 'stop'),
        chunk([], { usage: chatUsage(count) }),
        'data: [DONE]\n\n',
      ]
    },
  },
  responses: {
    whole(count: number) {
      return snapshot('completed', [item(words(count).join(''))], count)
    },
    stream(count: number) {
      let sequence_number = 0
      const event = (type: string, fields: object) =>
        `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: sequence_number++, ...fields })}\n\n`
      const at = { item_id: 'msg_bench', output_index: 0, content_index: 0 }
      const done = item(words(count).join(''))
      const [part] = done.content
      const empty = { ...done, status: 'in_progress', content: [] }
      return [
        event('response.created', { response: snapshot('in_progress', [], count) }),
        event('response.in_progress', { response: snapshot('in_progress', [], count) }),
        event('response.output_item.added', { output_index: 0, item: empty }),
        event('response.content_part.added', { ...at, part: { ...part, text: '' } }),
        ...words(count).map((delta) =>
          event('response.output_text.delta', { ...at, delta, logprobs: [] }),
        ),
        event('response.output_text.done', { ...at, text: part?.text, logprobs: [] }),
        event('response.content_part.done', { ...at, part }),
        event('response.output_item.done', { output_index: 0, item: done }),
        event('response.completed', { response: snapshot('completed', [done], count) }),
      ]
    },
  },
}

function head(object: string) {
  return { id: 'chatcmpl-bench', object, created: 1_700_000_000, model: 'bench' }
}

function chatUsage(count: number) {
  return { prompt_tokens: 20, completion_tokens: count, total_tokens: 20 + count }
}

function snapshot(status: string, output: object[], count: number) {
  const usage = { input_tokens: 20, output_tokens: count, total_tokens: 20 + count }
  const fields = { object: 'response', created_at: 1_700_000_000, model: 'bench' }
  return { id: 'resp_bench', ...fields, status, output, usage: output.length > 0 ? usage : null }
}

function scriptOf(body: string): Script {
  const found = /"model":\s*"(burst|paced)-(\d+)(?:-(\d+))?/.exec(body)
  return {
    count: Number(found?.[2] ?? 300),
    intervalMs: found?.[1] === 'paced' ? Number(found[3] ?? 5) : 0,
  }
}

/** Written once for each script: the cost of making an answer is not what is measured. */
const made = new Map<string, string[]>()

function answerOf(dialect: keyof typeof dialects, stream: boolean, count: number): string[] {
  const key = `${dialect} ${stream} ${count}`
  const known = made.get(key)
  if (known !== undefined) return known
  const { whole, stream: chunks } = dialects[dialect]
  const answer = stream ? chunks(count) : [JSON.stringify(whole(count))]
  made.set(key, answer)
  return answer
}

function send(response: ServerResponse, pieces: string[], intervalMs: number): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  if (intervalMs === 0) {
    for (const piece of pieces) response.write(piece)
    response.end()
    return
  }
  let at = 0
  const timer = setInterval(() => {
    if (at < pieces.length) response.write(pieces[at++] ?? '')
    else response.end()
    if (response.writableEnded) clearInterval(timer)
  }, intervalMs)
  response.on('close', () => clearInterval(timer))
}

const server = createServer((request, response) => {
  let body = ''
  request.setEncoding('utf8')
  request.on('data', (piece: string) => {
    body += piece
  })
  request.on('end', () => {
    const dialect = request.url?.includes('/responses') ? 'responses' : 'chat'
    const { count, intervalMs } = scriptOf(body)
    const stream = body.includes('"stream":true')
    const pieces = answerOf(dialect, stream, count)
    if (stream) return send(response, pieces, intervalMs)
    const [whole = ''] = pieces
    const length = Buffer.byteLength(whole)
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': length })
    response.end(whole)
  })
})
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  process.send?.(address && typeof address === 'object' ? address.port : 0)
})
process.on('disconnect', () => process.exit())
