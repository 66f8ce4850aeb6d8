// Server-sent events of ours as text: cut apart, numbered, and folded when a response has to be closed from its log.
import type { ApiError } from '../errors.ts'
import { isObject } from '../protocol/check.ts'
import { terminalEventTypes } from '../protocol/events.ts'
import { doneMarker, encodeEvent } from '../sse/encode.ts'
import type { BegunCall } from '../stream/begun-call.ts'
import { ResponseFold } from '../stream/fold.ts'
import type { Json } from './store.ts'

export interface EventBlock {
  /** With its blank line. */
  text: string
  /** Undefined for comments and [DONE]. */
  json: Json | undefined
}

/** The events of a text that holds whole events. */
export function eventBlocks(text: string): EventBlock[] {
  return text
    .split(/(?<=\r?\n\r?\n)/)
    .filter((block) => block.trim() !== '')
    .map((block) => ({ text: block, json: jsonOf(block) }))
}

function jsonOf(block: string): Json | undefined {
  const data = block
    .split(/\r?\n/)
    .filter((line) => line.startsWith('data:'))
    .map((line) => line.slice(5).trimStart())
    .join('\n')
  if (data === '' || data === '[DONE]') return undefined
  try {
    const json: unknown = JSON.parse(data)
    return isObject(json) ? json : undefined
  } catch {
    return undefined
  }
}

const maxSequence = 2 ** 31 - 1

/** The sequence number of an event; undefined where it has none that a reader could ask for. */
export function sequenceOf({ json }: EventBlock): number | undefined {
  const number = json?.sequence_number
  if (typeof number !== 'number' || !Number.isInteger(number)) return undefined
  return number >= 0 && number <= maxSequence ? number : undefined
}

export function isTerminal({ json }: EventBlock): boolean {
  return typeof json?.type === 'string' && terminalEventTypes.has(json.type)
}

/** The terminal event of a text and all behind it; nothing where it has not come. */
export function fromTerminal(text: string): string {
  const blocks = eventBlocks(text)
  const at = blocks.findIndex(isTerminal)
  return at === -1
    ? ''
    : blocks
        .slice(at)
        .map((block) => block.text)
        .join('')
}

/** Cuts a text before its terminal event, which is looked for from the end: all but the last events stay unread. */
export function cutTerminal(text: string): { before: string; ending: string } {
  for (let end = text.length; end > 0; ) {
    const start = text.lastIndexOf('\n\n', end - 3)
    const from = start === -1 ? 0 : start + 2
    if (isTerminal({ text: '', json: jsonOf(text.slice(from, end)) })) {
      return { before: text.slice(0, from), ending: text.slice(from) }
    }
    end = from
  }
  return { before: text, ending: '' }
}

/** The highest sequence number in a text of whole events, found from its end. */
export function lastSequence(text: string): number | undefined {
  for (let end = text.length; end > 0; ) {
    const start = text.lastIndexOf('\n\n', end - 3)
    const number = sequenceOf({ text: '', json: jsonOf(text.slice(start + 1, end)) })
    if (number !== undefined) return number
    end = start === -1 ? 0 : start + 2
  }
  return undefined
}

/** What a log amounts to, and how it is closed when nobody goes on with it. */
export class LogFold {
  readonly #fold = new ResponseFold()

  push(text: string): void {
    for (const { json } of eventBlocks(text)) this.#fold.push(json)
  }

  /** The response as far as it has come; undefined before its first snapshot. */
  get response(): Json | undefined {
    return this.#fold.response
  }

  /**
   * Closes what is open; the events count on from `after`. `error` undefined: the client gave it up. `calls`: those that were
   * about to be made.
   */
  close(
    fallback: Json,
    after: number,
    error: ApiError | undefined,
    calls: readonly BegunCall[] = [],
  ) {
    const events =
      error === undefined
        ? this.#fold.cancel(fallback, calls)
        : this.#fold.fail(error, fallback, calls)
    let sequence = after
    const numbered = events.map((event) => ({ ...event, sequence_number: ++sequence }))
    const text = numbered.map((event) => encodeEvent(event.type, event)).join('') + doneMarker
    return { text, last: sequence, response: this.#fold.response ?? fallback }
  }
}
