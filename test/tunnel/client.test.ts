// The client's clock: when it dials again, pings, tells its status and gives up. Sockets and time are the test's own.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { TunnelClientOptions } from '../../native-node/server/tunnel-options.ts'
import {
  decodeFrame,
  encodeFrame,
  encodeJson,
  type Frame,
  type FrameName,
  maxFrameBytes,
} from '../../src/tunnel/frames.ts'
import type { NodeIdentity } from '../../src/tunnel/messages.ts'

let sockets: FakeSocket[] = []

class FakeSocket {
  static readonly CONNECTING = 0
  static readonly OPEN = 1
  static readonly CLOSED = 3
  readonly url: string
  readonly headers: Record<string, string>
  readyState = FakeSocket.CONNECTING
  bufferedAmount = 0
  binaryType = 'blob'
  sent: (Frame | string)[] = []
  closedWith: number | undefined
  onopen: (() => void) | undefined
  onmessage: ((event: { data: unknown }) => void) | undefined
  onclose: ((event: { code: number; reason: string }) => void) | undefined

  constructor(url: string, init: { headers: Record<string, string> }) {
    this.url = url
    this.headers = init.headers
    sockets.push(this)
  }

  send(data: Uint8Array | string): void {
    this.sent.push(typeof data === 'string' ? data : decodeFrame(data))
  }

  close(code: number, reason: string): void {
    // As a real one does.
    if (code !== 1000 && (code < 3000 || code > 4999)) throw new RangeError(`close(${code})`)
    if (Buffer.byteLength(reason) > 123) throw new RangeError('close() with a long reason')
    this.readyState = FakeSocket.CLOSED
    this.closedWith = code
  }

  open(): void {
    this.readyState = FakeSocket.OPEN
    this.onopen?.()
  }

  receive(data: Uint8Array | string): void {
    this.onmessage?.({ data: typeof data === 'string' ? data : data.slice().buffer })
  }

  welcome(): void {
    const limits = { frame_bytes: 1_048_576, window: 262_144 }
    this.open()
    this.receive(encodeJson('WELCOME', 0, { version: 1, limits }))
  }

  drop(code = 1006, reason = ''): void {
    this.readyState = FakeSocket.CLOSED
    this.onclose?.({ code, reason })
  }

  frames(type: FrameName): Frame[] {
    return this.sent.filter((item): item is Frame => typeof item !== 'string' && item.type === type)
  }

  get pings(): number {
    return this.sent.filter((item) => item === 'ping').length
  }
}

const request = (stream: number) =>
  encodeJson('REQUEST', stream, { method: 'GET', path: '/', headers: [], body: false })

const identity: NodeIdentity = { node: 'n', models: [], slots: 1 }
let states: string[] = []
let logs: string[] = []

async function start(options: Partial<TunnelClientOptions> = {}) {
  const { TunnelClient } = await import('../../native-node/server/tunnel-client.ts')
  const client = new TunnelClient({
    gateway: 'https://gateway.example/base/',
    token: 'secret',
    hello: () => identity,
    status: () => ({ running: 0, waiting: 0 }),
    handle: async () => new Response('x'),
    log: (message) => logs.push(message),
    onState: (state) => states.push(state),
    random: () => 0.5,
    ...options,
  })
  client.start()
  return client
}

const latest = () => sockets.at(-1)!
const pass = (milliseconds: number) => vi.advanceTimersByTimeAsync(milliseconds)

beforeEach(() => {
  vi.useFakeTimers()
  vi.stubGlobal('WebSocket', FakeSocket)
  vi.stubGlobal('fetch', async () => {
    throw new TypeError('no network')
  })
  vi.resetModules()
  sockets = []
  states = []
  logs = []
})
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

