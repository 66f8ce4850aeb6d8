// The seam between the tool loop and the face that runs it.
import type { ResponsesRequest } from '../protocol/responses.ts'
import type { BegunCall } from '../stream/begun-call.ts'

/** What the loop needs of the face. */
export interface LoopHost {
  /** One turn of the model, stateless. Throws ApiError where it failed before its first event. */
  turn(request: ResponsesRequest, signal: AbortSignal): Promise<ModelTurn>
  /** Milliseconds since the epoch. */
  now(): number
  /**
   * Writes down calls that are about to be made; what was written outlives a crash. Throws ApiError where it could not be, and
   * then none of them is made. Absent: nothing is kept of the response.
   */
  journal?: ((calls: readonly BegunCall[], signal: AbortSignal) => Promise<void>) | undefined
}

export interface ModelTurn {
  /** What the answer's headers say of who answered. */
  headers: Headers
  /** Parsed Responses events in batches; an answer in one piece is its terminal event alone. */
  events: AsyncIterable<readonly unknown[]>
}
