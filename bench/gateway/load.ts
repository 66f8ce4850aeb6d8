// Asks a target many times at once, and reads each answer to its end.
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http'

export interface Target {
  name: string
  port: number
  path: string
  body: string
  /** Of each request. */
  headers?: () => Record<string, string>
  /** CPU of its process so far, in microseconds. */
  cpu(): number
}

/** One request; resolves with its time in microseconds once the whole answer has been read. */
function once(target: Target, agent: Agent, onData?: () => void): Promise<number> {
  return new Promise((resolve, reject) => {
    const started = performance.now()
    const fail = (error: Error) => reject(new Error(`${target.name}: ${error.message}`))
    const read = (response: IncomingMessage) => {
      let size = 0
      let tail = ''
      response.on('data', (piece: Buffer) => {
        size += piece.length
        tail = piece.toString('latin1').slice(-200)
        onData?.()
      })
      response.on('end', () => {
        if (response.statusCode === 200 && size > 500) resolve((performance.now() - started) * 1000)
        else fail(new Error(`status ${response.statusCode}, ${size} bytes: ${tail}`))
      })
      response.on('error', fail)
    }
    const { port, path, body } = target
    const length = Buffer.byteLength(body)
    const headers = {
      'content-type': 'application/json',
      'content-length': length,
      ...target.headers?.(),
    }
    const options = { agent, host: '127.0.0.1', port, path, method: 'POST', headers }
    const request = httpRequest(options, read)
    request.on('error', fail)
    request.end(body)
  })
}

/** Asks `requests` times, `parallel` at once; the times in microseconds. */
export async function load(target: Target, requests: number, parallel: number): Promise<number[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: parallel })
  const times: number[] = []
  let left = requests
  const worker = async () => {
    while (left-- > 0) times.push(await once(target, agent))
  }
  await Promise.all(Array.from({ length: parallel }, worker))
  agent.destroy()
  return times
}

/** Opens so many streams at once and holds them; `whenAll` is called once each has begun. Rejects when one fails. */
export async function hold(target: Target, streams: number, whenAll: () => void): Promise<void> {
  const agent = new Agent({ maxSockets: streams })
  let begun = 0
  const one = () => {
    let first = true
    return once(target, agent, () => {
      if (first && ++begun === streams) whenAll()
      first = false
    })
  }
  await Promise.all(Array.from({ length: streams }, one))
  agent.destroy()
}
