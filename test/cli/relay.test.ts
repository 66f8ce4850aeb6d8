// The relay in front of workerd: what comes out is what went in, and a client that leaves is a reset.
import { connect, createServer, type Server, type Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Relay, startRelay } from '../../native-node/cli/relay.ts'
import { freePort } from '../e2e/up.ts'

let inner: Server
let relay: Relay
let port: number
let accepted: Promise<Socket>

beforeEach(async () => {
  inner = createServer({ allowHalfOpen: true })
  // A reset is what these tests are about; each that expects one listens for itself.
  inner.on('connection', (socket) => socket.on('error', () => {}))
  accepted = new Promise((resolve) => inner.once('connection', resolve))
  await new Promise<void>((resolve) => inner.listen(0, '127.0.0.1', resolve))
  const address = inner.address()
  port = await freePort()
  relay = await startRelay(
    '127.0.0.1',
    port,
    address && typeof address === 'object' ? address.port : 0,
  )
})

afterEach(async () => {
  await relay.close()
  inner.close()
})

const dial = () =>
  new Promise<Socket>((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }, () => resolve(socket))
    socket.on('error', () => {})
  })

describe('relay', () => {
  it('hands bytes both ways, megabytes of them', async () => {
    const client = await dial()
    const server = await accepted
    server.pipe(server)
    const sent = Buffer.alloc(3 * 1024 * 1024, 'abcdefg')
    client.write(sent)
    let received = 0
    await new Promise<void>((resolve) => {
      client.on('data', (piece: Buffer) => {
        expect(piece.equals(sent.subarray(received, received + piece.length))).toBe(true)
        received += piece.length
        if (received === sent.length) resolve()
      })
    })
    client.destroy()
  })

  it('turns the end of the client into a reset of the inner connection', async () => {
    const client = await dial()
    const server = await accepted
    const reset = new Promise<NodeJS.ErrnoException>((resolve) => server.once('error', resolve))
    client.write('request')
    await new Promise((resolve) => server.once('data', resolve))
    client.end()
    expect((await reset).code).toBe('ECONNRESET')
  })

  it('turns a vanished client into a reset as well', async () => {
    const client = await dial()
    const server = await accepted
    const gone = new Promise<void>((resolve) => server.once('close', () => resolve()))
    server.on('error', () => {})
    client.resetAndDestroy()
    await gone
  })

  it('passes on what the server said before it closed', async () => {
    const client = await dial()
    const server = await accepted
    server.end('goodbye')
    const text = await new Promise<string>((resolve) => {
      let all = ''
      client.on('data', (piece: Buffer) => {
        all += piece.toString()
      })
      client.on('end', () => resolve(all))
    })
    expect(text).toBe('goodbye')
    client.destroy()
  })

  it('refuses an address that is taken', async () => {
    await expect(startRelay('127.0.0.1', port, 1)).rejects.toMatchObject({ code: 'EADDRINUSE' })
  })
})
