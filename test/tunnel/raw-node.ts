// A node made of bare frames: says what the test says, in or out of order.
import { decodeFrame, encodeJson, type Frame, type FrameName } from '../../src/tunnel/frames.ts'
import { token } from './hub.ts'

const HeaderWebSocket = WebSocket as unknown as new (
  url: string,
  init: { headers: Record<string, string> },
) => WebSocket

export class RawNode {
  readonly closed: Promise<{ code: number; reason: string }>
  readonly #socket: WebSocket
  #frames: Frame[] = []
  #wake: (() => void) | undefined

  private constructor(socket: WebSocket) {
    this.#socket = socket
    socket.binaryType = 'arraybuffer'
    socket.onmessage = ({ data }) => {
      if (!(data instanceof ArrayBuffer)) return
      this.#frames.push(decodeFrame(new Uint8Array(data)))
      this.#wake?.()
    }
    this.closed = new Promise((resolve) => {
      socket.onclose = ({ code, reason }) => resolve({ code, reason })
    })
  }

  static async dial(url: string): Promise<RawNode> {
    const target = `${url.replace('http', 'ws')}/nodes/connect`
    const socket = new HeaderWebSocket(target, { headers: { authorization: `Bearer ${token}` } })
    const node = new RawNode(socket)
    await new Promise((resolve, reject) => {
      socket.onopen = resolve
      socket.onerror = reject
    })
    return node
  }

  /** Dialled and welcomed. */
  static async join(url: string, hello: Record<string, unknown> = {}): Promise<RawNode> {
    const node = await RawNode.dial(url)
    node.hello(hello)
    await node.next('WELCOME')
    return node
  }

  hello(extra: Record<string, unknown> = {}): void {
    const models = [{ id: 'm', dialects: ['responses'] }]
    this.json('HELLO', 0, { versions: [1], node: 'raw', models, slots: 4, ...extra })
  }

  json(type: FrameName, stream: number, message: unknown): void {
    this.send(encodeJson(type, stream, message))
  }

  send(data: Uint8Array | string): void {
    this.#socket.send(data as Uint8Array<ArrayBuffer> | string)
  }

  close(): void {
    this.#socket.close()
  }

  /** The next frame of that type; others before it are passed over. */
  async next(type: FrameName): Promise<Frame> {
    for (;;) {
      const frame = this.#frames.shift()
      if (frame?.type === type) return frame
      if (!frame) await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }
}