describe('dialling', () => {
  it('goes to /nodes/connect below the base, by WebSocket, with the token', async () => {
    await start()
    expect(latest().url).toBe('wss://gateway.example/base/nodes/connect')
    expect(latest().headers).toEqual({ authorization: 'Bearer secret' })
  })

  it('refuses an address that is no gateway’s', async () => {
    await expect(start({ gateway: 'ftp://x' })).rejects.toThrow(/http/)
  })

  it('waits twice as long after each failure, up to 30 s, times a random part', async () => {
    await start()
    const waits: number[] = []
    for (let n = 0; n < 10; n++) {
      const before = sockets.length
      latest().drop()
      let waited = 0
      while (sockets.length === before) {
        await pass(25)
        waited += 25
      }
      waits.push(waited)
    }
    expect(waits).toEqual([125, 250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000])
  })

  it('starts over with short waits once a connection has held for a minute', async () => {
    await start()
    for (let n = 0; n < 6; n++) {
      latest().drop()
      await pass(15_000)
    }
    latest().welcome()
    for (let n = 0; n < 13; n++) {
      await pass(5000)
      latest().receive('pong')
    }
    const before = sockets.length
    latest().drop()
    await pass(125)
    expect(sockets.length).toBe(before + 1)
  })

  it('asks seldom after a refused token, and says what is wrong', async () => {
    vi.stubGlobal('fetch', async () => new Response('{"error":"no"}', { status: 401 }))
    await start()
    latest().drop()
    await pass(20_000)
    expect(sockets).toHaveLength(1)
    expect(logs[0]).toMatch(
      /at https:\/\/gateway\.example\/base\/nodes\/connect refused the node token \(401/,
    )
    await pass(3000)
    expect(sockets).toHaveLength(2)
  })

  it.each([
    [4002, 'needs an update'],
    [4003, 'name refused'],
    [4004, 'malformed'],
    [4009, 'superseded'],
  ])('ends for good after %i', async (code, message) => {
    await start()
    latest().welcome()
    latest().receive(encodeJson('ERROR', 0, { code: 'x', message }))
    latest().drop(code, 'x')
    await pass(120_000)
    expect(sockets).toHaveLength(1)
    expect(states).toEqual(['connecting', 'joined', 'stopped'])
    expect(logs.join()).toContain(message)
  })

  it('ends with stop()', async () => {
    const client = await start()
    latest().welcome()
    client.stop()
    expect(latest().closedWith).toBe(1000)
    await pass(120_000)
    expect(sockets).toHaveLength(1)
  })

  it('gives up on a gateway that never says WELCOME', async () => {
    await start()
    latest().open()
    await pass(15_000)
    expect(latest().closedWith).toBeDefined()
    expect(states).toEqual(['connecting', 'waiting'])
  })
})

describe('liveness', () => {
  it('pings every 20 s at rest and every 5 s at work', async () => {
    await start({ handle: () => new Promise<Response>(() => {}) })
    const socket = latest()
    socket.welcome()
    const live = async (seconds: number) => {
      for (let n = 0; n < seconds; n++) {
        await pass(1000)
        socket.receive('pong')
      }
    }
    await live(60)
    expect(socket.pings).toBe(3)
    socket.receive(request(1))
    await live(60)
    expect(socket.pings).toBe(3 + 12)
  })

  it('dials again when nothing comes after a ping, and stops its work', async () => {
    let stopped = false
    await start({
      handle: (request) => {
        request.signal.addEventListener('abort', () => {
          stopped = true
        })
        return new Promise<Response>(() => {})
      },
    })
    latest().welcome()
    latest().receive(request(1))
    await pass(5000)
    expect(latest().pings).toBe(1)
    await pass(10_000)
    expect(stopped).toBe(true)
    expect(latest().closedWith ?? sockets[0]?.closedWith).toBe(4011)
    await pass(1000)
    expect(sockets).toHaveLength(2)
  })

  it('takes data for life: no pong is needed while frames come', async () => {
    await start({ handle: () => new Promise<Response>(() => {}) })
    latest().welcome()
    for (let n = 0; n < 60; n++) {
      await pass(1000)
      latest().receive(encodeFrame('CANCEL', 99))
    }
    expect(sockets).toHaveLength(1)
    expect(states).toEqual(['connecting', 'joined'])
  })
})

describe('status', () => {
  it('goes out at the join and then once a minute while nothing happens', async () => {
    await start()
    const socket = latest()
    socket.welcome()
    expect(socket.frames('STATUS')).toHaveLength(1)
    for (let n = 0; n < 125; n++) {
      await pass(1000)
      socket.receive('pong')
    }
    expect(socket.frames('STATUS')).toHaveLength(3)
  })

  it('follows changes while work runs, at most four times a second', async () => {
    let running = 0
    await start({
      status: () => ({ running: ++running, waiting: 0 }),
      handle: () => new Promise<Response>(() => {}),
    })
    const socket = latest()
    socket.welcome()
    for (let n = 1; n <= 50; n++) socket.receive(request(n))
    await pass(1000)
    const told = socket.frames('STATUS').length
    expect(told).toBeGreaterThanOrEqual(4)
    expect(told).toBeLessThanOrEqual(5)
  })

  it('goes out at once when the node says that it changed', async () => {
    let running = 0
    const client = await start({ status: () => ({ running, waiting: 0 }) })
    latest().welcome()
    running = 1
    client.statusChanged()
    expect(latest().frames('STATUS')).toHaveLength(2)
  })
})

describe('back-pressure', () => {
  it('sends no more of a body while the socket is behind', async () => {
    await start({ handle: async () => new Response(new Uint8Array(200_000)) })
    const socket = latest()
    socket.welcome()
    socket.bufferedAmount = 5_000_000
    socket.receive(request(1))
    await pass(1000)
    expect(socket.frames('DATA')).toHaveLength(0)
    socket.bufferedAmount = 0
    await pass(20)
    const sent = socket.frames('DATA').reduce((sum, { payload }) => sum + payload.length, 0)
    expect(sent).toBe(200_000)
  })
})

describe('a gateway that breaks the protocol', () => {
  it.each([
    ['with half a frame', new Uint8Array(3)],
    ['with a frame that only a node sends', encodeFrame('END', 1)],
    ['with a REQUEST that is none', encodeFrame('REQUEST', 1)],
    ['with a giant', new Uint8Array(maxFrameBytes + 1)],
    ['with another version', Uint8Array.of(9, 7, 0, 0, 0, 1)],
  ])('%s is left, without a throw', async (_, data) => {
    await start()
    const socket = latest()
    socket.welcome()
    socket.receive(data)
    expect(socket.closedWith).toBeDefined()
  })

  it('gets nothing served before WELCOME', async () => {
    let served = 0
    await start({
      handle: async () => {
        served++
        return new Response('x')
      },
    })
    latest().open()
    latest().receive(request(1))
    await pass(10)
    expect(served).toBe(0)
    expect(latest().closedWith).toBe(4000)
  })
})
