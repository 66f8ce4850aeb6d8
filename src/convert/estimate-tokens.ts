// How many tokens a request will be, without its model's tokenizer: from the number of characters, by their kind.
import { isObject } from '../protocol/check.ts'
import type { ResponsesRequest } from '../protocol/responses.ts'

/** What a picture counts for: about what OpenAI's and Qwen's models make of one of a megapixel. */
const imageTokens = 1000
/** Role, channel and ends around each item. */
const itemTokens = 4

/** An estimate of the input tokens; within a third of o200k's count for prose, code and other scripts. */
export function estimateTokens(request: ResponsesRequest): number {
  const { input, instructions, tools, text } = request
  const items = typeof input === 'string' ? [input] : input
  const parts: unknown[] = [instructions, ...(tools ?? []), text?.format, ...items]
  const fixed = (items.length + 2) * itemTokens
  return Math.ceil(parts.reduce<number>((sum, part) => sum + tokensIn(part), fixed))
}

function tokensIn(value: unknown): number {
  if (typeof value === 'string') return tokensInText(value)
  if (typeof value === 'number' || typeof value === 'boolean') return 1
  if (Array.isArray(value)) return value.reduce<number>((sum, each) => sum + tokensIn(each), 0)
  if (!isObject(value)) return 0
  if (value.type === 'input_image') return imageTokens
  let sum = 0
  for (const [key, each] of Object.entries(value)) {
    // What names an item, or is a file's bytes, is no text of the prompt.
    if (key === 'type' || key === 'id' || key === 'call_id' || key === 'role') continue
    const bytes = key === 'file_data' || key === 'video_url'
    sum += bytes ? String(each).length / 40 : 1 + tokensIn(each)
  }
  return sum
}

function tokensInText(text: string): number {
  // Latin letters join to words best, other alphabets nearly as well; beyond them nearly every character stands alone.
  const other = text.match(/[\u0080-\u2e7f]/g)?.length ?? 0
  const far = text.match(/[\u2e80-\uffff]/g)?.length ?? 0
  return (text.length - other - far) / 4.2 + other / 3.5 + far * 0.75
}
