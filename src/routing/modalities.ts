// Which kinds of input a request carries, and where: a text-only model must refuse an image, never answer as if it were not there.
import type { ResponsesRequest } from '../protocol/responses.ts'

/** A part that is not text: its modality and its path in the canonical request. */
export interface FoundPart {
  modality: string
  type: string
  /** `input[0].content[1]` */
  path: string
}

const modalities: Readonly<Record<string, string>> = {
  input_image: 'image',
  image_url: 'image',
  input_file: 'file',
  file: 'file',
  input_audio: 'audio',
  input_video: 'video',
}

/** Every part of the input that is not text, in order. */
export function findParts(request: Pick<ResponsesRequest, 'input'>): FoundPart[] {
  if (!Array.isArray(request.input)) return []
  const found: FoundPart[] = []
  request.input.forEach((item: unknown, index) => {
    if (!isRecord(item)) return
    for (const field of ['content', 'output']) {
      const parts = item[field]
      if (!Array.isArray(parts)) continue
      parts.forEach((part: unknown, at) => {
        if (!isRecord(part) || typeof part.type !== 'string') return
        const modality = modalities[part.type]
        if (modality)
          found.push({ modality, type: part.type, path: `input[${index}].${field}[${at}]` })
      })
    }
  })
  return found
}

/**
 * The same path as a Chat client wrote it: `input[3].content[1]` → `messages[2].content[1]`. One assistant message becomes
 * several items, always in the order reasoning, message, calls; every other message becomes one.
 */
export function chatPath(request: Pick<ResponsesRequest, 'input'>, path: string): string {
  const found = /^input\[(\d+)\]\.(?:content|output)(.*)$/.exec(path)
  if (!found || !Array.isArray(request.input)) return path
  const ranks = request.input.slice(0, Number(found[1]) + 1).map(rankInMessage)
  const starts = ranks.filter((rank, at) => at > 0 && startsMessage(ranks[at - 1], rank))
  return `messages[${starts.length}].content${found[2] ?? ''}`
}

/** Place of an item within an assistant message; undefined for items of other messages. */
function rankInMessage(item: unknown): number | undefined {
  if (!isRecord(item)) return undefined
  if (item.type === 'reasoning') return 0
  if (item.role === 'assistant') return 1
  return item.type === 'function_call' ? 2 : undefined
}

function startsMessage(before: number | undefined, rank: number | undefined): boolean {
  if (before === undefined || rank === undefined) return true
  return rank < before || (rank === before && rank < 2)
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
