// Reasoning that a client carries from turn to turn without reading it: opened where it comes back, so that a model gets its
// own thoughts again in the form that its provider wants.
import { ApiError } from '../errors.ts'
import { isObject } from '../protocol/check.ts'
import type { InputItem, ReasoningItem, ResponsesRequest } from '../protocol/responses.ts'
import { isSealed, type Seal } from '../seal.ts'

/** The texts of an item's reasoning, and what they were sealed from. */
interface Thoughts {
  content: string[]
}

/** The bytes to seal of a reasoning item; undefined where there is nothing in it that we could read. */
export function reasoningToSeal(item: unknown): Uint8Array | undefined {
  if (!isObject(item) || item.type !== 'reasoning' || item.encrypted_content != null)
    return undefined
  const content = textsOf(item.content)
  // In the `summary` family the reasoning itself stands there.
  const thoughts: Thoughts = { content: content.length > 0 ? content : textsOf(item.summary) }
  if (thoughts.content.length === 0) return undefined
  return new TextEncoder().encode(JSON.stringify(thoughts))
}

/**
 * The request with our sealed reasoning opened. Throws ApiError naming a text that looks like ours and is not: it was
 * changed, belongs to somebody else, or was sealed with a secret that is gone. The first `before` items are history from our
 * own store, where the text itself stands beside the seal.
 */
export async function openReasoning(
  request: ResponsesRequest,
  seal: Seal | undefined,
  before = 0,
): Promise<ResponsesRequest> {
  const { input } = request
  if (typeof input === 'string' || !input.some(isOurs)) return request
  const opened = await Promise.all(
    input.map(async (item, index) => {
      if (!isOurs(item)) return item
      if (index < before && (item.content ?? []).length > 0) return withoutSeal(item)
      const path = `input[${index}].encrypted_content`
      return withThoughts(item, await seal?.open('reasoning', item.encrypted_content), path)
    }),
  )
  return { ...request, input: opened }
}

function isOurs(item: InputItem): item is ReasoningItem & { encrypted_content: string } {
  return (
    item.type === 'reasoning' &&
    typeof item.encrypted_content === 'string' &&
    isSealed(item.encrypted_content)
  )
}

function withThoughts(
  item: ReasoningItem,
  bytes: Uint8Array | undefined,
  param: string,
): ReasoningItem {
  if (bytes === undefined) {
    const message = `The encrypted content of '${param}' could not be opened: it was changed, or was not made for this caller.`
    throw new ApiError('invalid_encrypted_content', message, { param })
  }
  const { content }: Thoughts = JSON.parse(new TextDecoder().decode(bytes))
  const { encrypted_content: _, ...rest } = item
  return { ...rest, content: content.map((text) => ({ type: 'reasoning_text', text })) }
}

/**
 * Refuses reasoning that nobody here can read, by its place. An upstream that speaks Responses itself may have made it, so
 * that it is no fault of the request there.
 */
export function refuseUnreadable({ input }: ResponsesRequest): void {
  if (typeof input === 'string') return
  for (const [index, item] of input.entries()) {
    if (item.type !== 'reasoning' || !item.encrypted_content) continue
    if (item.content != null && item.content.length > 0) continue
    const param = `input[${index}].encrypted_content`
    throw new ApiError(
      'unsupported_content',
      `The encrypted content of '${param}' was made elsewhere and cannot be read here.`,
      { param },
    )
  }
}

/** Our own sealed texts mean nothing upstream. Those of stored turns are still there, beside the text itself. */
export function withoutOwnSeals(request: ResponsesRequest): ResponsesRequest {
  const { input } = request
  if (typeof input === 'string' || !input.some(isOurs)) return request
  return { ...request, input: input.map((item) => (isOurs(item) ? withoutSeal(item) : item)) }
}

function withoutSeal({ encrypted_content: _, ...rest }: ReasoningItem): ReasoningItem {
  return rest
}

function textsOf(parts: unknown): string[] {
  if (!Array.isArray(parts)) return []
  return parts.flatMap((part) =>
    isObject(part) && typeof part.text === 'string' && part.text !== '' ? [part.text] : [],
  )
}
