// A client of the Responses socket, plain on purpose: what came, in order, as it came.
import { type ClientOptions, WebSocket } from 'ws'

export type Message = { type: string; [key: string]: unknown }

export interface SocketClient {
  socket: WebSocket
  /** Sends JSON; text goes as it is. */
  send(message: unknown): void
  /** `response.create` with these fields. */
  create(fields: Record<string, unknown>): void
  next(): Promise<Message>
  /** Everything up to the end of the answer or an error envelope; of one lane where it is named. */
  answer(lane?: string): Promise<Message[]>
  /** Code and reason of the end, once it has come. */
  closed: Promise<{ code: number; reason: string }>
  close(): Promise<void>
}

const terminal = /^response\.(?:completed|incomplete|failed)$/

/** True for what ends an answer: a terminal event, or an error that is no event of a response. */
export function isEnd({ type, status }: Message): boolean {
  return terminal.test(type) || (type === 'error' && status !== undefined)
}

/** Opens a socket on an HTTP URL; rejects with the status of an answer that is no upgrade. */
export async function openSocket(url: string, options: ClientOptions = {}): Promise<SocketClient> {
  const socket = new WebSocket(url.replace(/^http/, 'ws'), { maxPayload: 0, ...options })
  /** What has come and has not been read. */
  const received: Message[] = []
  const waiting: (() => void)[] = []
  let gone = false
  const wake = () => {
    for (const tell of waiting.splice(0)) tell()
  }
  socket.on('message', (data) => {
    received.push(JSON.parse(String(data)) as Message)
    wake()
  })
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    socket.on('close', (code, reason) => {
      gone = true
      wake()
      resolve({ code, reason: String(reason) })
    })
  })
  await new Promise<void>((resolve, reject) => {
    socket.once('open', resolve)
    socket.once('error', reject)
    socket.once('unexpected-response', (_, response) => {
      let body = ''
      response.on('data', (piece) => {
        body += piece
      })
      response.on('end', () => reject(new Error(`${response.statusCode} ${body}`)))
    })
  })
  socket.on('error', () => {})
  const first = async (fits: (message: Message) => boolean) => {
    for (;;) {
      const at = received.findIndex(fits)
      const [message] = at === -1 ? [] : received.splice(at, 1)
      if (message !== undefined) return message
      if (gone) throw new Error('the socket was closed')
      await new Promise<void>((resolve) => waiting.push(resolve))
    }
  }
  const send = (message: unknown) =>
    socket.send(typeof message === 'string' ? message : JSON.stringify(message))
  return {
    socket,
    send,
    create: (fields) => send({ type: 'response.create', ...fields }),
    next: () => first(() => true),
    async answer(lane) {
      const messages: Message[] = []
      for (;;) {
        const message = await first(({ stream_id }) => stream_id === lane)
        messages.push(message)
        if (isEnd(message)) return messages
      }
    },
    closed,
    async close() {
      socket.close()
      await closed
    },
  }
}
