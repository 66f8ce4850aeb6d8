// The seam between a face, which knows a dialect, and serving, which knows places.
import type { ApiError } from '../errors.ts'
import type { ResponsesRequest, ResponseUsage } from '../protocol/responses.ts'
import type { AnswerStream } from './answer-stream.ts'
import type { Candidate, Dialect, FaceDeps, Outcome } from './deps.ts'

/** One request as a face understands it. */
export interface FaceRequest {
  /** The canonical request. */
  request: ResponsesRequest
  stream: boolean
  /** The face's own dialect: taken where a candidate speaks it. Undefined: no upstream does, the candidate's first is taken. */
  dialect: Dialect | undefined
  /** The body for a candidate, its model id in it; `dropped` names what was left out. */
  bodyFor(
    candidate: Candidate,
    dialect: Dialect,
  ): { body: Record<string, unknown>; dropped: string[] }
  /** The way back for a stream; `rescuable`: it may have to tell what it has said so far. */
  streamFor(
    candidate: Candidate,
    dialect: Dialect,
    lost: () => ApiError,
    rescuable: boolean,
  ): AnswerStream
  /** The way back for JSON; throws ApiError for an error in a 200. */
  jsonFor(candidate: Candidate, dialect: Dialect, json: unknown): JsonAnswer
  /** Waits for what must be done before the client gets the answer: its record is kept. */
  settle?(answer: JsonAnswer): JsonAnswer | Promise<JsonAnswer>
  /** The path of a canonical field as the client wrote it: faults are found in the canonical request. */
  paramFor(param: string): string
  /** Who answers it, where that is not the host's own way: tools run here. */
  readonly upstream?: OwnUpstream | undefined
}

/** Another way to an answer than the host's. */
export interface OwnUpstream {
  way: Pick<FaceDeps, 'plan' | 'send' | 'health'>
  /** What became of the turns of the model that it has made. */
  turns: readonly Outcome[]
}

export interface JsonAnswer {
  /** What the client gets; undefined: the upstream's own text. */
  body: object | undefined
  status: 'completed' | 'incomplete' | 'failed'
  usage: ResponseUsage | undefined
}
