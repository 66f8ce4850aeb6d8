// The Responses socket of `switchyard serve`, on a real port.
import { connect } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { EngineBackend } from '../../native-node/server/engine-backend.ts'
import { type Listening, listen } from '../../native-node/server/listen.ts'
import { createNodeApi, newId } from '../../native-node/server/local-api.ts'
import { openSocket } from '../gateway/socket-client.ts'
import { checkOrder } from '../oracle/order.ts'
import { type Script, ScriptedEngine } from './scripted-engine.ts'

const model = 'switchyard/test'
const final = (text: string) =>
  `<|channel|>analysis<|message|>Think.<|end|><|start|>assistant<|channel|>final<|message|>${text}<|return|>`

let listening: Listening | undefined
afterEach(async () => {
  await listening?.close(true)
  listening = undefined
})

async function serve(script: Script, key?: string) {
  const engine = new ScriptedEngine(script)
  const backend = new EngineBackend({ engine, model, now: Date.now, newId })
  const { fetch, acceptSocket } = createNodeApi({ backend, ...(key === undefined ? {} : { key }) })
  listening = await listen({
    fetch,
    acceptSocket,
    host: '127.0.0.1',
    port: 0,
    keyed: key !== undefined,
  })
  return { engine, url: `${listening.url}/v1/responses` }
}

describe('the socket of serve', () => {
  it('answers turn after turn', async () => {
    const { url } = await serve({ text: final('Hello there!') })
    const client = await openSocket(url)
    for (let turn = 0; turn < 3; turn++) {
      client.create({ model, input: 'Hi', store: false })
      const messages = await client.answer()
      expect(checkOrder(messages)).toEqual([])
      expect(messages.at(-1)).toMatchObject({
        type: 'response.completed',
        response: { output: [{ type: 'reasoning' }, { content: [{ text: 'Hello there!' }] }] },
      })
    }
    client.socket.send(Buffer.from([1]))
    expect((await client.answer()).at(-1)).toMatchObject({ type: 'error', status: 400 })
    await client.close()
  })

  it('lets in who has the key', async () => {
    const { url } = await serve({ text: final('Hello') }, 'local-key')
    await expect(openSocket(url)).rejects.toThrow(/^401 .*invalid_api_key/)
    const headers = { authorization: 'Bearer local-key' }
    const client = await openSocket(url, { headers })
    client.create({ model, input: 'Hi', store: false })
    expect((await client.answer()).at(-1)?.type).toBe('response.completed')
    await client.close()
  })

  it.each([
    ['another site', { origin: 'https://evil.example' }],
    ['another name', { host: 'evil.example' }],
  ])('lets in nobody from %s', async (_, headers) => {
    const { url } = await serve({ text: final('Hello') })
    await expect(openSocket(url, { headers })).rejects.toThrow(/^403 .*origin_not_allowed/)
  })

  it('is on no other path', async () => {
    const { url } = await serve({ text: final('Hello') })
    await expect(openSocket(url.replace('responses', 'chat/completions'))).rejects.toThrow(/^405 /)
  })

  it('ends with the server', async () => {
    const { url } = await serve({ text: final('Hello') })
    const client = await openSocket(url)
    await listening?.close(true)
    expect((await client.closed).code).toBe(1006)
  })

  it('is not what every Upgrade asks for', async () => {
    const { url } = await serve({ text: final('Hello') })
    const { port } = new URL(url)
    const answer = await new Promise<string>((resolve, reject) => {
      const socket = connect(Number(port), '127.0.0.1', () =>
        socket.write(
          'GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\n' +
            'Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n',
        ),
      )
      socket.once('data', (data) => {
        socket.destroy()
        resolve(String(data))
      })
      socket.once('error', reject)
    })
    expect(answer).toContain('200 OK')
  })
})
