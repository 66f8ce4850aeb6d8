// Why generation stopped, in the words of many servers and in ours.
import type { FinishReason } from '../protocol/chat.ts'

/**
 * A server's finish_reason as one of OpenAI's four; undefined where it has not ended.
 * Servers also say `eos` (Together), `end_turn`, `max_tokens`; any other word still means that it stopped.
 */
export function toFinish(reason: unknown): FinishReason | undefined {
  if (typeof reason !== 'string' || reason === '') return undefined
  switch (reason) {
    case 'length':
    case 'max_tokens':
      return 'length'
    case 'content_filter':
      return 'content_filter'
    case 'tool_calls':
    case 'tool_use':
    case 'function_call':
      return 'tool_calls'
    default:
      return 'stop'
  }
}

/** finish_reason of a Chat answer for a response that is completed or incomplete. */
export function finishOf(
  status: unknown,
  incompleteReason: unknown,
  hasCalls: boolean,
): FinishReason {
  if (status === 'incomplete') {
    return incompleteReason === 'content_filter' ? 'content_filter' : 'length'
  }
  return hasCalls ? 'tool_calls' : 'stop'
}
