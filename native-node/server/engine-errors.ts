// Errors of the native engine as errors of the API.
import { ApiError } from '../../src/errors.ts'

export const retryAfterSeconds = 1

/** An error of the engine as one of ours. */
export function engineError(cause: unknown): ApiError {
  const code = typeof cause === 'object' && cause !== null ? Reflect.get(cause, 'code') : undefined
  const message = typeof cause === 'object' && cause !== null ? Reflect.get(cause, 'message') : ''
  if (code === 'invalid_argument') return new ApiError('invalid_value', String(message), { cause })
  if (code === 'out_of_memory') {
    return new ApiError('no_capacity', 'The engine has no memory left for this request.', {
      cause,
      retryable: true,
      retryAfter: retryAfterSeconds,
    })
  }
  return new ApiError('server_error', 'The engine failed while it answered.', { cause })
}

/** What a request gets that the end of the engine cuts off. */
export function closing(): ApiError {
  return new ApiError('no_capacity', 'This node is shutting down.', {
    retryable: true,
    retryAfter: retryAfterSeconds,
  })
}

/** Throws `context_length_exceeded` for a prompt that leaves no room for an answer; lengths in tokens. */
export function assertFits(length: number, contextLength: number): void {
  if (length < contextLength) return
  throw new ApiError(
    'context_length_exceeded',
    `This model's maximum context length is ${contextLength} tokens. However, your input has ${length} tokens, which leaves no room for an answer.`,
    { param: 'input' },
  )
}
