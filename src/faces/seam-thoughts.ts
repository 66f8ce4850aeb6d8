// The thoughts of a model that goes on where another one was cut, in Chat chunks that are passed on.
import { isObject } from '../protocol/check.ts'

/**
 * `new line`: behind those of the first. `left out`: it thinks about how to go on, in the middle of an answer whose text has
 * begun.
 */
export type Rethought = 'new line' | 'left out'

/** The names under which servers tell a model's thoughts. */
const fields = ['reasoning', 'reasoning_content', 'thinking', 'reasoning_details'] as const

/** The chunk's choices with its thoughts changed; undefined where it has none. */
export function rethought(chunk: Record<string, unknown>, how: Rethought): unknown[] | undefined {
  if (!Array.isArray(chunk.choices)) return undefined
  let changed = false
  const choices = chunk.choices.map((choice: unknown) => {
    if (!isObject(choice) || !isObject(choice.delta)) return choice
    const delta = { ...choice.delta }
    for (const field of fields) {
      const thought = delta[field]
      if (thought == null || thought === '') continue
      if (how === 'left out') delete delta[field]
      else if (typeof thought === 'string') delta[field] = `\n${thought}`
      changed = true
    }
    return { ...choice, delta }
  })
  return changed ? choices : undefined
}
