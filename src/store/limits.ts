// How much of what is kept is given at once: every answer of the store is held in memory several times on its way.
import { ApiError } from '../errors.ts'

/** Of one chain, one conversation or one page, in UTF-16 units. */
export const maxHistoryLength = 32 * 1024 * 1024
/** Of an item's id: it is a key of several rows, and nobody's ids are near it. */
export const maxItemIdLength = 512

/** True for an id that an item can be kept under. */
export function isItemId(id: unknown): boolean {
  return typeof id === 'string' && id !== '' && id.length <= maxItemIdLength
}

const remedies = {
  previous_response_id:
    'The stored responses before this one are too long to be sent again; start a new chain with a compacted input.',
  conversation:
    'The conversation is too long to be sent again; start a new one with a compacted input.',
  input: 'The items that are referred to are too long to be sent together.',
} as const

/** What is stored cannot become the input of a turn. */
export function tooLong(param: keyof typeof remedies): ApiError {
  return new ApiError('context_length_exceeded', remedies[param], { param })
}

/** A page was to begin or end at an item that is not there. */
export function noSuchItem(cursor: string, param: string): ApiError {
  const message = `There is no item '${cursor.slice(0, 200)}' here.`
  return new ApiError('invalid_value', message, { param })
}
