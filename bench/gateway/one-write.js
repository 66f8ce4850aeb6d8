// A converter as one writes it first: Chat chunks to Responses events, each written as it is read. No checks, no errors.
export default {
  async fetch(request, env) {
    if (new URL(request.url).pathname === '/health') return new Response('ok')
    const { model, input } = await request.json()
    const messages = [{ role: 'user', content: input }]
    const upstream = await fetch(`${env.UPSTREAM}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model, messages, stream: true }),
    })
    const { readable, writable } = new IdentityTransformStream()
    convert(upstream.body, writable.getWriter())
    return new Response(readable, { headers: { 'content-type': 'text/event-stream' } })
  },
}

async function convert(body, writer) {
  const decoder = new TextDecoder()
  const encoder = new TextEncoder()
  let sequence_number = 0
  let rest = ''
  for await (const bytes of body) {
    let text = ''
    const lines = (rest + decoder.decode(bytes, { stream: true })).split('\n')
    rest = lines.pop()
    for (const line of lines) {
      if (!line.startsWith('data: {')) continue
      const delta = JSON.parse(line.slice(6)).choices[0]?.delta.content
      if (!delta) continue
      const type = 'response.output_text.delta'
      const at = { item_id: 'msg_1', output_index: 0, content_index: 0 }
      const event = { type, sequence_number: sequence_number++, ...at, delta, logprobs: [] }
      text += `event: ${type}\ndata: ${JSON.stringify(event)}\n\n`
    }
    if (text !== '') await writer.write(encoder.encode(text))
  }
  await writer.write(encoder.encode('data: [DONE]\n\n'))
  await writer.close()
}
