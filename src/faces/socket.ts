// The Responses API on a WebSocket. Knows what may run when and what is remembered; a turn itself is a request like any
// other (socket-turn.ts). https://www.openresponses.org (WebSocket); lanes are OpenAI's: turns with the same `stream_id`
// run one after the other, others beside them, and a client that names none has one in flight, as Open Responses wants it.
import { ApiError, toApiError } from '../errors.ts'
import type { FaceDeps } from './deps.ts'
import { answerResponses } from './responses.ts'
import { SocketMemory } from './socket-memory.ts'
import { errorEnvelope, laneOf, parseMessage, readMessage } from './socket-message.ts'
import { SocketStore } from './socket-store.ts'
import { SocketTurn, type TurnEnd, type Wire } from './socket-turn.ts'
import { warmUp } from './socket-warm-up.ts'

export interface SocketOptions {
  wire: Wire
  deps: FaceDeps
  /** The connection's longest life. */
  maxAgeMs?: number
}

const sixtyMinutes = 60 * 60 * 1000
const maxInFlight = 16
const maxNamedLanes = 32
/** Turns that wait for those before them; their messages may take as much as one body. */
const maxWaiting = 32
/** Faulty messages without a turn between them: a client that sends so many reads none of their answers. */
const maxFaults = 100

/** One connection. Its host hands on what comes: receive() for each message, closed() when the client is gone. */
export class ResponsesSocket {
  readonly #wire: Wire
  readonly #deps: FaceDeps
  readonly #memory: SocketMemory
  readonly #lanes = new Set<string>()
  readonly #running = new Set<SocketTurn>()
  #waiting: SocketTurn[] = []
  #ended = false
  /** Since the last message that was none. */
  #faults = 0
  readonly #limit: ReturnType<typeof setTimeout>

  constructor({ wire, deps, maxAgeMs = sixtyMinutes }: SocketOptions) {
    this.#wire = wire
    this.#deps = deps
    this.#memory = new SocketMemory(deps.maxBodyBytes)
    this.#limit = setTimeout(() => this.#expire(), maxAgeMs)
  }

  /** Takes a message; a faulty one is answered and harms nothing else. */
  receive(data: unknown): void {
    if (this.#ended) return
    let lane: string | undefined
    let previous: unknown
    try {
      const message = parseMessage(data, this.#deps.maxBodyBytes)
      lane = laneOf(message)
      previous = message.previous_response_id
      const said = readMessage(message)
      if (said.kind === 'create') {
        const bytes = String(data).length
        this.#enqueue(this.#turn(said.body, said.generate, lane, bytes))
      } else if (said.kind === 'cancel') this.#cancel(lane, said.responseId)
      this.#faults = 0
    } catch (thrown) {
      this.#evict(previous, lane)
      this.#wire.send(errorEnvelope(toApiError(thrown), lane))
      if (++this.#faults >= maxFaults) this.#close(1008, 'too many faulty messages')
    }
  }

  /** The client is gone: nothing goes on. */
  closed(): void {
    if (this.#ended) return
    this.#ended = true
    clearTimeout(this.#limit)
    for (const turn of this.#running) turn.leave()
    this.#waiting = []
    this.#memory.clear()
  }

  #turn(
    body: Record<string, unknown>,
    generate: boolean,
    lane: string | undefined,
    bytes: number,
  ): SocketTurn {
    const { newId, state: behind } = this.#deps
    const state = new SocketStore({ memory: this.#memory, lane, bytes, newId, behind })
    const deps = { ...this.#deps, state }
    const answer = generate ? answerResponses : warmUp
    return new SocketTurn({ wire: this.#wire, deps, lane, body, bytes, answer })
  }

  #enqueue(turn: SocketTurn): void {
    const { lane } = turn
    if (lane !== undefined && !this.#lanes.has(lane)) {
      if (this.#lanes.size >= maxNamedLanes) throw tooManyLanes()
      this.#lanes.add(lane)
    }
    const bytes = this.#waiting.reduce((sum, waiting) => sum + waiting.bytes, turn.bytes)
    if (this.#waiting.length >= maxWaiting || bytes > this.#deps.maxBodyBytes) throw tooManyTurns()
    this.#waiting.push(turn)
    this.#startNext()
  }

  /** Starts whatever may run: the first of each lane that is idle. */
  #startNext(): void {
    const busy = new Set([...this.#running].map(({ lane }) => lane))
    this.#waiting = this.#waiting.filter((turn) => {
      if (this.#running.size >= maxInFlight || busy.has(turn.lane)) return true
      busy.add(turn.lane)
      this.#running.add(turn)
      turn.run().then((how) => this.#finished(turn, how))
      return false
    })
  }

  #finished(turn: SocketTurn, how: TurnEnd): void {
    this.#running.delete(turn)
    if (this.#ended) return
    if (how === 'refused' || how === 'failed') this.#evict(turn.previousResponseId, turn.lane)
    this.#startNext()
  }

  /** A continuation that failed takes what it went on from with it; one from another lane leaves it there. */
  #evict(previous: unknown, lane: string | undefined): void {
    if (typeof previous === 'string' && this.#memory.laneOf(previous) === lane) {
      this.#memory.forget(previous)
    }
  }

  #cancel(lane: string | undefined, responseId: string | undefined): void {
    const turns = [...this.#running]
    const turn = turns.find((each) =>
      responseId === undefined ? each.lane === lane : each.responseId === responseId,
    )
    if (turn === undefined) {
      throw new ApiError(
        'response_not_found',
        'No such response is running on this connection.',
        responseId === undefined ? {} : { param: 'response_id' },
      )
    }
    turn.cancel()
  }

  #expire(): void {
    const message =
      'Responses websocket connection limit reached (60 minutes). Create a new websocket connection to continue.'
    const error = new ApiError('invalid_request', message, {
      wireCode: 'websocket_connection_limit_reached',
    })
    this.#wire.send(errorEnvelope(error))
    this.#close(1001, 'websocket_connection_limit_reached')
  }

  #close(code: number, reason: string): void {
    this.closed()
    this.#wire.close(code, reason)
  }
}

function tooManyLanes(): ApiError {
  return new ApiError(
    'invalid_value',
    `This connection has ${maxNamedLanes} different 'stream_id's already. Use one of them again, or open another connection.`,
    { param: 'stream_id', wireCode: 'websocket_stream_limit_reached' },
  )
}

function tooManyTurns(): ApiError {
  const message = 'Too much waits on this connection already: send on when an answer has ended.'
  return new ApiError('rate_limit_exceeded', message)
}
