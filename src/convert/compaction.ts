// A long conversation made short: the model's own summary of it in one item that is given as `input` again, beside what the
// user and the developer said themselves. https://platform.openai.com/docs/guides/conversation-state
import { ApiError } from '../errors.ts'
import { isObject } from '../protocol/check.ts'
import type { InputItem, ResponsesRequest } from '../protocol/responses.ts'
import { isSealed, type Seal } from '../seal.ts'

type Json = Record<string, unknown>

/** Characters of the user's own words that stay as they are, the latest first. */
const maxKept = 80_000

const task = [
  'Summarise the conversation so far for a colleague who takes it over now and sees nothing else of it.',
  'Say what the user wants, what was decided and found out, which tools were called and what they gave (names, paths, numbers and ids exactly as they were), what is done and what comes next.',
  'Leave out greetings and what no longer matters. Write the summary alone, no more than a page.',
].join(' ')

const heading = 'Summary of the conversation until now:\n\n'

/** The turn in which the model itself is asked for the summary. */
export function compactionTurn(request: ResponsesRequest): ResponsesRequest {
  const { model, input, instructions, prompt_cache_key, reasoning } = request
  const window: readonly InputItem[] = typeof input === 'string' ? [userMessage(input)] : input
  return {
    model,
    input: [...window, userMessage(task)],
    ...(instructions == null ? {} : { instructions }),
    ...(prompt_cache_key == null ? {} : { prompt_cache_key }),
    ...(reasoning == null ? {} : { reasoning }),
    store: false,
    stream: false,
  }
}

/** The text of an answer; throws ApiError where the model said nothing. */
export function summaryIn(response: unknown): string {
  const output = isObject(response) && Array.isArray(response.output) ? response.output : []
  const text = output
    .filter((item: unknown): item is Json => isObject(item) && item.type === 'message')
    .flatMap(({ content }) => (Array.isArray(content) ? content : []))
    .map((part: unknown) => (isObject(part) && typeof part.text === 'string' ? part.text : ''))
    .join('')
    .trim()
  if (text !== '') return text
  throw new ApiError('upstream_error', 'The model wrote no summary of the conversation.')
}

/** What stays of a window beside the summary: all instructions in it, and the user's latest words. */
export function keptItems(items: readonly Json[]): Json[] {
  let length = 0
  let full = false
  const kept = [...items].reverse().filter((item) => {
    if (item.role === 'system' || item.role === 'developer') return true
    if (item.role !== 'user' || full) return false
    length += JSON.stringify(item.content ?? '').length
    full = length > maxKept
    return !full
  })
  return kept.reverse()
}

/** The summary as an item: sealed where there is a seal, else as a message that anyone can read. */
export async function summaryItem(
  text: string,
  id: { compaction: string; message: string },
  seal: Seal | undefined,
): Promise<Json> {
  if (seal === undefined) {
    const content = [{ type: 'input_text', text: heading + text }]
    return { id: id.message, type: 'message', role: 'user', status: 'completed', content }
  }
  const encrypted_content = await seal.seal('compaction', new TextEncoder().encode(text))
  return { id: id.compaction, type: 'compaction', encrypted_content }
}

/** The request with our summaries opened. Throws ApiError naming one that looks like ours and is not. */
export async function openCompactions(
  request: ResponsesRequest,
  seal: Seal | undefined,
): Promise<ResponsesRequest> {
  const { input } = request
  if (typeof input === 'string' || !input.some((item) => sealedIn(item) !== undefined)) {
    return request
  }
  const opened = await Promise.all(
    input.map(async (item, index) => {
      const sealed = sealedIn(item)
      if (sealed === undefined) return item
      const bytes = await seal?.open('compaction', sealed)
      if (bytes !== undefined) return userMessage(heading + new TextDecoder().decode(bytes))
      const param = `input[${index}].encrypted_content`
      throw new ApiError(
        'invalid_encrypted_content',
        `The encrypted content of '${param}' could not be opened: it was changed, or was not made for this caller.`,
        { param },
      )
    }),
  )
  return { ...request, input: opened }
}

function sealedIn(item: object): string | undefined {
  if (Reflect.get(item, 'type') !== 'compaction') return undefined
  const sealed: unknown = Reflect.get(item, 'encrypted_content')
  return typeof sealed === 'string' && isSealed(sealed) ? sealed : undefined
}

function userMessage(text: string): InputItem {
  return { type: 'message', role: 'user', content: [{ type: 'input_text', text }] }
}
