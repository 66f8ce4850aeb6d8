// A stream is held for minutes; the request that it answers may be megabytes.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it } from 'vitest'
import { answerResponses } from '../../../src/faces/responses.ts'
import { chunk, sse } from '../support.ts'
import { candidate, host } from '../upstream.ts'

setFlagsFromString('--expose-gc')
const collectGarbage: () => void = runInNewContext('gc')

/** An upstream that has begun to answer, and goes on when it is told. */
function begun() {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
  const writer = writable.getWriter()
  const encoder = new TextEncoder()
  void writer.write(encoder.encode(sse([chunk({ role: 'assistant', content: 'Once' })])))
  const headers = { 'content-type': 'text/event-stream' }
  return {
    response: new Response(readable, { headers }),
    finish: async () => {
      await writer.write(encoder.encode(sse([chunk({}, 'stop'), '[DONE]'])))
      await writer.close()
    },
  }
}

/** Asks, and keeps nothing of the request but a weak reference to its first message. */
async function ask(rescue: boolean) {
  const upstream = begun()
  const { deps } = host([candidate(), async () => upstream.response])
  const message = { role: 'user', content: 'A long story, please.' }
  const body = { model: 'm', stream: true, store: false, input: [message] }
  const client = { signal: new AbortController().signal }
  const { body: stream } = await answerResponses(body, client, { ...deps, wishes: { rescue } })
  if (stream === null) throw new Error('no stream')
  const reader = stream.getReader()
  await reader.read()
  return { held: new WeakRef(message), reader, upstream }
}

async function rest(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return text
    text += decoder.decode(value, { stream: true })
  }
}

async function settled(): Promise<void> {
  // A weak reference that was read is kept until the turn of the event loop is over.
  for (let turn = 0; turn < 3; turn++) {
    await new Promise((resolve) => setImmediate(resolve))
    collectGarbage()
  }
}

describe('the request of a stream that is held', () => {
  it('is let go once its answer has begun', async () => {
    const { held, reader, upstream } = await ask(false)
    await settled()
    expect(held.deref()).toBeUndefined()
    await upstream.finish()
    expect(await rest(reader)).toContain('response.completed')
  })

  it('is kept while another place may have to go on with it', async () => {
    const { held, reader, upstream } = await ask(true)
    await settled()
    expect(held.deref()).toBeDefined()
    await upstream.finish()
    expect(await rest(reader)).toContain('response.completed')
  })
})
